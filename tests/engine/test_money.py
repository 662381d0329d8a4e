"""A sum of money that is never passed."""

from datetime import date
from decimal import Decimal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tasks_lib.domain.job import Limits
from tasks_lib.domain.pricing import FREE, PriceList, Prices
from tasks_lib.domain.retries import Retries
from tasks_lib.engine.money import Money, Scope, Spent, Sums
from tasks_lib.engine.stop import Why
from tests.domain.pieces import BIG, SMALL
from tests.engine.world import World, after, hangs, reset, says, status


def price_list(*, output):
    return PriceList(steps=((0, Prices(input=Decimal(0), output=Decimal(output), source="test")),))


A_DOLLAR_A_TOKEN = price_list(output=1_000_000)  # of output; input is free
PRICES = {BIG: A_DOLLAR_A_TOKEN, SMALL: A_DOLLAR_A_TOKEN}


def in_virtual_time(story):
    return anyio.run(story, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


@pytest.mark.anyio
async def test_the_batch_ends_when_another_call_does_not_fit():
    """Ten dollars hold three calls of at most three, and the stop says why."""
    world = World(prices=PRICES, most_cost=Decimal(10), step=says(output_tokens=3), max_tokens=3)
    await world.run(rows=10, at_once=1)
    assert (len(world.arrivals), world.money.spent) == (3, 9)
    assert (world.stop.why, world.stop.reason) == (Why.MONEY, "the limit of $10 does not hold another call")


@pytest.mark.anyio
async def test_what_calls_give_back_is_spent_by_others():
    """With ten dollars and a worst case of ten, calls of one dollar go one after another."""
    world = World(prices=PRICES, most_cost=Decimal(10), step=after(1, says(output_tokens=1)), max_tokens=10)
    await world.run(rows=20)
    assert (len(world.arrivals), world.most_in_flight, world.money.spent) == (1, 1, 1)
    world = World(prices=PRICES, most_cost=Decimal(19), step=after(1, says(output_tokens=1)), max_tokens=10)
    await world.run(rows=20)
    assert (len(world.arrivals), world.most_in_flight, world.money.spent) == (10, 1, 10)


@pytest.mark.anyio
async def test_all_who_wait_for_money_are_woken():
    """However many wait when calls settle, none is forgotten: all twenty rows are answered."""
    world = World(prices=PRICES, most_cost=Decimal(25), step=after(1, says(output_tokens=1)), max_tokens=5)
    with anyio.fail_after(1_000):
        await world.run(rows=20)
    assert (world.statuses, world.money.spent) == ({"completed": 20}, 20)


@pytest.mark.anyio
async def test_a_call_whose_cost_is_unknown_counts_as_the_worst():
    """A timeout may have been billed in full."""
    world = World(
        prices=PRICES, most_cost=Decimal(10), retries=Retries(transient=0), step=hangs(), max_tokens=4
    )
    await world.run(rows=3, at_once=1)
    assert (len(world.arrivals), world.money.spent, world.stop.why) == (2, 8, Why.MONEY)


@pytest.mark.anyio
async def test_a_call_that_surely_cost_nothing_gives_all_back():
    """A 503 is free, and its retry pays."""
    world = World(prices=PRICES, most_cost=Decimal(4), max_tokens=4)
    world.row(1, status(503), says(output_tokens=2))
    await world.run(rows=1)
    assert (world.statuses, world.money.spent) == ({"completed": 1}, 2)


@pytest.mark.anyio
async def test_who_was_stopped_at_the_gate_gives_the_money_back():
    """Nothing stays set aside for a call that was not made."""
    world = World(
        prices=PRICES,
        most_cost=Decimal(100),
        limits=Limits(in_flight=1),
        step=after(10, says(output_tokens=1)),
        max_tokens=5,
    )
    await world.run(rows=10, stop_at=1)
    assert (world.money.spent, world.money.budgets[0].reserved) == (1, 0)


@pytest.mark.anyio
async def test_a_free_model_costs_nothing_even_if_nothing_is_known():
    """No usage, a timeout: the cost of a free model is zero and not unknown."""
    world = World(prices={BIG: FREE}, most_cost=Decimal(0), step=says(usage=False))
    world.row(1, hangs())
    await world.run(rows=3)
    assert world.statuses == {"completed": 3}
    assert [world.run_of(row).data.cost for row in (1, 2, 3)] == [0, 0, 0]
    assert world.run_of(2).data.cost_source == "free"


@pytest.mark.anyio
async def test_a_call_that_is_paid_as_a_call_needs_no_usage():
    """Four cents an answer, set aside before, whatever it used; one that was lost may have cost as much."""
    by_call = Prices(input=Decimal(0), output=Decimal(0), request=Decimal("0.04"), source="test")
    prices = {BIG: PriceList(steps=((0, by_call),))}
    world = World(prices=prices, most_cost=Decimal("0.1"), step=says(usage=False))
    await world.run(rows=5, at_once=1)
    assert (len(world.arrivals), world.money.spent) == (2, Decimal("0.08"))
    attempts = [attempt for run in world.runs for attempt in run.attempts]
    assert [(one.cost, one.prices) for one in attempts] == [(Decimal("0.04"), by_call)] * 2
    lost = World(prices=prices, retries=Retries(transient=0), step=reset())
    await lost.run(rows=1)
    (attempt,) = lost.runs[0].attempts
    assert (attempt.cost, attempt.estimated_cost) == (None, Decimal("0.04"))


@pytest.mark.anyio
async def test_a_cost_without_a_worst_case_counts_when_it_is_known():
    """Answers without a bound cannot be reserved for; the limit ends the batch as soon as it is passed."""
    world = World(prices=PRICES, most_cost=Decimal(10), step=says(output_tokens=4))
    await world.run(rows=10, at_once=1)
    assert (len(world.arrivals), world.money.spent, world.stop.why) == (3, 12, Why.MONEY)


@pytest.mark.anyio
async def test_each_model_is_paid_at_its_own_prices():
    """A refusal of the primary and the fallback's answer are each reckoned with their model's list."""
    prices = {BIG: A_DOLLAR_A_TOKEN, SMALL: price_list(output=3_000_000)}
    world = World(BIG, SMALL, prices=prices)
    world.model(BIG, says("no", finish="content_filter", output_tokens=2))
    world.model(SMALL, says(output_tokens=5))
    await world.run(rows=1)
    run = world.run_of(1)
    assert [attempt.cost for attempt in run.attempts] == [2, 15]
    assert (run.data.cost, run.attempts[1].prices.output) == (17, 3_000_000)


@pytest.mark.anyio
async def test_a_model_without_prices_costs_nobody_knows_what():
    """Tokens are told, the cost stays unknown and is never zero."""
    world = await World().run(rows=1)
    assert (world.run_of(1).data.cost, world.run_of(1).data.total_tokens) == (None, 15)


@pytest.mark.anyio
async def test_money_that_cannot_be_had_is_spent_at_once():
    """When nothing under way could give anything back, nobody waits."""
    money = Money(Sums(batch=Decimal(1)))
    with pytest.raises(Spent):
        await money.reserve(Decimal(2), group=None)
    reserved = await money.reserve(Decimal(1), group=None)
    money.settle(reserved, Decimal("0.5"))
    with pytest.raises(Spent):
        await money.reserve(Decimal(1), group=None)


@pytest.mark.anyio
async def test_each_reporting_group_has_its_own_sum():
    """What one group has spent leaves the others' money alone, and the error says whose is gone."""
    money = Money(Sums(group=Decimal(2)))
    money.settle(await money.reserve(Decimal(2), group="a"), Decimal(2))
    with pytest.raises(Spent) as caught:
        await money.reserve(Decimal(1), group="a")
    assert caught.value.budget.scope is Scope.GROUP
    assert "'a'" in str(caught.value)
    money.settle(await money.reserve(Decimal(2), group="b"), Decimal(1))
    money.settle(await money.reserve(Decimal(2), group=None), Decimal(1))
    assert {one.of: one.spent for one in money.budgets} == {"a": 2, "b": 1, None: 1}


@pytest.mark.anyio
async def test_a_day_counts_what_earlier_batches_spent_and_ends_at_midnight():
    """With four of five dollars gone there is one left, and five a day later; a clock set back gives none."""
    days = [date(2026, 11, 22)]
    money = Money(Sums(day=Decimal(5), spent_today=Decimal(4), today=lambda: days[-1]))
    money.settle(await money.reserve(Decimal(1), group=None), Decimal(1))
    with pytest.raises(Spent, match="a day"):
        await money.reserve(Decimal(1), group=None)
    days.append(date(2026, 11, 21))
    with pytest.raises(Spent, match="a day"):
        await money.reserve(Decimal(1), group=None)
    days.append(date(2026, 11, 23))
    await money.reserve(Decimal(5), group=None)


@pytest.mark.anyio
async def test_who_came_first_is_served_first():
    """A call that waits for much money is not overtaken for ever by calls that need little."""
    money, served = Money(Sums(batch=Decimal(10))), []
    under_way = await money.reserve(Decimal(6), group=None)

    async def ask(worst):
        await money.reserve(Decimal(worst), group=None)
        served.append(worst)

    async with anyio.create_task_group() as tasks:
        for worst in (6, 1):
            tasks.start_soon(ask, worst)
            await anyio.wait_all_tasks_blocked()
        assert served == []
        money.settle(under_way, Decimal(0))
    assert served == [6, 1]


@pytest.mark.anyio
async def test_a_raised_limit_lets_those_who_wait_go_on():
    """A limit may change while calls wait for money; one that begins late counts what was spent before."""
    money = Money(Sums(batch=Decimal(1)))
    await money.reserve(Decimal(1), group=None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: money.reserve(Decimal(1), group=None))
        await anyio.wait_all_tasks_blocked()
        money.change(batch=Decimal(2), spent=Decimal(0))
    fresh = Money(Sums())
    fresh.change(batch=Decimal(2), spent=Decimal(2))
    with pytest.raises(Spent):
        await fresh.reserve(Decimal(1), group=None)


@pytest.mark.anyio
async def test_a_group_without_money_holds_up_nobody_else():
    """Its rows are left for another time, the others are answered, and the batch does not count as whole."""
    world = World(prices=PRICES, most_per_group=Decimal(5), step=says(output_tokens=5), max_tokens=5)
    world.groups = {1: "a", 2: "a", 3: "b"}
    await world.run(rows=3, at_once=1)
    assert [run.plan.row_number for run in world.runs] == [1, 3]
    assert not world.stop.called
    why, reason = world.stop.noted
    assert (why, "'a'" in reason) == (Why.MONEY, True)


STEPS = st.one_of(
    st.integers(0, 5).map(lambda tokens: says(output_tokens=tokens)),
    st.sampled_from(
        [status(503), status(429), reset(), hangs(), status(400), says("no", finish="content_filter")]
    ),
)


@settings(max_examples=60, deadline=None)
@given(
    most=st.integers(0, 60),
    at_once=st.integers(1, 12),
    scripts=st.lists(
        st.lists(st.tuples(st.floats(0, 3), STEPS), min_size=1, max_size=3), min_size=1, max_size=25
    ),
    models=st.sampled_from([(BIG,), (BIG, SMALL)]),
)
def test_no_order_of_events_passes_the_limit(most, at_once, scripts, models):
    """Whatever calls take and cost, the limit is not passed, nobody waits for ever, none stops early."""
    worst = 5
    world = World(
        *models, prices=PRICES, most_cost=Decimal(most), step=says(output_tokens=worst), max_tokens=worst
    )
    for row, steps in enumerate(scripts, start=1):
        world.row(row, *(after(latency, step) for latency, step in steps))

    async def story():
        with anyio.fail_after(100_000):
            await world.run(rows=len(scripts), at_once=at_once)

    in_virtual_time(story)
    counted = sum(
        worst if attempt.cost is None else attempt.cost for run in world.runs for attempt in run.attempts
    )
    assert world.money.spent == counted <= most
    assert world.money.budgets[0].reserved == 0
    assert sum(len(run.attempts) for run in world.runs) == len(world.arrivals)
    if world.stop.called:
        assert world.stop.why is Why.MONEY
        assert most - world.money.spent < worst
    else:
        assert len(world.runs) == len(scripts)
