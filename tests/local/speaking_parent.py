"""A program that opens a voice, says so on standard output, and then waits to be killed."""

import sys

import anyio

from tasks_lib.local.speech import local_speaker


async def main() -> None:
    async with local_speaker():
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


anyio.run(main)
