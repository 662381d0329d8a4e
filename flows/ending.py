"""What ends a batch from outside: signals, and Cancel in Prefect's UI.

Left to itself, Prefect raises an exception in the main thread at whatever line it finds itself when a SIGTERM
comes, which may be in the middle of a commit; a worker that cancels, a worker that is stopped and a container
that is evicted all send one. And nobody tells a flow run outside a worker that it was cancelled.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final
from uuid import UUID

import anyio
from prefect import get_client

from tasks_lib.engine.stop import Stop, Why

GRACE: Final = 20.0  # seconds that calls under way may take to end; a worker kills after 30
EVERY: Final = 3.0  # seconds between two looks at the flow run's state


@contextmanager
def ending_on(
    *signals: signal.Signals, stop: Stop, scope: anyio.CancelScope, grace: float = GRACE
) -> Iterator[None]:
    """The first of these signals calls the stop; the second, or a grace that has passed, cancels the scope.

    Does nothing outside the main thread, where no signal arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def end(which: signal.Signals) -> None:
        if timers:
            scope.cancel()
            return
        stop.call(Why.INTERRUPTED, f"{which.name} was received")
        timers.append(loop.call_later(grace, scope.cancel))

    before = {which: signal.getsignal(which) for which in signals}
    for which in signals:
        loop.add_signal_handler(which, end, which)
    try:
        yield
    finally:
        for which in signals:
            loop.remove_signal_handler(which)  # which leaves the default handler
            signal.signal(which, before[which])
        for timer in timers:
            timer.cancel()


@asynccontextmanager
async def ending_when_cancelled(
    flow_run_id: UUID, stop: Stop, *, every: float = EVERY
) -> AsyncIterator[None]:
    """Call the stop when the flow run is being cancelled in Prefect."""
    watcher = asyncio.create_task(_watch(flow_run_id, stop, every=every))
    try:
        yield
    finally:
        watcher.cancel()


async def _watch(flow_run_id: UUID, stop: Stop, *, every: float) -> None:
    while not stop.called:
        await anyio.sleep(every)
        try:
            async with get_client() as client:
                state = (await client.read_flow_run(flow_run_id)).state
        except Exception:  # noqa: BLE001, S112  # a server that does not answer cancels nothing; the next look may
            continue
        if state is not None and (state.is_cancelling() or state.is_cancelled()):
            stop.call(Why.INTERRUPTED, "it was cancelled in Prefect")
