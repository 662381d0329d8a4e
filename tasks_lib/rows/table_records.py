"""Tables in memory, and the answer of a DuckDB query."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import duckdb
import pyarrow as pa

from tasks_lib.rows.errors import SourceError
from tasks_lib.rows.json_types import JSON
from tasks_lib.rows.records import (
    ArrowChunk,
    arrow_chunks,
    bare,
    prove_valid,
    refuse_alike,
    rows_by_number,
    within_memory,
)
from tasks_lib.rows.values import Array, is_binary

if TYPE_CHECKING:
    import pandas as pd  # half a second and 40 MB; who brings a DataFrame has it already

Table: TypeAlias = "pd.DataFrame | pa.Table | pa.RecordBatchReader"

_MAY_PREPARE = {  # statements that may come before the query itself
    duckdb.StatementType.ATTACH,
    duckdb.StatementType.CREATE,
    duckdb.StatementType.LOAD,
    duckdb.StatementType.PRAGMA,
    duckdb.StatementType.SET,
    duckdb.StatementType.VARIABLE_SET,
}
_HAS_NO_ARROW_TYPE = {"INTERVAL", "TIME WITH TIME ZONE", "BIT", "UHUGEINT", "BIGNUM"}  # or loses part of it


class TableRecords:
    """A table in memory."""

    def __init__(self, table: pa.Table) -> None:
        self.description = "the table"
        self.schema = bare(table.schema)
        self._table = pa.Table.from_arrays(table.columns, schema=self.schema)

    @classmethod
    def of(cls, table: Table) -> "TableRecords":
        """A table, a DataFrame (a named index becomes a column), or what is left of a reader.

        Raises:
            SourceError: a column of the DataFrame mixes types.
        """
        if isinstance(table, pa.RecordBatchReader):
            return cls(table.read_all())
        if isinstance(table, pa.Table):
            return cls(table)
        named_index = any(name is not None for name in table.index.names)
        frame = table.reset_index() if named_index else table
        try:
            return cls(pa.Table.from_pandas(frame.rename(columns=str), preserve_index=False))
        except (pa.ArrowException, ValueError) as error:
            raise SourceError(f"the table: a column mixes types that do not go together ({error})") from error

    def prove(self, *, limit: int | None) -> int:  # noqa: ARG002  it is all there
        """The number of rows."""
        prove_valid(self._table, where=self.description)
        return self._table.num_rows

    def chunks(self, *, size: int, columns: Sequence[str] | None) -> Iterator[ArrowChunk]:
        """The rows; see `Records.chunks`."""
        del columns  # all are in memory anyway; but rows hold a copy of their files
        files = sum(self._table.column(name).nbytes for name in _files_of(self.schema))
        size = within_memory(size, bytes_a_row=files / max(1, self._table.num_rows))
        yield from arrow_chunks(self._table.to_batches(max_chunksize=size), size=size)

    def places(self, numbers: Iterable[int]) -> Mapping[int, str]:
        """Rows have no lines here."""
        return rows_by_number(numbers)


class QueryRecords:
    """The answer of a query, stored once: the rows that were checked are the rows that are read."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, query: str, *, folder: Path | None) -> None:
        """Prepare the query; `folder` is where its relative paths begin.

        Raises:
            SourceError: it does not parse, or names what is not there.
        """
        self.description = "the query"
        self._connection = connection
        try:
            if folder is not None:
                connection.execute("set file_search_path = $folder", {"folder": str(folder)})
            self._answer = self._prepared(query)
        except duckdb.Error as error:
            raise _failed(error) from error
        self._stored = False
        empty = self._answer.limit(0).to_arrow_table().schema  # in which JSON is text
        fields = zip(empty, self._answer.types, strict=True)
        self.schema = bare(
            pa.schema([field.with_type(JSON) if str(of) == "JSON" else field for field, of in fields])
        )

    def prove(self, *, limit: int | None) -> int:  # noqa: ARG002  the query is run once and whole
        """The number of rows, after the query has been run."""
        found = self._stored_answer().execute("select count(*) from rowmill_answer").fetchone()
        return int(found[0]) if found is not None else 0

    def chunks(self, *, size: int, columns: Sequence[str] | None) -> Iterator[ArrowChunk]:
        """The rows; see `Records.chunks`."""
        wanted = self.schema.names if columns is None else list(columns) or self.schema.names[:1]
        if any(name in wanted for name in _files_of(self.schema)):
            size = within_memory(size, bytes_a_row=None)
        cursor = self._stored_answer().cursor()
        try:
            answer = cursor.table("rowmill_answer").project(", ".join(_quoted(name) for name in wanted))
            for batch in answer.to_arrow_reader(size):
                typed = [self._typed(array, name) for array, name in zip(batch.columns, wanted, strict=True)]
                yield from arrow_chunks([pa.RecordBatch.from_arrays(typed, names=wanted)], size=size)
        except duckdb.Error as error:
            raise _failed(error) from error

    def places(self, numbers: Iterable[int]) -> Mapping[int, str]:
        """Rows have no lines here."""
        return rows_by_number(numbers)

    def _prepared(self, query: str) -> duckdb.DuckDBPyRelation:
        """The relation of the last statement, after those before it have been executed."""
        *before, last = self._connection.extract_statements(query) or (None,)
        if last is None or last.type != duckdb.StatementType.SELECT:
            raise SourceError(
                "source.query: the (last) statement must be one that gives rows, such as select"
            )
        for statement in before:
            if statement.type not in _MAY_PREPARE:
                raise SourceError(
                    f"source.query: {statement.type.name.lower()} may not come before the query; "
                    "attach, create, load, pragma and set may"
                )
            self._connection.execute(statement)
        answer = self._connection.sql(last.query)
        refuse_alike("source.query", answer.columns)
        columns = [
            f"cast({_quoted(name)} as varchar) as {_quoted(name)}"
            if str(of) in _HAS_NO_ARROW_TYPE
            else _quoted(name)
            for name, of in zip(answer.columns, answer.types, strict=True)
        ]
        return answer.project(", ".join(columns))

    def _stored_answer(self) -> duckdb.DuckDBPyConnection:
        if not self._stored:
            try:
                self._answer.create("rowmill_answer")
            except duckdb.Error as error:
                raise _failed(error) from error
            self._stored = True
        return self._connection

    def _typed(self, array: Array, name: str) -> Array:
        """The array, marked as JSON where DuckDB gives it as text only."""
        of = self.schema.field(name).type
        return pa.ExtensionArray.from_storage(of, array) if isinstance(of, pa.JsonType) else array


def _files_of(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if is_binary(field.type)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _failed(error: duckdb.Error) -> SourceError:
    return SourceError(f"source.query: {str(error).strip()}")
