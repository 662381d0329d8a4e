"""Folders of this process for copies of what is elsewhere; they go with it, however it ends.

A process that is killed cannot tidy up. So beside each folder lies a file that its process holds locked, and
whoever makes the next folder removes those whose file nobody holds any more.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkstemp

_PREFIX = "rowmill-copies-"
_LOCK = ".lock"


@contextmanager
def folder_of_copies() -> Iterator[Path]:
    """An empty folder, readable by this user alone, where temporary files are (TMPDIR says where).

    Raises:
        OSError: it cannot be made.
    """
    _sweep()
    descriptor, lock = _lock_of_ours()
    folder = Path(lock.removesuffix(_LOCK))
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            Path(lock).unlink()
        os.close(descriptor)


def _lock_of_ours() -> tuple[int, str]:
    while True:
        descriptor, lock = mkstemp(prefix=_PREFIX, suffix=_LOCK)
        if _is_locked_by_us(descriptor) and os.fstat(descriptor).st_nlink:
            return descriptor, lock
        os.close(descriptor)  # somebody swept between our making and our locking it


def _sweep() -> None:
    """Remove the folders of processes that are no more."""
    if sys.platform == "win32":
        return  # where nobody can tell; its temporary files are swept by the system
    for lock in Path(gettempdir()).glob(f"{_PREFIX}*{_LOCK}"):
        with suppress(OSError):  # of another user, or another process sweeps as well
            descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if _is_locked_by_us(descriptor) and os.fstat(descriptor).st_uid == os.getuid():
                    shutil.rmtree(str(lock).removesuffix(_LOCK), ignore_errors=True)
                    lock.unlink()
            finally:
                os.close(descriptor)


def _is_locked_by_us(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl  # noqa: PLC0415  POSIX only

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
