"""What to do next is a pure function of what has happened.

no attempt yet                              -> the first model, or the first fallback if the user wants it
the last one answered                       -> nothing
it failed, and its budget is not spent      -> the same model again, after a wait
it failed in a way that another may cure    -> the next model in order
otherwise                                   -> nothing
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks_lib.domain.chance import fraction
from tasks_lib.domain.failure import Budget, FailureKind
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.run import Attempt

_SIGHT_LOST = frozenset(
    {
        FailureKind.RATE_LIMITED,
        FailureKind.SERVER_ERROR,
        FailureKind.TIMEOUT,
        FailureKind.CONNECTION,
        FailureKind.BROKEN_REPLY,
        FailureKind.UNAUTHORIZED,
        FailureKind.FORBIDDEN,
        FailureKind.OUT_OF_CREDIT,
        FailureKind.GIVEN_UP,
        FailureKind.CANCELLED,
    }
)
"""After these a hosted run may go on; others tell of its end, or that it never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The next exchange to have: with which model of the plan, after how many seconds, and with what told."""

    position: int  # in plan.models: 0 is the primary
    wait: float = 0.0
    correction: str | None = None  # what was wrong with the last answer
    remote_id: str | None = None  # of a hosted run to be taken up, in place of a new one
    lost: bool = False  # a hosted run may have been begun for this row, whose id was lost: look for it first


def next_call(plan: Plan, attempts: Sequence[Attempt]) -> Call | None:
    """The next call to make, or None when the run is over."""
    call = _next(plan, attempts)
    return None if call is None or (call.remote_id is None and not plan.begins_runs) else call


def _next(plan: Plan, attempts: Sequence[Attempt]) -> Call | None:
    if plan.problem is not None:
        return None
    if not attempts:
        if plan.remote is not None:
            return Call(
                position=plan.remote.position,
                remote_id=plan.remote.remote_id,
                lost=plan.remote.remote_id is None,
            )
        return Call(position=plan.begin_at)
    last = attempts[-1]
    failure = last.failure
    if failure is None:
        return None
    unfinished = unfinished_run(last)
    if failure.maybe_billed and plan.retries.on_ambiguous == "fail" and unfinished is None:
        return None  # rather no answer than one that is paid for twice
    budget = failure.kind.budget
    if budget is not None:
        spent = sum(
            attempt.position == last.position
            and attempt.failure is not None
            and attempt.failure.kind.budget is budget
            for attempt in attempts
        )
        if spent <= plan.retries.of(budget):
            return Call(
                position=last.position,
                wait=_wait(plan, budget=budget, spent=spent, retry_after=failure.retry_after),
                correction=_correction(attempts, position=last.position),
                remote_id=unfinished,
                lost=unfinished is None and _lost(plan, attempts, position=last.position),
            )
    if failure.maybe_billed and plan.retries.on_ambiguous == "fail":
        return None  # as above
    if failure.kind in plan.fallback_on and last.position + 1 < len(plan.models):
        return Call(position=last.position + 1)
    return None


def unfinished_run(last: Attempt) -> str | None:
    """The hosted run that the last attempt lost sight of: one that nobody knows to have ended."""
    if last.failure is None or last.failure.kind not in _SIGHT_LOST:
        return None
    return None if last.remote is not None and last.remote.is_over else last.remote_id


def _lost(plan: Plan, attempts: Sequence[Attempt], *, position: int) -> bool:
    """Whether a hosted run may have been begun whose id nobody has learned since."""
    for attempt in reversed(attempts):
        if attempt.position != position:
            break
        if attempt.remote_id is not None:
            return False
        if attempt.failure is not None and attempt.failure.maybe_billed:
            return True
    remote = plan.remote
    return remote is not None and remote.position == position and remote.remote_id is None


def _correction(attempts: Sequence[Attempt], *, position: int) -> str | None:
    """What was wrong with the model's last answer, whatever kept it from answering since."""
    for attempt in reversed(attempts):
        if attempt.position != position:
            return None
        if attempt.failure is not None and attempt.failure.kind is FailureKind.INVALID_OUTPUT:
            return attempt.failure.message
    return None


def _wait(plan: Plan, *, budget: Budget, spent: int, retry_after: float | None) -> float:
    """Seconds before the same model is asked again; never less than the provider asked for."""
    if budget is Budget.CONTENT:
        return 0.0  # nothing is overloaded: the next answer is as likely now as later
    draw = fraction("backoff", plan.task_run_id, budget.value, str(spent))
    backoff = backoff_seconds(plan.retries, spent=spent, draw=draw)
    if retry_after is None:
        return backoff
    # later by up to a quarter, and never earlier; a provider that says "0" again and again is not believed
    return max(backoff, retry_after + min(backoff, 0.25 * retry_after))


def backoff_seconds(retries: Retries, *, spent: int, draw: float) -> float:
    """Full jitter: anything from 0 to `wait_initial` doubled with each try, at most `wait_max`."""
    exponent = min(spent - 1, 60)  # 2.0**1024 overflows
    return draw * min(retries.wait_max, retries.wait_initial * 2.0**exponent)
