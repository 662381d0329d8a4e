"""A worker that is started by hand, on whatever machine."""

import signal
import time
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from tasks_lib.cli.interrupts import INTERRUPTED
from tasks_lib.cli.words import note, visible
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.workers.by_hand import take_ticket
from tasks_lib.job.workers.calling import NotLetIn, read_ticket
from tasks_lib.job.workers.recruiting import Ticket
from tasks_lib.job.workers.worker import take_part

_LOOK = 0.2  # seconds between two looks for a ticket
_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


def work_with(tickets: Path, *, wait: float) -> int:
    """Take part in the batch that a ticket is for; from a folder, with one ticket after another.

    Ends when no ticket has come into the folder for `wait` seconds, or when somebody asks for it by Ctrl-C or
    SIGTERM: after the calls under way, and at once when asked again. Others go on with its rows.

    Returns:
        The exit code.

    Raises:
        Mistake: there is no ticket, or none with which anything could be done.
    """
    return anyio.run(_work_with, tickets, wait)


async def _work_with(tickets: Path, wait: float) -> int:
    leave = anyio.Event()
    mistake: Mistake | None = None
    async with anyio.create_task_group() as tasks:
        await tasks.start(_heed_signals, leave, tasks.cancel_scope)
        try:
            await _work_all(tickets, wait, leave)
        except Mistake as error:  # which a group would wrap
            mistake = error
        tasks.cancel_scope.cancel()
    if mistake is not None and not leave.is_set():
        raise mistake
    return INTERRUPTED if leave.is_set() else 0


async def _heed_signals(
    leave: anyio.Event, work: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Ask for the end at the first signal, and drop the calls at the second."""
    heeded = [number for number in _NAMES if signal.getsignal(number) is not signal.SIG_IGN]
    with anyio.open_signal_receiver(*heeded) as received:
        task_status.started()
        async for number in received:
            if leave.is_set():
                note("dropping the calls under way")
                work.cancel()
                return
            name = _NAMES[signal.Signals(number)]
            note(f"{name}: finishing the calls under way; once more drops them")
            leave.set()


async def _work_all(tickets: Path, wait: float, leave: anyio.Event) -> None:
    if not tickets.is_dir():  # noqa: ASYNC240  # nothing else is done meanwhile
        await _work(read_ticket(tickets), leave)
        return
    refused: NotLetIn | None = None
    worked = False
    while (ticket := await _next_of(tickets, wait, leave)) is not None:
        try:
            await _work(ticket, leave)
            worked = True
        except NotLetIn as why:  # such as a ticket of a batch that was killed; the next may be better
            note(visible(str(why)))
            refused = why
    if not worked:
        raise refused or Mistake(f"{tickets} has had no ticket for {wait:g} s")


async def _work(ticket: Ticket, leave: anyio.Event) -> None:
    note(f"worker {ticket.number + 1} of batch {ticket.batch_id} begins")
    note(visible(f"worker {ticket.number + 1} has ended: {await take_part(ticket, leave)}"))


async def _next_of(folder: Path, wait: float, leave: anyio.Event) -> Ticket | None:
    until = time.monotonic() + wait
    while not leave.is_set():
        ticket = take_ticket(folder)
        if ticket is not None or time.monotonic() >= until:
            return ticket
        with anyio.move_on_after(_LOOK):
            await leave.wait()
    return None
