from decimal import Decimal

import pytest

from tasks_lib.cli.figures import cost, count, dollars, duration, percent, rate, short_count


def test_thousands_are_parted() -> None:
    """A large count can be read at a glance."""
    assert count(1_234_567) == "1,234,567"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1.0k"),
        (12_345, "12.3k"),
        (99_949, "99.9k"),
        (123_456, "123k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (45_000_000, "45.0M"),
        (999_500_000, "1.0G"),
        (2_000_000_000_000, "2000G"),
    ],
)
def test_short_counts(number: int, text: str) -> None:
    """Any number of tokens fits into a few characters, and none is rounded to four digits."""
    assert short_count(number) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0"),
        ("0.000000000000", "$0"),
        ("1234.567", "$1,234.57"),
        ("1", "$1.00"),
        ("0.5", "$0.5000"),
        ("0.0123", "$0.0123"),
        ("0.0000042", "$0.0000042"),
        ("0.000000000001", "$0.0000000000010"),
    ],
)
def test_dollars(amount: str, text: str) -> None:
    """However small an amount is, it is not shown as nothing."""
    assert dollars(Decimal(amount)) == text


def test_unknown_costs_are_told() -> None:
    """What is known of a cost never passes for all of it."""
    assert cost(Decimal("0.5"), calls_of_unknown_cost=0) == "$0.5000"
    assert cost(Decimal("0.5"), calls_of_unknown_cost=1) == "$0.5000 + 1 call of unknown cost"
    assert cost(Decimal(0), calls_of_unknown_cost=1_200) == "$0 + 1,200 calls of unknown cost"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3_599.6, "1 h 00 min"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """A duration has its two largest units, and never sixty of one."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"), [(1234.4, "1,234/s"), (99.96, "100/s"), (3.44, "3.4/s"), (0.5, "30.0/min")]
)
def test_rates(per_second: float, text: str) -> None:
    """Slow rates are told by the minute."""
    assert rate(per_second) == text


def test_hundred_per_cent_is_all() -> None:
    """A share is never rounded up to all."""
    assert percent(99_999, 100_000) == "99 %"
    assert percent(5, 5) == "100 %"
    assert percent(0, 0) == "100 %"
