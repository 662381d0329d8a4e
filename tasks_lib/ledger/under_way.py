"""Which rows are under way, in a small file beside the ledger that outlives the process.

`<ledger>.under-way-<batch>` is a map of slots in memory; the system keeps it when the process is killed, and
nothing is synced, since no row makes the power fail. An orderly end removes the file. What a dead process has
left is read by the next batch that writes to the ledger, which holds the ledger's lock and so knows that
the process is dead.

Writing a row down and crossing it out take about a microsecond together.
"""

import mmap
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from glob import escape
from pathlib import Path
from struct import Struct
from uuid import UUID

from tasks_lib.domain.plan import Plan
from tasks_lib.ledger.deaths import Death
from tasks_lib.ledger.errors import told
from tasks_lib.ledger.ledger import Ledger
from tasks_lib.ledger.statements import statement

_MAGIC = b"rowmill1"
_HEAD = Struct("<8s16sQ16x")  # magic, batch, pid
_SLOT = Struct("<16s16sQ")  # identity, task run, row number; before it a byte that tells whether it is taken
_STEP = 48  # bytes of a slot with that byte; pages are a multiple of neither, and need not be
_TAKEN = 1
_FIRST_SLOTS = 256
_IN_MEMORY = Path(":memory:")

_ours: set[Path] = set()
"""The files of this process, which are no dead one's."""


class UnderWay:
    """The rows of one batch that are under way. To be used on one event loop."""

    def __init__(self, ledger: Path, *, batch_id: str, worker: int | None = None) -> None:
        """Begin with none; where no file can be made, nothing is remembered and nothing else is different."""
        self._head = _HEAD.pack(_MAGIC, UUID(batch_id).bytes, os.getpid())
        self._path = None if ledger == _IN_MEMORY else _path_of(ledger, batch_id, worker)
        self._taken: dict[str, int] = {}  # task run -> where its slot begins
        self._blamed: set[str] = set()
        self._map = self._mapped(_FIRST_SLOTS)
        self._free = _offsets(0, _FIRST_SLOTS)
        self._slots = _FIRST_SLOTS

    def began(self, plan: Plan) -> None:
        """A call for the row is about to be made; telling it again changes nothing."""
        run = plan.task_run_id
        if run in self._taken:
            return
        if not self._free:
            self._grow()
        at = self._taken[run] = self._free.pop()
        _SLOT.pack_into(
            self._map,
            at + 8,
            bytes.fromhex(plan.identity),
            bytes.fromhex(run.replace("-", "")),
            plan.row_number,
        )
        self._map[at] = _TAKEN  # last: a slot that is half written is none

    def ended(self, plan: Plan) -> None:
        """The row's task run can no longer be lost, or the row was given up in order."""
        run = plan.task_run_id
        if run in self._blamed:
            return
        at = self._taken.pop(run, None)
        if at is not None:
            self._map[at] = 0
            self._free.append(at)

    def blame(self, plan: Plan) -> None:
        """An error that nobody foresaw ends the process, and it came of this row: it stays written down."""
        self.began(plan)
        self._blamed.add(plan.task_run_id)

    def close(self) -> None:
        """The batch has come to an end in order: only rows that are to blame for an error stay."""
        for run, at in self._taken.items():
            if run not in self._blamed:
                self._map[at] = 0
        self._map.close()
        if self._path is None:
            return
        if not self._blamed:
            self._path.unlink(missing_ok=True)
        _ours.discard(self._path)

    def _grow(self) -> None:
        before = self._map
        self._map = self._mapped(2 * self._slots)
        self._map[: len(before)] = before[:]
        before.close()
        self._free = _offsets(self._slots, 2 * self._slots)
        self._slots *= 2

    def _mapped(self, slots: int) -> mmap.mmap:
        """The file with room for so many slots, or as much memory where there is no room for a file."""
        size = _HEAD.size + slots * _STEP
        if self._path is not None:
            _ours.add(self._path)
            try:
                return _mapped_file(self._path, size=size, head=self._head)
            except OSError:
                with suppress(OSError):
                    self._path.unlink(
                        missing_ok=True
                    )  # half of the rows would tell of a company that was not
                _ours.discard(self._path)
                self._path = None
        return mmap.mmap(-1, size)


@contextmanager
def rows_under_way(ledger: Ledger, *, batch_id: str) -> Iterator[UnderWay]:
    """Where the rows of a batch are written down while they are under way; an orderly end leaves nothing."""
    under_way = UnderWay(ledger.path, batch_id=batch_id)
    try:
        yield under_way
    finally:
        under_way.close()


def find_deaths(ledger: Ledger, *, found_at: datetime) -> int:
    """Write down in the ledger what dead processes had under way, once; gives the number of rows.

    The ledger must be open for writing: its lock is what tells that the others are dead.

    Raises:
        LedgerError: it cannot be written. What was found is found again.
    """
    if ledger.path == _IN_MEMORY:
        return 0
    found = 0
    for path in _left_beside(ledger.path):
        deaths = _read(path)
        ledger.add_deaths(deaths, found_at=found_at)
        found += len(deaths)
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return found


def find_deaths_of(
    ledger: Ledger, *, batch_id: str, worker: int, of: Collection[str], found_at: datetime
) -> frozenset[str]:
    """Write down in the ledger what a worker had under way that has died; gives its task runs.

    Only those `of` these task runs count: others were committed, and the worker was not told yet.

    Raises:
        LedgerError: it cannot be written. What was found is found again.
    """
    if ledger.path == _IN_MEMORY:
        return frozenset()
    path = _path_of(ledger.path, batch_id, worker)
    deaths = [one for one in _read(path) if one.task_run_id in of]
    ledger.add_deaths(deaths, found_at=found_at)
    with suppress(OSError):
        path.unlink(missing_ok=True)
    return frozenset(one.task_run_id for one in deaths)


def companies_at_deaths(ledger: Ledger) -> dict[str, tuple[int, ...]]:
    """Of each identity with a death since it was last answered: how many rows were under way at each death.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    with told(ledger.path):
        found = ledger.cursor().execute(statement("queries", "companies_at_deaths")).fetchall()
    return {str(identity).replace("-", ""): tuple(companies) for identity, companies in found}


def forget_under_way() -> None:
    """This process is about to be ended by who runs it, which is no row's fault."""
    for path in tuple(_ours):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _path_of(ledger: Path, batch_id: str, worker: int | None) -> Path:
    place = ledger.resolve()
    whose = batch_id if worker is None else f"{batch_id}-{worker}"  # who dies alone had no other's rows
    return place.with_name(f"{place.name}.under-way-{whose}")


def _left_beside(ledger: Path) -> list[Path]:
    place = ledger.resolve()
    return sorted(
        path for path in place.parent.glob(f"{escape(place.name)}.under-way-*") if path not in _ours
    )


def _mapped_file(path: Path, *, size: int, head: bytes) -> mmap.mmap:
    """The file's bytes in memory, of which each has its place on the disk.

    Raises:
        OSError: there is no room for it. Later, on writing to the map, that would be a signal that kills.
    """
    with path.open("a+b", buffering=0) as file:
        missing = size - file.seek(0, os.SEEK_END)
        written = file.write(bytes(missing))
        if written != missing:
            raise OSError(f"{path} has room for {written} bytes more, and not for {missing}")
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        mapped = mmap.mmap(file.fileno(), size)
    mapped[: _HEAD.size] = head
    return mapped


def _offsets(first: int, last: int) -> list[int]:
    """Where the slots begin, the lowest at the end, which is taken first."""
    return [_HEAD.size + slot * _STEP for slot in range(last - 1, first - 1, -1)]


def _read(path: Path) -> list[Death]:
    """The rows that a file holds; none if it is not whole, as after a loss of power."""
    try:
        whole = path.read_bytes()
        magic, batch, _ = _HEAD.unpack_from(whole)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it tells nothing
        return []
    if magic != _MAGIC:
        return []
    deaths = []
    for at in range(_HEAD.size, len(whole) - _STEP + 1, _STEP):
        if whole[at] != _TAKEN:
            continue
        identity, run, number = _SLOT.unpack_from(whole, at + 8)
        deaths.append(
            Death(
                batch_id=str(UUID(bytes=batch)),
                task_run_id=str(UUID(bytes=run)),
                identity=identity.hex(),
                row_key=None,
                row_number=number,
            )
        )
    return deaths
