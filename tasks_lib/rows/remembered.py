"""What is remembered of each file of a source: little, and enough to read it again without a second look.

There may be a hundred thousand files, each of which is opened and closed once for every pass; what many have
alike (a header, a dialect, a schema) is kept once.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from tasks_lib.domain.job import Source
from tasks_lib.rows.csv_dialect import CsvDialect, CsvHeader
from tasks_lib.rows.csv_records import CsvRecords
from tasks_lib.rows.csv_strict import CsvStructure
from tasks_lib.rows.errors import SourceError
from tasks_lib.rows.jsonl_records import Found, JsonlRecords
from tasks_lib.rows.parquet_records import ParquetRecords
from tasks_lib.rows.records import Records, Unchanged
from tasks_lib.rows.values import is_text

Again: TypeAlias = Callable[[], Iterator[tuple[Path, Unchanged]]]  # all files, from the first one on

_UNPROVEN = -1  # rows of a file that was not gone through yet


class Remembered(Protocol):
    """The files of one format, each looked at once, in order."""

    def look(self, path: Path, unchanged: Unchanged) -> list[str]:
        """Look at the next file, and give the names of its columns.

        Raises:
            SourceError: it cannot be read, or its columns cannot be known.
        """

    def schema(self, names: Sequence[str], again: Again) -> pa.Schema:
        """The columns that all files have together; `names` are those of the files, for messages.

        Raises:
            SourceError: a column has types that do not go together.
        """

    def opened(self, at: int, path: Path, unchanged: Unchanged) -> Records:
        """The file with this index, opened."""

    def proven(self, at: int, records: Records) -> None:
        """Remember what the proof of a file has found."""


class CsvFiles:
    """CSV files, each with a dialect of its own."""

    def __init__(self, source: Source) -> None:
        """Dialects are as the source says, as far as it says."""
        self._source = source
        self._kinds: dict[tuple[CsvDialect, CsvHeader], int] = {}
        self._by_number: list[tuple[CsvDialect, CsvHeader]] = []
        self._kind = array("i")  # of each file
        self._rows = array("q")
        self._longest = array("q")

    @property
    def dialect(self) -> CsvDialect | None:
        """That of the files, if all have the same."""
        dialects = {dialect for dialect, _ in self._by_number}
        return next(iter(dialects)) if len(dialects) == 1 else None

    def look(self, path: Path, unchanged: Unchanged) -> list[str]:
        """See `Remembered.look`."""
        records = CsvRecords.open(self._source, path, unchanged=unchanged)
        kind = records.dialect, records.header
        number = self._kinds.setdefault(kind, len(self._kinds))
        if number == len(self._by_number):
            self._by_number.append(kind)
        self._kind.append(number)
        self._rows.append(_UNPROVEN)
        self._longest.append(0)
        return list(records.header.names)

    def schema(self, names: Sequence[str], again: Again) -> pa.Schema:  # noqa: ARG002  all is text
        """The columns in the first file's order."""
        return pa.schema([pa.field(name, pa.string()) for name in self._by_number[0][1].names])

    def opened(self, at: int, path: Path, unchanged: Unchanged) -> CsvRecords:
        """See `Remembered.opened`."""
        dialect, header = self._by_number[self._kind[at]]
        rows = self._rows[at]
        structure = CsvStructure(rows=rows, longest=self._longest[at]) if rows != _UNPROVEN else None
        return CsvRecords(path, dialect=dialect, header=header, unchanged=unchanged, structure=structure)

    def proven(self, at: int, records: Records) -> None:
        """Remember the structure."""
        assert isinstance(records, CsvRecords)  # noqa: S101  `opened` gave it
        self._rows[at], self._longest[at] = records.structure.rows, records.structure.longest


class ParquetFiles:
    """Parquet files, whose columns may have types that go together: integers of any width, and floats."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._schemas: list[tuple[pa.Schema, int]] = []  # each with the first file that has it
        self._files = 0

    def look(self, path: Path, unchanged: Unchanged) -> list[str]:
        """See `Remembered.look`."""
        schema = ParquetRecords(path, unchanged=unchanged).schema
        if not any(schema.equals(known) for known, _ in reversed(self._schemas)):
            self._schemas.append((schema, self._files))
        self._files += 1
        return schema.names

    def schema(self, names: Sequence[str], again: Again) -> pa.Schema:  # noqa: ARG002  the footers tell all
        """See `Remembered.schema`."""
        types = {field.name: field.type for field in self._schemas[0][0]}
        for schema, first in self._schemas[1:]:
            for field in schema:
                before = types[field.name]
                both = _together(before, field.type)
                if both is None:
                    raise SourceError(
                        f"{names[first]}: column {field.name!r} is {field.type}, and in earlier files "
                        f"(such as {names[0]}) {before}; write the files with one type, or read them with "
                        "source.query"
                    )
                types[field.name] = both
        return pa.schema(list(types.items()))

    def opened(self, at: int, path: Path, unchanged: Unchanged) -> ParquetRecords:  # noqa: ARG002  the footer tells all
        """See `Remembered.opened`."""
        return ParquetRecords(path, unchanged=unchanged)

    def proven(self, at: int, records: Records) -> None:
        """The footer tells all."""


class JsonlFiles:
    """JSONL files, which together have all fields that any of them has."""

    def __init__(self, source: Source) -> None:
        """The encoding is as the source says."""
        self._encoding = source.encoding
        self._found = Found({}, set())
        self._schema = pa.schema([])
        self._rows = array("q")

    def look(self, path: Path, unchanged: Unchanged) -> list[str]:
        """See `Remembered.look`."""
        records = JsonlRecords(path, encoding=self._encoding, unchanged=unchanged)
        self._found.add(records.found.types)
        self._found.doubtful |= records.found.doubtful
        self._rows.append(records.found.rows)
        return list(self._found.types)

    def schema(self, names: Sequence[str], again: Again) -> pa.Schema:  # noqa: ARG002  JSON holds all
        """The columns in the order in which they appear; where that is not enough, files are read again."""

        def not_held(types: Mapping[str, pa.DataType]) -> set[str]:
            nothing = 0, pa.schema([])
            return {
                name
                for path, unchanged in again()
                for name in JsonlRecords(
                    path, encoding=self._encoding, unchanged=unchanged, known=nothing
                ).not_held(types)
            }

        self._schema = self._found.schema(not_held)
        return self._schema

    def opened(self, at: int, path: Path, unchanged: Unchanged) -> JsonlRecords:
        """See `Remembered.opened`."""
        known = self._rows[at], self._schema
        return JsonlRecords(path, encoding=self._encoding, unchanged=unchanged, known=known)

    def proven(self, at: int, records: Records) -> None:
        """It was read whole when it was looked at."""


def remembered(source: Source, *, format: str) -> Remembered:  # noqa: A002  the user's word
    """What is to be remembered of files of a format.

    Raises:
        SourceError: there is no such format.
    """
    match format:
        case "csv":
            return CsvFiles(source)
        case "parquet":
            return ParquetFiles()
        case "jsonl":
            return JsonlFiles(source)
        case other:
            raise SourceError(f"source.format: {other!r} is none of csv, parquet, jsonl")


def _together(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """A type that values of both have; None if there is none that users would expect."""
    one, other = (_plain(of) if one != other else of for of in (one, other))
    if one.equals(other):
        return one
    if is_text(one) and is_text(other):
        return pa.large_string()
    try:
        fields: list[Any] = [pa.schema([pa.field("it", of)]) for of in (one, other)]
        both: pa.DataType = pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None
    return both


def _plain(of: pa.DataType) -> pa.DataType:
    """The type of the values, however they are packed."""
    if pa.types.is_dictionary(of) or pa.types.is_run_end_encoded(of):
        packed: Any = of
        of = packed.value_type
    return of
