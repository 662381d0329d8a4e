import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest

from tasks_lib.cli.interrupts import heed_interrupts
from tasks_lib.engine.stop import Stop, Why


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


async def received(stop: Stop) -> None:
    """Return when the stop was called; the test's own time limit is the only one."""
    with stop.cuts_short():
        await anyio.sleep_forever()


@pytest.mark.anyio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_once_is_an_orderly_end(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    """The first signal calls the stop, and cancels nothing."""
    stop = Stop()
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as batch:
            await tasks.start(heed_interrupts, stop, batch)
            os.kill(os.getpid(), number)
            await received(stop)
        tasks.cancel_scope.cancel()
    assert (stop.why, stop.reason) == (Why.INTERRUPTED, f"{number.name} was received")
    assert not batch.cancel_called
    assert "press Ctrl-C again to drop them" in capsys.readouterr().err


@pytest.mark.anyio
async def test_twice_is_the_end() -> None:
    """The second signal cancels the batch."""
    stop = Stop()
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as batch:
            await tasks.start(heed_interrupts, stop, batch)
            os.kill(os.getpid(), signal.SIGTERM)
            await received(stop)
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep_forever()
        tasks.cancel_scope.cancel()
    assert batch.cancelled_caught


@pytest.mark.anyio
async def test_what_was_ignored_stays_ignored() -> None:
    """A run that was started with nohup does not end with its terminal."""
    stop = Stop()
    with ignored(signal.SIGHUP):
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as batch:
                await tasks.start(heed_interrupts, stop, batch)
                os.kill(os.getpid(), signal.SIGHUP)
                os.kill(os.getpid(), signal.SIGTERM)
                await received(stop)
            tasks.cancel_scope.cancel()
    assert stop.reason == "SIGTERM was received"
