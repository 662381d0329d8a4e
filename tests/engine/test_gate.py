"""The gate beyond a rate: directions of tokens, days, pauses, headers, changes, and what it tells."""

import math

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.domain.usage import Usage
from tasks_lib.engine.adaptive import Adaptive
from tasks_lib.engine.gate import LONGEST_PAUSE, Gate
from tasks_lib.engine.quota import DAY_CELLS, Day
from tasks_lib.providers.rates import Rate, Rates
from tests.engine.world import most_in_a_minute

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

A_DAY = 86_400


def gate(adaptive=None, **limits):
    return Gate(Limits(**limits), now=anyio.current_time(), adaptive=adaptive)


def answer(inputs=0, outputs=0):
    return Reply(text="yes", usage=Usage(input_tokens=inputs, output_tokens=outputs))


def limited(seconds=None):
    return Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=seconds)


async def pass_one(door, inputs=0, outputs=0):
    door.leave(
        await door.enter(input_tokens=inputs, output_tokens=outputs), answer(inputs, outputs), worked=0.0
    )
    return anyio.current_time()


async def let_in(door, times, *, rows, outcome=None, takes=0.0):
    """So many calls at once, each told of when it was let in."""

    async def one():
        passed = await door.enter()
        times.append(anyio.current_time())
        await anyio.sleep(takes)
        door.leave(passed, outcome or answer(), worked=takes)

    async with anyio.create_task_group() as callers:
        for _ in range(rows):
            callers.start_soon(one)


@pytest.mark.parametrize(("inputs", "outputs", "a_minute"), [(100, 10, 12), (10, 100, 6), (60, 60, 10)])
async def test_input_and_output_are_counted_apart(inputs, outputs, a_minute):
    """Of 1,200 input and 600 output tokens a minute the one that is short decides."""
    door = gate(input_tokens_per_minute=1_200, output_tokens_per_minute=600)
    times = [await pass_one(door, inputs, outputs) for _ in range(5 * a_minute)]
    assert most_in_a_minute(times) == a_minute
    assert times[-1] - times[0] <= 5 * 60.6


async def test_a_day_holds_its_requests_until_midnight():
    """The fourth of three a day goes at midnight of UTC, and the queue says what it waits for."""
    begun = anyio.current_time()
    door = Gate(
        Limits(requests_per_day=3),
        now=begun,
        wall=lambda: 20_000 * A_DAY + A_DAY - 600 + anyio.current_time() - begun,
    )
    for _ in range(3):
        await pass_one(door)
    async with anyio.create_task_group() as others:
        others.start_soon(pass_one, door)
        await anyio.sleep(1)
        state = door.state()
        assert (state.waits_for, state.waiting, state.left) == (
            "requests_per_day",
            1,
            {"requests_per_day": 0},
        )
    assert anyio.current_time() - begun == pytest.approx(600, abs=0.01)
    assert door.state().left == {"requests_per_day": 2}


async def test_a_day_holds_its_tokens_as_they_were_used():
    """What was set aside and not used counts no longer; a call beyond a whole day has one alone."""
    begun = anyio.current_time()
    door = Gate(Limits(tokens_per_day=1_000), now=begun, wall=lambda: anyio.current_time() - begun)
    door.leave(await door.enter(output_tokens=900), answer(0, 100), worked=0.0)
    door.leave(await door.enter(output_tokens=900), answer(0, 900), worked=0.0)
    assert door.state().left == {"tokens_per_day": 0}
    assert await pass_one(door, 0, 5_000) - begun == pytest.approx(A_DAY, abs=0.01)


def test_a_clock_that_is_set_back_begins_no_day_anew():
    """Across midnight and back the counts go on; a day far ahead that was a mistake keeps nobody for long."""
    day = Day([0.0] * DAY_CELLS, 0)
    day.take(requests=2, tokens=5, moment=100 * A_DAY + 10)
    assert day.used(moment=100 * A_DAY - 10) == (2, 5)
    assert day.used(moment=101 * A_DAY) == (0, 0)
    day.take(requests=3, tokens=1, moment=9_000 * A_DAY)
    assert day.used(moment=102 * A_DAY) == (3, 1)
    assert day.used(moment=103 * A_DAY) == (0, 0)


async def test_a_users_pause_is_not_the_providers():
    """Nobody enters before `resume`, and a pause that the provider asked for meanwhile goes on after it."""
    door = gate(in_flight=4)
    passed = await door.enter()
    door.pause()
    times = []
    async with anyio.create_task_group() as others:
        others.start_soon(lambda: let_in(door, times, rows=2))
        await anyio.sleep(5)
        assert (door.state().paused, door.state().waits_for, door.state().closed_for) == (True, "pause", 0)
        door.leave(passed, limited(10), worked=5.0)
        await anyio.sleep(1)
        door.resume()
        assert (door.state().paused, door.state().waits_for) == (False, "retry_after")
        assert door.state().head_waits == pytest.approx(9)
        at = anyio.current_time()
    assert 9 <= min(times) - at <= max(times) - at <= 9 * 1.25


@pytest.mark.parametrize("seconds", [1, 8, 600])
async def test_after_a_pause_not_all_come_at_once(seconds):
    """Nobody comes before the pause is over, and as many as may be in flight within a quarter of it more."""
    door, times = gate(in_flight=20), []
    door.leave(await door.enter(), limited(seconds), worked=0.0)
    over = anyio.current_time() + seconds
    await let_in(door, times, rows=20, takes=1_000)
    assert min(times) == pytest.approx(over)
    assert min(times) >= over - 1e-6
    assert len(set(times)) == 20
    assert max(times) <= over + min(0.25 * seconds, 10)


@pytest.mark.parametrize("seconds", [1e12, math.inf])
async def test_an_absurd_pause_is_an_hour(seconds):
    """Whatever is asked for, after an hour somebody looks again."""
    door = gate(in_flight=4)
    door.leave(await door.enter(), limited(seconds), worked=0.0)
    assert door.state().closed_for == LONGEST_PAUSE
    begun = anyio.current_time()
    assert await pass_one(door) - begun == LONGEST_PAUSE


@pytest.mark.parametrize("seconds", [0, -5, math.nan])
async def test_a_broken_pause_is_none(seconds):
    """Nothing, less than nothing and no number close nothing."""
    door = gate(in_flight=4)
    door.leave(await door.enter(), limited(seconds), worked=0.0)
    assert door.state().closed_for == 0
    begun = anyio.current_time()
    assert await pass_one(door) == begun


async def test_a_limit_in_the_headers_lowers_ours_and_never_raises_it():
    """600 a minute become 60 when the provider says so, and 600 again when it says 6,000."""
    door = gate(requests_per_minute=600)
    door.hear(Rates(requests=Rate(limit=60, remaining=50, reset=10)))
    assert door.state().limits == {"requests_per_minute": 60}
    assert door.state().learned == {"requests_per_minute": 60}
    times = [await pass_one(door) for _ in range(120)]
    assert most_in_a_minute(times) == 60
    door.hear(Rates(requests=Rate(limit=6_000, remaining=5_999, reset=0.01)))
    assert door.state().limits == {"requests_per_minute": 600}
    times = [await pass_one(door) for _ in range(1_200)]
    assert most_in_a_minute(times) <= 600


async def test_an_unknown_limit_is_learned_from_headers():
    """A gate that was told nothing keeps what the provider says, and uses it."""
    door = gate(in_flight=50)
    door.hear(
        Rates(
            requests=Rate(limit=600, remaining=599, reset=0.1),
            tokens=Rate(limit=100_000, remaining=99_000, reset=1),
        )
    )
    assert door.counts_tokens
    assert door.state().learned == {"requests_per_minute": 600, "tokens_per_minute": 100_000}
    begun = anyio.current_time()
    times = [await pass_one(door, 10, 10) - begun for _ in range(1_800)]
    assert most_in_a_minute(times) <= 600
    assert times[-1] <= 180 / 0.98


@pytest.mark.parametrize("rate", [Rate(limit=0), Rate(limit=0.5, remaining=3), Rate(limit=200, reset=432)])
async def test_what_is_no_limit_a_minute_is_not_taken_for_one(rate):
    """Less than one lets nothing pass, and what takes longer than a minute to be whole is another's."""
    door = gate(requests_per_minute=600)
    door.hear(Rates(requests=rate))
    assert door.state().limits == {"requests_per_minute": 600}


async def test_nothing_left_is_heeded_at_once():
    """Others have used up a minute's quota, which comes back evenly: so do we."""
    door = gate(requests_per_minute=600, tokens_per_minute=60_000)
    await pass_one(door, 10, 10)
    door.hear(Rates(tokens=Rate(limit=60_000, remaining=0, reset=60)))
    begun = anyio.current_time()
    assert await pass_one(door, 3_000, 2_000) - begun == pytest.approx(5)
    assert door.state().waits_for is None


async def test_the_lower_of_two_words_stands():
    """A response that was under way for longer says more is left than there is."""
    door = gate(requests_per_minute=600)
    door.hear(Rates(requests=Rate(limit=600, remaining=0, reset=60)))
    door.hear(Rates(requests=Rate(limit=600, remaining=300, reset=30)))
    begun = anyio.current_time()
    assert await pass_one(door) - begun == pytest.approx(0.1)


async def test_a_daily_quota_in_the_headers_is_as_slow_as_a_day():
    """Of 200 a day none is left: one comes back each 432 seconds."""
    door = gate(in_flight=5)
    door.hear(Rates(requests=Rate(limit=200, remaining=0, reset=A_DAY)))
    times = [await pass_one(door) for _ in range(3)]
    assert times[2] - times[1] == pytest.approx(432)


async def test_a_small_bucket_of_the_provider_takes_no_speed_away():
    """A provider that holds ten of 3,000 a minute says that few are left, and gives them back in no time."""
    door = gate(requests_per_minute=3_000)
    begun = anyio.current_time()
    for number in range(3_000):
        await pass_one(door)
        left = number % 10
        door.hear(Rates(requests=Rate(limit=3_000, remaining=left, reset=(10 - left) / 50)))
    assert anyio.current_time() - begun <= 60 / 0.98


async def test_closed_by_a_header_is_closed_for_all():
    """Where nothing is left until all is there again, nobody is let in before."""
    door = gate(in_flight=5)
    door.hear(Rates(closed_for=20.0))
    begun = anyio.current_time()
    assert await pass_one(door) - begun >= 20


async def test_limits_may_be_changed_while_calls_wait():
    """More places let in who waits, at once, and ask for more workers; fewer end no call."""
    door, told, times = gate(in_flight=1), [], []
    door.on_change = lambda: told.append(door.most_in_flight)
    begun = anyio.current_time()
    async with anyio.create_task_group() as others:
        others.start_soon(lambda: let_in(door, times, rows=6, takes=10))
        await anyio.sleep(1)
        assert door.in_flight == 1
        door.change(Limits(in_flight=3))
        await anyio.sleep(1)
        assert (door.in_flight, told) == (3, [3])
        door.change(Limits(in_flight=2))
        assert (door.in_flight, told) == (3, [3])
    assert [round(at - begun) for at in times] == [0, 1, 1, 11, 11, 21]


async def test_a_rate_may_be_changed_while_its_head_waits():
    """Who waits a minute for its turn goes at once when the limit is taken away."""
    door, times = gate(requests_per_minute=1), []
    await pass_one(door)
    async with anyio.create_task_group() as others:
        others.start_soon(lambda: let_in(door, times, rows=3))
        await anyio.sleep(1)
        assert door.state().head_waits == pytest.approx(59.3, abs=0.1)
        door.change(Limits())
        await anyio.lowlevel.checkpoint()
    assert len(times) == 3
    assert anyio.current_time() - times[-1] == 0


async def test_a_change_that_lets_nothing_pass_changes_nothing():
    """A mistake is refused, and the old limit stays."""
    door = gate(requests_per_minute=60)
    with pytest.raises(ValueError, match="lets nothing pass"):
        door.change(Limits(tokens_per_minute=-3))
    assert door.state().limits == {"requests_per_minute": 60}


async def test_what_was_never_sent_is_given_back():
    """Requests, tokens and the place are there again; the day too."""
    begun = anyio.current_time()
    door = gate(requests_per_minute=1, tokens_per_minute=100, requests_per_day=2, in_flight=1)
    for _ in range(5):
        door.give_back(await door.enter(output_tokens=100))
    assert anyio.current_time() == begun
    assert door.state().left == {"requests_per_minute": 1, "tokens_per_minute": 100, "requests_per_day": 2}


@pytest.mark.parametrize(
    "anyio_backend",
    ["asyncio", pytest.param(("trio", {"clock": MockClock(autojump_threshold=0)}), id="trio")],
)
async def test_who_is_let_in_and_cancelled_at_once_leaves_no_trace(anyio_backend):
    """A place that was given to a call that is no more goes to the next."""
    door, times = gate(in_flight=1), []
    first = await door.enter()
    async with anyio.create_task_group() as others:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as given_up:
                given_up.start_soon(let_in_forever, door)
                await anyio.sleep(0.01)
                others.start_soon(lambda: let_in(door, times, rows=1))
                await anyio.sleep(0.01)
                door.leave(first, answer(), worked=2.0)
                scope.cancel()
    assert len(times) == 1
    assert (door.in_flight, door.waiting) == (0, 0)


async def let_in_forever(door):
    passed = await door.enter()
    try:
        await anyio.sleep(math.inf)
    finally:
        door.give_back(passed)


async def test_a_gate_alone_waits_on_one_timer():
    """Of a hundred that wait for a minute each, the clock is looked at a few times for each."""
    looks = 0

    def clock():
        nonlocal looks
        looks += 1
        return anyio.current_time()

    door, times = Gate(Limits(requests_per_minute=1), now=anyio.current_time(), clock=clock), []
    await let_in(door, times, rows=100)
    assert most_in_a_minute(times) == 1
    assert looks <= 100 * 8


async def test_adaptive_decides_how_many_where_nobody_else_does():
    """Places grow as answers come, each growth is told, and a number given is a bound."""
    adaptive = Adaptive(now=anyio.current_time())
    door, times, told = gate(adaptive), [], []
    door.on_change = lambda: told.append(door.most_in_flight)
    first = door.most_in_flight
    await let_in(door, times, rows=2_000, takes=1)
    state = door.state()
    assert state.adaptive is not None
    assert state.adaptive.limit == state.most_in_flight > first
    assert told == sorted(told) != []
    door.change(Limits(in_flight=3))
    assert door.most_in_flight == 3


SIZES = st.lists(
    st.tuples(st.floats(0, 8), st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=80
)


@settings(max_examples=60, deadline=None)
@given(
    SIZES,
    st.integers(1, 40),
    st.integers(400, 2_000),
    st.integers(200, 1_000),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_no_minute_ever_holds_more_than_any_of_the_limits(calls, requests, tokens, outputs, share, late):
    """For any calls, at any moments, settled at any time: each limit holds in each window of 60 seconds."""
    seen = []

    async def story():
        door = gate(
            requests_per_minute=requests,
            tokens_per_minute=tokens,
            output_tokens_per_minute=outputs,
            in_flight=99,
        )

        async def one(size):
            passed = await door.enter(input_tokens=size[1], output_tokens=size[2])
            used = [round(share * amount) for amount in size[1:]]
            seen.append((anyio.current_time(), used))
            await anyio.sleep(late)
            door.leave(passed, answer(*used), worked=late)

        async with anyio.create_task_group() as callers:
            for size in calls:
                callers.start_soon(one, size)
                await anyio.sleep(size[0])

    anyio.run(story, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})
    assert len(seen) == len(calls)
    for begun, _ in seen:
        within = [used for at, used in seen if begun <= at <= begun + 60]
        assert len(within) <= requests
        assert sum(inputs + outs for inputs, outs in within) <= max(tokens, *map(sum, within))
        assert sum(outs for _, outs in within) <= max(outputs, *(outs for _, outs in within))
