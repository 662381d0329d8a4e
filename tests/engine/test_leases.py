"""Calls of workers elsewhere, let in one by one: limits hold over all, whoever comes, idles or dies."""

import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.domain.usage import Usage
from tasks_lib.engine.adaptive import Adaptive
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.leased_gate import FRESH, TOO_FAR, Lessee
from tasks_lib.engine.leases import Ask, Ended, Funds, LetIn, NotSetAside, Reserve, Room, SetAside, Settle
from tasks_lib.engine.lessor import Lessor, parts_of
from tasks_lib.engine.money import Money, Sums
from tasks_lib.engine.shared import join_account
from tasks_lib.engine.stop import Why
from tasks_lib.providers.rates import Rate, Rates
from tests.engine.lease_world import SEEN_DEAD, Elsewhere, Net, answers, leasing, rows
from tests.engine.provider_model import Provider
from tests.engine.world import World, after, most_in_a_minute, says, status

pytestmark = pytest.mark.timeout(120)


def in_virtual_time(story):
    return anyio.run(story, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


def chance(seed):
    return random.Random(seed)  # noqa: S311 - the same each time


def ways(seed, *, longest, spikes=0.0):
    """Seconds that words take: mostly little, and now and then much longer than a grant is good for."""
    dice = chance(seed)
    return lambda: 2.0 * dice.random() if dice.random() < spikes else longest * dice.random()


async def after_seconds(seconds, act):
    await anyio.sleep(seconds)
    act()


# Limits


@pytest.mark.anyio
@pytest.mark.parametrize("per_minute", [60, 600])
async def test_a_rate_holds_over_all_workers_and_is_used(per_minute):
    """Uneven, idle, slow, dying and coming workers, over ways of all lengths: never more, and 98 % of it."""
    begun = anyio.current_time()
    limits = Limits(requests_per_minute=per_minute, in_flight=per_minute // 3)
    async with leasing(limits) as (gate, lessor, net):
        draw, seconds = rows(10_000), 240

        def another(number, **how):
            to, back = ways(number, longest=0.08), ways(number + 50, longest=0.16, spikes=0.0005)
            return Elsewhere(net, lessor, to=to, back=back, **how)

        steady, few, idle, slow, mortal = (another(n, most=1 if n == 1 else None) for n in range(5))
        workers = [steady, few, idle, slow, mortal]
        async with anyio.create_task_group() as jobs:
            jobs.start_soon(steady.run, draw, answers(1.0))
            jobs.start_soon(few.run, draw, answers(0.2))
            jobs.start_soon(lambda: slow.run(draw, answers(2.0), between=3.0))
            jobs.start_soon(mortal.run, draw, answers(1.0))
            await anyio.sleep(60)
            mortal.die()
            await anyio.sleep(SEEN_DEAD)
            mortal.holder.gone()
            for number in range(5, 8):
                workers.append(another(number))
                jobs.start_soon(workers[-1].run, draw, answers(1.0))
            await anyio.sleep(seconds - 60 - SEEN_DEAD)
            jobs.cancel_scope.cancel()
    times = [at - begun for one in workers for at in one.times]
    assert most_in_a_minute(times) <= per_minute
    assert sum(at <= seconds for at in times) >= 0.98 * per_minute * seconds / 60
    assert not idle.times
    assert min(len(one.times) for one in workers if one is not idle) > 0
    assert (gate.in_flight, lessor.waiting("a")) == (0, 0)


@pytest.mark.anyio
async def test_a_high_rate_is_used_though_nobody_waits_for_each_call():
    """Five hundred a second are let in some at a time, and no second sees more than it may."""
    begun = anyio.current_time()
    async with leasing(Limits(requests_per_minute=30_000, in_flight=1_000)) as (_, lessor, net):
        one = Elsewhere(net, lessor)
        await one.run(rows(2_000), answers(0.3))
    times = [at - begun for at in one.times]
    assert times[-1] <= 2_000 / 500 / 0.98
    assert max(sum(at <= other < at + 1 for other in times) for at in times[::20]) <= 500 * 1.1
    assert len(set(times)) < 1_500


@pytest.mark.anyio
@pytest.mark.parametrize("held", [0.2, 2.0])
async def test_grants_that_are_held_up_do_not_bunch_up(held):
    """Whole lines stand still for a while, again and again: what comes at once then is not called at once."""
    begun = anyio.current_time()
    async with leasing(Limits(requests_per_minute=600, in_flight=400)) as (_, lessor, net):

        def back():  # each third of a minute all lines are held up, and let go together
            at = (anyio.current_time() - begun) % 20
            return held - at if at < held else 0.001

        workers = [Elsewhere(net, lessor, back=back) for _ in range(4)]
        async with anyio.create_task_group() as jobs:
            draw = rows(10_000)
            for one in workers:
                jobs.start_soon(one.run, draw, answers(1.0))
            await anyio.sleep(200)
            jobs.cancel_scope.cancel()
    times = [at - begun for one in workers for at in one.times]
    assert most_in_a_minute(times) <= 600
    lost = 10 * held / 200 if held > FRESH else 0.0  # while nothing gets through
    assert len(times) >= (0.98 - lost) * 600 * 200 / 60


@pytest.mark.anyio
async def test_tokens_hold_over_all_workers():
    """No minute has more tokens than the limit, and 96 % are used, though calls differ and some have none."""
    begun = anyio.current_time()
    async with leasing(Limits(tokens_per_minute=60_000, in_flight=100)) as (_, lessor, net):
        small, large = (
            Elsewhere(net, lessor, to=ways(n, longest=0.1), back=ways(n + 9, longest=0.2)) for n in (1, 2)
        )
        async with anyio.create_task_group() as jobs:
            jobs.start_soon(lambda: small.run(rows(10_000), answers(1.0, tokens=50), tokens=50))
            jobs.start_soon(lambda: large.run(rows(10_000), answers(1.0, tokens=3_000), tokens=3_000))
            await anyio.sleep(300)
            jobs.cancel_scope.cancel()
    taken = [(at - begun, 50) for at in small.times] + [(at - begun, 3_000) for at in large.times]
    for start, _ in taken:
        assert sum(tokens for at, tokens in taken if start <= at <= start + 60) <= 60_000
    assert sum(tokens for _, tokens in taken) >= 0.96 * 5 * 60_000
    assert len(large.times) >= 20


@pytest.mark.anyio
async def test_places_hold_over_all_workers_and_go_to_who_wants_them():
    """Forty calls in flight are forty of all, and one worker that wants them has them while others idle."""
    most = 0
    async with leasing(Limits(in_flight=40)) as (_, lessor, net):
        workers = [Elsewhere(net, lessor) for _ in range(4)]

        async def call(number):
            nonlocal most
            most = max(most, sum(one.under_way for one in workers))
            return await answers(1.0)(number)

        begun = anyio.current_time()
        await workers[0].run(rows(400), call)
        alone = anyio.current_time() - begun
        async with anyio.create_task_group() as jobs:
            draw = rows(800)
            for one in workers:
                jobs.start_soon(one.run, draw, call)
        together = anyio.current_time() - begun - alone
    assert most == 40
    assert alone <= 400 / 40 + 8  # it begins with its even part, and with that alone it would take 40
    assert together <= 800 / 40 * 1.05
    assert min(len(one.times) for one in workers[1:]) >= 0.8 * 800 / 4


@pytest.mark.anyio
async def test_a_dead_worker_frees_its_places_and_its_requests_stay_counted():
    """Once it is seen dead others have its places; the day has its calls, and none that waited."""
    async with leasing(Limits(in_flight=10, requests_per_day=1_000)) as (gate, lessor, net):
        dead, other = (Elsewhere(net, lessor) for _ in range(2))
        async with anyio.create_task_group() as jobs:
            jobs.start_soon(dead.run, rows(100), answers(1_000.0))
            await anyio.sleep(1)
            jobs.start_soon(other.run, rows(20), answers(1.0))
            await anyio.sleep(1)
            assert (gate.in_flight, len(dead.times), len(other.times)) == (10, 10, 0)
            dead.die()
            await anyio.sleep(SEEN_DEAD)
            assert not other.times
            dead.holder.gone()
        assert len(other.times) == 20
        assert gate.state().left["requests_per_day"] == 1_000 - 30
    assert (gate.in_flight, lessor.waiting("a"), lessor.holders) == (0, 0, 1)


@pytest.mark.anyio
async def test_what_a_worker_says_after_it_is_gone_is_not_heeded():
    """A worker that was only cut off for a while ends nothing twice, and gets no call more."""
    async with leasing(Limits(in_flight=2)) as (gate, lessor, _):
        told = []
        holder = lessor.holder(told.append)
        holder.heed(Ask(1, "a", 0.0, 0.0))
        holder.gone()
        holder.gone()
        before = len(told)
        holder.heed(Ended(1, made=True))
        holder.heed(Ask(2, "a", 0.0, 0.0))
        await anyio.sleep(10)
        assert (gate.in_flight, len(told)) == (0, before)


@pytest.mark.anyio
async def test_first_come_first_served_over_all_workers():
    """Calls are let in by when they asked, whoever asked, and who withdraws is passed over."""
    async with leasing(Limits(in_flight=1)) as (_, lessor, _net):
        let_in = []
        holders = [
            lessor.holder(
                lambda answer, n=n: let_in.append((n, answer.number)) if isinstance(answer, LetIn) else None
            )
            for n in range(3)
        ]
        for number in range(3):
            for holder in holders:
                holder.heed(Ask(number, "a", 0.0, 0.0))
            await anyio.sleep(0.1)
        assert lessor.waiting("a") == 8
        holders[1].heed(Ended(0, made=False))  # the first who waits, at the gate itself
        holders[2].heed(Ended(1, made=False))
        assert lessor.waiting("a") == 6
        for _ in range(7):
            await anyio.sleep(1)
            holder, number = let_in[-1]
            holders[holder].heed(Ended(number, made=True))
        assert let_in == [(0, 0), (2, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)]


@pytest.mark.anyio
async def test_a_pause_that_one_worker_is_asked_for_holds_for_all():
    """After a 429 with a Retry-After at one, no other makes a call until it is over."""
    async with leasing(Limits(in_flight=20)) as (_, lessor, net):
        workers = [Elsewhere(net, lessor, to=lambda: 0.02, back=lambda: 0.02) for _ in range(3)]
        refused_at = None

        async def call(number):
            nonlocal refused_at
            await anyio.sleep(1.0)
            if number == 30:
                refused_at = anyio.current_time()
                return Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=30.0), Decimal(0)
            return Reply(text="yes"), Decimal(0)

        draw = rows(200)
        async with anyio.create_task_group() as jobs:
            for one in workers:
                jobs.start_soon(one.run, draw, call)
            await anyio.sleep(10)
            assert all(15 < one.gate.closed_for < 30 for one in workers)
    times = sorted(at for one in workers for at in one.times)
    assert len(times) == 200
    assert not [at for at in times if refused_at + 0.05 < at < refused_at + 30]


@pytest.mark.anyio
async def test_what_is_told_of_a_limit_at_one_worker_holds_for_all():
    """A limit out of a header, and a count that is at its end, keep the others too."""
    async with leasing(Limits(in_flight=50)) as (gate, lessor, net):
        first, second = (Elsewhere(net, lessor) for _ in range(2))
        first.gate.hear(Rates(requests=Rate(limit=120, remaining=0, reset=10)))
        begun = anyio.current_time()
        await second.run(rows(10), answers(0.1))
        assert gate.state().learned == {"requests_per_minute": 120}
    assert second.times[0] - begun >= 0.08  # of ten seconds for 120
    assert second.times[-1] - begun >= 0.4


@pytest.mark.anyio
async def test_headers_that_say_nothing_new_make_no_words():
    """A thousand responses within ten seconds are ten words; each count at its end is one more."""
    async with leasing(Limits(in_flight=50)) as (_, lessor, net):
        one = Elsewhere(net, lessor)
        for number in range(1_000):
            one.gate.hear(Rates(requests=Rate(limit=6_000, remaining=5_000 - number, reset=60)))
            await anyio.sleep(0.01)
        assert one.up.sent["Heard"] <= 11
        one.gate.hear(Rates(requests=Rate(limit=5_000, remaining=4_000, reset=60)))
        one.gate.hear(Rates(requests=Rate(limit=5_000, remaining=0, reset=60)))
        assert one.up.sent["Heard"] <= 13


@pytest.mark.anyio
async def test_how_much_an_account_bears_is_found_out_over_all_workers():
    """From 16 calls in flight to nearly what the provider has places for; a wave of 429s is one cut."""
    provider = Provider(most=40, latency=1.0)
    refused = answered = 0
    adaptive = Adaptive(now=anyio.current_time())
    async with leasing(Limits(), adaptive=adaptive) as (gate, lessor, net):

        async def call(number):
            nonlocal refused, answered
            now = anyio.current_time()
            wait = provider.refuses(now, 1)
            if wait:
                refused += 1
                return Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=wait), Decimal(0)
            provider.in_flight += 1
            await anyio.sleep(provider.seconds(now))
            provider.in_flight -= 1
            answered += 1
            return Reply(text="yes", usage=Usage(input_tokens=1, output_tokens=1)), Decimal(0)

        crew = [Elsewhere(net, lessor, to=lambda: 0.01, back=lambda: 0.01) for _ in range(3)]
        async with anyio.create_task_group() as jobs:
            draw = rows(100_000)
            for one in crew:
                jobs.start_soon(one.run, draw, call)
            await anyio.sleep(30)
            at_first = answered
            await anyio.sleep(30)
            jobs.cancel_scope.cancel()
        state = gate.state().adaptive
        assert state.limit >= 34
    assert answered - at_first >= 0.85 * 40 * 30
    assert refused <= 0.02 * answered
    assert state.waves <= 8


# Late grants


@pytest.mark.anyio
async def test_a_worker_a_quarter_of_a_second_away_can_work():
    """Round trips of half a second are no reason to give grants back, once it is known that they are so."""
    async with leasing(Limits(requests_per_minute=600, in_flight=100)) as (_, lessor, net):
        far = Elsewhere(net, lessor, to=lambda: 0.24, back=lambda: 0.24)
        begun = anyio.current_time()
        await far.run(rows(600), answers(1.0))
        took = anyio.current_time() - begun
    assert took <= 60 * 1.1
    assert far.up.sent["Ask"] <= 620
    assert not far.gave_up


@pytest.mark.anyio
async def test_a_worker_whose_grants_are_always_late_makes_no_call_and_gives_up():
    """It asks less and less often, and its rows are for others after a minute; nothing of it leaks."""
    async with leasing(Limits(requests_per_minute=600, in_flight=100)) as (gate, lessor, net):
        far = Elsewhere(net, lessor, to=lambda: 0.6, back=lambda: 0.6)
        with anyio.move_on_after(3 * TOO_FAR):
            await far.run(rows(600), answers(1.0))
        assert (far.times, len(far.gave_up)) == ([], 1)
        assert "too late" in far.gave_up[0]
        await anyio.sleep(5)
        assert (gate.in_flight, lessor.waiting("a")) == (0, 0)
    asked = far.up.sent["Ask"]
    assert asked == far.up.sent["Ended"]
    assert asked <= 35 * far.gate.most_in_flight


@pytest.mark.anyio
async def test_a_worker_does_not_give_up_over_a_hitch_now_and_then():
    """Two late grants with nothing asked between say nothing of the time between them."""
    async with leasing(Limits(requests_per_minute=600, in_flight=100)) as (_, lessor, net):
        back = 0.0
        one = Elsewhere(net, lessor, back=lambda: back)
        for _ in range(3):
            back = 1.0
            with anyio.move_on_after(1.5):
                await one.gate.enter()
            await anyio.sleep(2 * TOO_FAR)
        assert not one.gave_up
        assert one.up.sent["Ended"] >= 3


@pytest.mark.anyio
async def test_no_grant_is_late_where_nothing_is_counted_by_the_minute():
    """With a number of calls in flight alone, the same worker works."""
    async with leasing(Limits(in_flight=50)) as (_, lessor, net):
        far = Elsewhere(net, lessor, to=lambda: 0.6, back=lambda: 0.6)
        await far.run(rows(100), answers(1.0))
    assert (len(far.times), far.up.sent["Ask"]) == (100, 100)


# What must not leak


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_nothing_leaks_wherever_callers_are_cancelled(data):
    """Callers and workers end at any moment: no place, money or turn is held, and only calls are counted."""
    seed = data.draw(st.integers(0, 2**32))
    in_flight = data.draw(st.integers(1, 5))
    limited = data.draw(st.booleans())
    paced = data.draw(st.sampled_from([None, 60, 600]))

    async def story():
        dice = chance(seed)
        money = Money(Sums(batch=Decimal(8), group=Decimal(4))) if limited else None
        limits = Limits(in_flight=in_flight, requests_per_minute=paced, requests_per_day=10_000)
        made = 0

        async def caller(one, number):
            nonlocal made
            await anyio.sleep(dice.random() * 3)
            with anyio.move_on_after(dice.choice([0.0, 0.01, 0.1, 1.0, 60.0])):
                reserved = None
                if money is not None:
                    reserved = await one.purse.reserve(Decimal(1), group=str(number % 3))
                passed = None
                try:
                    passed = await one.gate.enter()
                    if dice.random() < 0.2:
                        one.gate.give_back(passed)
                        passed = None
                    else:
                        made += 1
                        await anyio.sleep(dice.random())
                finally:
                    if passed is not None:
                        one.gate.leave(passed, Reply(text=""), worked=0.0)
                    if reserved is not None:
                        one.purse.settle(reserved, Decimal(0))

        async with leasing(limits, money=money) as (gate, lessor, net):
            crew = [
                Elsewhere(net, lessor, to=lambda: dice.random() / 8, back=lambda: dice.random() / 8)
                for _ in range(3)
            ]
            async with anyio.create_task_group() as callers:
                for number in range(30):
                    callers.start_soon(caller, dice.choice(crew), number)
            await anyio.sleep(10)
            assert (gate.in_flight, lessor.waiting("a"), gate.waiting) == (0, 0, 0)
            assert [one.gate.in_flight for one in crew] == [0, 0, 0]
            assert [one.holder.calls for one in crew] == [0, 0, 0]
            assert gate.state().left["requests_per_day"] == 10_000 - made
            if money is not None:
                assert all(not one.reserved and not one.spent for one in money.budgets)
            with anyio.fail_after(120):  # and whoever comes now gets its turn
                await crew[0].run(rows(in_flight * 2), answers(0.1))

    in_virtual_time(story)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_nothing_of_dead_workers_is_held(seed):
    """Workers die at any moment: their places are free, what may have been called stays counted and paid."""

    async def story():
        dice = chance(seed)
        money = Money(Sums(batch=Decimal(1_000)))
        limits = Limits(in_flight=5, requests_per_day=10_000)
        async with leasing(limits, money=money) as (gate, lessor, net):
            crew = [
                Elsewhere(net, lessor, to=lambda: dice.random() / 8, back=lambda: dice.random() / 8)
                for _ in range(4)
            ]
            draw = rows(60)

            async def mortal(one):
                await anyio.sleep(dice.random() * 8)
                one.die()
                await anyio.sleep(SEEN_DEAD)
                one.holder.gone()

            async with anyio.create_task_group() as jobs:
                for one in crew:
                    jobs.start_soon(
                        lambda one=one: one.run(draw, answers(1.0, cost=Decimal("0.5")), worst=Decimal(1))
                    )
                for one in crew[1:]:
                    jobs.start_soon(mortal, one)
            await anyio.sleep(20)
            assert (gate.in_flight, lessor.waiting("a"), gate.waiting) == (0, 0, 0)
            (budget,) = money.budgets
            made = sum(len(one.times) for one in crew)
            counted = 10_000 - gate.state().left["requests_per_day"]
            assert made <= counted <= made + 3 * 5  # some were let in by a word that came too late
            assert not budget.reserved
            assert made * Decimal("0.5") <= budget.spent <= counted

    in_virtual_time(story)


# Money


@pytest.mark.anyio
async def test_money_is_never_passed_by_fifty_workers():
    """What may have been spent at any moment keeps the limit, and what was spent comes near it."""
    money, paid, at_risk = Money(Sums(batch=Decimal(20))), Decimal(0), Counter()
    dice = chance(1)
    async with leasing(Limits(in_flight=500), money=money) as (_, lessor, net):
        crew = [
            Elsewhere(net, lessor, to=ways(n, longest=0.2), back=ways(n + 99, longest=0.2)) for n in range(50)
        ]

        async def call(number):
            nonlocal paid
            at_risk[number] = 1
            assert paid + Decimal("0.1") * len(at_risk) <= 20
            await anyio.sleep(dice.random() * 2)
            del at_risk[number]
            if dice.random() < 0.05:  # nobody knows
                paid += Decimal("0.1")
                return Failure(kind=FailureKind.TIMEOUT, message="", maybe_billed=True), None
            cost = Decimal(dice.randrange(1, 10)) / 100
            paid += cost
            return Reply(text="yes"), cost

        async with anyio.create_task_group() as jobs:
            draw = rows(10_000)
            for one in crew:
                jobs.start_soon(lambda one=one: one.run(draw, call, worst=Decimal("0.1")))
    assert Decimal("19.8") <= money.spent == paid <= 20


@pytest.mark.anyio
async def test_limits_of_groups_hold_over_workers():
    """A group's money is its own: its calls end with it, and those of others go on."""
    money = Money(Sums(group=Decimal(1)))
    async with leasing(Limits(in_flight=100), money=money) as (_, lessor, net):
        crew = [Elsewhere(net, lessor, to=lambda: 0.01, back=lambda: 0.01) for _ in range(6)]
        async with anyio.create_task_group() as jobs:
            for number, one in enumerate(crew):
                group = "ab"[number % 2]
                jobs.start_soon(
                    lambda one=one, group=group: one.run(
                        rows(100), answers(0.1, cost=Decimal("0.1")), worst=Decimal("0.2"), group=group
                    )
                )
    assert {one.of: one.spent for one in money.budgets} == {"a": 1, "b": 1} or all(
        Decimal("0.9") <= one.spent <= 1 for one in money.budgets
    )
    assert all(one.spent.budget.scope.value == "group" for one in crew)
    assert "reporting group 'a'" in str(crew[0].spent)


@pytest.mark.anyio
async def test_workers_hear_of_a_limit_of_money_that_is_set_and_lifted():
    """Without one nobody has to be asked; a change is told within a second."""
    money = Money(Sums())
    async with leasing(Limits(in_flight=10), money=money) as (_, lessor, net):
        one = Elsewhere(net, lessor)
        assert not one.purse.is_limited
        money.change(batch=Decimal(1), spent=Decimal(0))
        await anyio.sleep(1)
        assert one.purse.is_limited
        await one.purse.reserve(Decimal(1), group=None)
        money.change(batch=None, spent=Decimal(0))
        lessor.look()
        await anyio.sleep(0.1)
        assert not one.purse.is_limited


@pytest.mark.anyio
async def test_of_a_dead_worker_only_calls_that_may_have_been_made_are_paid():
    """Two of its five calls were let in: the two dearest sums of their group count, and others are free."""
    money = Money(Sums(batch=Decimal(100)))
    async with leasing(Limits(in_flight=2), money=money) as (_, lessor, _net):
        told = []
        holder = lessor.holder(told.append)
        for number, (worst, group) in enumerate([(1, "a"), (2, "a"), (4, "a"), (8, "b"), (16, "b")]):
            holder.heed(Reserve(number, Decimal(worst), group))
            holder.heed(Ask(100 + number, "a", 0.0, 0.0))
        await anyio.sleep(0.1)
        assert Counter(type(one) for one in told)[LetIn] == 2
        holder.gone()
        (budget,) = money.budgets
        assert (budget.reserved, budget.spent) == (0, 2 + 4 + 8 + 16)


@pytest.mark.anyio
async def test_a_call_that_ended_and_whose_cost_was_not_told_counts_as_the_worst():
    """A worker that dies between the two words has spent the money."""
    money = Money(Sums(batch=Decimal(100)))
    async with leasing(Limits(in_flight=2), money=money) as (_, lessor, _net):
        holder = lessor.holder(lambda answer: None)
        for word in (Reserve(1, Decimal(3), None), Ask(2, "a", 0.0, 0.0), Ended(2, made=True)):
            holder.heed(word)
        holder.gone()
        assert (money.budgets[0].reserved, money.spent) == (0, 3)


@pytest.mark.anyio
async def test_money_that_is_waited_for_is_had_in_turn():
    """A large sum that waits is not overtaken by small ones of other workers, until it is withdrawn."""
    money = Money(Sums(batch=Decimal(10)))
    async with leasing(Limits(in_flight=2), money=money) as (_, lessor, _net):
        told = []
        one, other = (lessor.holder(told.append) for _ in range(2))
        one.heed(Reserve(1, Decimal(6), None))
        other.heed(Reserve(2, Decimal(9), None))
        one.heed(Reserve(3, Decimal(1), None))
        await anyio.sleep(1)
        assert [word.number for word in told if isinstance(word, SetAside)] == [1]
        other.heed(Settle(2, Decimal(0)))
        await anyio.sleep(1)
        assert [word.number for word in told if isinstance(word, SetAside)] == [1, 3]
        one.heed(Reserve(4, Decimal(11), None))
        one.heed(Settle(1, Decimal(6)))
        one.heed(Settle(3, Decimal(1)))
        await anyio.sleep(1)
        (no,) = [word for word in told if isinstance(word, NotSetAside)]
        assert (no.number, no.of_group) == (4, False)


# Engines, and what they hear


class LeasedWorld(World):
    """The same, but whoever calls asks a gate elsewhere."""

    def _account(self, name):
        account = super()._account(name)
        gate = self.gates[name]
        lessor = Lessor({name: gate}, self.money)
        self.others.start_soon(lessor.run)
        self.others.start_soon((net := Net()).run)
        self.elsewhere = Elsewhere(net, lessor, account=name, to=lambda: 0.01, back=lambda: 0.01)
        self.money = self.elsewhere.purse if self.money is not None else None
        return replace(account, gate=self.elsewhere.gate)


@pytest.mark.anyio
async def test_an_engine_runs_on_leases():
    """Rows are answered, refused ones tried again after the pause, and the rate is kept."""
    world = LeasedWorld(limits=Limits(requests_per_minute=600, in_flight=50), step=after(0.5, says()))
    world.row(3, status(429, retry_after=5), says())
    world.row(4, status(500), says())
    async with anyio.create_task_group() as world.others:
        await world.run(rows=300, at_once=50)
        await anyio.sleep(1)
        world.others.cancel_scope.cancel()
    assert world.statuses == {"completed": 300}
    assert most_in_a_minute([one.at for one in world.arrivals]) <= 600
    assert not [at for at in (one.at for one in world.arrivals) if 1.0 < at < 5.0]
    assert world.gate.in_flight == 0


@pytest.mark.anyio
async def test_an_engine_whose_batch_is_gone_comes_to_its_end():
    """Nobody answers any more: the stop ends all waiting, and nothing more is told."""
    world = LeasedWorld(limits=Limits(in_flight=5), most_cost=None, step=after(10.0, says()))
    async with anyio.create_task_group() as world.others:

        def gone():
            world.elsewhere.up.is_cut = world.elsewhere.down.is_cut = True
            world.stop.call(Why.INTERRUPTED, "the batch's own process is gone")
            world.elsewhere.lessee.lost()
            world.told = sum(world.elsewhere.up.sent.values())

        world.others.start_soon(after_seconds, 5, gone)
        with anyio.fail_after(60):
            await world.run(rows=50, at_once=20)
        world.others.cancel_scope.cancel()
    assert len(world.arrivals) == 5
    assert world.told == sum(world.elsewhere.up.sent.values())


@pytest.mark.anyio
async def test_a_worker_has_room_for_one_row_before_it_hears_of_more():
    """An engine that had room for none would believe that it is done."""
    lessee = Lessee(["a"], lambda word: None, give_up=print)
    gate, grown = lessee.gates["a"], []
    gate.on_change = lambda: grown.append(gate.most_in_flight)
    assert gate.most_in_flight == 1
    for most in (5, 3, 0):
        lessee.heed(Room("a", most, False, False, True, 0.0))
    lessee.heed(Funds(are_limited=False))
    assert (grown, gate.most_in_flight, gate.counts_tokens, lessee.purse.is_limited) == ([5], 1, False, False)


@pytest.mark.parametrize(
    ("most", "used", "parts"),
    [
        (100, [(0, 0)], [125]),  # alone, and new
        (100, [(0, 0)] * 4, [31] * 4),
        (100, [(31, 31), (0, 31)], [78, 62]),  # who wants more has what the other does not use
        (100, [(62, 78), (20, 62)], [94, 62]),
        (100, [(90, 94), (0, 62)], [125, 62]),
        (100, [(50, 50), (50, 50), (3, 50)], [61, 61, 42]),
        (2, [(5, 5)] * 3, [5] * 3),  # each has room for one, and some that wait
    ],
)
def test_room_goes_to_who_uses_it(most, used, parts):
    """Parts are even among those who want more; the rest keep theirs, and lend what they do not use."""
    assert parts_of(most, used) == parts


@pytest.mark.anyio
async def test_rooms_are_told_when_they_change():
    """A worker that comes halves the room of the first, one that goes gives it back."""
    async with leasing(Limits(in_flight=100)) as (gate, lessor, net):
        first = Elsewhere(net, lessor)
        assert first.gate.most_in_flight == 125
        async with anyio.create_task_group() as jobs:
            jobs.start_soon(first.run, rows(10_000), answers(1.0))
            second = Elsewhere(net, lessor)
            jobs.start_soon(second.run, rows(10_000), answers(1.0))
            await anyio.sleep(3)
            assert (first.gate.most_in_flight, second.gate.most_in_flight) == (62, 62)
            second.stop.cancel()
            second.holder.gone()
            await anyio.sleep(3)
            assert first.gate.most_in_flight == 125
            gate.change(Limits(in_flight=200))
            await anyio.sleep(1)
            assert first.gate.most_in_flight == 250
            jobs.cancel_scope.cancel()
        assert first.down.sent["Room"] <= 8


@pytest.mark.anyio
async def test_a_turn_among_processes_is_by_when_the_call_asked():
    """Who has waited elsewhere came when it came there: the gate keeps that moment."""
    gate = Gate(Limits(in_flight=1), now=0.0)
    await anyio.sleep(10)
    await gate.enter(since=3.0)
    async with anyio.create_task_group() as jobs:
        jobs.start_soon(lambda: gate.enter(since=4.0))
        await anyio.wait_all_tasks_blocked()
        assert gate._queue[0].arrived == 4.0
        jobs.cancel_scope.cancel()


@pytest.mark.anyio
async def test_workers_elsewhere_have_their_turn_beside_another_process(tmp_path):
    """A process of this machine whose queue is long does not keep out calls that came as early as its own."""
    await anyio.sleep(1)
    seats = [join_account(tmp_path, base_url="https://api.test/v1", key="k") for _ in range(2)]
    limits = Limits(requests_per_minute=60, in_flight=100)
    near, far = (
        Gate(limits, now=anyio.current_time(), shared=seat, clock=anyio.current_time) for seat in seats
    )
    lessor, told = Lessor({"a": far}), []
    async with anyio.create_task_group() as jobs:
        jobs.start_soon(lessor.run)
        for _ in range(60):
            jobs.start_soon(near.enter)
        holder = lessor.holder(told.append)
        for number in range(60):
            holder.heed(Ask(number, "a", 0.0, 0.0))
        await anyio.sleep(40)
        jobs.cancel_scope.cancel()
    for seat in seats:
        seat.close()
    assert sum(isinstance(one, LetIn) for one in told) >= 15


@pytest.mark.anyio
async def test_a_turn_that_is_given_back_late_is_nobody_elses():
    """Else a minute would see more than its limit; what is given back at once is there again."""
    gate, times = Gate(Limits(requests_per_minute=60), now=0.0), []
    held = [await gate.enter() for _ in range(10)]
    for _ in range(100):
        gate.leave(await gate.enter(), Reply(text=""), worked=0.0)
        times.append(anyio.current_time())
        if held:
            gate.give_back(held.pop())
    assert most_in_a_minute(times) <= 60
    await anyio.sleep(10)
    before = anyio.current_time()
    for _ in range(10):
        gate.give_back(await gate.enter())
    assert anyio.current_time() == before
