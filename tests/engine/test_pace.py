"""Pace and window by property: for any pattern of arrivals no minute holds more than the limit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.engine.pace import PACE_CELLS, Pace
from tasks_lib.engine.window import WINDOW_CELLS, Window
from tests.engine.world import most_in_a_minute

LIMITS = st.integers(1, 30) | st.sampled_from([59, 60, 61, 240, 241, 300])
GAPS = st.lists(st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 90)), min_size=1, max_size=60)
STARTS = st.floats(0, 1e6)  # a monotonic clock may have run for days


def passes(keeper, gaps, *, start, amounts=None):
    """When each of a queue passes that arrives at these gaps, and its amount."""
    now, passed = start, []
    arrives = start
    for number, gap in enumerate(gaps):
        amount = 1.0 if amounts is None else amounts[number % len(amounts)]
        arrives += gap
        now = max(now, arrives)
        looks = 0
        while (wait := keeper.delay(amount, now=now)) > 0:
            now += wait
            looks += 1
            assert looks < 20, "a wait that does not end"
        keeper.take(amount, now=now)
        passed.append((now - start, amount))
    return passed


def bursts(gaps, *, size):
    """The same arrivals, each followed by so many at the same moment."""
    return [gap for first in gaps for gap in (first, *[0.0] * size)]


@settings(max_examples=200, deadline=None)
@given(LIMITS, GAPS, STARTS, st.sampled_from([0, 7]), st.lists(st.floats(0, 0.29), min_size=1, max_size=9))
def test_no_minute_has_more_requests_than_the_limit(per_minute, gaps, start, size, delays):
    """In any window of 60 seconds, as the provider sees it when calls take up to 0.29 s on the way."""
    pace = Pace.keeping(per_minute, cells=[0.0] * PACE_CELLS, at=0)
    times = [at for at, _ in passes(pace, bursts(gaps, size=size), start=start)]
    assert most_in_a_minute(times) <= per_minute
    seen = [at + delays[number % len(delays)] for number, at in enumerate(times)]
    assert most_in_a_minute(seen) <= per_minute


@pytest.mark.parametrize("per_minute", [600, 6_000, 60_000])
def test_a_wide_limit_is_kept_though_the_first_calls_are_late(per_minute):
    """A burst, a minute of the rate and the time that calls take on the way fit into the limit."""
    pace = Pace.keeping(per_minute, cells=[0.0] * PACE_CELLS, at=0)
    times = [at for at, _ in passes(pace, [0.0] * (per_minute + per_minute // 10), start=0.0)]
    assert most_in_a_minute([at + (0.29 if at < 3 else 0.0) for at in times]) <= per_minute
    pause = Pace.keeping(per_minute, cells=[0.0] * PACE_CELLS, at=0)
    rested = passes(pause, [0.0, 30.0, *[0.0] * per_minute], start=0.0)[1:]
    assert most_in_a_minute([at + (0.29 if at < 31 else 0.0) for at, _ in rested]) <= per_minute


@settings(max_examples=100, deadline=None)
@given(LIMITS, STARTS)
def test_a_queue_that_never_ends_uses_the_limit(per_minute, start):
    """Four minutes of requests take no more than 2 % longer than four minutes."""
    pace = Pace.keeping(per_minute, cells=[0.0] * PACE_CELLS, at=0)
    last, _ = passes(pace, [0.0] * (per_minute * 4), start=start)[-1]
    assert last <= 240 * 1.02


@settings(max_examples=200, deadline=None)
@given(
    st.integers(100, 5_000),
    GAPS,
    STARTS,
    st.lists(st.floats(0, 1), min_size=1, max_size=7),
    st.lists(st.floats(0, 0.29), min_size=1, max_size=9),
)
def test_no_minute_has_more_tokens_than_the_limit(per_minute, gaps, start, shares, delays):
    """Whatever the sizes, up to the whole limit, and as the provider sees it."""
    window = Window(per_minute, cells=[0.0] * WINDOW_CELLS, at=0)
    amounts = [share * per_minute for share in shares]
    taken = passes(window, bursts(gaps, size=2), start=start, amounts=amounts)
    seen = [(at + delays[number % len(delays)], amount) for number, (at, amount) in enumerate(taken)]
    for arrivals in (taken, seen):
        for begin, _ in arrivals:
            within = sum(amount for at, amount in arrivals if begin <= at <= begin + 60)
            assert within <= per_minute * (1 + 1e-9) + 1e-3


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.floats(0, 500), st.floats(0, 1), st.integers(0, 5)),
        min_size=1,
        max_size=60,
    )
)
def test_a_window_reckons_with_what_was_used(calls):
    """Settled late or soon, down to what was used, the sum is always that of the last minute."""
    window, now, under_way, taken = Window(1_000, cells=[0.0] * WINDOW_CELLS, at=0), 0.0, [], []
    for gap, amount, share, lag in calls:
        now += gap
        while (wait := window.delay(amount, now=now)) > 0:
            now += wait
        window.take(amount, now=now)
        taken.append([now, amount])
        under_way.append((taken[-1], share * amount))
        while len(under_way) > lag:
            settled, used = under_way.pop(0)
            window.settle(at=settled[0], taken=settled[1], used=used)
            settled[1] = used
        in_window = sum(amount for at, amount in taken if at > now - 60)
        assert in_window <= 1_000.001
        assert 1_000 - window.left(now=now) >= in_window - 0.001
    now += 61
    assert window.delay(1_000, now=now) == 0


def test_a_pace_spreads_what_a_window_keeps():
    """A second of the quota at once, then evenly."""
    pace = Pace.spreading(6_000, cells=[0.0] * PACE_CELLS, at=0)
    times = [at for at, _ in passes(pace, [0.0] * 300, start=0.0)]
    assert sum(at == 0 for at in times) == 100
    assert times[-1] == pytest.approx(200 / (100 * 0.995))
