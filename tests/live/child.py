"""A process that holds a ledger and its channel, and writes to it until its standard input ends.

`python -m tests.live.child LEDGER` prints "ready" once it can be reached.
"""

import sys
from pathlib import Path

import anyio
from anyio import to_thread

from tasks_lib.ledger import Ledger, open_ledger
from tasks_lib.ledger.questions import Questions
from tasks_lib.live import live_channel
from tests.ledger.builders import begin, runs
from tests.live.pretend import Pretended


async def hold(ledger: Ledger, batch: str) -> None:
    async def write() -> None:
        while True:
            await to_thread.run_sync(lambda: ledger.add(list(runs(50)), batch_id=batch))

    async with (
        live_channel(Pretended(), Questions(ledger).begin, ledger=ledger.path, batch_id=batch),
        anyio.create_task_group() as beside,
    ):
        beside.start_soon(write)
        print("ready", flush=True)  # noqa: T201 - the parent reads it
        await to_thread.run_sync(sys.stdin.read)
        beside.cancel_scope.cancel()


if __name__ == "__main__":
    with open_ledger(Path(sys.argv[1])) as opened:
        anyio.run(hold, opened, begin(opened))
