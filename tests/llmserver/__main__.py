"""`python -m tests.llmserver`: serves until its input ends, after one line of JSON that says where."""

import argparse
import asyncio
import gc
import os
import resource
import sys
import threading

import orjson

from tests.llmserver.faults import Settings, meanings, pairs_of
from tests.llmserver.protocol import Connection
from tests.llmserver.running import EVERYWHERE
from tests.llmserver.service import Service


def main(told: list[str]) -> int:
    """Serve, and give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.llmserver",
        description="OpenAI chat completions on loopback, with faults and an exact count for each row.",
        epilog="settings:\n"
        + "\n".join(f"  {name:13} {default!s:9} {meaning}" for name, default, meaning in meanings()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--config", default="", metavar="K=V,K=V", help="settings to begin with")
    parser.add_argument("--host", default="127.0.0.1", help="where it listens; loopback is what it is for")
    parser.add_argument("--stay", action="store_true", help="serve on when the input ends")
    options = parser.parse_args(told)
    try:
        settings = Settings().changed(pairs_of(options.config))
    except ValueError as wrong:
        parser.error(str(wrong))
    _open_more_files()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)  # a count for each of a million rows is no garbage to walk through
    try:
        asyncio.run(_serve(settings, host=options.host, port=options.port, stay=options.stay))
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(settings: Settings, *, host: str, port: int, stay: bool) -> None:
    loop = asyncio.get_running_loop()
    service, live = Service(settings), set[Connection]()
    server = await loop.create_server(lambda: Connection(service.answer, live), host, port, backlog=4096)
    ended = asyncio.Event()
    if not stay:
        threading.Thread(target=_wait_for_end, args=(loop, ended), daemon=True).start()
    _, taken = server.sockets[0].getsockname()
    named = "127.0.0.1" if host == EVERYWHERE else host
    sys.stdout.write(orjson.dumps({"url": f"http://{named}:{taken}"}).decode() + "\n")
    sys.stdout.flush()
    await ended.wait()
    server.close()
    for connection in tuple(live):
        connection.reset()
    await server.wait_closed()


def _wait_for_end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    while os.read(0, 65_536):  # whoever started us holds the other end; theirs closes when they die
        pass
    loop.call_soon_threadsafe(ended.set)


def _open_more_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else min(most, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


sys.exit(main(sys.argv[1:]))
