"""A job: this task over that source, into that ledger, under these limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from tasks_lib.domain.assignment import Assignment
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.inputs import FileSources
from tasks_lib.domain.labels import Labels
from tasks_lib.domain.output import Output
from tasks_lib.domain.overrides import RowOverrides
from tasks_lib.domain.place import Place, Storage
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.spread import Spread
from tasks_lib.domain.stored_answers import StoredAnswers
from tasks_lib.domain.task import Revision, Task
from tasks_lib.domain.template import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What must never be passed; None is no limit of that sort."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None  # input and output together
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    requests_per_day: int | None = None  # of UTC
    tokens_per_day: int | None = None
    in_flight: int | None = None  # calls at the same time; None: as many as turn out to go through
    max_cost: Decimal | None = None  # dollars for one batch
    max_cost_per_group: Decimal | None = None  # dollars for each reporting group of a batch
    max_cost_per_day: Decimal | None = None  # dollars for all batches of one ledger on one day of UTC
    max_failures: int | None = None  # failed rows after which a batch stops

    @property
    def limit_money(self) -> bool:
        """Whether there is a sum that calls must not pass."""
        return not (self.max_cost is self.max_cost_per_group is self.max_cost_per_day is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the rows come from: files, or a query that DuckDB answers; one of the two.

    Files are one file, all of a folder, or those that a glob means; here or at an address.
    """

    path: Place | None = None
    query: str | None = None
    format: str | None = None  # csv, parquet or jsonl; None: by the path's suffix
    key: str | None = None  # the column that names a row; None: the row's content does
    delimiter: str | None = None  # of a CSV; None: found once and confirmed by a strict reading
    quote: str = '"'
    encoding: str = "utf-8"
    file_column: str | None = None  # a further column, with the name of each row's file; None: there is none
    empty: str = "allowed"  # a folder or glob that means no file: nothing is to do; or `refused`
    storage: Storage = field(default_factory=Storage)  # how an address is reached

    def __str__(self) -> str:
        return str(self.path) if self.path is not None else "the query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where the enriched rows go: a file, or a table of a DuckDB database."""

    path: Place
    format: str  # csv, parquet, jsonl or duckdb
    table: str | None = None  # of a DuckDB database
    storage: Storage = field(default_factory=Storage)  # how an address is reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Who is told when something ends, and of what."""

    url: str
    secret: str | None = None  # the variable that holds the signing secret; None: notices are not signed
    events: frozenset[str] = frozenset({"batch.ended"})  # and task_run.ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything a batch needs to know, checked and complete."""

    name: str
    task: Task
    source: Source
    inputs: Mapping[str, str]  # placeholder -> column
    files: FileSources = field(default_factory=FileSources)  # of the rows
    labels: Labels = field(default_factory=Labels)
    limits: Limits = field(default_factory=Limits)
    retries: Retries = field(default_factory=Retries)
    ledger: Path
    output: Destination | None = None
    expected: Mapping[str, str] = field(default_factory=dict)  # answer's field -> column with the right value
    assignment: Assignment = field(default_factory=Assignment)  # of revisions to rows
    seed: str  # of the choice by weight
    overrides: RowOverrides = field(default_factory=RowOverrides)  # those of all rows are in the task
    variants: tuple[Revision, ...] = ()  # that rows' overrides make, once their source was read
    stored_answers: StoredAnswers | None = None  # which may stand in for a call; None: none
    use_fallback_model: Template | None = None  # a row for which it says true begins at its fallback
    credits_per_dollar: Decimal | None = None  # None: no credits are reckoned
    webhook: Webhook | None = None
    team_ledger: str | None = None  # a place that is told what the ledger has; None: none
    serve: bool = False  # the ledger, to other DuckDB clients of this machine, while a batch runs
    workers: int = 1  # processes that make the calls
    spread: Spread | None = None  # what starts them; None: the batch itself, on its own machine
    tells_citations: bool = False  # one of its models says what answers rest on, so an output has it, too
    identical_rows: str = "once"  # rows that ask the same: one call for all that are under way, or `each`
    definition: Mapping[str, JsonValue] = field(
        default_factory=dict
    )  # the configuration, as the ledger keeps it

    @property
    def answers_alike(self) -> Output:
        """What all answers are: as a whole some JSON, where rows have formats or schemas of their own."""
        own = self.overrides
        has_own = own.response_format is not None or own.json_schema is not None
        return Output() if has_own else self.task.output

    @property
    def tells_revisions(self) -> bool:
        """Whether rows may have different revisions, so that an output says which each has."""
        return len(self.task.revisions) > 1
