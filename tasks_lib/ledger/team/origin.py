"""What a ledger has to give away: its batches, and their facts in parcels."""
# ruff: noqa: S608  names of tables are ours, ids are checked, and all else is quoted

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa
import uuid_utils

from tasks_lib.ledger.statements import literal, quoted
from tasks_lib.ledger.team.parcel import COUNTED, NO_BATCH, OF_RUNS, TABLES, Label, Parcel

Ask = Callable[[str], pa.Table]
"""The answer of some ledger, wherever it is, to one question in SQL."""

_FIRST_ROWS, _MOST_ROWS = 1_000, 20_000
_BYTES: Final = 16 << 20  # of a parcel, about
_RECORD = "md5(to_json(b)::varchar)"
_VIEW = re.compile(r"create view .*? as (?P<body>select .*?);?\s*", re.IGNORECASE | re.DOTALL)


class Whose(StrEnum):
    """Which batches of a ledger are meant."""

    OWN = "own"  # that ran into it
    BROUGHT = "brought"  # that ran into other ledgers


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchThere:
    """A batch as a ledger has it; `counts` are rows by counted table."""

    id: str
    task_id: str
    record: str
    counts: Mapping[str, int]
    parcel: str | None = None  # that was taken in last; None: it ran into this ledger


class Origin:
    """A ledger that is asked for facts; what it is asked only reads."""

    def __init__(self, ask: Ask, *, host: str) -> None:
        """Ask by this; `host` stands on the parcels."""
        self._ask = ask
        self._host = host
        self._rows = _FIRST_ROWS
        self._last_of_runs: dict[tuple[str, str], int] = {}

    def batches(self, whose: Whose, *, job: str | None = None) -> list[BatchThere]:
        """The batches, in the order in which they began."""
        of_job = "true" if job is None else f"b.job = {literal(job)}"
        if whose is Whose.OWN:
            counts = ", ".join(f"coalesce({name}.n, 0) as {name}" for name in COUNTED)
            joins = " ".join(
                f"left join (select batch_id, count(*) as n from {name} group by batch_id) {name} "
                f"on {name}.batch_id = b.id"
                for name in COUNTED
            )
            text = (
                f"select b.id::varchar as id, b.task_id::varchar as task_id, {_RECORD} as record, "
                f"null::varchar as parcel, {counts} from batches b {joins} "
                f"where b.id not in (select batch_id from publications) and {of_job} order by b.started_at"
            )
        else:
            counts = ", ".join(f"p.{name}" for name in COUNTED)
            text = (
                f"select b.id::varchar as id, b.task_id::varchar as task_id, p.record, "
                f"p.parcel::varchar as parcel, {counts} "
                "from publications p join batches b on b.id = p.batch_id "
                f"where {of_job} order by b.started_at"
            )
        return [
            BatchThere(
                id=row["id"],
                task_id=row["task_id"],
                record=row["record"],
                parcel=row["parcel"],
                counts={name: row[name] for name in COUNTED},
            )
            for row in self._ask(text).to_pylist()
        ]

    def view_of(self, task_id: str) -> tuple[str, str | None]:
        """The name of the view with a task's answers, and its question; None: there is no such view."""
        name = self._ask(f"select results_view as name from tasks where id = '{task_id}'").to_pylist()[0][
            "name"
        ]
        found = self._ask(f"select sql from duckdb_views() where view_name = {literal(name)}").to_pylist()
        made = _VIEW.fullmatch(found[0]["sql"]) if found else None
        return name, made["body"] if made is not None else None

    def parcels(
        self, batch: BatchThere, *, there: BatchThere | None, results_view: str, groups_there: set[str]
    ) -> Iterator[Parcel]:
        """What a place still lacks of a batch, in parcels that follow one another.

        Args:
            batch: as it is here.
            there: as the place has it; None: it does not.
            results_view: the name that the view of the task's answers has there.
            groups_there: ids of the reporting groups that the place knows; those that are sent are added.
        """
        at = {
            name: self._place(name, batch.id, 0 if there is None else there.counts[name]) for name in COUNTED
        }
        counts = dict.fromkeys(COUNTED, 0) if there is None else dict(there.counts)
        after = None if there is None else there.parcel
        must = there is None or there.record != batch.record
        while True:
            tables: dict[str, pa.Table] = {}
            for name in COUNTED:
                found = self._next(name, batch.id, after=at[name], most=self._rows)
                if found is None:
                    continue
                first, last, rows = found
                # what came after the count above is for the next time: its record may have come, too
                tables[name] = rows
                at[name] = last
                counts[name] += rows.num_rows
                if name == "task_runs":
                    tables |= dict(self._of_runs(batch.id, first, last))
                    tables |= self._groups(batch.id, first, last, groups_there)
            if not (tables or must):
                return
            if must or after is None:
                tables |= self._definitions(batch, results_view)
            must = False
            label = Label(
                id=str(uuid_utils.uuid7()),
                batch_id=batch.id,
                after=after,
                record=batch.record,
                counts=dict(counts),
                rows={name: tables[name].num_rows for name in TABLES if name in tables},
                host=self._host,
            )
            parcel = Parcel(label=label, tables=tables)
            yield parcel
            after = label.id
            share = _BYTES / max(parcel.nbytes, 1)
            self._rows = int(min(max(self._rows * min(share, 4.0), 10), _MOST_ROWS))

    def _place(self, table: str, batch_id: str, count: int) -> int:
        """Where the last of so many first rows of a batch stands in a table."""
        if not count:
            return -1
        found = self._ask(
            f"select rowid as place from {table} where batch_id = '{batch_id}' "
            f"order by rowid limit 1 offset {count - 1}"
        ).to_pylist()
        return int(found[0]["place"]) if found else -1

    def _next(self, table: str, batch_id: str, *, after: int, most: int) -> tuple[int, int, pa.Table] | None:
        """The next rows of a batch in a table, and where the first and the last of them stand."""
        bounds = self._ask(
            "select min(place) as first, max(place) as last from ("
            f"select rowid as place from {table} where batch_id = '{batch_id}' and rowid > {after} "
            f"order by rowid limit {most})"
        ).to_pylist()[0]
        if bounds["first"] is None:
            return None
        first, last = int(bounds["first"]), int(bounds["last"])
        rows = self._ask(
            f"select * from {table} where batch_id = '{batch_id}' and rowid between {first} and {last} "
            "order by rowid"
        )
        return first, last, rows

    def _of_runs(self, batch_id: str, first: int, last: int) -> Iterator[tuple[str, pa.Table]]:
        """What comes with the runs that stand between two places."""
        for table in OF_RUNS:
            # rows stand in the order of their runs, so none of these is before those of the runs before
            known = self._last_of_runs.get((table, batch_id), -1)
            rows = self._ask(
                f"select rowid as place_of_row, * from {table} where batch_id = '{batch_id}' "
                f"and rowid > {known} and task_run_id in (select id from task_runs "
                f"where batch_id = '{batch_id}' and rowid between {first} and {last}) order by rowid"
            )
            if not rows.num_rows:
                continue
            self._last_of_runs[table, batch_id] = int(rows.column("place_of_row")[-1].as_py())
            yield table, rows.drop_columns(["place_of_row"])

    def forget(self, batch_id: str) -> None:
        """Look for everything of a batch from the beginning again, since a parcel was not taken in."""
        for table in OF_RUNS:
            self._last_of_runs.pop((table, batch_id), None)

    def _groups(self, batch_id: str, first: int, last: int, there: set[str]) -> dict[str, pa.Table]:
        found = self._ask(
            "select id::varchar as id, name, created_at from reporting_groups where id in ("
            f"select distinct reporting_group_id from task_runs where batch_id = '{batch_id}' "
            f"and rowid between {first} and {last})"
        )
        new = [row for row in found.to_pylist() if row["id"] not in there]
        there.update(row["id"] for row in new)
        return {"reporting_groups": pa.Table.from_pylist(new, schema=found.schema)} if new else {}

    def _definitions(self, batch: BatchThere, results_view: str) -> dict[str, pa.Table]:
        tables = {
            "batches": self._ask(f"select * from batches where id = '{batch.id}'"),
            "tasks": self._ask(
                f"select * replace ({literal(results_view)} as results_view) from tasks "
                f"where id = '{batch.task_id}'"
            ),
            "revisions": self._ask(f"select * from revisions where task_id = '{batch.task_id}'"),
        }
        return {name: table for name, table in tables.items() if table.num_rows}


def free_view_name(wanted: str, task_id: str, *, taken: Mapping[str, str]) -> str:
    """The name for the view of a task's answers at a place; `taken` is by task the names that are there."""
    if task_id in taken:
        return taken[task_id]
    return f"{wanted}_{task_id[:8]}" if wanted in taken.values() else wanted


def making_view(name: str, body: str) -> str:
    """The statement that makes a view of answers."""
    return f"create or replace view {quoted(name)} as\n{body}"


__all__ = ["NO_BATCH", "Ask", "BatchThere", "Origin", "Whose", "free_view_name", "making_view"]
