"""The counts of a batch: while it runs, and when it is over."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from pathlib import Path

from tasks_lib.domain.job import Job
from tasks_lib.domain.place import Place
from tasks_lib.domain.run import Status
from tasks_lib.engine.breakers import Outage
from tasks_lib.job.counted import Counted
from tasks_lib.job.growth import Growth
from tasks_lib.job.kept_files import folder_of_files

OTHER_GROUPS = "(others)"
_MOST_GROUPS = 1_000  # whose cost is counted while a batch runs; the ledger has them all
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Of one field of the answers: how many were compared with the source, and how many were right."""

    field: str
    compared: int
    right: int
    revision: str | None = None  # the tag, where revisions are compared

    @property
    def name(self) -> str:
        """The field, and the revision where there are several."""
        return self.field if self.revision is None else f"{self.field} ({self.revision})"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a batch has come to so far; whoever shows a batch reads it while others write.

    `completed + failed + skipped + cancelled` never exceeds `rows`, and makes it at the end.
    """

    batch_id: str | None = None  # once it has begun
    rows: int = 0  # that the batch is about; where revisions are compared, each once for every one of them
    runs_a_row: int = 1  # revisions that are compared
    completed: int = 0
    failed: int = 0
    skipped: int = 0  # answered by an earlier batch, or left out by --retry-failed
    durable_completed: int = 0  # of the completed ones: committed to the ledger
    durable_failed: int = 0
    calls: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)  # dollars that are sure
    possible_cost: Decimal = Decimal(0)  # dollars on top, if answers that never arrived were billed
    calls_of_unknown_cost: int = 0  # and without an estimate
    joined: int = 0  # rows that shared the call of another one which asks the same
    stored: int = 0  # rows that an answer in the ledger stood in for
    growth: Growth | None = None  # of a source with a key: which of the rows to be asked are new or changed
    going_on: Counter[str] = field(default_factory=Counter[str])  # hosted runs without us, by provider
    cost_by_group: dict[str | None, Decimal] = field(default_factory=dict)  # sure; at most `_MOST_GROUPS`
    failures: Counter[str] = field(default_factory=Counter[str])  # failed rows by kind
    last_failure: str | None = None
    outages: list[Outage] = field(default_factory=list)  # of models, once the rows are run
    warnings: list[str] = field(default_factory=list)  # of what is not as it should be, though rows are run

    @property
    def new(self) -> int:
        """Rows to be asked, as far as they were read, whose key the job has never run; 0 without a key."""
        return self.growth.new if self.growth is not None else 0

    @property
    def changed(self) -> int:
        """Rows to be asked, as far as they were read, whose key was run, but never with these inputs."""
        return self.growth.changed if self.growth is not None else 0

    @property
    def source_rows(self) -> int:
        """Rows of the source, however often each is run."""
        return self.rows // self.runs_a_row

    @property
    def counted(self) -> str:
        """What is counted: rows, or runs where revisions are compared."""
        return "rows" if self.runs_a_row == 1 else "runs"

    @property
    def settled(self) -> int:
        """Rows of which nothing more is to be done."""
        return self.completed + self.failed + self.skipped

    def add(self, run: Counted) -> None:
        """Count a task run that is over; a cancelled one counts with its calls alone."""
        self.calls += run.calls
        self.retries += run.retries
        self.input_tokens += run.input_tokens
        self.output_tokens += run.output_tokens
        self.joined += run.joined
        self.stored += run.stored
        if run.goes_on_at is not None:
            self.going_on[run.goes_on_at] += 1
        self.cost += run.cost
        self.possible_cost += run.possible_cost
        self.calls_of_unknown_cost += run.calls_of_unknown_cost
        group = run.group
        if group not in self.cost_by_group and len(self.cost_by_group) >= _MOST_GROUPS:
            group = OTHER_GROUPS
        self.cost_by_group[group] = self.cost_by_group.get(group, _NOTHING) + run.cost
        if run.status is Status.COMPLETED:
            self.completed += 1
        elif run.status is Status.FAILED and run.kind is not None:
            self.failed += 1
            self.failures[run.kind.value] += 1
            self.last_failure = run.reason


class Outcome(Enum):
    """How a batch ended; its name is the batch's status in the ledger."""

    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    STOPPED = "stopped"  # by a limit: money, failures, a full disk
    REFUSED = "refused"  # by the provider: key, permission, model, credit
    INTERRUPTED = "interrupted"
    CRASHED = "failed"  # by a fault of the program's own; the error is raised as well

    @property
    def is_whole(self) -> bool:
        """Whether every row came to its end."""
        return self in {Outcome.COMPLETED, Outcome.COMPLETED_WITH_FAILURES}

    @property
    def exit_code(self) -> int:
        """What a program that ran the batch ends with."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Outcome.COMPLETED: 0,
    Outcome.COMPLETED_WITH_FAILURES: 1,
    Outcome.STOPPED: 3,
    Outcome.REFUSED: 4,
    Outcome.INTERRUPTED: 130,
    Outcome.CRASHED: 70,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a batch ended; the four counts add up to `rows`, each row once for every revision compared."""

    batch_id: str | None  # None: it never began
    job: str
    outcome: Outcome
    reason: str | None  # of an outcome that is not completed
    rows: int
    completed: int
    failed: int
    skipped: int
    cancelled: int  # never begun, or cut short; the next run takes them up
    calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal  # dollars that are sure
    calls_of_unknown_cost: int
    seconds: float
    failures: dict[str, int]  # failed rows by kind
    ledger: Path
    output: Place | None  # written by this batch; None if none was
    files: Path | None = None  # the folder of answers that are files; None: they are none
    possible_cost: Decimal = _NOTHING  # dollars on top, if answers that never arrived were billed
    joined: int = 0  # of the completed and failed: rows that shared the call of another one
    stored: int = 0  # of the completed: rows that an answer in the ledger stood in for
    new: int = 0  # rows that were to be asked and whose key the job had never run; 0 without source.key
    changed: int = 0  # rows that were to be asked and whose key was run, but never with these inputs
    going_on: dict[str, int] = field(default_factory=dict)  # hosted runs that the next batch takes up
    warnings: tuple[str, ...] = ()
    outages: tuple[Outage, ...] = ()  # of models, as each process saw them
    accuracy: tuple[Accuracy, ...] = ()  # of the fields that the job has an expectation for
    compared: tuple[str, ...] = ()  # tags of the revisions that every row was run with

    @property
    def source_rows(self) -> int:
        """Rows of the source, however often each was run."""
        return self.rows // max(1, len(self.compared))

    @property
    def counted(self) -> str:
        """What the counts are of: rows, or runs where revisions are compared."""
        return "runs" if self.compared else "rows"

    @classmethod
    def of(
        cls,
        tally: Tally,
        *,
        job: Job,
        outcome: Outcome,
        reason: str | None,
        seconds: float,
        output: Place | None = None,
        accuracy: tuple[Accuracy, ...] = (),
    ) -> "Summary":
        """The summary of a batch that has ended; only what is durable counts as done."""
        return cls(
            batch_id=tally.batch_id,
            job=job.name,
            outcome=outcome,
            reason=reason,
            rows=tally.rows,
            completed=tally.durable_completed,
            failed=tally.durable_failed,
            skipped=tally.skipped,
            cancelled=tally.rows - tally.durable_completed - tally.durable_failed - tally.skipped,
            calls=tally.calls,
            input_tokens=tally.input_tokens,
            output_tokens=tally.output_tokens,
            cost=tally.cost,
            possible_cost=tally.possible_cost,
            joined=tally.joined,
            stored=tally.stored,
            new=tally.new,
            changed=tally.changed,
            going_on=dict(tally.going_on),
            warnings=tuple(tally.warnings),
            outages=tuple(tally.outages),
            calls_of_unknown_cost=tally.calls_of_unknown_cost,
            seconds=seconds,
            failures=dict(tally.failures.most_common()),
            ledger=job.ledger,
            output=output,
            accuracy=accuracy,
            compared=job.assignment.compare,
            files=folder_of_files(job),
        )

    def as_json(self) -> dict[str, object]:
        """What `--json` prints."""
        return {
            "batch_id": self.batch_id,
            "job": self.job,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "rows": self.rows,
            "source_rows": self.source_rows,
            "compared": list(self.compared),
            "completed": self.completed,
            "failed": self.failed,
            "skipped": self.skipped,
            "cancelled": self.cancelled,
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": str(self.cost),
            "possible_cost": str(self.possible_cost),
            "joined": self.joined,
            "stored": self.stored,
            "new": self.new,
            "changed": self.changed,
            "going_on": self.going_on,
            "warnings": list(self.warnings),
            "outages": [
                {
                    "model": outage.model,
                    "began_at": outage.began_at.isoformat(),
                    "ended_at": outage.ended_at.isoformat() if outage.ended_at else None,
                    "rows": outage.rows,
                    "why": outage.why,
                }
                for outage in self.outages
            ],
            "calls_of_unknown_cost": self.calls_of_unknown_cost,
            "seconds": round(self.seconds, 3),
            "failures": self.failures,
            "ledger": str(self.ledger),
            "output": str(self.output) if self.output else None,
            "files": str(self.files) if self.files is not None else None,
            "accuracy": {one.name: {"compared": one.compared, "right": one.right} for one in self.accuracy},
        }
