"""Limits hold to the letter, and are used to nearly the last."""

import anyio
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.usage import Usage
from tasks_lib.engine.gate import AT_ONCE, Gate
from tests.domain.pieces import BIG, OTHER
from tests.engine.world import World, after, most_in_a_minute, reset, says, status

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]  # a story that stands still is a bug


def gate(**limits):
    return Gate(Limits(**limits), now=anyio.current_time())


def leave(door, passed, *, used=None):
    """End a call with an answer that used so many tokens, or does not say."""
    usage = None if used is None else Usage(input_tokens=0, output_tokens=used)
    door.leave(passed, Reply(text="yes", usage=usage), worked=0.0)


def asks_for(seconds):
    """A 429 with a pause."""
    return Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=seconds)


@pytest.mark.parametrize("per_minute", [10, 60, 600])
async def test_a_rate_is_never_passed_and_nearly_used_up(per_minute):
    """Over five minutes no window of 60 seconds sees more than the limit, and 98 % of it are used."""
    world = World(limits=Limits(requests_per_minute=per_minute, in_flight=1_000), step=after(0.5, says()))
    await world.run(rows=per_minute * 5, at_once=per_minute)
    times = [arrival.at for arrival in world.arrivals]
    assert len(times) == per_minute * 5
    assert most_in_a_minute(times) <= per_minute
    assert sum(at <= 300 for at in times) >= 0.98 * per_minute * 5


@pytest.mark.parametrize("per_minute", [1, 2, 7, 6_000, 10_000])
async def test_any_rate_is_kept_and_used(per_minute):
    """The same at the gate alone, from one a minute to what a second can hardly hold."""
    door, times = gate(requests_per_minute=per_minute), []
    for _ in range(per_minute * 5):
        leave(door, await door.enter())
        times.append(anyio.current_time())
    assert most_in_a_minute(times) <= per_minute
    assert sum(at <= 300 for at in times) >= 0.98 * per_minute * 5


async def test_a_limit_that_lets_nothing_pass_is_refused():
    """Less than one a minute is no limit but a mistake."""
    with pytest.raises(ValueError, match="lets nothing pass"):
        gate(requests_per_minute=-1)


async def test_a_rate_is_spent_evenly():
    """A burst is seconds of the quota and not a minute of it."""
    world = await World(limits=Limits(requests_per_minute=600, in_flight=1_000)).run(rows=100)
    assert sum(arrival.at < 1 for arrival in world.arrivals) <= 600 / 60 * 1.25


async def test_retries_are_counted_like_first_tries():
    """When every row fails twice, the calls of all keep the limit together."""
    world = World(limits=Limits(requests_per_minute=60, in_flight=1_000))
    for row in range(1, 61):
        world.row(row, status(500), reset())
    await world.run(rows=60)
    assert len(world.arrivals) == 180
    assert most_in_a_minute([arrival.at for arrival in world.arrivals]) == 60


async def test_a_fallback_has_a_rate_of_its_own():
    """Each account keeps its own limit, and neither takes from the other's."""
    limits = {"acme": Limits(requests_per_minute=120), "other": Limits(requests_per_minute=30)}
    world = World(BIG, OTHER, limits=limits)
    world.model(BIG, says("no", finish="content_filter"))
    await world.run(rows=120)
    for model, per_minute in (("big", 120), ("model", 30)):
        times = [arrival.at for arrival in world.arrivals if arrival.model == model]
        assert len(times) == 120
        assert most_in_a_minute(times) == per_minute


async def test_first_come_first_served():
    """Whoever came first to a full gate passes first, however many come."""
    order = []
    door = gate(requests_per_minute=60, in_flight=100)

    async def caller(number):
        await door.enter()
        order.append(number)

    async with anyio.create_task_group() as callers:
        for number in range(50):
            callers.start_soon(caller, number)
            await anyio.sleep(0.01)
    assert order == list(range(50))


async def test_who_gives_up_waiting_takes_nobodys_place():
    """A caller that is cancelled in the queue leaves no trace: not in flight, not waiting, no quota gone."""
    door = gate(in_flight=1)
    first = await door.enter()
    with anyio.move_on_after(5):
        await door.enter()
    assert (door.in_flight, door.waiting) == (1, 0)
    leave(door, first)
    await door.enter()
    assert (door.in_flight, anyio.current_time()) == (1, 5)


async def test_a_large_request_at_the_head_is_not_overtaken():
    """Small ones behind a large one wait with it, so that it does not starve."""
    order = []
    door = gate(tokens_per_minute=60_000)

    async def caller(tokens):
        await door.enter(output_tokens=tokens)
        order.append(tokens)

    async with anyio.create_task_group() as callers:
        for tokens in (30_000, 20_000, 1, 2):
            callers.start_soon(caller, tokens)
            await anyio.sleep(0.01)
    assert order == [30_000, 20_000, 1, 2]


async def test_without_a_word_the_gate_has_a_bound_of_its_own():
    """No limit given is not no limit."""
    world = await World(limits=Limits(), step=after(1, says())).run(rows=100)
    assert world.most_in_flight == AT_ONCE


@pytest.mark.parametrize("waits", [(30,), (10, 30, 20), (30, 0.5)])
async def test_retry_after_is_kept_by_all_behind_the_gate(waits):
    """After a 429 nobody arrives before the longest pause that was asked for has gone by."""
    world = World(limits=Limits(in_flight=10), step=after(1, says()))
    for row, wait in enumerate(waits, start=1):
        world.row(row, after(0.25 * row, status(429, retry_after=wait)))
    await world.run(rows=200, at_once=50)
    over = max(0.25 * row + wait for row, wait in enumerate(waits, start=1))
    arrived = sorted(arrival.at for arrival in world.arrivals)
    assert not [at for at in arrived if 0.25 * len(waits) < at < over]
    assert arrived.count(over) >= 1
    assert world.statuses == {"completed": 200}


async def test_a_pause_is_seen_by_who_already_waits():
    """The head of the queue, on its timer already, waits on when a pause comes."""
    door = gate(requests_per_minute=60)
    passed = await door.enter()
    with anyio.move_on_after(0.5):
        await door.enter()
    for seconds in (20, 3):
        door.leave(passed, asks_for(seconds), worked=0.0)
    assert door.state().closed_for == 20
    began = anyio.current_time()
    await door.enter()
    assert anyio.current_time() - began == 20
    assert door.state().closed_for == 0


async def test_a_pause_of_one_account_is_none_of_the_others():
    """The fallback's gate stays open."""
    world = World(BIG, OTHER, limits={"acme": Limits(), "other": Limits()}, retries=Retries(rate_limited=0))
    world.model(BIG, status(429, retry_after=600))
    await world.run(rows=1)
    assert [arrival.at for arrival in world.arrivals] == [0, 0]


async def test_tokens_are_kept_to_and_nearly_used_up():
    """When the forecast is right, no minute has more tokens than allowed, and 98 % are used."""
    sizes = [500, 3_000, 200, 1_500, 40, 2_500]
    door, taken = gate(tokens_per_minute=300_000), []
    began = anyio.current_time()
    while (at := anyio.current_time() - began) < 360:
        tokens = sizes[len(taken) % len(sizes)]
        passed = await door.enter(output_tokens=tokens)
        taken.append((anyio.current_time() - began, tokens))
        leave(door, passed, used=tokens)
    assert at >= 360
    for start, _ in taken:
        assert sum(tokens for at, tokens in taken if start <= at <= start + 60) <= 300_000
    assert sum(tokens for at, tokens in taken if at < 300) >= 0.98 * 5 * 300_000


@pytest.mark.parametrize(("per_minute", "tokens"), [(60_000, 7_000), (200_000, 3_000), (10_000, 10_000)])
async def test_large_requests_keep_the_limit_of_tokens_too(per_minute, tokens):
    """As many as the minute holds of requests beyond a burst, and never one more."""
    door = gate(tokens_per_minute=per_minute)
    began, times = anyio.current_time(), []
    for _ in range(5 * (per_minute // tokens)):
        leave(door, await door.enter(output_tokens=tokens), used=tokens)
        times.append(anyio.current_time() - began)
    assert most_in_a_minute(times) == per_minute // tokens
    assert times[-1] <= 301.5


async def test_a_request_beyond_the_limit_goes_when_the_minute_is_empty():
    """It can never fit, so it goes alone; and whoever comes next waits out its minute."""
    door = gate(tokens_per_minute=1_000)
    began = anyio.current_time()
    moments = []
    for tokens in (100, 5_000, 10):
        leave(door, await door.enter(output_tokens=tokens), used=tokens)
        moments.append(anyio.current_time() - began)
    assert moments == [0, pytest.approx(60, abs=0.6), pytest.approx(60 + 5 * 60, abs=3)]


async def test_what_was_not_used_is_given_back():
    """A forecast of 900 for calls that use 100 costs the limit 100 once they have ended."""
    door = gate(tokens_per_minute=10_000)
    for _ in range(90):
        passed = await door.enter(output_tokens=900)
        await anyio.sleep(0.1)
        leave(door, passed, used=100)
    assert anyio.current_time() < 61


async def test_what_was_used_beyond_the_forecast_is_owed():
    """A call that took more than was thought makes the next one wait."""
    door = gate(tokens_per_minute=60_000)
    leave(door, await door.enter(output_tokens=10), used=6_000)
    began = anyio.current_time()
    await door.enter(output_tokens=10)
    assert anyio.current_time() - began == pytest.approx(5.035, abs=0.01)


async def test_a_call_that_failed_keeps_its_tokens_taken():
    """Who knows nothing of its use takes what was thought."""
    door = gate(tokens_per_minute=60_000)
    leave(door, await door.enter(output_tokens=6_000), used=None)
    began = anyio.current_time()
    await door.enter(output_tokens=10)
    assert anyio.current_time() - began == pytest.approx(5.035, abs=0.01)


async def test_the_engine_learns_how_many_tokens_a_call_takes():
    """After the first answers the forecast is right, and a limit of tokens is used and kept."""
    world = World(
        limits=Limits(tokens_per_minute=12_000, in_flight=50),
        step=after(0.5, says(input_tokens=20, output_tokens=30)),
    )
    await world.run(rows=1_400, at_once=50)
    late = [arrival.at for arrival in world.arrivals if arrival.at > 120]
    assert most_in_a_minute(late) * 50 <= 12_000
    in_four_minutes = sum(120 < at <= 300 for at in late)
    assert in_four_minutes * 50 >= 0.95 * 3 * 12_000
