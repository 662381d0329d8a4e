"""A run at Parallel costs what its processor costs."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tasks_lib.configs import PriceBook
from tasks_lib.domain.pricing import FREE, cost_of
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import Model
from tasks_lib.domain.usage import Usage

ACCOUNT = Provider(name="p", protocol="parallel", base_url="https://api.parallel.test")
BOOK = PriceBook(at=datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.parametrize(
    ("processor", "dollars"),
    [
        ("lite", "0.005"),
        ("base", "0.01"),
        ("core", "0.025"),
        ("core2x", "0.05"),
        ("pro", "0.1"),
        ("ultra", "0.3"),
        ("ultra2x", "0.6"),
        ("ultra4x", "1.2"),
        ("ultra8x", "2.4"),
    ],
)
def test_each_processor_has_its_price(processor, dollars) -> None:
    """P04, P15: by the run and not by the token; -fast costs the same."""
    for name in (processor, f"{processor}-fast"):
        prices = BOOK.price_list(Model("p", name), ACCOUNT)
        assert prices.is_by_call
        usage = Usage(input_tokens=10**6, output_tokens=10**6)
        assert cost_of(usage, prices.for_usage(usage)) == Decimal(dollars)


def test_a_processor_of_tomorrow_has_no_price() -> None:
    """P15: unknown, and not nothing; unless the account is told to be free, as a server of one's own is."""
    assert BOOK.price_list(Model("p", "colossal"), ACCOUNT) is None
    own = Provider(name="p", protocol="parallel", base_url="http://localhost", free=True)
    assert BOOK.price_list(Model("p", "lite"), own) is FREE
