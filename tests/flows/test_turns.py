"""One batch at a time for each ledger."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flows.turns import OneWaits, is_free, only_one_waits, wait_until_free
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.ledger.errors import LedgerInUse
from tests.flows.processes import ROOT

_HOLD = """
import sys
from pathlib import Path
from tasks_lib.ledger import open_ledger
with open_ledger(Path(sys.argv[1])):
    print("holds", flush=True)
    sys.stdin.read()
"""
_WAIT = """
import sys
from pathlib import Path
from flows.turns import only_one_waits
with only_one_waits(Path(sys.argv[1]), "this"):
    print("waits", flush=True)
    sys.stdin.read()
"""


@contextmanager
def child(program: str, ledger) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does it until it is told to end, or is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(ledger)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_ledger_is_free_the_moment_its_process_is_killed(tmp_path):
    """Who waits goes on when the other one is dead, with nothing to be cleared away."""
    ledger = tmp_path / "ledger.duckdb"

    async def story() -> None:
        assert await is_free(ledger)  # there is none yet, and none is made
        assert not ledger.exists()
        with child(_HOLD, ledger) as holder:
            assert not await is_free(ledger)
            with pytest.raises(LedgerInUse):
                await wait_until_free(ledger, patience=0, stop=Stop(), every=0.01)
            waiting = asyncio.create_task(wait_until_free(ledger, patience=60, stop=Stop(), every=0.01))
            await asyncio.sleep(0)
            assert not waiting.done()
            holder.kill()
            await asyncio.wait_for(waiting, 30)
        assert await is_free(ledger)

    asyncio.run(story())


def test_a_stop_ends_the_wait(tmp_path):
    """Who is cancelled while it waits does not wait on."""
    ledger = tmp_path / "ledger.duckdb"

    async def story() -> None:
        stop = Stop()
        with child(_HOLD, ledger):
            waiting = asyncio.create_task(wait_until_free(ledger, patience=600, stop=stop, every=0.01))
            await asyncio.sleep(0)
            stop.call(Why.INTERRUPTED, "it was cancelled")
            await asyncio.wait_for(waiting, 30)

    asyncio.run(story())


def test_of_the_same_only_one_waits(tmp_path):
    """A second one that would do the same need not wait; who would do something else may."""
    ledger = tmp_path / "ledger.duckdb"
    with child(_WAIT, ledger) as first:
        with pytest.raises(OneWaits), only_one_waits(ledger, "this"):
            raise AssertionError
        with only_one_waits(ledger, "that"):
            pass
        first.kill()
        first.wait()
        with only_one_waits(ledger, "this"):
            pass
