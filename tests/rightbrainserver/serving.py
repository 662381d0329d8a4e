"""A task server's command: it serves until its input ends, after one line of JSON that says where."""

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import Callable

import orjson

from tests.llmserver.faults import pairs_of
from tests.rightbrainserver.told import Own, Told
from tests.rightbrainserver.wire import Answer, converse


def main(
    program: str, what: str, told: list[str], *, begin: Told[Own], service: Callable[[Told[Own]], Answer]
) -> int:
    """Serve, and give the exit code."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=what,
        epilog="settings:\n"
        + "\n".join(f"  {name:13} {value!s:9} {why}" for name, value, why in begin.lines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--config", default="", metavar="K=V,K=V", help="settings to begin with")
    parser.add_argument("--stay", action="store_true", help="serve on when the input ends")
    options = parser.parse_args(told)
    try:
        settings = begin.changed(pairs_of(options.config))
    except ValueError as wrong:
        parser.error(str(wrong))
    try:
        asyncio.run(_serve(service(settings), port=options.port, stay=options.stay))
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(answer: Answer, *, port: int, stay: bool) -> None:
    loop, live = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a conversation is a task"
        live.add(task)
        try:
            await converse(reader, writer, answer)
        except asyncio.CancelledError:  # we are closing, which is no error of this conversation
            writer.close()
        finally:
            live.discard(task)

    server = await asyncio.start_server(hold, "127.0.0.1", port, backlog=4096)
    ended = asyncio.Event()
    if not stay:
        threading.Thread(target=_wait_for_end, args=(loop, ended), daemon=True).start()
    host, taken = server.sockets[0].getsockname()
    sys.stdout.write(orjson.dumps({"url": f"http://{host}:{taken}"}).decode() + "\n")
    sys.stdout.flush()
    await ended.wait()
    server.close()
    talking = tuple(live)
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)


def _wait_for_end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    while os.read(0, 65_536):  # whoever started us holds the other end; theirs closes when they die
        pass
    loop.call_soon_threadsafe(ended.set)
