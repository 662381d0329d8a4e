"""Rows of one file among several: its own values, and the columns that its place spells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.rows.errors import SourceError
from tasks_lib.rows.records import Chunk
from tasks_lib.rows.values import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChunk:
    """Successive rows of one file."""

    chunk: Chunk  # as the file has them
    name: str
    schema: pa.Schema  # that all files have together, of the columns that were read
    partition: Mapping[str, str | None]  # what the file's folders spell
    file_column: str | None  # that has the file's name

    @property
    def size(self) -> int:
        """How many rows."""
        return self.chunk.size

    def values(self, column: str) -> list[JsonValue]:
        """A column as JSON values."""
        if column in self._spelt:
            return [self._spelt[column]] * self.size
        return self.chunk.values(column)

    def texts(self, column: str) -> Array:
        """A column as text."""
        if column in self._spelt:
            return self._repeated(self._spelt[column])
        return self.chunk.texts(column)

    def contents(self) -> Sequence[Mapping[str, JsonValue]]:
        """All that each row holds, whatever the file is called: a file that is renamed has the same rows."""
        return [{**content, **self.partition} for content in self.chunk.contents()]

    def batch(self) -> pa.RecordBatch:
        """The rows in the types of all files."""
        own = self.chunk.batch()
        arrays = [self._in_type(own.column(field.name), field) for field in self.schema]
        more = {name: self._repeated(value) for name, value in self._spelt.items()}
        return pa.RecordBatch.from_arrays([*arrays, *more.values()], names=[*self.schema.names, *more])

    def first(self, size: int) -> "FileChunk":
        """Its first rows."""
        return FileChunk(
            chunk=self.chunk.first(size),
            name=self.name,
            schema=self.schema,
            partition=self.partition,
            file_column=self.file_column,
        )

    @property
    def _spelt(self) -> Mapping[str, str | None]:
        if self.file_column is None:
            return self.partition
        return {**self.partition, self.file_column: self.name}

    def _repeated(self, value: str | None) -> Array:
        return pa.array([value] * self.size, pa.string())

    def _in_type(self, values: Array, field: "pa.Field[pa.DataType]") -> Array:
        if values.type.equals(field.type):
            return values
        try:
            return pc.cast(values, field.type)
        except pa.ArrowException as error:
            raise SourceError(
                f"{self.name}: column {field.name!r} is {values.type}, and with the other files' "
                f"{field.type}, which does not hold all of its values ({str(error).splitlines()[0]}); write "
                "the files with one type, or read them with source.query"
            ) from error


@dataclass(frozen=True, slots=True)
class JoinedChunk:
    """Successive rows of several files."""

    chunks: Sequence[Chunk]

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> Chunk:
        """These chunks as one."""
        return chunks[0] if len(chunks) == 1 else cls(chunks)

    @property
    def size(self) -> int:
        """How many rows."""
        return sum(chunk.size for chunk in self.chunks)

    def values(self, column: str) -> list[JsonValue]:
        """A column as JSON values."""
        return [value for chunk in self.chunks for value in chunk.values(column)]

    def texts(self, column: str) -> Array:
        """A column as text."""
        return pa.concat_arrays([chunk.texts(column) for chunk in self.chunks])

    def contents(self) -> Sequence[Mapping[str, JsonValue]]:
        """All that each row holds."""
        return [content for chunk in self.chunks for content in chunk.contents()]

    def batch(self) -> pa.RecordBatch:
        """The rows in the types of all files."""
        batches = [chunk.batch() for chunk in self.chunks]
        whole = pa.Table.from_batches(batches).combine_chunks()
        return whole.to_batches()[0]

    def first(self, size: int) -> Chunk:
        """Its first rows."""
        kept: list[Chunk] = []
        for chunk in self.chunks:
            kept.append(chunk if chunk.size <= size else chunk.first(size))
            size -= kept[-1].size
            if size <= 0:
                break
        return self.of(kept)
