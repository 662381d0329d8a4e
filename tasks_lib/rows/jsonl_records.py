"""JSONL files: an object a line; the columns are all the fields that occur, in order of appearance."""

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.rows.errors import SHOWN, SourceError, listed
from tasks_lib.rows.json_types import JSON, common, holds, json_array, settled, type_of
from tasks_lib.rows.records import Unchanged
from tasks_lib.rows.text_stream import cannot_read, utf8_blocks
from tasks_lib.rows.values import Array, parsed, text_of

_Object = Mapping[str, JsonValue]
_GROUP = 4_096  # rows whose types are found together


class JsonlRecords:
    """An open JSONL file."""

    def __init__(
        self,
        path: Path,
        *,
        encoding: str,
        unchanged: Unchanged | None = None,
        known: tuple[int, pa.Schema] | None = None,
    ) -> None:
        """Read it once, to know its columns and their types, unless rows and schema are `known`.

        The file is `unchanged` since now, unless that says since when.

        Raises:
            SourceError: it is missing, or a line is not an object.
        """
        self.description = str(path)
        self._path = path
        self._encoding = encoding
        try:
            self._unchanged = unchanged or Unchanged(path)
        except OSError as error:
            raise SourceError(cannot_read(path, error)) from error
        self.found = Found({}, set()) if known is not None else Found.of(self._groups(_GROUP))
        if known is not None:
            self._rows, self.schema = known
            return
        self._rows = self.found.rows
        self.schema = self.found.schema(self.not_held)

    def prove(self, *, limit: int | None) -> int:  # noqa: ARG002  it was read whole when it was opened
        """The number of rows."""
        self._unchanged.prove()
        return self._rows

    def chunks(self, *, size: int, columns: Sequence[str] | None) -> Iterator["JsonChunk"]:
        """The rows; see `Records.chunks`."""
        del columns  # a line is parsed whole anyway
        self._unchanged.prove()
        for objects in self._groups(size):
            yield JsonChunk(objects, self.schema)
        self._unchanged.prove()

    def places(self, numbers: Iterable[int]) -> Mapping[int, str]:
        """The lines on which these rows are."""
        wanted = set(numbers)
        lines = (line for line, text in self._lines() if text)
        return {number: f"line {line:,}" for number, line in enumerate(lines, start=1) if number in wanted}

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Each line with its number, stripped; blank ones too."""
        parts: list[bytes] = []  # of a line that has not ended
        number = 1
        for block in chain(utf8_blocks(self._path, encoding=self._encoding), [b"\n"]):
            *ended, rest = block.split(b"\n")
            for end in ended:
                text = b"".join((*parts, end))
                yield number, (text.removeprefix(codecs.BOM_UTF8) if number == 1 else text).strip()
                parts.clear()
                number += 1
            parts.append(rest)

    def _objects(self) -> Iterator[_Object]:
        faults: list[str] = []
        count = 0
        for number, text in self._lines():
            if not text:
                continue  # a blank line holds no row
            try:
                value = parsed(text)
            except ValueError as error:
                value = None
                fault = f"line {number:,} (not JSON: {error})"
            else:
                fault = f"line {number:,} ({_called(value)})"
            if isinstance(value, dict):
                yield value
                continue
            count += 1
            if count <= SHOWN:
                faults.append(fault)
        if faults:
            raise SourceError(
                f"{self._path}: each line must be a JSON object, but not {listed(faults, total=count)}"
            )

    def _groups(self, size: int) -> Iterator[list[_Object]]:
        objects = self._objects()
        while group := list(islice(objects, size)):
            yield group

    def not_held(self, types: Mapping[str, pa.DataType]) -> set[str]:
        """The columns with a value that is not exactly of their type, such as 2^53 + 1 among floats."""
        return {
            name
            for group in self._groups(_GROUP)
            for name, of in types.items()
            if of != JSON and not holds(of, [found.get(name) for found in group])
        }


@dataclass(slots=True)
class Found:
    """The types that columns of JSON have so far."""

    types: dict[str, pa.DataType]  # null where there were only NULLs
    doubtful: set[str]  # columns in which integers became floats
    rows: int = 0

    @classmethod
    def of(cls, groups: Iterable[Sequence[_Object]]) -> "Found":
        """What all these rows have."""
        found = cls({}, set())
        for group in groups:
            found.rows += len(group)
            here: dict[str, None] = {}
            for one in group:
                if one.keys() != found.types.keys():
                    here.update(dict.fromkeys(one))
            found.add(
                {
                    name: type_of([one.get(name) for one in group])
                    for name in dict.fromkeys((*found.types, *here))
                    if found.types.get(name) != JSON
                }
            )
        return found

    def add(self, types: Mapping[str, pa.DataType]) -> None:
        """Take in the types of further rows."""
        for name, here in types.items():
            before = self.types.get(name, pa.null())
            self.types[name] = common(before, here)
            if before != here and not pa.types.is_null(before) and not pa.types.is_null(here):
                self.doubtful.add(name)

    def schema(self, not_held: Callable[[Mapping[str, pa.DataType]], set[str]]) -> pa.Schema:
        """The columns in types that a file can hold; `not_held` looks for values that one does not hold."""
        types = {name: settled(of) for name, of in self.types.items()}
        doubtful = {name: types[name] for name in types if name in self.doubtful}
        if doubtful:
            types |= dict.fromkeys(not_held(doubtful), JSON)
        return pa.schema(list(types.items()))


@dataclass(frozen=True, slots=True)
class JsonChunk:
    """Successive rows as the objects that the lines spell."""

    objects: Sequence[_Object]
    schema: pa.Schema

    @property
    def size(self) -> int:
        """How many rows."""
        return len(self.objects)

    def values(self, column: str) -> list[JsonValue]:
        """A field of each row; None where it has none."""
        return [found.get(column) for found in self.objects]

    def texts(self, column: str) -> Array:
        """A field of each row as text."""
        values = self.values(column)
        return pa.array([None if value is None else text_of(value) for value in values], pa.string())

    def contents(self) -> Sequence[_Object]:
        """The objects themselves: a field that only later rows have is no content of this one."""
        return self.objects

    def batch(self) -> pa.RecordBatch:
        """The rows in the types of all rows."""
        arrays = [json_array(field.type, self.values(field.name)) for field in self.schema]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def first(self, size: int) -> "JsonChunk":
        """Its first rows."""
        return JsonChunk(self.objects[:size], self.schema)


def _called(value: JsonValue) -> str:
    """What a value is, in JSON's words."""
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, bool):
        return "a boolean"
    return "null" if value is None else "a number"
