"""Record batches as CSV, JSONL and Parquet."""

from collections.abc import Iterable
from typing import Final, Protocol, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from tasks_lib.rows.values import Array, json_values, text_values

_ROW_GROUP_ROWS: Final = 65_536
_ROW_GROUP_BYTES: Final = 64 << 20  # in memory, before encoding
_NEEDS_QUOTES: Final = '[",\\r\\n]'

Field: TypeAlias = "pa.Field[pa.DataType]"  # only the stubs' class has a parameter


class BatchWriter(Protocol):
    """Writes batches of one schema; ended by `finish`, or given up."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch.

        Raises:
            OSError: there is no room, or no right, to write.
        """

    def finish(self) -> None:
        """Write what is still to be written.

        Raises:
            OSError: as `write`.
        """

    def give_up(self) -> None:
        """Let go without writing any more."""


class CsvWriter:
    """CSV in UTF-8: comma, LF, quotes where they are needed; NULL is nothing, empty text is `""`.

    Nested values are JSON text. Values are left as they are: what a spreadsheet takes for a formula too.
    """

    def __init__(self, sink: pa.NativeFile, schema: pa.Schema) -> None:
        """Write the header."""
        self._sink = sink
        self._alone = len(schema) == 1
        self._write_lines([_quoted(pa.array([name], pa.string())) for name in schema.names])

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch."""
        if batch.num_rows:
            self._write_lines([_quoted(text_values(column)) for column in batch.columns])

    def finish(self) -> None:
        """Nothing is held back."""

    def give_up(self) -> None:
        """Nothing is held back."""

    def _write_lines(self, columns: Iterable[Array]) -> None:
        # NULL alone in a line would make it blank, which is no row to any reader
        null = '""' if self._alone else ""
        lines: Array = pc.binary_join_element_wise(
            *columns, ",", null_handling="replace", null_replacement=null
        )
        self._sink.write(("\n".join(lines.to_pylist()) + "\n").encode())


class JsonlWriter:
    """An object a line, every column in each; JSON columns as the values they spell."""

    def __init__(self, sink: pa.NativeFile, schema: pa.Schema) -> None:
        """Nothing is written yet."""
        self._sink = sink
        self._names = schema.names

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch."""
        columns = [json_values(column) for column in batch.columns]
        objects = (dict(zip(self._names, values, strict=True)) for values in zip(*columns, strict=True))
        self._sink.write(b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in objects))

    def finish(self) -> None:
        """Nothing is held back."""

    def give_up(self) -> None:
        """Nothing is held back."""


class ParquetWriter:
    """Parquet, zstd, in row groups of some 65,000 rows; a type that it does not know becomes text."""

    def __init__(self, sink: pa.NativeFile, schema: pa.Schema) -> None:
        """Write the beginning."""
        self._schema = pa.schema(
            [field if _is_stored_by_parquet(field) else pa.field(field.name, pa.string()) for field in schema]
        )
        self._writer = parquet.ParquetWriter(sink, self._schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch."""
        self._waiting.append(as_schema(batch, self._schema))
        rows = sum(waiting.num_rows for waiting in self._waiting)
        if rows >= _ROW_GROUP_ROWS or sum(waiting.nbytes for waiting in self._waiting) >= _ROW_GROUP_BYTES:
            self._write_row_group()

    def finish(self) -> None:
        """Write the last row group and the footer."""
        if self._waiting:
            self._write_row_group()
        self._writer.close()

    def give_up(self) -> None:
        """Forget what is waiting."""
        self._waiting = []
        self._writer.is_open = False  # or it would write a footer when it is collected

    def _write_row_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, schema=self._schema)
        self._waiting = []
        self._writer.write_table(table, row_group_size=table.num_rows)


def as_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with those columns as text that the schema has as text."""
    columns = [
        column if field.type == column.type else text_values(column)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _quoted(texts: Array) -> Array:
    """The texts as CSV fields; NULL stays NULL."""
    special = pc.or_(pc.match_substring_regex(texts, _NEEDS_QUOTES), pc.equal(texts, pa.scalar("")))
    if not pc.any(special).as_py():
        return texts
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), texts)


def _is_stored_by_parquet(field: Field) -> bool:
    try:
        with parquet.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])) as writer:
            writer.write_table(pa.schema([field]).empty_table())
    except pa.ArrowException:
        return False
    return True
