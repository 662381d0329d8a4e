"""Where the enriched rows go: a file that appears whole, or a table that is replaced at once."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

import duckdb
import pyarrow as pa

from tasks_lib.domain.job import Destination
from tasks_lib.domain.place import Address, Place, Storage
from tasks_lib.rows.copies import folder_of_copies
from tasks_lib.rows.duckdb_table import TableWriter, open_database
from tasks_lib.rows.errors import OutputError
from tasks_lib.rows.formats import BatchWriter, CsvWriter, JsonlWriter, ParquetWriter
from tasks_lib.rows.found_files import version_of_file
from tasks_lib.rows.store import Store
from tasks_lib.rows.whole_file import prove_writable, told, whole_file

_FILES: Final[Mapping[str, type[CsvWriter | JsonlWriter | ParquetWriter]]] = {
    "csv": CsvWriter,
    "jsonl": JsonlWriter,
    "parquet": ParquetWriter,
}


class OutputWriter:
    """An output that is being written."""

    def __init__(self, path: Place, writer: BatchWriter) -> None:
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
    if isinstance(path, Address):
        with _elsewhere(destination, path, schema) as output:
            yield output
        return
    if destination.format == "duckdb":
        with open_database(path) as connection:
            with _told(path):
                writer: BatchWriter = TableWriter(connection, _table(destination), schema)
            with _ended(path, writer):
                yield OutputWriter(path, writer)
        return
    of = _writer_of(destination)
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
    if isinstance(destination.path, Address):
        _writer_of(destination)
        _store_of(destination.path, destination.storage).prove_writable()
        return
    if destination.format != "duckdb":
        _writer_of(destination)
    path = destination.path
    if destination.format == "duckdb":
        _table(destination)
        if path.exists():
            with open_database(path):
                return
    prove_writable(path)


def version_of_output(destination: Destination) -> str | None:
    """What names an output that is a file or an object as it is now; None if it is not there.

    A file is taken for unchanged by its length, its place on the disk and its times of change.

    Raises:
        OutputError: a store cannot be asked.
    """
    path = destination.path
    if isinstance(path, Address):
        found = _store_of(path, destination.storage).object()
        return None if found is None else f"{path} {found.size} {found.version}"
    return version_of_file(path)


@contextmanager
def _elsewhere(destination: Destination, address: Address, schema: pa.Schema) -> Iterator[OutputWriter]:
    """An output in a store: written here, and sent when it is whole."""
    of = _writer_of(destination)
    with ExitStack() as resources:
        with _told(address):
            part = resources.enter_context(folder_of_copies()) / "output"
            sink = resources.enter_context(pa.OSFile(str(part), "wb"))
            writer = of(sink, schema)
        with _ended(address, writer):
            yield OutputWriter(address, writer)
        with _told(address):
            sink.close()
        _store_of(address, destination.storage).put(part)


def _store_of(address: Address, storage: Storage) -> Store:
    """The store of an output.

    Raises:
        OutputError: nothing can be written there.
    """
    if address.is_web:
        raise OutputError(f"{address}: nothing can be written to an address of the web; name s3:// or gs://")
    return Store(address, storage, wrong=OutputError)


def _writer_of(destination: Destination) -> type[CsvWriter | JsonlWriter | ParquetWriter]:
    of = _FILES.get(destination.format)
    if of is None and isinstance(destination.path, Address):
        raise OutputError(f"{destination.path}: only csv, parquet and jsonl can be written to a store")
    if of is None:
        raise OutputError(f"output.format: {destination.format!r} is none of csv, parquet, jsonl, duckdb")
    return of


@contextmanager
def _ended(path: Place, writer: BatchWriter) -> Iterator[None]:
    try:
        yield
        with _told(path):
            writer.finish()
    except BaseException:
        writer.give_up()
        raise


@contextmanager
def _told(path: Place) -> Iterator[None]:
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
