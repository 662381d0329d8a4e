"""A file that is there whole or not at all: written beside its place, synced, and renamed."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from tasks_lib.domain.place import Place
from tasks_lib.rows.errors import OutputError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def whole_file(path: Path) -> Iterator[pa.NativeFile]:
    """A file to write what shall stand at `path`, where it appears when the block ends well, and only then.

    Until then it is `.<name>.rowmill-part` in the same folder and locked: a second writer is refused, and
    what a killed one has left is written over by the next.

    Raises:
        OutputError: the folder may not be written or is full, or another run is writing there.
    """
    place = place_of(path)
    part = _part_of(place)
    held = _locked(part, path)
    try:
        with told(path):
            sink = pa.OSFile(str(part), "wb")
        yield sink
        with told(path):
            sink.close()
            os.fsync(held.fileno())
            part.replace(place)  # while it is locked: who has opened the part finds that it is another file
        _sync_folder(place.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)  # while it is locked, so that it is ours
        raise
    finally:
        held.close()


def prove_writable(path: Path) -> None:
    """Prove that a file can be written at `path`, by writing one beside it and removing that.

    Raises:
        OutputError: it cannot.
    """
    part = _part_of(place_of(path))
    with told(path), _locked(part, path) as file:
        file.write(b"rowmill")
        file.flush()
        os.fsync(file.fileno())
        part.unlink()


@contextmanager
def told(path: Place) -> Iterator[None]:
    """Say of an error of the system what it means for the output.

    Raises:
        OutputError: whatever OSError the block raised, with a remedy.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(_reason(path, error)) from error


def place_of(path: Path) -> Path:
    """Where the file really is, so that a link to it stays a link; its folder is made if there is none.

    Raises:
        OutputError: something that is no file is there, or the folder cannot be made.
    """
    place = path.resolve()
    with told(path):
        if place.exists() and not place.is_file():
            raise OutputError(f"{path}: is not a file; name one in output.path")
        place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _part_of(place: Path) -> Path:
    return place.with_name(f".{place.name}.rowmill-part")


def _locked(part: Path, path: Path) -> BinaryIO:
    """The part, empty and ours alone."""
    while True:
        with told(path):
            file = part.open("ab")  # not "wb", which would empty what another run is writing
            if not _lock(file):
                file.close()
                raise OutputError(
                    f"{path}: another run is writing this file; wait for it, or name another one"
                )
            if _is(file, part):
                file.truncate(0)
                return file
            file.close()  # its writer has just renamed or removed it


def _lock(file: BinaryIO) -> bool:
    if sys.platform == "win32":
        return True  # there a file that is open cannot be replaced, which is lock enough
    import fcntl  # noqa: PLC0415  POSIX only

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Make the rename last through a loss of power, where a folder can be synced."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _reason(path: Place, error: OSError) -> str:
    if isinstance(error, PermissionError) and isinstance(path, Path):
        return (
            f"{path}: the folder {path.parent} may not be written by this user; change that, or output.path"
        )
    reason = f"{path}: cannot be written: {error.strerror or error}; what was there before is untouched"
    if error.errno in _NO_ROOM:
        return f"{reason}. Make room and export again: the answers are in the ledger"
    return f"{reason}; change output.path"
