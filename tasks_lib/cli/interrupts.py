"""Ctrl-C, and what a scheduler sends instead.

Once ends a batch in order, twice at once; three times end the program.
"""

import os
import signal

import anyio
from anyio.abc import TaskStatus

from tasks_lib.cli.words import note
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.ledger.under_way import forget_under_way

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
INTERRUPTED = 130  # the exit code, as shells have it for Ctrl-C


async def heed_interrupts(
    stop: Stop, batch: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Call the stop at the first signal, cancel the batch at the second, leave at the third."""
    # What was ignored when we were started stays so: nohup ignores SIGHUP, a shell's background job SIGINT.
    heeded = [number for number in _NAMES if signal.getsignal(number) is not signal.SIG_IGN]
    with anyio.open_signal_receiver(*heeded) as received:
        task_status.started()
        times = 0
        async for number in received:
            times += 1
            if times == 1:
                name = _NAMES[number]
                note(f"{name}: finishing the calls under way; press Ctrl-C again to drop them")
                stop.call(Why.INTERRUPTED, f"{name} was received")
            elif times == 2:
                note("dropping the calls under way; press Ctrl-C again to leave this very moment")
                batch.cancel()
            else:
                forget_under_way()
                os._exit(INTERRUPTED)  # nothing is lost that was in the ledger, as with any crash
