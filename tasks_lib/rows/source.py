"""A source of rows, opened: its columns, the check before any money is spent, and the rows themselves."""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks_lib.domain.fingerprint import content_hash
from tasks_lib.domain.job import Source
from tasks_lib.domain.row import Row, RowsByColumn
from tasks_lib.domain.template import Template
from tasks_lib.rows.csv_dialect import CsvDialect
from tasks_lib.rows.csv_records import CsvRecords
from tasks_lib.rows.errors import SHOWN, SourceError, listed, no_such_column
from tasks_lib.rows.files import file_values, is_file, told_of
from tasks_lib.rows.files_of_source import files_of_source, means_one_file
from tasks_lib.rows.found_files import version_of_file
from tasks_lib.rows.jsonl_records import JsonlRecords
from tasks_lib.rows.many_records import ManyRecords, NoRecords
from tasks_lib.rows.names import format_of
from tasks_lib.rows.parquet_records import ParquetRecords
from tasks_lib.rows.records import Chunk, Records, refuse_alike
from tasks_lib.rows.scratch import open_scratch
from tasks_lib.rows.seen import Duplicates, Repeats, Seen
from tasks_lib.rows.table_records import QueryRecords, Table, TableRecords
from tasks_lib.rows.values import Array, is_binary, text_of

_AT_ONCE = 8_192  # rows of a chunk in a check
_QUERY_MEMORY = "1GB"
_HASHES_MEMORY = "96MB"  # beyond that it sorts on disk; 6 million rows take 10 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check found."""

    rows: int  # that will be read
    source_rows: int  # that there are, a limit aside


def open_source(source: Source, *, folder: Path | None = None) -> "OpenSource":
    """The source, opened; use it as a context manager. `folder` is where a query's relative paths begin.

    Raises:
        SourceError: it is missing, or its columns cannot be known or told apart.
    """
    with ExitStack() as resources:
        records = _records(source, folder, resources)
        refuse_alike(records.description, records.schema.names)
        return OpenSource(
            records,
            key=source.key,
            resources=resources.pop_all(),
            version=_version(source, records),
            may_be_empty=source.empty == "allowed",
        )


def open_table(table: Table, *, key: str | None) -> "OpenSource":
    """A table in memory as a source; a reader is read to its end.

    Raises:
        SourceError: a column mixes types, two are called alike, or one has no name.
    """
    records = TableRecords.of(table)
    refuse_alike(records.description, records.schema.names)
    return OpenSource(records, key=key, resources=ExitStack())


def _records(source: Source, folder: Path | None, resources: ExitStack) -> Records:
    if source.query is not None:
        connection = resources.enter_context(open_scratch(memory=_QUERY_MEMORY))
        return QueryRecords(connection, source.query, folder=folder)
    if source.path is None:
        raise SourceError("the source has neither a path nor a query")
    if not means_one_file(source):
        return files_of_source(source, resources)
    path = source.path
    assert isinstance(path, Path)  # noqa: S101  or it was not meant as one file
    match source.format or format_of(path.name):
        case "csv":
            return CsvRecords.open(source, path)
        case "parquet":
            return ParquetRecords(path)
        case "jsonl":
            return JsonlRecords(path, encoding=source.encoding)
        case None:
            raise SourceError(
                f"{path}: its suffix does not tell the format; set source.format: csv, parquet or jsonl"
            )
        case other:
            raise SourceError(f"source.format: {other!r} is none of csv, parquet, jsonl")


def _version(source: Source, records: Records) -> str | None:
    if isinstance(records, ManyRecords):
        return records.version
    if not isinstance(source.path, Path) or isinstance(records, NoRecords):
        return None
    return version_of_file(source.path)


class OpenSource:
    """A source whose columns are known."""

    def __init__(
        self,
        records: Records,
        *,
        key: str | None,
        resources: ExitStack,
        version: str | None = None,
        may_be_empty: bool = False,
    ) -> None:
        """Take over the resources."""
        self._version = version
        self._may_be_empty = may_be_empty and isinstance(records, ManyRecords | NoRecords)
        self._records = records
        self._key = key
        self._resources = resources
        self._binary = {field.name for field in records.schema if is_binary(field.type)}
        self._files = {field.name for field in records.schema if is_file(field.type)}
        self._repeats: tuple[int | None, Repeats] | None = None  # the limit up to which they are known

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns, in order."""
        return tuple(self._records.schema.names)

    @property
    def schema(self) -> pa.Schema:
        """Its columns in their own types, as `tables` gives them."""
        return self._records.schema

    @property
    def description(self) -> str:
        """The path, "the query" or "the table"."""
        return self._records.description

    @property
    def dialect(self) -> CsvDialect | None:
        """What was found of CSV files, if it is the same for all; None for anything else."""
        return self._records.dialect if isinstance(self._records, CsvRecords | ManyRecords) else None

    @property
    def is_empty(self) -> bool:
        """Whether it is a folder, a glob or a prefix with nothing in it (yet): no rows, and no columns."""
        return isinstance(self._records, NoRecords)

    @property
    def version(self) -> str | None:
        """What names its files as they were when it was opened; None for a query or a table."""
        return self._version

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what is held open; once is enough, twice does no harm."""
        self._resources.close()

    def check(self, *, needed: Sequence[str], limit: int | None, files: Sequence[str] = ()) -> Checked:
        """Prove, before any money is spent, that the first `limit` rows can be read and told apart.

        The columns of `files` may hold bytes, as others that are `needed` may not.

        Raises:
            SourceError: with every place at fault, as far as a message can name them, and the remedy.
        """
        for name in needed if self._key is None else (*needed, self._key):
            self._check_column(name)
        for name in files:
            self._check_column(name, may_be_file=True)
        found = self._records.prove(limit=limit)
        if found == 0 and self._may_be_empty:
            return Checked(rows=0, source_rows=0)
        if found == 0:
            raise SourceError(f"{self.description}: there are no rows")
        if self._key is None:
            self._find_repeats(limit)
        else:
            self._check_keys(self._key, limit)
        return Checked(rows=found if limit is None else min(found, limit), source_rows=found)

    def check_lengths(
        self, templates: Mapping[str, Template], longest: Mapping[str, int], *, limit: int | None = None
    ) -> None:
        """Prove that no row's label is longer than it may be, in characters; done on whole columns.

        Raises:
            SourceError: with each label at fault, and its first offenders.
        """
        for label, most in longest.items():
            length = len(templates[label].literals[0])
            if templates[label].is_constant and length > most:
                raise SourceError(f"{label} is {length} characters long, and at most {most} are allowed")
        names = tuple(dict.fromkeys(name for label in longest for name in templates[label].names))
        if not names:
            return
        for name in names:
            self._check_column(name)
        offenders: dict[str, list[tuple[int, int]]] = {label: [] for label in longest}  # row, length
        totals = dict.fromkeys(longest, 0)
        number = 1
        for chunk in self._chunks(_AT_ONCE, limit, names):
            lengths = {name: _lengths(chunk.texts(name)) for name in names}
            for label, most in longest.items():
                template = templates[label]
                sizes = np.full(chunk.size, sum(map(len, template.literals)), dtype=np.int64)
                for name in template.names:
                    sizes += lengths[name]
                over = np.flatnonzero(sizes > most)
                totals[label] += len(over)
                room = SHOWN - len(offenders[label])
                offenders[label] += [(number + int(at), int(sizes[at])) for at in over[:room]]
            number += chunk.size
        self._raise_lengths(longest, offenders, totals)

    def rows(
        self, *, size: int = 2048, limit: int | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[list[Row]]:
        """The rows in their order, at most `size` at a time; numbers are those of the source, from 1.

        Their values are of `columns`, or of all that JSON can say. A column of bytes that is named has these
        in `blobs`, and as its value `{sha256, size}` (and `filename`). That keys differ, `check` proves.

        Raises:
            SourceError: the source cannot be read (any more), or a row has no key.
        """
        for rows, _ in self._read(size, limit, columns, read=self._read_for(columns)):
            yield rows.rows()

    def tables(
        self, *, size: int = 2048, limit: int | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[RowsByColumn, pa.RecordBatch]]:
        """The same rows by column, and beside them all columns of the source in their own types.

        Raises:
            SourceError: as `rows`.
        """
        for rows, chunk in self._read(size, limit, columns, read=None):
            yield rows, chunk.batch()

    def _read_for(self, columns: Sequence[str] | None) -> tuple[str, ...] | None:
        """The columns to read; without a key column all of them make the key."""
        if self._key is None:
            return None
        return tuple(dict.fromkeys((*self._shown(columns), self._key)))

    def _shown(self, columns: Sequence[str] | None) -> tuple[str, ...]:
        if columns is None:
            return tuple(name for name in self.columns if name not in self._binary)
        for name in columns:
            self._check_column(name, may_be_file=True)
        return tuple(columns)

    def _read(
        self, size: int, limit: int | None, columns: Sequence[str] | None, *, read: Sequence[str] | None
    ) -> Iterator[tuple[RowsByColumn, Chunk]]:
        shown = self._shown(columns)
        repeats = iter(self._find_repeats(limit)) if self._key is None else iter(())
        repeat = next(repeats, None)
        number = 1
        for chunk in self._chunks(size, limit, read):
            if self._key is not None:
                keys = self._present_keys(chunk, self._key, number)
            else:
                keys = [content_hash(content) for content in chunk.contents()]
                while repeat is not None and repeat[0] < number + chunk.size:
                    at, nth = repeat
                    keys[at - number] += f"-{nth}"
                    repeat = next(repeats, None)
            blobs = {name: file_values(_column(chunk, name)) for name in shown if name in self._files}
            yield (
                RowsByColumn(
                    first=number,
                    keys=keys,
                    columns={
                        name: chunk.values(name)
                        if name not in blobs
                        else [told_of(*one) for one in blobs[name]]
                        for name in shown
                    },
                    blobs={name: [content for content, _ in files] for name, files in blobs.items()},
                ),
                chunk,
            )
            number += chunk.size

    def _chunks(self, size: int, limit: int | None, columns: Sequence[str] | None) -> Iterator[Chunk]:
        left = limit
        if left is not None and left <= 0:
            return
        for chunk in self._records.chunks(size=size, columns=columns):
            if left is None:
                yield chunk
                continue
            yield chunk if chunk.size <= left else chunk.first(left)
            left -= chunk.size
            if left <= 0:
                return

    def _present_keys(self, chunk: Chunk, column: str, first: int) -> list[str]:
        keys = _key_texts(chunk, column)
        present = [key for key in keys if key]
        if len(present) < len(keys):
            at = next(at for at, key in enumerate(keys) if not key)
            raise SourceError(f"{self.description}: row {first + at:,} has no {column!r}, which is its key")
        return present

    def _check_column(self, name: str, *, may_be_file: bool = False) -> None:
        if self.is_empty:
            return  # which nobody can know
        if name not in self.columns:
            raise SourceError(f"{self.description}: {no_such_column(name, self.columns)}")
        if name in self._binary and not (may_be_file and name in self._files):
            raise SourceError(
                f"{self.description}: column {name!r} is binary ({self.schema.field(name).type}), "
                "which no prompt, label or key can show; use another column, or encode it in source.query"
            )

    def _find_repeats(self, limit: int | None) -> Repeats:
        """The rows whose content an earlier row has too, found in a pass of its own when not yet known."""
        if self._repeats is not None and self._repeats[0] in (None, limit):
            return self._repeats[1]
        scratch = self._resources.enter_context(open_scratch(memory=_HASHES_MEMORY, threads=2))
        seen = Seen.of_hashes(scratch)
        for chunk in self._chunks(_AT_ONCE, limit, None):
            seen.add([content_hash(content) for content in chunk.contents()])
        self._repeats = limit, seen.repeats()
        return self._repeats[1]

    def _check_keys(self, column: str, limit: int | None) -> None:
        missing: list[int] = []
        count = 0
        number = 1
        with open_scratch(memory=_HASHES_MEMORY, threads=2) as scratch:
            seen = Seen.of_keys(scratch)
            for chunk in self._chunks(_AT_ONCE, limit, (column,)):
                keys = _key_texts(chunk, column)
                if not all(keys):
                    absent = [at for at, key in enumerate(keys, start=number) if not key]
                    count += len(absent)
                    missing += absent[: SHOWN - len(missing)]
                seen.add(keys)
                number += chunk.size
            if missing:
                places = self._records.places(missing)
                raise SourceError(
                    f"{self.description}: the key {column!r} is empty on "
                    f"{listed([places[at] for at in missing], total=count)}; "
                    "give each row one, or leave out source.key and its content is the key"
                )
            duplicates = seen.duplicates(at_most=SHOWN)
        if duplicates.total:
            self._raise_duplicates(column, duplicates)

    def _raise_duplicates(self, column: str, duplicates: Duplicates) -> NoReturn:
        numbers = {number for group in duplicates.first for number in group}
        keys = self._keys_of(column, numbers)
        places = self._records.places(numbers)
        told = [
            f"{keys[group[0]]!r} on {', '.join(places[number] for number in group)}"
            for group in duplicates.first
        ]
        repeats = "1 row repeats" if duplicates.total == 1 else f"{duplicates.total:,} rows repeat"
        raise SourceError(
            f"{self.description}: the key {column!r} is not a row's own: {'; '.join(told)} "
            f"({repeats} an earlier key); name a column that differs in every row as source.key, "
            "or leave it out and each row's content is its key"
        )

    def _keys_of(self, column: str, numbers: Set[int]) -> dict[int, str | None]:
        keys: dict[int, str | None] = {}
        first = 1
        for chunk in self._chunks(_AT_ONCE, max(numbers), (column,)):
            here = [number for number in numbers if first <= number < first + chunk.size]
            texts = _key_texts(chunk, column) if here else []
            keys |= {number: texts[number - first] for number in here}
            first += chunk.size
        return keys

    def _raise_lengths(
        self,
        longest: Mapping[str, int],
        offenders: Mapping[str, Sequence[tuple[int, int]]],
        totals: Mapping[str, int],
    ) -> None:
        if not any(totals.values()):
            return
        places = self._records.places({number for found in offenders.values() for number, _ in found})
        told = [
            f"{label} is longer than {longest[label]} characters on "
            + listed([f"{places[number]} ({length})" for number, length in found], total=totals[label])
            for label, found in offenders.items()
            if found
        ]
        raise SourceError(f"{self.description}: {'; '.join(told)}; shorten the values or the template")


def _column(chunk: Chunk, name: str) -> Array:
    return chunk.batch().column(name)


def _lengths(texts: Array) -> NDArray[np.int64]:
    """The number of characters of each text; NULL has none."""
    return np.asarray(pc.fill_null(cast("Array", pc.utf8_length(texts)), 0), dtype=np.int64)


def _key_texts(chunk: Chunk, column: str) -> list[str | None]:
    return [
        value if isinstance(value, str) else None if value is None else text_of(value)
        for value in chunk.values(column)
    ]
