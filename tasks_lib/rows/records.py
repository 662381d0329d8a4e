"""What every format of a source can do: tell its columns, prove itself, and be read in chunks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.rows.errors import SourceError
from tasks_lib.rows.values import Array, json_values, text_values


class Chunk(Protocol):
    """Successive rows of a source."""

    @property
    def size(self) -> int:
        """How many rows."""

    def values(self, column: str) -> list[JsonValue]:
        """A column as JSON values."""

    def texts(self, column: str) -> Array:
        """A column as an Arrow array of the text that a template makes of it."""

    def contents(self) -> Sequence[Mapping[str, JsonValue]]:
        """All that each row holds; only of chunks that were read with all columns."""

    def batch(self) -> pa.RecordBatch:
        """The chunk in the source's own types; only of chunks that were read with all columns."""

    def first(self, size: int) -> "Chunk":
        """Its first rows."""


class Records(Protocol):
    """An open source of one format."""

    @property
    def description(self) -> str:
        """The path, or what else it is called."""

    @property
    def schema(self) -> pa.Schema:
        """Its columns with their own types, without metadata."""

    def prove(self, *, limit: int | None) -> int:
        """How many rows there are, after a proof that (at least the first `limit` of them) can be read.

        Raises:
            SourceError: they cannot.
        """

    def chunks(self, *, size: int, columns: Sequence[str] | None) -> Iterator[Chunk]:
        """The rows in their order, at most `size` at a time, with at least these columns; None: with all.

        Raises:
            SourceError: it cannot be read (any more).
        """

    def places(self, numbers: Iterable[int]) -> Mapping[int, str]:
        """Where these rows are: their line in the file, or their number."""


class ArrowChunk:
    """Successive rows as an Arrow record batch."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._values: dict[str, list[JsonValue]] = {}

    @property
    def size(self) -> int:
        """How many rows."""
        return self._batch.num_rows

    def values(self, column: str) -> list[JsonValue]:
        """A column as JSON values; converted once."""
        found = self._values.get(column)
        if found is None:
            found = self._values[column] = json_values(self._batch.column(column))
        return found

    def texts(self, column: str) -> Array:
        """A column as text."""
        return text_values(self._batch.column(column))

    def contents(self) -> Sequence[Mapping[str, JsonValue]]:
        """Every column of each row, binary ones as base64."""
        names = self._batch.schema.names
        return [
            dict(zip(names, values, strict=True))
            for values in zip(*(self.values(name) for name in names), strict=True)
        ]

    def batch(self) -> pa.RecordBatch:
        """The record batch itself."""
        return self._batch

    def first(self, size: int) -> "ArrowChunk":
        """Its first rows."""
        return ArrowChunk(self._batch.slice(0, size))


def arrow_chunks(batches: Iterable[pa.RecordBatch], *, size: int) -> Iterator[ArrowChunk]:
    """The batches, cut where they are longer than `size`."""
    for batch in batches:
        for start in range(0, batch.num_rows, size):
            yield ArrowChunk(batch.slice(start, size))


_FILE_BYTES = 16 << 20  # of the files of rows that are read together
_LIKELY_FILE_BYTES = 1 << 20  # of a file about whose size nothing is known


def within_memory(size: int, *, bytes_a_row: float | None) -> int:
    """At most so many rows that their files stay within bounds; None: each may be large."""
    if bytes_a_row == 0.0:
        return size
    return max(1, min(size, int(_FILE_BYTES // (bytes_a_row or _LIKELY_FILE_BYTES))))


def bare(schema: pa.Schema) -> pa.Schema:
    """A schema without the metadata that writers leave in it (pandas' index, Parquet's field ids)."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def rows_by_number(numbers: Iterable[int]) -> Mapping[int, str]:
    """Places in a source that has no lines."""
    return {number: f"row {number:,}" for number in numbers}


def refuse_alike(where: str, names: Sequence[str]) -> None:
    """Two columns of one name make every template and every answer ambiguous; to SQL, case is no difference.

    Raises:
        SourceError: there are two, or a column without a name.
    """
    earlier: dict[str, str] = {}
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise SourceError(f"{where}: column {position} of {len(names)} has no name; give it one")
        other = earlier.get(name.casefold())
        if other is not None:
            alike = (
                f"are both called {name!r}" if name == other else f"differ only in case ({other!r}, {name!r})"
            )
            raise SourceError(f"{where}: column {position} and an earlier one {alike}; rename one of them")
        earlier[name.casefold()] = name


def prove_valid(values: pa.RecordBatch | pa.Table, *, where: str) -> None:
    """Prove that values are what their types say; readers take text on trust, and it need not be UTF-8.

    Raises:
        SourceError: they are not.
    """
    try:
        values.validate(full=True)
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise SourceError(
            f"{where}: holds values that are not of their type ({reason}); write it anew"
        ) from error


class Unchanged:
    """A file as it was when it was opened, or listed before that."""

    def __init__(self, path: Path, *, since: tuple[int, int] | None = None) -> None:
        """Remember what it is like now, or what it was like: bytes, and nanoseconds of its last change."""
        self._path = path
        self._stamp = since or self._now

    @property
    def _now(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_size, found.st_mtime_ns

    def prove(self) -> None:
        """It still is.

        Raises:
            SourceError: it has been written since, so that its rows may not be those that were checked.
        """
        try:
            same = self._now == self._stamp
        except OSError as error:
            raise SourceError(f"{self._path}: has gone since it was opened") from error
        if not same:
            raise SourceError(f"{self._path}: has changed since it was opened; run again when it is complete")
