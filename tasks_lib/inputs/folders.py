"""Files on the disk that a row may name: those in the folders that the job allows, wherever a path leads."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from tasks_lib.inputs.unusable import Refused, Unusable

_REMEMBERED: Final = 65_536  # files whose digest is known while the process lives
_PIECE: Final = 1 << 20
# A link that takes the file's place after it was looked up is not followed, and a pipe does not hang.
_CAREFULLY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Folders:
    """The folders that files may come from."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """A relative path is looked for in each in turn."""
        self._folders = [folder.resolve() for folder in folders]

    def find(self, written: str) -> Path:
        """The file that a path from a row leads to, links followed.

        Raises:
            Refused: it lies outside the folders, or is hidden in them.
            Unusable: there is no such file.
        """
        if not self._folders:
            raise Refused("paths lead nowhere: no folder is given that files may come from")
        outside = False
        for folder in self._folders:
            try:
                found = (folder / written).resolve(strict=True)  # an absolute path stays what it is
            except (OSError, ValueError, RuntimeError):  # not there, not a path, a link to itself
                continue
            within = next((one for one in self._folders if found.is_relative_to(one)), None)
            if within is None:
                outside = True
                continue
            if any(part.startswith(".") for part in found.relative_to(within).parts):
                raise Refused(f"the file {_shown(written)} is hidden, and hidden files are not sent")
            if not found.is_file():
                raise Unusable(f"{_shown(written)} is no file")
            return found
        if outside:
            raise Refused(
                f"the file {_shown(written)} lies outside the folders that files may come from; "
                "file_folders can name further ones"
            )
        raise Unusable(f"the file {_shown(written)} is not there")


def read_file(path: Path, *, most: int) -> bytes:
    """A file's bytes.

    Raises:
        Unusable: it cannot be read, or has more bytes than `most`.
    """
    with _opened(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Unusable(f"the file {path.name!r} has more than {most:,} bytes (max_file_bytes)")
    return content


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content, read again only if the file was written since.

    Raises:
        Unusable: it cannot be read.
    """
    now = _now(path)
    return _digest(path, now.st_size, now.st_mtime_ns, now.st_ino)


def size_of(path: Path) -> int:
    """A file's bytes.

    Raises:
        Unusable: it cannot be looked at.
    """
    return _now(path).st_size


def _now(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise Unusable(f"the file {path.name!r} cannot be read ({error.strerror})") from error


@lru_cache(maxsize=_REMEMBERED)
def _digest(path: Path, _size: int, _written: int, _inode: int) -> str:
    found = sha256()
    with _opened(path) as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


def _opened(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | _CAREFULLY)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unusable(f"the file {path.name!r} cannot be read ({reason})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        with suppress(OSError):
            os.close(descriptor)
        raise Unusable(f"{path.name!r} is no file")
    return os.fdopen(descriptor, "rb")


def _shown(written: str) -> str:
    return repr(written if len(written) <= 120 else f"{written[:119]}…")
