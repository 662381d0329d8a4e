"""What the batch's own process and its workers tell each other: values, over a `Channel`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks_lib.domain.files import FileFact
from tasks_lib.domain.job import Limits
from tasks_lib.domain.packed import Packed, packed
from tasks_lib.domain.plan import Plan
from tasks_lib.engine.breakers import Outage
from tasks_lib.engine.leases import Answer, Word
from tasks_lib.engine.stop import Why
from tasks_lib.job.accounts import Part
from tasks_lib.job.counted import Counted
from tasks_lib.job.setup import Setup
from tasks_lib.job.workers.recruiting import Pulse
from tasks_lib.ledger import Facts
from tasks_lib.ledger.journal import Entry
from tasks_lib.live import AccountNow, ModelNow


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """To a worker: what it works on."""

    setup: Setup  # with nothing of the environment
    variables: Mapping[str, str] = field(repr=False)  # the keys, which lie over the worker's own environment
    batch_id: str
    number: int  # of the worker, from 0; one that takes the place of a dead one has a number of its own
    part: Part | None  # of the limits, of a process on this machine; None: each call asks for leave
    has_journal: bool  # whether it is on this machine, and writes its runs down beside the ledger itself
    revision_ids: Mapping[str, str]
    pulse: Pulse


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """To a worker: what to run next; none: there is nothing left."""

    plans: tuple[Plan, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _plans, (packed(Plan, self.plans),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """To a worker: what it sent under this number can no longer be lost; or why it never will be durable."""

    number: int
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """To a worker: the file that it sent under this number can no longer be lost; or why it is not kept."""

    number: int
    file: FileFact | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """To a worker: what becomes of its words on calls and money."""

    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """To a worker: come to an end. From a worker: something there asks for the end of the batch."""

    why: Why
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """To a worker: come to an end now, and leave the calls under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """To a worker: what the user does to a batch while it runs; only what is given changes."""

    paused: bool | None = None
    limits: Limits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """From a worker: so many plans at most."""

    most: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """From a worker elsewhere: a task run is under way from now on."""

    run: str


@dataclass(frozen=True, slots=True)
class Left:
    """From a worker: a task run is under way no more, and nothing was made of it."""

    run: str


@dataclass(frozen=True, slots=True)
class Noted:
    """From a worker: some rows will not be run, though others go on; see `Stop.note`."""

    why: Why
    reason: str


@dataclass(frozen=True, slots=True)
class Words:
    """From a worker: what it has to say of single calls, money and rows, in that order."""

    words: tuple[Word | Drawn | Left | Noted, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """From a worker elsewhere: runs that are over, to be counted and committed together."""

    number: int
    runs: tuple[str, ...]  # their ids
    counted: tuple[Counted, ...]
    facts: Facts

    def __reduce__(self) -> tuple[Any, ...]:
        return _done, (self.number, self.runs, packed(Counted, self.counted), self.facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """From a worker of this machine: runs that are over, and where its journal has them."""

    entry: Entry
    runs: tuple[str, ...]  # their ids
    counted: tuple[Counted, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return _written, (self.entry, self.runs, packed(Counted, self.counted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """From a worker elsewhere: a file that an answer is, to be kept."""

    number: int
    content: bytes = field(repr=False)
    task_run_id: str
    mime_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broke:
    """From a worker that ends by an error nobody foresaw: what it says, and the run that it came of."""

    error: str
    run: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """From a worker: it has come to its end in order."""

    gave_up: str | None = None  # why others are to go on with its rows; None: it was told that there are none
    warnings: tuple[str, ...] = ()
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """From a worker, now and then: how things stand there."""

    accounts: tuple[AccountNow, ...]  # none of a worker that asks for leave: its gates are the batch's own
    under_way: int
    models: tuple[ModelNow, ...] = ()


@dataclass(frozen=True, slots=True)
class Beat:
    """From either: I am still here."""


Frame = (
    Begin
    | Plans
    | Committed
    | Kept
    | Answers
    | Halt
    | Drop
    | Act
    | Want
    | Words
    | Done
    | Written
    | Keep
    | Broke
    | Gone
    | State
    | Beat
)


def _plans(plans: Packed[Plan]) -> Plans:
    return Plans(plans=plans.unpacked())


def _written(entry: Entry, runs: tuple[str, ...], counted: Packed[Counted]) -> Written:
    return Written(entry=entry, runs=runs, counted=counted.unpacked())


def _done(number: int, runs: tuple[str, ...], counted: Packed[Counted], facts: Facts) -> Done:
    return Done(number=number, runs=runs, counted=counted.unpacked(), facts=facts)
