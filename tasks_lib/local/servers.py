"""Local model servers: one single-threaded process a core, started together and ended on every way out."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from tasks_lib.domain.mistake import Mistake
from tasks_lib.local.children import Child, end, start
from tasks_lib.local.cores import cores
from tasks_lib.local.models import LocalModel

_CHILD: Final = Path(__file__).with_name("child.py")


class LocalServerFailed(Mistake):
    """A local model server did not start; the message ends with what it wrote to standard error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServers:
    """Running servers of one model: base URLs (`http://127.0.0.1:PORT/v1`) and the key a request must bear.

    The key keeps everybody else on this machine, web pages in a browser too, from using the servers.
    """

    model: LocalModel
    urls: tuple[str, ...]
    key: str = field(repr=False)


@asynccontextmanager
async def local_servers(
    *,
    model: LocalModel,
    at_most: int | None = None,
    context_tokens: int = 2048,
    start_within: float = 60.0,
) -> AsyncIterator[LocalServers]:
    """Servers of `model`, one a core but `at_most` so many, each with a window of `context_tokens`.

    They are ready on entry and gone on exit, also when the body fails or is cancelled, and they end by
    themselves should this process be killed. Raises LocalServerFailed when one ends early or is not ready
    after `start_within` seconds.
    """
    if at_most is not None and at_most < 1:
        raise ValueError(f"at_most must be at least 1, not {at_most}")
    count = min(cores(), at_most or cores())
    key = secrets.token_urlsafe()
    settings = {"model": str(model.path), "name": model.name, "context_tokens": context_tokens, "key": key}
    children: list[Child] = []
    try:
        for _ in range(count):
            # Shielded, so that a process can never have started without being in the list.
            with anyio.CancelScope(shield=True):
                children.append(await start(_CHILD))
        urls = await _ready(children, settings=settings, within=start_within)
        yield LocalServers(model=model, urls=urls, key=key)
    finally:
        with anyio.CancelScope(shield=True):
            await end(children)


async def _ready(children: list[Child], *, settings: dict[str, object], within: float) -> tuple[str, ...]:
    """The base URLs of all, which load their models at the same time while they are waited for in turn."""
    current = children[0]
    try:
        with anyio.fail_after(within):
            for current in children:
                await current.stdin.send(json.dumps(settings).encode() + b"\n")
            return tuple([await _base_url(current := child) for child in children])
    except TimeoutError:
        reason = f"was not ready after {within:g} s"
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        reason = "ended before it was ready"
    raise LocalServerFailed(f"the local model server for {settings['model']} {reason}:\n{current.tail}")


async def _base_url(child: Child) -> str:
    line = b""
    while not line.endswith(b"\n"):
        line += await child.stdout.receive()
    return f"{json.loads(line)['url']}/v1"
