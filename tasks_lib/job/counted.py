"""What the books of a batch need to know of a run that is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.policy import unfinished_run
from tasks_lib.domain.run import Status, TaskRun
from tasks_lib.ledger import Facts

_NOTHING = Decimal(0)
_OF_RUNS = (
    "id",
    "row_number",
    "reporting_group",
    "status",
    "error_kind",
    "error",
    "cost_source",
    "llm_retries",
    "input_tokens",
    "output_tokens",
    "possible_cost",
    "joined_to",
)
_OF_ATTEMPTS = ("task_run_id", "failure_kind", "cost", "estimated_cost")


@dataclass(frozen=True, slots=True)
class Counted:
    """A run in figures; small enough to be sent from process to process."""

    row_number: int
    group: str | None  # the reporting group
    status: Status
    kind: FailureKind | None  # of a run without an answer
    reason: str | None
    calls: int
    retries: int
    input_tokens: int
    output_tokens: int
    cost: Decimal  # dollars that are sure
    possible_cost: Decimal  # dollars on top, if answers that never arrived were billed
    calls_of_unknown_cost: int
    joined: bool  # another row's call answered it
    stored: bool  # an earlier run did
    goes_on_at: str | None = None  # the provider of a hosted run that was let go or given up

    @classmethod
    def of(cls, task_run: TaskRun) -> "Counted":
        """The figures of a run."""
        data, failure = task_run.data, task_run.failure
        sure, unknown = _NOTHING, 0
        for attempt in task_run.attempts:
            if attempt.cost is not None:
                sure += attempt.cost
            elif attempt.estimated_cost is None:
                unknown += 1
        return cls(
            task_run.plan.row_number,
            task_run.plan.reporting_group,
            task_run.status,
            failure.kind if failure is not None else None,
            failure.reason if failure is not None else None,
            sum(attempt.is_call for attempt in task_run.attempts),
            data.llm_retries,
            data.input_tokens,
            data.output_tokens,
            sure,
            data.possible_cost,
            unknown,
            task_run.joined_to is not None and task_run.plan.stored is None,
            task_run.plan.stored is not None,
            _goes_on_at(task_run),
        )


def counted_in(facts: Facts) -> tuple[Counted, ...]:
    """The figures of runs that are facts by now; of none of them a hosted run goes on."""
    by_run: dict[str, list[dict[str, Any]]] = {}
    for attempt in facts.attempts.select(_OF_ATTEMPTS).to_pylist():
        by_run.setdefault(attempt["task_run_id"], []).append(attempt)
    return tuple(
        _of_facts(run, by_run.get(run["id"], [])) for run in facts.task_runs.select(_OF_RUNS).to_pylist()
    )


def _of_facts(run: dict[str, Any], attempts: Sequence[dict[str, Any]]) -> Counted:
    kind = None if run["error_kind"] is None else FailureKind(run["error_kind"])
    is_stored = run["cost_source"] == "stored"
    return Counted(
        run["row_number"],
        run["reporting_group"],
        Status(run["status"]),
        kind,
        None if kind is None else Failure(kind=kind, message=run["error"] or "").reason,
        sum(one["failure_kind"] != FailureKind.CIRCUIT_OPEN.value for one in attempts),
        run["llm_retries"],
        run["input_tokens"] or 0,
        run["output_tokens"] or 0,
        sum((one["cost"] for one in attempts if one["cost"] is not None), _NOTHING),
        run["possible_cost"] or _NOTHING,
        sum(one["cost"] is None and one["estimated_cost"] is None for one in attempts),
        run["joined_to"] is not None and not is_stored,
        is_stored,
    )


def _goes_on_at(task_run: TaskRun) -> str | None:
    """The provider of a hosted run that goes on though the batch has no more to do with it."""
    if task_run.failure is None or not task_run.attempts or task_run.joined_to is not None:
        return None
    last = task_run.attempts[-1]
    return last.model.provider if unfinished_run(last) is not None else None
