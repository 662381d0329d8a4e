"""Workers that people start, or programs of theirs: each with a ticket in a file of its own."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socket import gethostname

from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.workers.calling import read_ticket, ticket_as_json
from tasks_lib.job.workers.recruiting import NoWorker, Ticket

_SUFFIX = ".ticket"


class ByHand:
    """Writes a ticket for each worker into a folder, and takes back those that are left at the end.

    A file appears whole, and only its user can read it. What a killed batch leaves behind is good for
    nothing: its secret opens a door that is gone.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None]) -> None:
        """Write into a folder, which is made if need be; `say` takes lines for people."""
        self._folder = folder
        self._say = say
        self._written: list[Path] = []

    async def begin(self, ticket: Ticket) -> None:
        """Write a ticket, and tell what to do with it.

        Raises:
            NoWorker: it cannot be written.
        """
        path = self._folder / f"{ticket.batch_id}-worker-{ticket.number + 1}{_SUFFIX}"
        try:
            _write(path, ticket_as_json(ticket))
        except OSError as error:
            raise NoWorker(f"the ticket {path} cannot be written: {error.strerror}") from error
        self._written.append(path)
        self._say(f"worker {ticket.number + 1} is waited for: rowmill worker {path}")

    async def close(self) -> None:
        """Remove the tickets, and what became of those that were taken from the folder."""
        for path in self._written:
            for left in (path, *self._folder.glob(f"{path.name}.*")):
                with suppress(OSError):
                    left.unlink()
        self._written.clear()


def take_ticket(folder: Path) -> Ticket | None:
    """A ticket from a folder that several workers take theirs from, each once; None: there is none.

    Raises:
        Mistake: what was taken is no ticket, or the folder cannot be looked into.
    """
    try:
        # those of the newest batch first: others may be of batches that were killed
        found = sorted((path for path in folder.iterdir() if path.suffix == _SUFFIX), reverse=True)
    except OSError as error:
        raise Mistake(f"{folder}: {error.strerror}") from error
    for path in found:
        taken = path.with_name(f"{path.name}.{gethostname()}-{os.getpid()}")
        try:
            path.rename(taken)  # of all that try, one has it
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Mistake(f"{path} cannot be taken: {error.strerror}") from error
        try:
            return read_ticket(taken)
        finally:
            taken.unlink(missing_ok=True)
    return None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        whole.rename(path)
    except OSError:
        whole.unlink(missing_ok=True)
        raise
