"""One DuckDB file, and a connection to it for each thread.

A connection that threads share loses inserts; a cursor is a connection of its own to the same database.
"""

import threading
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from tasks_lib.ledger.arrivals import Arrivals
from tasks_lib.ledger.errors import LedgerError, told
from tasks_lib.ledger.torn_log import cut, damaged_at, is_torn, log_of

_NO_EXTENSIONS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",  # it stalls for seconds without a network
    "autoload_known_extensions": "false",
}
_READING = _NO_EXTENSIONS | {
    "enable_external_access": "false",  # a query reads the ledger and no other file
}
_WRITING = _NO_EXTENSIONS | {
    "checkpoint_threshold": "1GB",  # at the default of 16 MB commits stall for a second again and again
    "threads": "1",  # 100 rows are nothing to share out, and waking others costs half as much again
}
_BOUNDS = ((1_500, "64MB"), (4_000, "160MB"))  # the longest text in bytes, and the memory that does
# A checkpoint would weigh this method, and take 150 MB for that. `connect` does not heed it (1.5.5).
_NO_DICTIONARY = "set global disabled_compression_methods = 'dictionary'"
_SESSION = "set timezone = 'UTC'; set enable_progress_bar = false"  # it would draw on a piped stdout


_MAGIC = slice(8, 12)  # where a DuckDB file says that it is one


class Connections:
    """The connections of one process to one ledger."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Open the file; one that is not there is made, unless it is to be read only.

        Raises:
            LedgerInUse: another process has it.
            LedgerError: it cannot be opened or made.
        """
        self._path = path
        self._bound = -1  # which of the bounds holds
        self._cursors: dict[threading.Thread, duckdb.DuckDBPyConnection] = {}
        self._making = threading.Lock()
        self._closed = False
        self._writer: tuple[duckdb.DuckDBPyConnection, Arrivals] | None = None
        _check_place(path, read_only=read_only)
        with told(path):
            self._root = _read(path) if read_only else _opened(path)
            if read_only:
                return
            self._root.execute(_NO_DICTIONARY)
            row = self._root.execute("select current_setting('memory_limit')").fetchone()
            self._own_limit = str(row[0]) if row else "4GB"
            with suppress(duckdb.TransactionException):  # unless this process writes to it by another object
                self._root.execute("checkpoint")  # what a crash left in the log is in memory now

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's connection.

        Raises:
            LedgerError: the ledger was closed.
        """
        thread = threading.current_thread()
        cursor = self._cursors.get(thread)
        if cursor is not None:
            return cursor
        with self._making:
            if self._closed:
                raise LedgerError(f"the ledger {self._path} is closed")
            for ended in [known for known in self._cursors if not known.is_alive()]:
                self._cursors.pop(ended).close()
            with told(self._path):
                cursor = self._root.cursor()
                cursor.execute(_SESSION)
            self._cursors[thread] = cursor
        return cursor

    def writer(self) -> tuple[duckdb.DuckDBPyConnection, Arrivals]:
        """The connection that task runs are added by, which is no thread's own: one may use it at a time.

        Raises:
            LedgerError: the ledger was closed.
        """
        with self._making:
            if self._closed:
                raise LedgerError(f"the ledger {self._path} is closed")
            if self._writer is None:
                with told(self._path):
                    cursor = self._root.cursor()
                    cursor.execute(_SESSION)
                    self._writer = cursor, Arrivals(cursor)
            return self._writer

    def allow_memory(self, *, longest_text: int | None) -> None:
        """Bound DuckDB's memory by what texts of so many bytes need, and never below what it was before.

        Without a bound all that is not yet checkpointed stays in memory, up to 1 GB; with one it goes to a
        temporary file. But a checkpoint that finds no memory closes the database, so that the bounds are
        twice what was found to do; and texts beyond 4 KB cannot all go to that file, so that these have none
        but DuckDB's own. None: a text of any length.
        """
        step = next(
            (at for at, (most, _) in enumerate(_BOUNDS) if longest_text is not None and longest_text <= most),
            len(_BOUNDS),
        )
        if step <= self._bound:
            return
        cursor = self.cursor()
        limit = _BOUNDS[step][1] if step < len(_BOUNDS) else self._own_limit
        with suppress(duckdb.OutOfMemoryException):  # there is more already than could be given back
            cursor.execute(f"set global memory_limit = '{limit}'")  # `reset` would only look as if (1.5.5)
        self._bound = step

    def close(self) -> None:
        """Let the file go; what is in the write-ahead log is checkpointed."""
        with self._making:
            self._closed = True
            for cursor in self._cursors.values():
                cursor.close()
            self._cursors.clear()
            if self._writer is not None:
                self._writer[0].close()
                self._writer = None
            pa.default_memory_pool().release_unused()  # the checkpoint takes some 30 MB for itself
            self._root.close()


def _read(path: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(path, read_only=True, config=_READING)


def _opened(path: Path) -> duckdb.DuckDBPyConnection:
    """The file for writing, without what a power failure left of a commit that nobody was told of."""
    for _ in range(2):
        try:
            return duckdb.connect(path, config=_WRITING)
        except duckdb.Error as error:
            at, log = damaged_at(error), log_of(path)
            if at is None or not is_torn(log, at=at):
                raise
            try:
                cut(log, at=at)
            except OSError as refused:
                raise LedgerError(
                    f"{log} has a torn end, which cannot be cut off: {refused.strerror}."
                ) from error
    return duckdb.connect(path, config=_WRITING)


def _check_place(path: Path, *, read_only: bool) -> None:
    """Say what DuckDB would say less clearly, or would try to get an extension for."""
    if not path.exists():
        if read_only:
            raise LedgerError(f"there is no ledger at {path}. `rowmill run` makes one; see --ledger.")
        if not path.parent.is_dir():
            raise LedgerError(
                f"the folder {path.parent} of the ledger {path.name} does not exist. Make it first."
            )
        return
    try:
        with path.open("rb") as file:
            head = file.read(_MAGIC.stop)
    except OSError as error:
        raise LedgerError(f"{path} cannot be read as a ledger ({error.strerror}).") from error
    if head[_MAGIC] != b"DUCK":
        raise LedgerError(f"{path} is not a DuckDB database. Name another file for the ledger.")
