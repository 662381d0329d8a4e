"""A write-ahead log whose end was torn: its machine lost power while a commit was on its way to the disk.

A commit counts once it was synced, so what is torn was never told to anybody. DuckDB passes over a log that
ends too soon, but refuses one that goes on with what is no entry, such as zeros that a file system leaves.
"""

import mmap
import os
import re
from pathlib import Path

import duckdb

_DAMAGED = re.compile(r"Corrupt WAL file: entry at byte position (\d+)")
_HEAD = 16  # bytes of an entry's length and checksum, which stand before that position
_COMMIT = bytes.fromhex("0500000000000000 e7fe7d722fed3d5e 640064ffff")  # the entry that ends a transaction


def damaged_at(error: duckdb.Error) -> int | None:
    """The byte at which DuckDB found no entry in the log; None: it says something else."""
    found = _DAMAGED.search(str(error))
    return None if found is None else max(0, int(found[1]) - _HEAD)


def log_of(path: Path) -> Path:
    """Where DuckDB has a file's log."""
    return path.with_name(f"{path.name}.wal")


def is_torn(log: Path, *, at: int) -> bool:
    """Whether no transaction ended after the damage, but for the one that it is in."""
    with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = content.find(_COMMIT, at)
        return end < 0 or not content[end + len(_COMMIT) :].strip(b"\0")


def cut(log: Path, *, at: int) -> Path:
    """Take off what is torn, and give the file that it was put into.

    Raises:
        OSError: there is no room for it, or no permission.
    """
    kept = log.with_name(f"{log.name}.torn-at-{at}")
    with log.open("r+b") as file:
        file.seek(at)
        with kept.open("wb") as other:
            while part := file.read(1 << 20):
                other.write(part)
            other.flush()
            os.fsync(other.fileno())
        file.truncate(at)
        os.fsync(file.fileno())
    return kept
