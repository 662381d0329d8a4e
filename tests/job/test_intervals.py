"""What a sample says of the rest."""

import numpy as np
import pytest

from tasks_lib.job.intervals import rest_of, share_of


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_the_interval_of_skewed_costs_holds_the_truth(sigma: float) -> None:
    """Of 500 samples of 50 log-normal costs, at least 90 % have the rest's cost in their interval.

    And it says something: the interval of the usual sample is not wider than the cost itself.
    """
    chance = np.random.default_rng(7)
    costs = chance.lognormal(0.0, sigma, 5_000)
    held, widths = 0, []
    for _ in range(500):
        drawn = chance.choice(costs, 50, replace=False)
        truth = costs.sum() - drawn.sum()
        found = rest_of(drawn.tolist(), rows=costs.size)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
        widths.append((found.high - found.low) / truth)
    assert 450 <= held < 500
    assert np.median(widths) < 1.0


def test_a_rare_expensive_row_in_the_sample_gives_a_wide_bound_and_not_an_absurd_one() -> None:
    """One row in 50 that costs 100 times as much may stand for five such in 50, and not for fifty."""
    found = rest_of([1.0] * 49 + [100.0], rows=10_000)
    assert found.likely == pytest.approx(9_950 * 149 / 50)
    assert found.high is not None
    assert 2 < found.high / found.likely < 6


def test_the_more_rows_were_drawn_the_less_is_left_to_be_unsure_of() -> None:
    """The interval is about the rows left: few of them can be wrong by little, and none by nothing."""
    values = [float(value) for value in np.random.default_rng(3).lognormal(0.0, 1.0, 50)]
    widths = [(found.high or 0) - (found.low or 0) for found in (rest_of(values, rows=n) for n in (60, 600))]
    assert 0 < widths[0] < widths[1] / 3
    assert rest_of(values, rows=50) == rest_of([], rows=0)
    assert rest_of(values, rows=50).high == 0.0


def test_one_row_gives_a_guess_without_an_interval() -> None:
    """Where nothing is known of the spread, nothing is said of it."""
    found = rest_of([2.0], rows=11)
    assert (found.likely, found.low, found.high) == (20.0, None, None)


def test_the_same_sample_says_the_same() -> None:
    """Whoever estimates twice from one sample gets one answer."""
    values = [1.0, 2.0, 5.0, 1.5]
    assert rest_of(values, rows=100) == rest_of(values, rows=100)


def test_nothing_found_is_not_nothing_there() -> None:
    """No failed row among 50 says that up to 7 % may fail; among all rows, that none does."""
    assert share_of(50, found=0, rows=100_000).high == pytest.approx(0.0714, abs=0.0005)
    assert share_of(50, found=0, rows=50).high == 0.0


def test_the_interval_of_a_share_holds_the_truth() -> None:
    """Of 2,000 samples of 50 rows of which one in 20 fails, at least 93 % have that in their interval."""
    chance = np.random.default_rng(11)
    rows, failing = 2_000, 100
    found = chance.hypergeometric(failing, rows - failing, 50, size=2_000)
    held = 0
    for number in found:
        share = share_of(50, found=int(number), rows=rows)
        assert share.low is not None
        assert share.high is not None
        held += share.low <= failing / rows <= share.high
    assert 1_860 <= held < 2_000
