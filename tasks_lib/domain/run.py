"""What happened: attempts, and the run that they make."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import FileFact
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Answer
from tasks_lib.domain.plan import Plan, Stored
from tasks_lib.domain.pricing import Prices
from tasks_lib.domain.remote import RemoteRun
from tasks_lib.domain.task import Model
from tasks_lib.domain.usage import Usage

_NOTHING = Decimal(0)


class Status(Enum):
    """Where a task run stands."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"  # the batch ended before the row did; it will be asked again


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One exchange with one model; it answered if it has no failure."""

    position: int  # in the plan's models: 0 is the primary
    model: Model
    started_at: datetime  # UTC, when it was let through the gate
    waited: float  # seconds before that: backoff, then the gate
    worked: float  # seconds from the gate to the last byte
    answer: Answer | None = None
    failure: Failure | None = None
    usage: Usage | None = None  # None: unknown
    prices: Prices | None = None  # None: unknown
    cost: Decimal | None = None  # dollars; None: unknown
    estimated_cost: Decimal | None = None  # dollars, if it was billed; of a call whose answer never arrived.
    # Below 0 it takes back what earlier attempts estimated of the hosted run whose end this one saw.
    remote_id: str | None = None  # of a hosted task's run
    remote: RemoteRun | None = None  # what the hosted task tells of it
    answered_by: str | None = None  # the model as the provider names it
    http_status: int | None = None
    request_id: str | None = None

    @property
    def is_call(self) -> bool:
        """Whether the model was asked; one that is known to be down is only noted."""
        return self.failure is None or self.failure.kind is not FailureKind.CIRCUIT_OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """A plan, what was tried, and how it ended."""

    plan: Plan
    attempts: tuple[Attempt, ...]
    status: Status
    answer: Answer | None  # of a completed run
    failure: Failure | None  # of a failed run
    created_at: datetime
    finished_at: datetime
    data: "RunData"
    joined_to: str | None = None  # the task run whose calls answered this row, too, since both ask the same

    @property
    def files(self) -> tuple[FileFact, ...]:
        """Those that were sent, and the one that came of it."""
        made = self.answer.file if self.answer is not None else None
        return self.plan.files if made is None else (*self.plan.files, made)

    @property
    def response(self) -> JsonValue:
        """The answer's value; None for a failed run."""
        return self.answer.value if self.answer is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """What is reported of a run. Counts and sums are over all attempts, since all of them are billed."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    total_tokens: int
    llm_call_timing: float | None  # seconds that exchanges took; None if there was none
    waited: float  # seconds of backoff and gate
    cost: Decimal | None  # dollars that are sure; unknown if an attempt has neither a cost nor an estimate
    cost_source: str  # reported, price_table, free, joined, stored or unknown
    possible_cost: Decimal  # dollars on top, if answers that never arrived were billed
    charged_credits: Decimal | None  # as hosted tasks tell, else the sure cost at the job's rate; or unknown
    is_error: bool
    llm_retries: int  # calls beyond the first on each model, and those that a hosted task tells of its own
    used_fallback_model: bool
    fallback_trigger: str | None  # automatic or manual; None if the primary answered or failed alone
    primary_failure_reason: str | None
    fallback_llm_model: str | None


def conclude(
    plan: Plan,
    attempts: Sequence[Attempt],
    *,
    created_at: datetime,
    finished_at: datetime,
    cut_short: Failure | None = None,
) -> TaskRun:
    """The run that a plan and its attempts make; `cut_short` says why it ended before it was over."""
    last = attempts[-1] if attempts else None
    answer = last.answer if last and cut_short is None else None
    failure = cut_short or (last.failure if last else plan.problem)
    return TaskRun(
        plan=plan,
        attempts=tuple(attempts),
        status=_status(failure),
        answer=answer,
        failure=failure,
        created_at=created_at,
        finished_at=finished_at,
        data=run_data(
            attempts, failure=failure, begin_at=plan.begin_at, credits_per_dollar=plan.credits_per_dollar
        ),
    )


def conclude_joined(plan: Plan, to: TaskRun, *, created_at: datetime, finished_at: datetime) -> TaskRun:
    """The run of a row that asks the same as another one, whose calls it shares and does not pay for."""
    return TaskRun(
        plan=plan,
        attempts=(),
        status=to.status,
        answer=to.answer,
        failure=to.failure,
        created_at=created_at,
        finished_at=finished_at,
        data=_of_no_call(plan, to.failure, cost_source="joined"),
        joined_to=to.plan.task_run_id,
    )


def _status(failure: Failure | None) -> Status:
    if failure is None:
        return Status.COMPLETED
    return Status.CANCELLED if failure.kind is FailureKind.CANCELLED else Status.FAILED


def conclude_stored(plan: Plan, stored: Stored, *, created_at: datetime, finished_at: datetime) -> TaskRun:
    """The run of a row whose question an earlier run has answered."""
    return TaskRun(
        plan=plan,
        attempts=(),
        status=Status.COMPLETED,
        answer=stored.answer,
        failure=None,
        created_at=created_at,
        finished_at=finished_at,
        data=_of_no_call(plan, None, cost_source="stored"),
        joined_to=stored.task_run_id,
    )


def _of_no_call(plan: Plan, failure: Failure | None, *, cost_source: str) -> "RunData":
    data = run_data((), failure=failure, credits_per_dollar=plan.credits_per_dollar)
    return replace(data, cost_source=cost_source)


def run_data(
    attempts: Sequence[Attempt],
    *,
    failure: Failure | None,
    begin_at: int = 0,
    credits_per_dollar: Decimal | None = None,
) -> RunData:
    """What the attempts say of the run, once and for all reports; the last two arguments are the plan's."""
    input_tokens = output_tokens = cached_tokens = reasoning_tokens = 0
    worked = waited = 0.0
    possible = _NOTHING
    calls = retries = 0
    models: set[int] = set()
    seen: set[str] = set()  # hosted runs; to look at one again is no further call of a model
    for attempt in attempts:
        waited += attempt.waited
        told = attempt.remote
        worked += attempt.worked if told is None or told.llm_call_timing is None else told.llm_call_timing
        if attempt.is_call:
            calls += 1
            if attempt.remote_id is None or attempt.remote_id not in seen:
                retries += attempt.position in models
            models.add(attempt.position)
        if attempt.remote_id is not None:
            seen.add(attempt.remote_id)
        if told is not None:
            retries += told.llm_retries or 0
        if attempt.estimated_cost is not None:
            possible += attempt.estimated_cost
        if attempt.usage is not None:
            input_tokens += attempt.usage.input_tokens
            output_tokens += attempt.usage.output_tokens
            cached_tokens += attempt.usage.cached_tokens
            reasoning_tokens += attempt.usage.reasoning_tokens
    fell_back = bool(attempts) and attempts[-1].position > 0
    remote = attempts[-1].remote if attempts else None
    fell_back_there = not fell_back and remote is not None and bool(remote.used_fallback_model)
    cost = total_cost(attempts)
    charged = _told_credits(attempts)
    if charged is None and cost is not None and credits_per_dollar is not None:
        charged = cost * credits_per_dollar
    return RunData(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        reasoning_tokens=reasoning_tokens,
        total_tokens=input_tokens + output_tokens,
        llm_call_timing=worked if calls else None,
        waited=waited,
        cost=cost,
        cost_source=_cost_source(attempts),
        possible_cost=possible,
        charged_credits=charged,
        is_error=failure is not None,
        llm_retries=retries,
        used_fallback_model=fell_back or fell_back_there,
        fallback_trigger=_trigger(begin_at, fell_back=fell_back, fell_back_there=fell_back_there),
        primary_failure_reason=_primary_failure(attempts)
        if fell_back
        else (remote.primary_failure_reason if remote is not None else None),
        fallback_llm_model=str(attempts[-1].model)
        if fell_back
        else (remote.fallback_llm_model_id if remote is not None and fell_back_there else None),
    )


def _trigger(begin_at: int, *, fell_back: bool, fell_back_there: bool) -> str | None:
    if fell_back:
        return "manual" if begin_at else "automatic"
    return "automatic" if fell_back_there else None


def _told_credits(attempts: Sequence[Attempt]) -> Decimal | None:
    """What hosted tasks say that they have charged; None if none says so."""
    told = [
        attempt.remote.charged_credits
        for attempt in attempts
        if attempt.remote is not None and attempt.remote.charged_credits is not None
    ]
    return sum(told, _NOTHING) if told else None


def total_cost(attempts: Sequence[Attempt]) -> Decimal | None:
    """What all attempts cost for sure; unknown if one has neither a cost nor an estimate."""
    if any(_is_unknown(attempts, at) for at in range(len(attempts))):
        return None
    return sum((attempt.cost for attempt in attempts if attempt.cost is not None), _NOTHING)


def _is_unknown(attempts: Sequence[Attempt], at: int) -> bool:
    """Whether nobody knows what an attempt cost.

    A hosted run that it lost sight of is known as soon as a later attempt, which takes that run up or looks
    for it before another is begun, has seen the end of one.
    """
    attempt = attempts[at]
    if attempt.cost is not None or attempt.estimated_cost is not None:
        return False
    return not any(
        later.position == attempt.position and later.remote is not None and later.remote.is_over
        for later in attempts[at + 1 :]
    ) or (attempt.remote is not None and attempt.remote.is_over)


def _cost_source(attempts: Sequence[Attempt]) -> str:
    if any(_is_unknown(attempts, at) for at in range(len(attempts))):
        return "unknown"
    if any(_is_reported(attempt) for attempt in attempts):
        return "reported"
    sources = {attempt.prices.source for attempt in attempts if attempt.prices is not None}
    return "free" if sources <= {"free"} else "price_table"


def _is_reported(attempt: Attempt) -> bool:
    """Whether the cost is that of the credits which a hosted task tells of, and of no price list."""
    told = attempt.remote.charged_credits if attempt.remote is not None else None
    return attempt.cost is not None and attempt.prices is None and told is not None


def _primary_failure(attempts: Sequence[Attempt]) -> str | None:
    """Why the primary was given up: the reason of its last failure."""
    reasons = [attempt.failure.reason for attempt in attempts if attempt.position == 0 and attempt.failure]
    return reasons[-1] if reasons else None
