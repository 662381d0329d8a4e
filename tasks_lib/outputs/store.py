"""Files beside a ledger: each is there whole or not at all, under a name that follows from its run.

`rowmill.duckdb` has its files in `rowmill.files/`. A task run's id begins with its time, so its first six
digits name a folder of some five hours, and the next three one of four seconds in that: neither ever holds
100,000 entries, and what was made since some moment is found without looking at the rest.
"""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final
from uuid import UUID

from tasks_lib.domain.files import Direction, FileFact
from tasks_lib.domain.mistake import Mistake
from tasks_lib.outputs.mime import suffix_of

_IN_MEMORY = Path(":memory:")
_HOURS, _SECONDS = 6, 3  # digits of an id that name the folder, and the folder in it
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
PART: Final = ".part"  # what a file's name ends with while it is written


class FilesError(Mistake):
    """The folder of files cannot be written."""


class FileStore:
    """The files of one ledger. Several threads and processes may write to it at once."""

    def __init__(self, ledger: Path) -> None:
        """Nothing is made before the first file is."""
        place = ledger.resolve()
        self.folder = place.with_name(f"{place.stem}.files")

    @classmethod
    def beside(cls, ledger: Path) -> "FileStore | None":
        """The store of a ledger; None of one in memory, whose files are nobody's but the caller's."""
        return None if ledger == _IN_MEMORY else cls(ledger)

    def put(self, content: bytes, *, task_run_id: str, mime_type: str) -> FileFact:
        """Keep the file that a task run has made; when this returns, no loss of power can take it away.

        Raises:
            FilesError: there is no room, or no right to write; nothing of it is left.
        """
        fact = fact_of(content, task_run_id=task_run_id, mime_type=mime_type, folder=self.folder.name)
        place = self.folder.joinpath(*shards_of(task_run_id), fact.name)
        with self._told():
            make_folder(place.parent)
            write_whole(place, content)
        return fact

    def remove(self, task_run_ids: Iterable[str]) -> None:
        """Remove whatever these task runs have made, whole or half; what cannot be removed is left."""
        for task_run_id in task_run_ids:
            for path in self.folder.joinpath(*shards_of(task_run_id)).glob(f"*{UUID(task_run_id)}*"):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def prove_writable(self) -> None:
        """Write a file and remove it.

        Raises:
            FilesError: it cannot be done.
        """
        with self._told():
            make_folder(self.folder)
            proof = self.folder / f".proof-{os.getpid()}{PART}"
            _write_part(proof, b"rowmill")
            proof.unlink(missing_ok=True)
            with suppress(OSError):  # it is not empty
                self.folder.rmdir()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FilesError(_reason(self.folder, error)) from error


def fact_of(content: bytes, *, task_run_id: str, mime_type: str, folder: str) -> FileFact:
    """What is told of the file that a task run has made; `folder` is the name of the store's."""
    name = f"{task_run_id}.{suffix_of(mime_type)}"
    return FileFact(
        direction=Direction.OUT,
        name=name,
        mime_type=mime_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        uri=str(PurePosixPath(folder, *shards_of(task_run_id), name)),
    )


def shards_of(task_run_id: str) -> tuple[str, str]:
    """The folders that a run's file is in, outermost first."""
    digits = task_run_id.replace("-", "")
    return digits[:_HOURS], digits[_HOURS : _HOURS + _SECONDS]


def make_folder(folder: Path) -> None:
    """Make a folder and those it is in, so that they last.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)  # somebody else may have been quicker
    _sync(folder.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, in place of one of that name.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    part = path.with_name(f".{path.name}{PART}")  # of one run, which is in one process
    try:
        _write_part(part, content)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _write_part(part: Path, content: bytes) -> None:
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Make what was named in a folder last, where a folder can be synced."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _reason(folder: Path, error: OSError) -> str:
    if error.errno in _NO_ROOM:
        return (
            f"no room left on the disk of {folder}. What was committed is safe: "
            "free some space and run the same again, it goes on from there."
        )
    return f"{folder} cannot be written: {error.strerror or error}. Change that, or name another ledger."
