"""A worker that is started by hand, on whatever machine."""

import time
from pathlib import Path

from tasks_lib.cli.words import note, visible
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.workers.by_hand import take_ticket
from tasks_lib.job.workers.calling import NotLetIn, read_ticket
from tasks_lib.job.workers.recruiting import Ticket
from tasks_lib.job.workers.worker import work_for

_LOOK = 0.5  # seconds between two looks for a ticket


def work_with(tickets: Path, *, wait: float) -> None:
    """Take part in the batch that a ticket is for; from a folder, with one ticket after another.

    Ends when no ticket has come into the folder for `wait` seconds.

    Raises:
        Mistake: there is no ticket, or none with which anything could be done.
    """
    if not tickets.is_dir():
        _work(read_ticket(tickets))
        return
    refused: NotLetIn | None = None
    worked = False
    while (ticket := _next_of(tickets, wait=wait)) is not None:
        try:
            _work(ticket)
            worked = True
        except NotLetIn as why:  # such as a ticket of a batch that was killed; the next may be better
            note(visible(str(why)))
            refused = why
    if not worked:
        raise refused or Mistake(f"{tickets} has had no ticket for {wait:g} s")


def _work(ticket: Ticket) -> None:
    note(f"worker {ticket.number + 1} of batch {ticket.batch_id} begins")
    note(visible(f"worker {ticket.number + 1} has ended: {work_for(ticket)}"))


def _next_of(folder: Path, *, wait: float) -> Ticket | None:
    until = time.monotonic() + wait
    while (ticket := take_ticket(folder)) is None and time.monotonic() < until:
        time.sleep(_LOOK)
    return ticket
