"""`python -m tests.parallelserver`: serves until its input ends, after one line of JSON that says where."""

import argparse
import asyncio
import os
import resource
import sys
import threading

import orjson

from tests.llmserver.faults import pairs_of
from tests.parallelserver.service import Service
from tests.parallelserver.settings import Settings, meanings


def main(told: list[str]) -> int:
    """Serve, and give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.parallelserver",
        description="Parallel's Task API on loopback, with its limits, with faults, and with exact counts.",
        epilog="settings:\n"
        + "\n".join(f"  {name:15} {default!s:9} {meaning}" for name, default, meaning in meanings()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--config", default="", metavar="K=V,K=V", help="settings to begin with")
    parser.add_argument("--stay", action="store_true", help="serve on when the input ends")
    options = parser.parse_args(told)
    try:
        settings = Settings().changed(pairs_of(options.config))
    except ValueError as wrong:
        parser.error(str(wrong))
    _open_more_files()
    try:
        asyncio.run(_serve(settings, port=options.port, stay=options.stay))
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(settings: Settings, *, port: int, stay: bool) -> None:
    loop, service, ended = asyncio.get_running_loop(), Service(settings), asyncio.Event()
    server, url = await service.listen(port)
    if not stay:
        threading.Thread(target=_wait_for_end, args=(loop, ended), daemon=True).start()
    sys.stdout.write(orjson.dumps({"url": url}).decode() + "\n")
    sys.stdout.flush()
    await ended.wait()
    server.close()
    service.close()


def _wait_for_end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    while os.read(0, 65_536):  # whoever started us holds the other end; theirs closes when they die
        pass
    loop.call_soon_threadsafe(ended.set)


def _open_more_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else min(most, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
