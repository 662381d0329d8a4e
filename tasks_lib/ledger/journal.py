"""Runs that are over and on their way into the ledger, each process's in files of its own beside it.

One process alone writes to a ledger. Others that waited for its commits would wait for one another; so each
appends what it has to a journal and goes on once that is on the disk, and the writer takes the entries into
the ledger, thousands of runs at a time. An entry of a hundred runs takes a tenth of a commit of them.

`<ledger>.journal-<batch>-<worker>-<number>` begins with the schemas of what follows, so that a later version
can read it. Then come entries, each with its length and checksum: one that is torn was never told to anybody.
The file is locked while its writer lives. An orderly end removes it; what a dead batch has left is taken in
by whoever opens the ledger next.
"""

import os
import time
from binascii import crc32
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from glob import escape
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final
from uuid import UUID

import orjson
import pyarrow as pa

from tasks_lib.ledger.errors import LedgerError
from tasks_lib.ledger.facts import SCHEMAS, Facts

_MAGIC: Final = b"rowmilj1"
_HEAD: Final = Struct("<8s16sI")  # magic, batch, bytes of the schemas that follow
_ENTRY: Final = Struct("<QI")  # bytes of the body that follows, and its checksum
_BODY: Final = Struct("<I")  # bytes of what the body tells of its messages, which follow that
_PATIENCE: Final = 15.0  # seconds for whoever still writes for a batch that is dead
_LOOK: Final = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Entry:
    """Where some runs are in a worker's journal."""

    file: int  # its number, from 1
    at: int  # byte
    end: int  # byte


class Journal:
    """A worker's journal, for itself to write; used by one thread at a time."""

    def __init__(self, ledger: Path, *, batch_id: str, worker: int | None, large: int = 64 << 20) -> None:
        """Nothing is written before the first runs come; no worker: the batch's own process.

        A file of more than so many bytes is followed by another one, so that it can be removed.
        """
        self._ledger = ledger.resolve()  # whoever has a library here may change the folder
        self._batch_id = batch_id
        self._worker = worker
        self._large = large
        self._file: BinaryIO | None = None
        self._number = 0
        self._at = 0

    def append(self, facts: Facts) -> Entry:
        """Return once runs can no longer be lost.

        Raises:
            LedgerError: they cannot be written, as on a full disk; what was appended before stands.
        """
        body = _body_of(facts)
        data = b"".join((_ENTRY.pack(len(body), crc32(body)), body))
        path = journal_path(self._ledger, self._batch_id, self._worker, max(1, self._number))
        try:
            if self._file is None or self._at > self._large:
                self.close()
                path = journal_path(self._ledger, self._batch_id, self._worker, self._number + 1)
                self._file, self._at = _begun(path, self._batch_id)
                self._number += 1
            try:
                _write(self._file, data)
            except OSError:
                with suppress(OSError):  # what is torn would hide what comes after
                    self._file.truncate(self._at)
                    self._file.seek(self._at)
                raise
        except OSError as error:
            raise LedgerError(
                f"{path} cannot be written: {error.strerror}. What was written before is safe: "
                "when there is room, run the same again, it goes on from there."
            ) from error
        entry = Entry(self._number, self._at, self._at + len(data))
        self._at = entry.end
        return entry

    def close(self) -> None:
        """Let the file go; it stays, and what is appended next goes into another one."""
        if self._file is not None:
            self._file.close()
            self._file = None


class WrittenJournal:
    """A journal's file, to be read; another process may be writing to it."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self.path = path
        self._file: BinaryIO | None = None

    def close(self) -> None:
        """Read no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def batch_id(self) -> str | None:
        """Of the batch that it is of; None: its head was never written.

        Raises:
            LedgerError: it is no journal, or one of a later version.
        """
        head = self._read(0, _HEAD.size)
        if len(head) < _HEAD.size or not any(head):
            return None
        magic, batch, _ = _HEAD.unpack(head)
        if magic != _MAGIC:
            raise LedgerError(
                f"{self.path} was written by a later version of rowmill, or is none of its files. "
                "Install that version, or move the file away: runs that it has would be asked again."
            )
        return str(UUID(bytes=batch))

    def facts(self, at: int, end: int) -> Facts:
        """What the entry between these bytes holds.

        Raises:
            LedgerError: it is not there.
        """
        body = _whole(self._read(at, end - at))
        if body is None:
            raise LedgerError(f"{self.path} is damaged at byte {at}: runs that it had cannot be read.")
        return _facts_in(body, self._schemas)

    def places(self, after: int = 0) -> Iterator[tuple[int, int]]:
        """Where entries begin and end, one after the other from this byte on, as long as they are whole."""
        if self.batch_id is None or not self._schemas:
            return
        at = max(after, self._first)
        while (end := self._end_of(at)) is not None and end <= self._size:
            if _whole(self._read(at, end - at)) is None:
                return
            yield at, end
            at = end

    def damaged_at(self, after: int) -> int | None:
        """The byte at which stands what is no entry, though more comes after it; None: it is whole.

        Args:
            after: the end of the last whole entry; 0, of none. One that is cut off or wrong there, at the end
                of the file, is what a kill or a loss of power leaves; it was never told to anybody.
        """
        if not self._schemas:
            return _HEAD.size if self._size > self._first else None
        at = max(after, self._first)
        end = self._end_of(at)
        return at if end is not None and end < self._size else None

    def set_aside(self) -> Path:
        """Have nobody take it in any more, and give its new place."""
        self.close()
        name = self.path.name.replace(".journal-", ".damaged-journal-")
        return self.path.rename(self.path.with_name(name))

    def _end_of(self, at: int) -> int | None:
        """Where the entry at this byte says that it ends; None: there is none."""
        head = self._read(at, _ENTRY.size)
        if len(head) < _ENTRY.size or not any(head):  # a loss of power may leave zeros
            return None
        length, _ = _ENTRY.unpack(head)
        return at + _ENTRY.size + int(length)

    @property
    def _size(self) -> int:
        return os.fstat(self._opened.fileno()).st_size

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Whether nobody writes to it any more, and nobody else takes it in meanwhile."""
        deadline = time.monotonic() + _PATIENCE
        with self.path.open("rb") as file:
            while not (is_ours := _locked(file)) and time.monotonic() < deadline:
                time.sleep(_LOOK)
            yield is_ours

    def remove(self) -> None:
        """Remove the file: the ledger has all that it had."""
        self.close()
        self.path.unlink(missing_ok=True)

    @property
    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self.path.open("rb")
        return self._file

    def _read(self, at: int, length: int) -> bytes:
        try:
            return os.pread(self._opened.fileno(), length, at)
        except OSError as error:
            raise LedgerError(f"{self.path} cannot be read: {error.strerror}.") from error

    @property
    def _first(self) -> int:
        """Where the first entry begins."""
        return _HEAD.size + self._schemas_length

    @cached_property
    def _schemas_length(self) -> int:
        _, _, length = _HEAD.unpack(self._read(0, _HEAD.size))
        return int(length)

    @cached_property
    def _schemas(self) -> Mapping[str, pa.Schema]:
        """Of its tables; none, if it ends before they do."""
        try:
            return {
                name: pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(schema)))
                for name, schema in orjson.loads(self._read(_HEAD.size, self._schemas_length)).items()
            }
        except ValueError:  # JSON, hexadecimal digits, Arrow
            return {}


def journal_path(ledger: Path, batch_id: str, worker: int | None, number: int) -> Path:
    """Where a worker has its journal's file of this number, from 1."""
    place = ledger.resolve()
    whose = "own" if worker is None else str(worker)
    return place.with_name(f"{place.name}.journal-{batch_id}-{whose}-{number:06}")


def entries_after(
    ledger: Path, *, batch_id: str, worker: int | None, last: Entry | None
) -> list[tuple[Entry, Facts]]:
    """What a worker that is dead has written after its entry that was heard of last.

    Raises:
        LedgerError: it cannot be read.
    """
    number, at = (last.file, last.end) if last is not None else (1, 0)
    found = []
    while (path := journal_path(ledger, batch_id, worker, number)).exists():
        journal = WrittenJournal(path)
        try:
            found += [(Entry(number, *place), journal.facts(*place)) for place in journal.places(at)]
        finally:
            journal.close()
        number, at = number + 1, 0
    return found


def journals_left(ledger: Path, *, but_of: Collection[str] = ()) -> list[Path]:
    """The files of journals beside a ledger, oldest batch first, but for those of these batches."""
    place = ledger.resolve()
    before = f"{place.name}.journal-"
    return sorted(
        path
        for path in place.parent.glob(f"{escape(before)}*")
        if not any(path.name.startswith(f"{before}{batch_id}-") for batch_id in but_of)
    )


def _begun(path: Path, batch_id: str) -> tuple[BinaryIO, int]:
    """A file that is locked and has its head, and the byte at which it goes on.

    Raises:
        OSError: it cannot be made.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("xb", buffering=0))
        _locked(file)
        schemas = orjson.dumps(
            {name: schema.serialize().to_pybytes().hex() for name, schema in SCHEMAS.items()}
        )
        _write(file, _HEAD.pack(_MAGIC, UUID(batch_id).bytes, len(schemas)) + schemas)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a loss of power takes the name with all that is under it
        finally:
            os.close(folder)
        stack.pop_all()
    return file, _HEAD.size + len(schemas)


def _write(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(file.fileno())


def _locked(file: BinaryIO) -> bool:
    """Whether the file is locked for us now; where there are no such locks it counts as locked."""
    try:
        import fcntl  # noqa: PLC0415  POSIX only
    except ImportError:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, BlockingIOError)  # else it is a file system without locks
    return True


def _body_of(facts: Facts) -> bytes:
    messages = facts.messages()
    told = orjson.dumps(
        {
            "lengths": list(map(len, messages)),
            "groups": {name: at.isoformat() for name, at in facts.groups.items()},
        }
    )
    return b"".join((_BODY.pack(len(told)), told, *messages))


def _whole(data: bytes) -> bytes | None:
    """The body of an entry that is whole."""
    if len(data) < _ENTRY.size:
        return None
    length, checksum = _ENTRY.unpack_from(data)
    body = data[_ENTRY.size :]
    return body if len(body) == length and crc32(body) == checksum else None


def _facts_in(body: bytes, schemas: Mapping[str, pa.Schema]) -> Facts:
    (length,) = _BODY.unpack_from(body)
    at = _BODY.size + length
    told = orjson.loads(body[_BODY.size : at])
    messages: list[bytes] = []
    for length in told["lengths"]:
        messages.append(body[at : at + length])
        at += length
    groups = {name: datetime.fromisoformat(when) for name, when in told["groups"].items()}
    return _fitting(messages, schemas, groups)


def _fitting(
    messages: Sequence[bytes], schemas: Mapping[str, pa.Schema], groups: Mapping[str, datetime]
) -> Facts:
    """Facts as they are now, of messages that another version may have written."""
    by_name = dict(zip(schemas, messages, strict=True))
    if schemas == SCHEMAS:
        return Facts.of_messages(messages, groups)
    fitting = []
    for name, schema in SCHEMAS.items():
        message = by_name.get(name)
        if not message:
            fitting.append(b"")
            continue
        there = pa.ipc.read_record_batch(pa.py_buffer(message), schemas[name])
        columns = [
            there.column(field.name).cast(field.type)
            if field.name in there.schema.names
            else pa.nulls(there.num_rows, field.type)
            for field in schema
        ]
        fitting.append(pa.RecordBatch.from_arrays(columns, schema=schema).serialize().to_pybytes())
    return Facts.of_messages(fitting, groups)
