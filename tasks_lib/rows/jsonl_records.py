"""JSONL files: an object a line; the columns are all the fields that occur, in order of appearance."""

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    def __init__(self, path: Path, *, encoding: str) -> None:
        """Read it once, to know its columns and their types.

        Raises:
            SourceError: it is missing, or a line is not an object.
        """
        self.description = str(path)
        self._path = path
        self._encoding = encoding
        try:
            self._unchanged = Unchanged(path)
        except OSError as error:
            raise SourceError(cannot_read(path, error)) from error
        self._rows, types, doubtful = self._found_types()
        if doubtful:
            types |= dict.fromkeys(self._not_held({name: types[name] for name in doubtful}), JSON)
        self.schema = pa.schema(list(types.items()))

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

    def _found_types(self) -> tuple[int, dict[str, pa.DataType], list[str]]:
        """The number of rows, the type of each column, and the columns in which integers became floats."""
        rows = 0
        types: dict[str, pa.DataType] = {}
        doubtful: dict[str, None] = {}
        for group in self._groups(_GROUP):
            rows += len(group)
            for found in group:
                if found.keys() != types.keys():
                    types.update({name: pa.null() for name in found if name not in types})
            for name, before in types.items():
                if before == JSON:
                    continue
                here = type_of([found.get(name) for found in group])
                types[name] = common(before, here)
                if before != here and not pa.types.is_null(before) and not pa.types.is_null(here):
                    doubtful[name] = None
        return rows, {name: settled(of) for name, of in types.items()}, list(doubtful)

    def _not_held(self, types: Mapping[str, pa.DataType]) -> set[str]:
        """The columns with a value that is not exactly of their type, such as 2^53 + 1 among floats."""
        return {
            name
            for group in self._groups(_GROUP)
            for name, of in types.items()
            if of != JSON and not holds(of, [found.get(name) for found in group])
        }


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
