"""Which rows of a source have the same key, or the same content, however many rows there are.

Each row leaves 24 bytes in a scratch database, which sorts and groups them on disk when they grow too many.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

_GROUP = 65_536  # rows an insert


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Keys that several rows have."""

    first: tuple[tuple[int, ...], ...]  # the first few rows that share one, for the first few keys
    total: int  # rows that share their key with an earlier one


class Seen:
    """The 128-bit hashes of rows, added in the order of their numbers."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, hash_of: str) -> None:
        """`hash_of` is the SQL expression that makes a UUID of the text in column `name`."""
        self._connection = connection
        self._hash_of = hash_of
        self._names: list[str] = []
        self._added = 0
        connection.execute("create or replace table seen (number bigint, hash uuid)")

    @classmethod
    def of_keys(cls, connection: duckdb.DuckDBPyConnection) -> "Seen":
        """For keys, any text."""
        return cls(connection, hash_of="md5(name)::uuid")

    @classmethod
    def of_hashes(cls, connection: duckdb.DuckDBPyConnection) -> "Seen":
        """For hashes, 32 hexadecimal digits."""
        return cls(connection, hash_of="name::uuid")

    def add(self, names: Sequence[str | None]) -> None:
        """The keys or hashes of the rows that follow; None is like no other."""
        self._names.extend("" if name is None else name for name in names)
        if len(self._names) >= _GROUP:
            self._flush()

    def duplicates(self, *, at_most: int) -> Duplicates:
        """The keys that several rows have, in the order of their first rows."""
        self._flush()
        self._connection.execute(
            "create or replace table shared as"
            " select hash, count(*) as times, min(number) as first"
            " from seen group by hash having count(*) > 1"
        )
        found = self._connection.execute("select sum(times - 1) from shared").fetchone()
        groups = self._connection.execute(
            "select min(number, 3) from seen"
            " semi join (from shared order by first limit $at_most) using (hash)"
            " group by hash order by min(number)",
            {"at_most": at_most},
        ).fetchall()
        total = found[0] if found is not None and found[0] is not None else 0
        return Duplicates(first=tuple(tuple(numbers) for (numbers,) in groups), total=int(total))

    def repeats(self) -> "Repeats":
        """The rows that are like an earlier one."""
        self._flush()
        self._connection.execute(
            "create or replace table repeats as"
            " select number, nth from ("
            "   select number, row_number() over (partition by hash order by number) as nth"
            "   from seen semi join (select hash from seen group by hash having count(*) > 1) using (hash)"
            " ) where nth > 1 order by number"
        )
        self._connection.execute("drop table seen")
        return Repeats(self._connection)

    def _flush(self) -> None:
        if not self._names:
            return
        first = self._added + 1
        self._added += len(self._names)
        numbers = pa.array(range(first, self._added + 1), pa.int64())
        group: Any = pa.table({"number": numbers, "name": pa.array(self._names, pa.string())})
        self._names = []
        stream = (
            group.__arrow_c_stream__()
        )  # of a table it would be a scanner of pyarrow.dataset's, and 10 MB
        self._connection.from_arrow(stream).project(f"number, {self._hash_of}").insert_into("seen")


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows that are like an earlier one, as a table of the scratch database."""

    _connection: duckdb.DuckDBPyConnection

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The number of each such row, in order, and which of its like it is (from 2)."""
        cursor = self._connection.cursor()
        reader = cursor.sql("select number, nth from repeats order by number").to_arrow_reader(8192)
        for batch in reader:
            yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
