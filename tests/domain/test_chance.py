"""Chance as a hash."""

from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.chance import fraction


@given(st.lists(st.text()))
def test_a_fraction_is_below_one_and_always_the_same(parts):
    """Whatever the parts, the draw is in [0, 1) and is drawn alike the next time."""
    assert 0 <= fraction(*parts) < 1
    assert fraction(*parts) == fraction(*parts)


def test_fractions_spread_evenly():
    """Of ten thousand draws each tenth of the range gets its thousand, within four deviations."""
    counts = [0] * 10
    for number in range(10_000):
        counts[int(fraction("spread", str(number)) * 10)] += 1
    assert all(880 <= count <= 1120 for count in counts)


def test_every_part_counts():
    """A draw changes when any part does."""
    assert len({fraction("a", "b"), fraction("a", "c"), fraction("b", "b"), fraction("ab")}) == 4
