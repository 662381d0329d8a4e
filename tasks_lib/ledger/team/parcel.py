"""A parcel: a stretch of a batch's facts on their way to another ledger, taken in whole or not at all.

What a place has of a batch is always its beginning, so a parcel says after which other one it comes. A place
that has taken in another one meanwhile refuses it: published twice at once, or again since nobody knows what
became of the first time, it is there once.
"""
# ruff: noqa: S608  names of tables are ours, ids are checked, and all else is quoted

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

import orjson
import pyarrow as pa

from tasks_lib.ledger.statements import literal

COUNTED: Final = ("task_runs", "deaths", "notices", "remote_groups", "remote_runs")
"""Tables of a batch's facts of which a place knows how many it has."""
OF_RUNS: Final = ("attempts", "files", "citations", "steps", "actions")
"""Tables whose rows come with the task run that they are of."""
SHARED: Final = ("tasks", "revisions", "reporting_groups")
"""Tables of what batches of several ledgers have in common."""
TABLES: Final = ("batches", *SHARED, *COUNTED, *OF_RUNS)
NO_BATCH: Final = "00000000-0000-0000-0000-000000000000"
MOVED_ON: Final = "this place has another parcel of the batch by now"

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_RECORD = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What stands on a parcel: all that decides which statements take it in.

    Raises:
        ValueError: something on it cannot be.
    """

    id: str  # a UUID of version 7
    batch_id: str
    after: str | None  # the parcel that the place has taken in last; None: it has nothing of the batch
    record: str  # a hash of the batch's own row: 32 hexadecimal digits
    counts: Mapping[str, int]  # by counted table: rows that are there afterwards
    rows: Mapping[str, int]  # by table: rows in the parcel; without those that have none
    host: str  # where it comes from

    def __post_init__(self) -> None:
        ids = [self.id, self.batch_id, *([] if self.after is None else [self.after])]
        numbers = [*self.counts.values(), *self.rows.values()]
        if not (
            all(isinstance(one, str) and _UUID.fullmatch(one) for one in ids)
            and isinstance(self.record, str)
            and _RECORD.fullmatch(self.record)
            and isinstance(self.host, str)
            and "\0" not in self.host
            and set(self.counts) == set(COUNTED)
            and set(self.rows) <= set(TABLES)
            and all(type(number) is int and number >= 0 for number in numbers)
        ):
            raise ValueError("this is no parcel's label")

    @property
    def is_first(self) -> bool:
        """Whether the place has nothing of the batch before it."""
        return self.after is None

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that the parcel has rows of, in the order in which they are taken in."""
        return tuple(table for table in TABLES if table in self.rows)

    def as_text(self) -> str:
        """One line of JSON."""
        return orjson.dumps(
            {
                "id": self.id,
                "batch_id": self.batch_id,
                "after": self.after,
                "record": self.record,
                "counts": dict(self.counts),
                "rows": dict(self.rows),
                "host": self.host,
            },
            option=orjson.OPT_SORT_KEYS,
        ).decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """A label of what `as_text` gives.

        Raises:
            ValueError: it is none.
        """
        told = orjson.loads(text)
        try:
            return cls(**told)
        except (TypeError, AttributeError) as error:
            raise ValueError("this is no parcel's label") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A label, and the rows by table."""

    label: Label
    tables: Mapping[str, pa.Table]

    @property
    def nbytes(self) -> int:
        """Bytes of all tables."""
        return sum(table.nbytes for table in self.tables.values())


def taking_in(label: Label, *, source: Callable[[str], str]) -> Iterator[str]:
    """The statements that take a parcel in, to be run in one transaction.

    `source` names the relation that has the parcel's rows of a table. Whatever says no comes before whatever
    changes something: where a session is lost in between, it holds nothing that others wait for.
    """
    batch, parcel = literal(label.batch_id), literal(label.id)
    there = f"from publications where batch_id = {batch}::uuid"
    fence = "count(*) = 0" if label.after is None else f"count(*) filter (where parcel = '{label.after}') = 1"
    yield f"select if({fence}, true, error({literal(MOVED_ON)})) {there}"
    for table in label.tables:
        incomplete = literal(f"{table} of this parcel did not arrive whole")
        yield f"select if(count(*) = {label.rows[table]}, true, error({incomplete})) from {source(table)}"
    if label.is_first or any(table in label.rows for table in SHARED):
        # who writes what all share changes this line, too: of two at once one is refused
        yield f"update publications set parcel = {parcel} where batch_id = '{NO_BATCH}'"
    values = {
        "parcel": parcel,
        "record": literal(label.record),
        **{name: str(label.counts[name]) for name in COUNTED},
        "published_by": literal(label.host),
        "published_at": "now()",
    }
    if label.is_first:
        yield (
            f"insert into publications (batch_id, {', '.join(values)}) "
            f"values ({batch}, {', '.join(values.values())})"
        )
    else:
        changes = ", ".join(f"{name} = {value}" for name, value in values.items())
        yield f"update publications set {changes} where batch_id = {batch}"
    for table in label.tables:
        yield from _adding(table, source(table))


def _adding(table: str, source: str) -> Iterator[str]:
    if table == "batches":
        yield f"delete from batches where id in (select id from {source})"
    elif table in {"tasks", "revisions"}:  # the later of two stands
        yield (
            f"delete from {table} where id in (select a.id from {source} a join {table} b on b.id = a.id "
            "where a.modified_at > b.modified_at)"
        )
    known = f" where id not in (select id from {table})" if table in SHARED else ""
    yield f"insert into {table} by name select * from {source}{known}"
