"""Which flow runs have worked on a ledger, and which of them are dead, whatever Prefect says of them.

Each flow run has a file beside its ledger, `<ledger>.flow-<id of the flow run>`, that its process holds
locked until it ends, however it ends: the lock is the kernel's. So whoever can lock the file of another flow
run knows that no process runs it any more. In the file are the flow run's batches, one a line, each written
before the batch's first call: what they have spent counts when the same flow run is run again.

A `kill -9` leaves the file without its lock. The file of a flow run that ended well is removed by a later
one.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from tempfile import mkstemp
from time import time
from typing import Final
from uuid import UUID

KEPT: Final = 30 * 86_400.0  # seconds that a file stays when its flow run might still be run again

_STATE: Final = "state "  # before the id of a running state
_PROCESS: Final = "process"  # a process has taken the seat
_RESTED: Final = "rested"  # it has ended in order; lines of another sort are batches
_HELD: Final[dict[Path, int]] = {}  # by this process


class SeatTaken(Exception):
    """Another process runs this very flow run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """The place of one flow run at a ledger."""

    path: Path
    earlier: tuple[str, ...]  # batches of the same flow run, in processes that have ended
    died: int = 0  # of these processes, since one of them has ended in order

    def note(self, batch_id: str) -> None:
        """Write down, durably, that the flow run has begun a batch."""
        descriptor = _HELD[self.path]
        os.write(descriptor, f"{batch_id}\n".encode())
        os.fsync(descriptor)

    def note_state(self, state: UUID) -> None:
        """Write down a running state that this process has given the flow run."""
        os.write(_HELD[self.path], f"{_STATE}{state}\n".encode())

    def rest(self) -> None:
        """This process ends in order, and another one is to go on."""
        os.write(_HELD[self.path], f"{_RESTED}\n".encode())

    def over(self) -> None:
        """The flow run's end is told in a moment: whoever runs it once more begins with fresh money."""
        self.path.unlink(missing_ok=True)
        leave(self)


def take_seat(ledger: Path, flow_run_id: UUID, *, state: UUID) -> Seat:
    """The seat of this process's flow run, until the process ends or `leave` is called.

    `state` is the running state that Prefect has of it now. An empty seat where Prefect's is not written down
    is that of a process which has just begun and has not come here yet, and not that of a dead one.

    Raises:
        SeatTaken: another process runs it.
        OSError: there is no room for the file, or no right to make one.
    """
    path = _path(ledger, flow_run_id)
    is_new = path not in _HELD
    if is_new:
        _HELD[path] = _opened(path)
    lines = path.read_text(encoding="ascii").splitlines()
    since = lines[len(lines) - lines[::-1].index(_RESTED) :] if _RESTED in lines else lines
    marks = (_STATE, _PROCESS, _RESTED)
    seat = Seat(
        path=path,
        earlier=tuple(line for line in lines if not line.startswith(marks)),
        died=since.count(_PROCESS) - (not is_new),
    )
    if is_new:
        os.write(_HELD[path], f"{_PROCESS}\n".encode())
    seat.note_state(state)
    return seat


def leave(seat: Seat) -> None:
    """Let go of the seat as a dead process would."""
    descriptor = _HELD.pop(seat.path, None)
    if descriptor is not None:
        os.close(descriptor)


def empty_seats(ledger: Path) -> Iterator[tuple[UUID, frozenset[UUID]]]:
    """The flow runs of a ledger that no process runs any more, and the running states that they have had."""
    for path in sorted(ledger.parent.glob(f"{escape(ledger.name)}.flow-*")):
        with suppress(ValueError, OSError):
            flow_run_id = UUID(path.name.rpartition(".flow-")[2])
            if path not in _HELD and not _is_locked(path):
                yield flow_run_id, _states(path)


def forget(ledger: Path, flow_run_id: UUID, *, at_once: bool) -> None:
    """Remove the file of a flow run: at once if it cannot be run again, or else when it is old."""
    path = _path(ledger, flow_run_id)
    with suppress(OSError):
        if at_once or time() - path.stat().st_mtime > KEPT:
            path.unlink()


def _path(ledger: Path, flow_run_id: UUID) -> Path:
    return ledger.with_name(f"{ledger.name}.flow-{flow_run_id}")


def _opened(path: Path) -> int:
    """The file, locked; nobody ever sees a new one without its lock."""
    with suppress(FileExistsError):
        made, aside = mkstemp(prefix=f"{path.name.partition('.flow-')[0]}.seat-", dir=path.parent)
        fcntl.flock(made, fcntl.LOCK_EX)
        try:
            os.link(aside, path)
        except FileExistsError:
            os.close(made)
            raise
        finally:
            Path(aside).unlink()
        return _appending(made)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SeatTaken(path.name) from None
    return descriptor


def _appending(descriptor: int) -> int:
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


def _states(path: Path) -> frozenset[UUID]:
    lines = path.read_text(encoding="ascii").splitlines()
    return frozenset(UUID(line.removeprefix(_STATE)) for line in lines if line.startswith(_STATE))


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
