"""Answers that are files: made and kept while a batch runs, and swept where one was killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tasks_lib.domain.job import Job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.output import Modality
from tasks_lib.engine.attempt import Keep, keep_nothing
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.setup import Setup
from tasks_lib.ledger import Ledger
from tasks_lib.outputs import FileStore, Keeper, Shelf, check_needs, sweep, writing

_MAKES_FILES: Final = frozenset({"rightbrain"})  # itself, whatever the modality


def check_files(setup: Setup) -> None:
    """Make sure that answers which are files can be made and kept; nothing of any other job is looked at.

    Raises:
        Mistake: something is not installed, or the folder cannot be written.
    """
    modality = setup.job.task.output.modality
    if not modality.is_file:
        return
    if any(setup.provider(model).protocol not in _MAKES_FILES for model in setup.models):
        check_needs(modality)
    store = FileStore.beside(setup.job.ledger)
    if store is not None:
        store.prove_writable()


def folder_of_files(job: Job) -> Path | None:
    """Where a job's answers are kept that are files; None if they are none, or nobody keeps them."""
    store = FileStore.beside(job.ledger) if job.task.output.modality.is_file else None
    return store.folder if store is not None else None


def check_kept_somewhere(setup: Setup) -> None:
    """Refuse a table whose answers would be files that nobody keeps.

    Raises:
        Mistake: the ledger is in memory.
    """
    modality = setup.job.task.output.modality
    if modality.is_file and modality is not Modality.CSV and FileStore.beside(setup.job.ledger) is None:
        raise Mistake(
            f"answers of modality {modality.value} are files, which are kept beside a ledger: "
            "name one, such as ledger='rowmill.duckdb'."
        )


def keep_of(setup: Setup, stop: Stop, *, shelf: Shelf | None = None) -> Keep:
    """What makes files of a job's answers; when it cannot keep any more, the batch comes to its end.

    They stay beside the ledger, unless a shelf is given, as by a worker that has no ledger.
    """
    task = setup.job.task
    if not task.output.modality.is_file:
        return keep_nothing

    def end(reason: str) -> None:
        stop.call(Why.LEDGER, reason)

    return Keeper(shelf or FileStore.beside(setup.job.ledger), title=task.name, stop=end).keep


@contextmanager
def keeping_files(setup: Setup, *, ledger: Ledger, batch_id: str) -> Iterator[None]:
    """While a batch of this process keeps files; what dead ones left is swept first.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    store = FileStore.beside(ledger.path)
    if store is None or not setup.job.task.output.modality.is_file:
        yield
        return
    sweep(store, known=ledger)
    with writing(store, batch_id=batch_id):
        yield
