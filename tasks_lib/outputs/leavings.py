"""What a killed batch leaves of its files, and how it is swept.

A file is written before its run is committed, so a kill between the two leaves one that the ledger does not
know. A batch that keeps files leaves a mark, `.writing-<batch id>`, and takes it away when it has ended in
order: only where a dead one's mark is found is there anything to look for, and only among what is younger.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from tasks_lib.outputs.store import PART, FileStore, make_folder, shards_of

_MARK: Final = ".writing-"
_PROOFS: Final = ".proof-*"
_TIME: Final = 12  # digits of an id that are its time
_AT_A_TIME: Final = 5_000  # names that are looked up together

_changing = threading.Lock()
_alive: set[Path] = set()
"""The marks of this process's batches. No other process can have one: the ledger has one writer."""


class Known(Protocol):
    """What a ledger that is open for writing knows; its lock is what tells that other batches are dead."""

    def batches_known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are batches of this ledger."""
        ...

    def files_known(self, names: Sequence[str]) -> set[str]:
        """Those of the names that files of task runs have."""
        ...


@contextmanager
def writing(store: FileStore, *, batch_id: str) -> Iterator[None]:
    """While a batch keeps files: what it leaves if it does not come to its end is found by the next."""
    mark = store.folder / f"{_MARK}{batch_id}"
    with _changing:
        _alive.add(mark)
    try:
        with suppress(OSError):  # without a mark nothing is swept, and a store that is full says so itself
            make_folder(store.folder)
            mark.touch()
        yield
        with suppress(OSError):
            mark.unlink(missing_ok=True)
            store.folder.rmdir()  # if nothing was kept
    finally:
        with _changing:
            _alive.discard(mark)


def sweep(store: FileStore, *, known: Known) -> int:
    """Remove what dead batches left and the ledger never got; gives the number of files.

    A mark of a batch that the ledger does not know is another ledger's, such as one whose copy was put in its
    place: nothing that this batch made is touched. Nor is anything while another batch of this process keeps
    files here, since they are written before they are known.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    with _changing:
        if any(mark.parent == store.folder for mark in _alive):
            return 0
    marks = {path.name.removeprefix(_MARK): path for path in _found(store.folder, f"{_MARK}*")}
    dead = known.batches_known(list(marks)) if marks else set()
    if not dead:
        return 0
    swept = 0
    for folder in _folders_since(store.folder, min(dead)):
        swept += _sweep_folder(folder, since=_time_of(min(dead)), known=known)
    for left in (*_found(store.folder, _PROOFS), *(marks[batch_id] for batch_id in dead)):
        with suppress(OSError):
            left.unlink(missing_ok=True)
    return swept


def _sweep_folder(folder: Path, *, since: str, known: Known) -> int:
    files = [path for path in _found(folder, "*") if path.is_file()]
    doomed = [path for path in files if path.name.endswith(PART)]
    young = [path for path in files if path not in doomed and _time_of(path.stem) >= since]
    for first in range(0, len(young), _AT_A_TIME):
        some = young[first : first + _AT_A_TIME]
        kept = known.files_known([path.name for path in some])
        doomed += [path for path in some if path.name not in kept]
    for path in doomed:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # it holds files that stay
        folder.rmdir()
        folder.parent.rmdir()
    return len(doomed)


def _folders_since(folder: Path, batch_id: str) -> Iterator[Path]:
    """The folders that may hold what a batch has made, since its runs have later ids."""
    hours, seconds = shards_of(batch_id)
    for outer in _found(folder, "?" * len(hours)):
        for inner in _found(outer, "?" * len(seconds)):
            if (outer.name, inner.name) >= (hours, seconds):
                yield inner


def _found(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _time_of(task_run_id: str) -> str:
    return task_run_id.replace("-", "")[:_TIME]
