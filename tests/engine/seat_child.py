"""A process that calls through a gate of its own, and says when each call was let in.

python seat_child.py FOLDER CALLS PER_MINUTE IN_FLIGHT TAKES   (0: no limit)

It prints "in" once it is seated, begins at a line on its standard input, and then prints a line a call.
"""

import asyncio
import sys
import time
from pathlib import Path

from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.shared import join_account


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(folder: str, calls: str, per_minute: str, in_flight: str, takes: str) -> None:
    account = join_account(Path(folder), base_url="https://api.test/v1", key="sk-secret")
    gate = Gate(
        Limits(requests_per_minute=int(per_minute) or None, in_flight=int(in_flight) or None),
        now=time.monotonic(),
        shared=account,
    )
    _say("in")
    sys.stdin.readline()

    async def one() -> None:
        passed = await gate.enter()
        _say(str(time.monotonic()))
        await asyncio.sleep(float(takes))
        gate.leave(passed, Reply(text="yes"), worked=float(takes))

    async with asyncio.TaskGroup() as callers:
        for _ in range(int(calls)):
            callers.create_task(one())
    account.close()


asyncio.run(main(*sys.argv[1:]))
