"""What can go wrong with a ledger, each in one message with its remedy.

Mistake
└── LedgerError        cannot be opened, read or written: no folder, no permission, disk full, damaged
    ├── LedgerInUse    another process writes to it
    ├── LedgerTooNew   a later version of the program made it
    └── NotInLedger    there is no such task run, or no such report
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from tasks_lib.domain.mistake import Mistake
from tasks_lib.ledger.torn_log import damaged_at, is_torn, log_of


class LedgerError(Mistake):
    """The ledger cannot be opened, read or written."""


class LedgerInUse(LedgerError):
    """Another process has the ledger open; `pid` is its number where DuckDB tells it."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class LedgerTooNew(LedgerError):
    """The ledger was made by a later version of the program."""


class NotInLedger(LedgerError):
    """The ledger holds no such thing."""


_LOCKED = re.compile(r"Conflicting lock is held(?: in (?P<program>.*?))?(?: \(PID (?P<pid>\d+)\))")
_MEMORY_USED = re.compile(r"\([\d.]+ \w+/[\d.]+ \w+ used\)")
_FULL = re.compile(
    r"No space left on device|File too large|Disk quota exceeded|max_temp_directory_size", re.IGNORECASE
)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """DuckDB's errors inside become ours, in words that say what to do.

    Raises:
        LedgerError: DuckDB failed.
    """
    try:
        yield
    except duckdb.Error as error:
        raise _translated(error, path) from error


def is_out_of_memory(error: duckdb.Error) -> bool:
    """Whether DuckDB reached its limit of memory, in whatever it was doing."""
    if isinstance(error, duckdb.FatalException):
        return False  # it may have been for want of memory, but there is nothing left to give it to
    return isinstance(error, duckdb.OutOfMemoryException) or _MEMORY_USED.search(str(error)) is not None


def _translated(error: duckdb.Error, path: Path) -> LedgerError:
    said = str(error)
    locked = _LOCKED.search(said)
    if locked is not None:
        pid = int(locked["pid"])
        return LedgerInUse(
            f"{path} is in use by another process (pid {pid}). "
            "Wait until it has ended, or name another ledger.",
            pid=pid,
        )
    if "different configuration" in said:
        return LedgerInUse(
            f"{path} is open in this process already (pid {os.getpid()}), and differently. "
            "Use the ledger that is open, or close it first.",
            pid=os.getpid(),
        )
    if _FULL.search(said):
        return LedgerError(
            f"no room left on the disk of {path}. What was committed is safe: "
            "free some space and run the same again, it goes on from there."
        )
    if is_out_of_memory(error):
        return LedgerError(
            f"{path}: this takes more memory than there is. While a batch writes the ledger that is little: "
            "ask again when it is over, or ask for less."
        )
    if "read a database file with version number" in said:
        return LedgerError(
            f"{path} was written by another version of DuckDB, which this one cannot read "
            f"(here is {duckdb.__version__}). Install a later version of duckdb."
        )
    if "Permission denied" in said or "Read-only file system" in said:
        return LedgerError(
            f"{path} cannot be written: permission denied. Change that, or name another ledger."
        )
    if isinstance(error, duckdb.FatalException) or "has been invalidated" in said:
        return LedgerError(
            f"the ledger {path} was closed after an error ({_first_line(said)}). "
            "What was committed is safe: run the same again."
        )
    damaged = damaged_at(error)
    if damaged is not None:
        log = log_of(path)
        if is_torn(log, at=damaged):
            return LedgerError(
                f"{path} was being written when its machine failed, and the end of its log is torn. "
                "What was committed is safe: the next `rowmill run` into it puts the log right."
            )
        return LedgerError(
            f"the log {log} is damaged in its middle, at byte {damaged}: what was committed after that "
            "cannot be read. Put a copy of both files in their place; or go on with what was committed "
            f"before, with `truncate -s {damaged} {log}`."
        )
    if isinstance(error, duckdb.IOException | duckdb.SerializationException | duckdb.InternalException):
        return LedgerError(
            f"{path} cannot be read or written ({_first_line(said)}). "
            "If it is damaged, put a copy in its place or name another ledger."
        )
    return LedgerError(f"{path}: {said}")


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
