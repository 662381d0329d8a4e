"""Where the enriched rows go: a file that appears whole, or a table that is replaced at once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from tasks_lib.domain.job import Destination
from tasks_lib.rows.duckdb_table import TableWriter, open_database
from tasks_lib.rows.errors import OutputError
from tasks_lib.rows.formats import BatchWriter, CsvWriter, JsonlWriter, ParquetWriter
from tasks_lib.rows.whole_file import prove_writable, told, whole_file

_FILES: Final[Mapping[str, type[CsvWriter | JsonlWriter | ParquetWriter]]] = {
    "csv": CsvWriter,
    "jsonl": JsonlWriter,
    "parquet": ParquetWriter,
}


class OutputWriter:
    """An output that is being written."""

    def __init__(self, path: Path, writer: BatchWriter) -> None:
        """Write to `path` with this writer."""
        self._path = path
        self._writer = writer

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows, of the schema that the output was opened with.

        Raises:
            OutputError: there is no room for them.
        """
        with _told(self._path):
            self._writer.write(batch)


@contextmanager
def open_output(destination: Destination, *, schema: pa.Schema) -> Iterator[OutputWriter]:
    """The destination, to be written in order; it holds the new rows when the block ends well, and only then.

    Whatever ends the block otherwise, what was there before is untouched.

    Raises:
        OutputError: it cannot be written; the message names the remedy.
    """
    path = destination.path
    if destination.format == "duckdb":
        with open_database(path) as connection:
            with _told(path):
                writer: BatchWriter = TableWriter(connection, _table(destination), schema)
            with _ended(path, writer):
                yield OutputWriter(path, writer)
        return
    of = _FILES.get(destination.format)
    if of is None:
        raise OutputError(f"output.format: {destination.format!r} is none of csv, parquet, jsonl, duckdb")
    with whole_file(path) as sink:
        with _told(path):
            writer = of(sink, schema)
        with _ended(path, writer):
            yield OutputWriter(path, writer)


def check_output(destination: Destination) -> None:
    """Prove that the destination can be written, before anything is spent for what shall stand there.

    Raises:
        OutputError: it cannot be.
    """
    if destination.format not in {*_FILES, "duckdb"}:
        raise OutputError(f"output.format: {destination.format!r} is none of csv, parquet, jsonl, duckdb")
    if destination.format == "duckdb":
        _table(destination)
        if destination.path.exists():
            with open_database(destination.path):
                return
    prove_writable(destination.path)


@contextmanager
def _ended(path: Path, writer: BatchWriter) -> Iterator[None]:
    try:
        yield
        with _told(path):
            writer.finish()
    except BaseException:
        writer.give_up()
        raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say of an error of the system or the database what it means for the output."""
    try:
        with told(path):
            yield
    except duckdb.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise OutputError(
            f"{path}: the table cannot be written: {reason}; what was there before is untouched"
        ) from error


def _table(destination: Destination) -> str:
    if not destination.table:
        raise OutputError(f"{destination.path}: which table of this database? name it in output.table")
    if '"' in destination.table:
        raise OutputError(f"output.table: {destination.table!r} may not hold a double quote")
    return destination.table
