"""What a run comes to, from its attempts alone."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.pricing import FREE, Prices
from tasks_lib.domain.remote import RemoteRun
from tasks_lib.domain.run import Status, conclude, conclude_joined, run_data, total_cost
from tasks_lib.domain.usage import Usage
from tests.domain.pieces import ANSWERED, BIG, NOON, SMALL, answered, attempt, failed, plan

PRICED = Prices(input=Decimal(1), output=Decimal(2), source="prices.yaml")
LATER = NOON + timedelta(seconds=3)
CUT_SHORT = Failure(kind=FailureKind.CANCELLED, message="the batch ended")
COSTS = st.none() | st.decimals(0, 1_000, places=12)


def concluded(*attempts, a_plan=None, cut_short=None):
    return conclude(
        a_plan or plan(BIG, SMALL), attempts, created_at=NOON, finished_at=LATER, cut_short=cut_short
    )


def test_a_run_that_was_answered_is_completed():
    """Answer, times and status are the last attempt's."""
    run = concluded(failed("server_error"), answered())
    assert (run.status, run.answer, run.response, run.failure) == (Status.COMPLETED, ANSWERED, "yes", None)
    assert (run.created_at, run.finished_at) == (NOON, LATER)
    assert run.data.is_error is False
    assert run.data.llm_retries == 1


def test_a_run_that_failed_has_the_last_failure():
    """No answer, and the reason that was last."""
    run = concluded(failed("server_error"), failed("rejected", message="400 no"))
    assert (run.status, run.answer, run.response) == (Status.FAILED, None, None)
    assert run.failure is not None
    assert run.failure.reason == "rejected: 400 no"
    assert run.data.is_error is True


def test_a_row_that_could_not_be_asked_failed_for_nothing():
    """Without an attempt the plan's problem is the reason, there is no timing, and the cost is 0."""
    problem = Failure(kind=FailureKind.BAD_ROW, message="too long")
    run = concluded(a_plan=plan(problem=problem))
    assert (run.status, run.failure) == (Status.FAILED, problem)
    assert (run.data.cost, run.data.llm_call_timing, run.data.llm_retries) == (0, None, 0)


def test_a_run_that_was_cut_short_is_cancelled_and_keeps_its_attempts():
    """It will be asked again, and what it cost is told."""
    run = concluded(failed("server_error", cost=Decimal("0.5")), cut_short=CUT_SHORT)
    assert (run.status, run.failure) == (Status.CANCELLED, CUT_SHORT)
    assert run.data.cost == Decimal("0.5")


def test_a_run_that_was_cut_short_has_no_answer():
    """Even if one had come: what is not over is not answered."""
    run = concluded(answered(), cut_short=CUT_SHORT)
    assert (run.status, run.answer, run.response) == (Status.CANCELLED, None, None)


def test_a_fallback_is_told_with_the_reason_why():
    """The model that answered last, and why the primary was given up."""
    history = [
        failed("timeout", message="first"),
        failed("refused", message="no"),
        failed("connection", position=1),
        answered(position=1),
    ]
    data = concluded(*history).data
    assert (data.used_fallback_model, data.fallback_trigger) == (True, "automatic")
    assert data.fallback_llm_model == "acme:small"
    assert data.primary_failure_reason == "refused: no"
    assert data.llm_retries == 2


def test_without_a_fallback_nothing_is_told_of_one():
    """A primary that failed alone has no fallback fields."""
    data = concluded(failed("timeout")).data
    assert (data.used_fallback_model, data.fallback_trigger) == (False, None)
    assert (data.fallback_llm_model, data.primary_failure_reason) == (None, None)


def test_a_fallback_without_a_failed_primary_has_no_reason():
    """Attempts that begin at a fallback do not invent one."""
    assert run_data([answered(position=1)], failure=None).primary_failure_reason is None


def test_tokens_and_seconds_are_summed_over_all_attempts():
    """Failed ones count, and an unknown usage counts nothing."""
    usage = Usage(input_tokens=10, output_tokens=5, cached_tokens=4, reasoning_tokens=3)
    data = concluded(
        failed("invalid_output", usage=usage, waited=0.5, worked=1.0),
        failed("timeout", waited=0.25, worked=2.0),
        answered(usage=usage, waited=0.25, worked=1.0),
    ).data
    assert (data.input_tokens, data.output_tokens, data.total_tokens) == (20, 10, 30)
    assert (data.cached_tokens, data.reasoning_tokens) == (8, 6)
    assert (data.waited, data.llm_call_timing) == (1.0, 4.0)


@given(st.lists(COSTS, max_size=8), st.lists(COSTS, max_size=8))
def test_cost_is_additive_and_unknown_if_any_is(some, more):
    """The total of all is the sum of the totals, to the last digit, or None."""
    parts = [total_cost([attempt(cost=cost) for cost in costs]) for costs in (some, more)]
    total = total_cost([attempt(cost=cost) for cost in (*some, *more)])
    if None in (*some, *more):
        assert total is None
    else:
        assert total == sum(part for part in parts if part is not None)


CHARGED = RemoteRun(remote_id="r", status="success", charged_credits=Decimal("1.50"))
LOST = replace(failed("timeout", cost=None), estimated_cost=None)


def test_what_a_lost_run_cost_is_known_once_it_is_found():
    """R40: the attempt that finds it has its cost; before that it is unknown, and after that counted once."""
    found = replace(answered(cost=Decimal("0.03")), remote_id="r", remote=CHARGED, prices=None)
    assert total_cost([LOST]) is None
    assert total_cost([LOST, LOST, found]) == Decimal("0.03")
    data = concluded(LOST, found).data
    assert (data.cost, data.cost_source, data.charged_credits) == (
        Decimal("0.03"),
        "reported",
        Decimal("1.50"),
    )


def test_a_run_that_goes_on_settles_nothing():
    """R40: nor does one of another model, or an attempt that is unknown itself."""
    going_on = replace(failed("timeout", cost=Decimal(0)), remote=replace(CHARGED, status="running"))
    elsewhere = replace(answered(cost=Decimal(1)), position=1, remote=CHARGED)
    ended = replace(failed("run_failed", cost=None), remote=CHARGED, estimated_cost=None)
    for attempts in ([LOST, going_on], [LOST, elsewhere], [LOST, ended], [ended, ended]):
        assert total_cost(attempts) is None, attempts
        assert concluded(*attempts).data.cost_source == "unknown"


@pytest.mark.parametrize(
    ("attempts", "source"),
    [
        ([answered(prices=PRICED)], "price_table"),
        ([failed("timeout", cost=None), answered(prices=PRICED)], "unknown"),
        ([answered(prices=FREE.steps[0][1])], "free"),
        ([answered(prices=FREE.steps[0][1]), answered(prices=PRICED)], "price_table"),
    ],
)
def test_a_cost_says_where_it_comes_from(attempts, source):
    """From prices, from none being asked, or from nowhere."""
    assert concluded(*attempts).data.cost_source == source


@pytest.mark.parametrize("kind", FailureKind)
def test_a_reason_is_kind_and_message(kind):
    """One line; the kind alone where nothing was said."""
    assert Failure(kind=kind, message="m").reason == f"{kind.value}: m"
    assert Failure(kind=kind, message="").reason == kind.value


def test_what_may_have_been_billed_stands_apart_from_what_was():
    """The sure cost is known although an answer was lost; what that may have cost is told beside it."""
    lost = replace(failed("timeout", cost=None), estimated_cost=Decimal("0.25"))
    data = concluded(lost, answered(cost=Decimal("0.5"), prices=PRICED)).data
    assert (data.cost, data.possible_cost, data.cost_source) == (
        Decimal("0.5"),
        Decimal("0.25"),
        "price_table",
    )


def test_a_cost_without_even_an_estimate_leaves_the_sum_unknown():
    """W21: NULL is unknown, and never zero."""
    data = concluded(failed("timeout", cost=None), answered(cost=Decimal("0.5"))).data
    assert (data.cost, data.possible_cost, data.cost_source) == (None, 0, "unknown")


def test_a_row_that_asks_the_same_as_another_shares_its_answer_and_pays_nothing():
    """It has no attempts of its own, names the run that it was answered by, and cost nothing."""
    first = concluded(answered(cost=Decimal("0.5")))
    second = plan(number=2)
    run = conclude_joined(second, first, created_at=NOON, finished_at=LATER)
    assert (run.plan, run.status, run.response, run.attempts) == (second, Status.COMPLETED, "yes", ())
    assert (run.joined_to, run.data.cost, run.data.cost_source) == (first.plan.task_run_id, 0, "joined")
