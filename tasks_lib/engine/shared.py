"""What processes of one machine know together of an account that they all use.

A folder for each account, named by a salted hash of base URL and key, holds an array of doubles that every
process maps into its memory, and an empty file for each seat, locked for as long as who sits there lives. The
kernel lets go of locks at any death, so a seat whose lock can be had is empty, and its calls are over.
"""

import hashlib
import math
import mmap
import os
import secrets
import time
from pathlib import Path

from tasks_lib.engine.layout import (
    BOOT_HIGH,
    BOOT_LOW,
    CALLS,
    CELLS,
    DAY,
    GENERATION,
    HEADS_UNTIL,
    HIGHEST_SEAT,
    IN_FLIGHT,
    LAYOUT,
    LEARNED,
    LIMITS,
    OWN_LIMITS,
    SEATED,
    SEATS,
    TAKEN,
    TOLD_UNTIL,
    seat_at,
)
from tasks_lib.engine.quota import DAY_CELLS

try:
    import fcntl
except ImportError:  # as on Windows: then nothing is shared
    fcntl = None  # type: ignore[assignment]  # asked for in `join_account`

_BYTES = CELLS * 8
_STUCK = 0.2  # seconds; nobody holds the lock for longer than some microseconds, unless it was stopped there
_A_MOMENT = 0.005  # seconds; what is done at the table takes microseconds
_TURN = 0.0002  # seconds between two looks at a lock that is held
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SALT_BYTES = 32


class NotShared(Exception):
    """The account's limits hold for this process alone; the text says why, to be shown as a warning."""


class SharedAccount:
    """A seat at an account's table."""

    def __init__(self, *, folder: Path, descriptor: int, seat_descriptor: int, seat: int) -> None:
        """Sit down on a seat whose lock is held; `join_account` finds one."""
        self._folder = folder
        self._descriptor = descriptor
        self._seat_descriptor = seat_descriptor
        self._map = mmap.mmap(descriptor, _BYTES)
        self.cells = memoryview(self._map).cast("d")
        self.seat = seat
        self._skips_lock_until = 0.0
        self._locked = False
        self._sit_down()

    @property
    def others(self) -> bool:
        """Whether another process sits at the table."""
        return self.cells[SEATED] > 1.0

    def lock(self) -> None:
        """Have the table to oneself until `unlock`.

        Who sits there alone needs no lock, which would cost as much as all the rest of the gate: whoever sits
        down beside it waits a moment before its first call. Whoever was stopped while it had the table cannot
        stop the others: they go on without the lock, and at worst miscount by a call.
        """
        if self.others:
            self._lock()

    def unlock(self) -> None:
        """Let the others go on."""
        if self._locked:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._locked = False

    def _lock(self) -> None:
        self._locked = True
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait_for_lock()

    def _wait_for_lock(self) -> None:
        begun = time.monotonic()  # the system's, not the gate's: this is about a real process
        if begun < self._skips_lock_until:
            return
        while time.monotonic() - begun < _STUCK:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_TURN)
            else:
                return
        self._skips_lock_until = time.monotonic() + 10 * _STUCK

    def clear_seats_of_the_dead(self) -> None:
        """Give back the places of processes that died; call it with the lock held."""
        cells, seated, in_flight, highest = self.cells, 0, 0.0, -1
        for number in range(int(cells[HIGHEST_SEAT]) + 1):
            at = seat_at(number)
            if not cells[at + TAKEN]:
                continue
            if number != self.seat and not self._lives(number):
                self._empty(number)
                continue
            seated, highest = seated + 1, number
            if cells[at + OWN_LIMITS + LIMITS - 1]:  # it keeps a number of calls in flight
                in_flight += cells[at + CALLS]
        cells[SEATED], cells[IN_FLIGHT], cells[HIGHEST_SEAT] = (
            float(seated),
            in_flight,
            float(max(highest, 0)),
        )

    def close(self) -> None:
        """Leave the table."""
        if self._descriptor < 0:
            return
        self._lock()
        try:
            self._empty(self.seat)
            self.clear_seats_of_the_dead()
        finally:
            self.unlock()
        self.cells.release()
        self._map.close()
        os.close(self._descriptor)
        os.close(self._seat_descriptor)
        self._descriptor = -1

    def _sit_down(self) -> None:
        """Take the seat; the first at the table after a boot, or in a damaged file, clears it."""
        cells = self.cells
        self._lock()
        try:
            cells[HIGHEST_SEAT] = float(SEATS - 1)
            self._empty(self.seat)
            self.clear_seats_of_the_dead()
            high, low = _boot()
            if not cells[SEATED]:
                damaged = not all(map(math.isfinite, cells))
                if damaged or (cells[BOOT_HIGH], cells[BOOT_LOW]) != (high, low):
                    kept = [0.0] * DAY_CELLS if damaged else list(cells[DAY : DAY + DAY_CELLS])
                    for number in range(CELLS):
                        cells[number] = 0.0
                    for number, count in enumerate(kept):
                        cells[DAY + number] = count
                cells[BOOT_HIGH], cells[BOOT_LOW] = high, low
                for number in (
                    HEADS_UNTIL,
                    TOLD_UNTIL,
                    *range(LEARNED, DAY),
                ):  # the first response says it anew
                    cells[number] = 0.0
            cells[seat_at(self.seat) + TAKEN] = 1.0
            cells[SEATED] += 1.0
            cells[HIGHEST_SEAT] = max(cells[HIGHEST_SEAT], float(self.seat))
            cells[GENERATION] += 1.0
        finally:
            self.unlock()
        if self.others:
            time.sleep(_A_MOMENT)  # in which who was alone ends what it does without the lock

    def _empty(self, number: int) -> None:
        for cell in range(seat_at(number), seat_at(number + 1)):
            self.cells[cell] = 0.0
        self.cells[GENERATION] += 1.0  # its limits are gone with it

    def _lives(self, number: int) -> bool:
        try:
            descriptor = os.open(_seat_file(self._folder, number), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(descriptor)


def join_account(folder: Path, *, base_url: str, key: str | None) -> SharedAccount:
    """A seat at the table of all processes that call this base URL with this key.

    `folder` is the user's own, such as `$XDG_STATE_HOME/rowmill`; it is made if it is not there. Nothing of
    the key can be learned from what is written into it.

    Raises:
        NotShared: the folder cannot be written, or this system has no such locks.
    """
    if fcntl is None:
        raise NotShared("limits hold for this process alone: this system knows no such locks")
    try:
        table = folder / "accounts" / _name(_salt(folder / "accounts"), base_url=base_url, key=key)
        table.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _seated(table)
    except OSError as error:
        raise NotShared(
            f"limits hold for this process alone: {folder} cannot be written ({error.strerror})"
        ) from error


def _seated(table: Path) -> SharedAccount:
    descriptor = os.open(table / f"cells-{LAYOUT}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        missing = _BYTES - os.fstat(descriptor).st_size
        if missing > 0:  # written, not just made longer: a mapping would kill us on a full disk
            os.pwrite(descriptor, bytes(missing), _BYTES - missing)
        for seat in range(SEATS):
            seat_descriptor = os.open(_seat_file(table, seat), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(seat_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(seat_descriptor)
                continue
            return SharedAccount(
                folder=table, descriptor=descriptor, seat_descriptor=seat_descriptor, seat=seat
            )
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    raise NotShared(f"limits hold for this process alone: {SEATS} others use the account already")


def _seat_file(table: Path, number: int) -> Path:
    return table / f"seat-{number}"


def _name(salt: bytes, *, base_url: str, key: str | None) -> str:
    """The same for all who use the account on this machine, and nothing to anybody else."""
    what = f"{base_url.rstrip('/')}\0{key or ''}".encode()
    return hashlib.blake2b(what, key=salt, digest_size=16).hexdigest()


def _salt(folder: Path) -> bytes:
    """Bytes that this user's accounts are named with, made once."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "salt"
    salt = file.read_bytes() if file.exists() else b""
    if len(salt) == _SALT_BYTES:
        return salt
    mine = folder / f"salt-{secrets.token_hex(8)}"
    mine.touch(mode=0o600)
    mine.write_bytes(secrets.token_bytes(_SALT_BYTES))
    try:
        if salt:
            mine.replace(file)  # it was cut short
        else:
            file.hardlink_to(mine)  # of two at once the first counts
    except FileExistsError:
        pass
    finally:
        mine.unlink(missing_ok=True)
    return file.read_bytes()


def _boot() -> tuple[float, float]:
    """What names the boot of this machine, since monotonic clocks begin with it; as two exact doubles."""
    try:
        text = _BOOT_ID.read_text()
    except OSError:  # as on macOS
        text = str(round((time.time() - time.monotonic()) / 600))
    digest = hashlib.blake2b(text.encode(), digest_size=12).digest()
    return float(int.from_bytes(digest[:6])), float(int.from_bytes(digest[6:]))
