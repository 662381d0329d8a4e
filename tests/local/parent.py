"""A program that starts a server, tells its address on standard output, and then waits to be killed."""

import sys

import anyio

from tasks_lib.local import local_model, local_servers


async def main() -> None:
    async with local_servers(model=local_model(), at_most=1) as servers:
        sys.stdout.write(servers.urls[0] + "\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


anyio.run(main)
