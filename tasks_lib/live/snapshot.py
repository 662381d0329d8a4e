"""What a running batch says of itself at one moment; `rowmill top` shows all of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

JsonScalar = str | int | float | bool | None


class Phase(Enum):
    """What a batch is about."""

    PREPARING = "preparing"  # its rows are counted, its local model is started
    RUNNING = "running"
    PAUSED = "paused"  # by the user; calls under way come to their end
    ENDING = "ending"  # stopped: calls under way come to their end
    WRITING = "writing"  # all rows are settled


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNow:
    """One provider account at one moment; what is None is not known or not limited."""

    provider: str
    in_flight: int
    most_in_flight: int
    waiting: int = 0  # calls that wait to be let in
    adaptive: bool = False  # `most_in_flight` is found by itself, and not told
    limits: Mapping[str, int] = field(default_factory=dict)  # told: requests_per_minute: 600, ...
    closed_for: float | None = 0.0  # seconds for which nobody is let in; None or inf: nobody knows how long
    closed_why: str | None = None
    requests_per_minute: float | None = None  # the pace that is kept now, told or learned
    tokens_per_minute: float | None = None
    requests_last_minute: int | None = None  # let in
    tokens_last_minute: int | None = None
    waits_for: str | None = None  # what keeps the first one waiting: a limit's name, in_flight, pause, pace
    waits_seconds: float | None = 0.0  # until it is let in; None or inf: nobody knows
    left: Mapping[str, float] = field(default_factory=dict)  # what may still pass now, by the limit's name
    found_why: str | None = None  # of an adaptive one: its last change: began, grew, 429, throughput
    waves: int = 0  # of 429s
    processes: int = 1  # of this machine that use the account, this one included
    in_flight_of_all: int | None = None  # calls of all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNow:
    """One model at one moment: whether rows that have another one go by it."""

    model: str
    breaker: str  # closed: all calls are made; open: it is down; half open: one call is trying it
    failures: int = 0  # calls since its last answer
    tried_in: float = 0.0  # seconds until it is asked again
    outages: int = 0
    passed_by: int = 0  # rows that went by it
    why: str | None = None  # it is not closed


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetNow:
    """A sum of money at one moment, in dollars."""

    scope: str  # batch, group or day
    of: str | None = None  # the reporting group
    most: Decimal
    spent: Decimal
    reserved: Decimal = Decimal(0)  # for calls under way


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNow:
    """What a reporting group has cost so far, in dollars; its name is None for rows of no group."""

    name: str | None
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A batch at one moment. Whatever is counted is counted since it began, money is in dollars."""

    batch_id: str
    job: str
    phase: Phase
    seconds: float  # since it began
    pid: int
    reason: str | None = None  # why it is ending
    rows: int = 0  # each once for every revision that it is run with
    counted: str = "rows"  # or runs, where revisions are compared
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    joined: int = 0
    stored: int = 0
    under_way: int = 0  # rows that were drawn and are not settled
    calls: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    possible_cost: Decimal = Decimal(0)
    calls_of_unknown_cost: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)  # failed rows by kind
    last_failure: str | None = None
    accounts: tuple[AccountNow, ...] = ()
    models: tuple[ModelNow, ...] = ()  # that were asked
    budgets: tuple[BudgetNow, ...] = ()
    groups: tuple[GroupNow, ...] = ()
    limits: Mapping[str, JsonScalar] = field(
        default_factory=dict
    )  # of the job, as `rowmill limits` says them
    quack: str | None = None  # where other DuckDB clients can attach the ledger; the token is not told here

    @property
    def settled(self) -> int:
        """Rows of which nothing more is to be done."""
        return self.completed + self.failed + self.skipped
