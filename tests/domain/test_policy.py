"""What to do next, for anything that has happened."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.domain.failure import Budget, Failure, FailureKind
from tasks_lib.domain.policy import Call, backoff_seconds, next_call
from tasks_lib.domain.retries import Retries
from tests.domain.pieces import BIG, OTHER, SMALL, answered, failed, plan

MODELS = (BIG, SMALL, OTHER)
RETRIES = st.builds(
    Retries,
    rate_limited=st.integers(0, 4),
    transient=st.integers(0, 4),
    content=st.integers(0, 4),
    wait_initial=st.floats(0, 10),
    wait_max=st.floats(0, 100),
)
RETRY_AFTER = st.none() | st.floats(0, 3600)
OUTCOMES = st.tuples(st.sampled_from(FailureKind), RETRY_AFTER) | st.none()


def script_run(a_plan, outcomes):
    """All calls that are made when the outcomes come in this order, and the attempts they made."""
    calls, attempts = [], []
    while (call := next_call(a_plan, attempts)) is not None:
        outcome = outcomes.pop(0) if outcomes else None
        calls.append(call)
        if outcome is None:
            attempts.append(answered(position=call.position))
        else:
            kind, retry_after = outcome
            attempts.append(failed(kind, position=call.position, retry_after=retry_after, message="why"))
    return calls, attempts


def endless(kind, *, retries=None, models=MODELS, retry_after=None):
    """What is called when nothing but this failure ever comes."""
    return script_run(plan(*models, retries=retries), [(kind, retry_after)] * 10_000)[0]


@given(RETRIES, st.integers(1, 3), st.lists(OUTCOMES, max_size=60))
def test_any_script_ends_in_order_and_within_its_tries(retries, models, outcomes):
    """Models in order, none too often, nothing after an answer or a final failure, no wait undercut."""
    a_plan = plan(*MODELS[:models], retries=retries)
    calls, attempts = script_run(a_plan, list(outcomes))
    positions = [call.position for call in calls]
    assert positions == sorted(positions)
    assert set(positions) == set(range(positions[-1] + 1))
    for position in set(positions):
        for budget in Budget:
            kinds = [a.failure.kind for a in attempts if a.position == position and a.failure]
            assert sum(kind.budget is budget for kind in kinds) <= retries.of(budget) + 1
    for attempt, call in zip(attempts, calls[1:], strict=False):
        failure = attempt.failure
        assert failure is not None
        if call.position == attempt.position:
            assert failure.kind.budget is not None
            if failure.kind.budget is not Budget.CONTENT:
                assert call.wait >= (failure.retry_after or 0)
                assert call.wait <= max(retries.wait_max, 1.25 * (failure.retry_after or 0))
        else:
            assert failure.kind.worth_another_model
            assert (call.wait, call.correction) == (0, None)
    last = attempts[-1].failure
    if last is not None and last.kind.worth_another_model:
        assert positions[-1] == models - 1


@given(RETRIES, st.lists(OUTCOMES, max_size=20))
def test_the_same_history_has_the_same_future(retries, outcomes):
    """Nothing but plan and attempts decides."""
    a_plan = plan(BIG, SMALL, retries=retries)
    assert script_run(a_plan, list(outcomes)) == script_run(a_plan, list(outcomes))


def test_the_first_call_is_the_primary_at_once():
    """No attempt yet: the first model, now, with nothing to correct."""
    assert next_call(plan(BIG, SMALL), []) == Call(position=0)


def test_an_answer_ends_the_run():
    """After an answer there is nothing to do, whatever came before."""
    assert next_call(plan(BIG, SMALL), [failed("server_error"), answered()]) is None


def test_a_row_that_cannot_be_asked_is_not_asked():
    """A plan with a problem makes no call."""
    problem = Failure(kind=FailureKind.BAD_ROW, message="too long")
    assert next_call(plan(problem=problem), []) is None


@pytest.mark.parametrize(
    ("kind", "tries"),
    [
        ("rate_limited", 9),
        ("server_error", 5),
        ("timeout", 5),
        ("connection", 5),
        ("broken_reply", 5),
        ("invalid_output", 3),
        ("refused", 1),
        ("length", 1),
    ],
)
def test_each_kind_has_its_tries_on_each_model(kind, tries):
    """The default budgets hold for each model by itself."""
    assert [call.position for call in endless(kind)] == [0] * tries + [1] * tries + [2] * tries


@pytest.mark.parametrize(
    "kind",
    ["rejected", "bad_row", "unauthorized", "forbidden", "unknown_model", "out_of_credit", "cancelled"],
)
def test_our_own_faults_are_neither_repeated_nor_handed_on(kind):
    """One call, no retry, no fallback."""
    assert endless(kind) == [Call(position=0)]


def test_the_budgets_are_three():
    """Rate limits, faults and bad answers do not use up one another's tries."""
    retries = Retries(rate_limited=1, transient=1, content=1)
    outcomes = [("rate_limited", None), ("server_error", None), ("invalid_output", None), ("timeout", None)]
    calls, _ = script_run(plan(BIG, SMALL, retries=retries), outcomes)
    assert [call.position for call in calls] == [0, 0, 0, 0, 1]


def test_a_bad_answer_is_told_and_asked_again_at_once():
    """The correction is the failure's message, and nobody waits."""
    call = next_call(plan(), [failed("invalid_output", message="not JSON")])
    assert call == Call(position=0, wait=0.0, correction="not JSON")


def test_a_correction_is_not_forgotten_over_a_fault():
    """What was wrong with the answer is told though a rate limit and a reset came between."""
    history = [
        failed("invalid_output", message="first"),
        failed("invalid_output", message="second"),
        failed("rate_limited"),
        failed("connection"),
    ]
    call = next_call(plan(), history)
    assert call is not None
    assert call.correction == "second"


def test_a_fallback_is_not_told_of_anothers_mistakes():
    """The next model starts from the bare prompt, and stays with it over its own faults."""
    history = [failed("invalid_output", message="bad")] * 3
    assert next_call(plan(BIG, SMALL), history) == Call(position=1)
    call = next_call(plan(BIG, SMALL), [*history, failed("server_error", position=1)])
    assert call is not None
    assert call.correction is None


@pytest.mark.parametrize("kind", ["rate_limited", "server_error"])
@given(retry_after=st.floats(0.1, 3600), spent=st.integers(1, 3))
def test_retry_after_is_believed_and_never_undercut(kind, retry_after, spent):
    """A wait is never shorter than asked for, and longer by at most a quarter or the backoff of that try."""
    call = next_call(plan(), [failed(kind, retry_after=retry_after)] * spent)
    assert call is not None
    assert retry_after <= call.wait <= max(1.25 * retry_after, 2.0 ** (spent - 1))


def test_a_retry_after_of_nothing_does_not_burn_the_tries():
    """A provider that always says "0" is met with the ordinary backoff."""
    said_zero = endless("rate_limited", retry_after=0.0, models=(BIG,))
    said_nothing = endless("rate_limited", models=(BIG,))
    assert said_zero == said_nothing
    assert sum(call.wait for call in said_zero) > 10


def test_rows_that_were_told_the_same_wait_do_not_come_back_together():
    """A Retry-After is followed by a spread, so that the provider is not met by all at once."""
    waits = {next_call(plan(number=n), [failed("rate_limited", retry_after=30)]).wait for n in range(20)}
    assert len(waits) == 20
    assert min(waits) >= 30


def test_two_rows_do_not_come_back_together():
    """The jitter differs by run, by try and by budget."""
    waits = {
        call.wait
        for number in (1, 2)
        for kind in ("rate_limited", "server_error")
        for call in script_run(plan(number=number), [(kind, None)] * 20)[0][1:]
    }
    assert len(waits) == 2 * (8 + 4)


@settings(max_examples=200)
@given(
    RETRIES,
    st.integers(1, 10_000) | st.just(10**30),
    st.floats(0, 1, exclude_max=True),
)
def test_a_backoff_stays_within_bounds_for_any_number_of_tries(retries, spent, draw):
    """From 0 to wait_max, and to the doubled first wait before that."""
    wait = backoff_seconds(retries, spent=spent, draw=draw)
    assert 0 <= wait <= retries.wait_max
    assert wait <= retries.wait_initial * 2.0 ** min(spent - 1, 1_000)


def test_the_backoff_doubles_up_to_its_bound():
    """1, 2, 4 ... 60 seconds at most, by default."""
    most = [backoff_seconds(Retries(), spent=spent, draw=1.0) for spent in range(1, 10)]
    assert most == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_ten_thousand_tries_are_only_many():
    """A budget of any size is spent to the last try, and not beyond."""
    retries = Retries(transient=300)
    assert len(endless("timeout", retries=retries, models=(BIG,))) == 301
