"""Who answers what: the API, the counts, the settings."""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

import orjson

from tests.llmserver.faults import pairs_of
from tests.parallelserver.counts import busiest
from tests.parallelserver.exchange import Exchange
from tests.parallelserver.refusals import Refused, envelope
from tests.parallelserver.runs import Run
from tests.parallelserver.settings import Settings
from tests.parallelserver.wire import HEAD_MAX, Client, Gone, NotHttp, Request
from tests.parallelserver.world import World

_RUNS: Final = "/v1/tasks/runs"
_GROUPS: Final = "/v1(?:beta)?/tasks/groups"
_ID: Final = "/([^/]+)"
_ROUTES: Final = tuple(
    (method, re.compile(pattern), name)
    for method, pattern, name in (
        ("POST", _RUNS, "POST run"),
        ("GET", f"{_RUNS}{_ID}", "GET run"),
        ("GET", f"{_RUNS}{_ID}/input", "GET input"),
        ("GET", f"{_RUNS}{_ID}/result", "GET result"),
        ("GET", f"/v1(?:beta)?/tasks/runs{_ID}/events", "GET run events"),
        ("POST", _GROUPS, "POST group"),
        ("GET", f"{_GROUPS}{_ID}", "GET group"),
        ("POST", f"{_GROUPS}{_ID}/runs", "POST group runs"),
        ("GET", f"{_GROUPS}{_ID}/runs", "GET group runs"),
        ("GET", f"{_GROUPS}{_ID}/events", "GET group events"),
        ("GET", f"{_GROUPS}{_ID}/runs{_ID}", "GET group run"),
    )
)


class Service:
    """The world, the settings, and the answer to every request."""

    def __init__(self, settings: Settings) -> None:
        self._world = World()
        self._start = self._settings = settings
        self._live: set[Client] = set()

    async def listen(self, port: int) -> tuple[asyncio.Server, str]:
        """Listen on loopback; port 0 takes a free one."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", port, limit=HEAD_MAX, backlog=4_096)
        host, taken = server.sockets[0].getsockname()
        return server, f"http://{host}:{taken}"

    def close(self) -> None:
        """Break every connection."""
        self._world.close()
        for client in tuple(self._live):
            client.reset()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(reader, writer)
        self._live.add(client)
        try:
            while (request := await client.request()) is not None:
                client.is_busy = True
                await self._answer(client, request)
                client.is_busy = False
                if request.is_last:
                    break
        except NotHttp as wrong:
            await _leave(client, str(wrong))
        except (Gone, asyncio.CancelledError):  # at the server's end asyncio would print the latter
            pass
        finally:
            self._live.discard(client)
            client.close()

    async def _answer(self, client: Client, request: Request) -> None:
        prefix, path = "", request.path
        if path.startswith("/c/"):
            prefix, _, path = path[3:].partition("/")
            path = f"/{path}"
        try:
            settings = self._settings.changed(pairs_of(unquote(prefix)))
        except ValueError as wrong:
            await _refuse(client, Refused(400, f"In the base URL: {wrong}"))
            return
        for method, pattern, name in _ROUTES:
            found = pattern.fullmatch(path)
            if found and method == request.method:
                await Exchange(client, request, name, settings, self._world).answer(*found.groups())
                return
        await self._aside(client, path, dict(request.query))

    async def _aside(self, client: Client, path: str, asked: dict[str, str]) -> None:
        told: Any
        match path:
            case "/health":
                told = {"ok": True}
            case "/stats":
                told = self._world.report()
            case "/stats/rows":
                told = self._world.started(asked.get("field", ""))
            case "/stats/runs":
                told = [self._told(run) for run in self._world.all_runs()]
            case "/stats/window":
                told = await _or_refuse(client, lambda: self._window(asked))
            case "/stats/reset":
                told = self._reset(client)
            case "/config":
                told = await _or_refuse(client, lambda: self._changed(asked))
            case _:
                self._world.counts.by_outcome["no_such_path"] += 1
                await _refuse(client, Refused(404, "Not Found"))
                return
        if told is not None:
            await client.send(200, orjson.dumps(told))

    @staticmethod
    def _told(run: Run) -> dict[str, Any]:
        told = {"key": run.key, "results_read": run.results_read, "input": run.asked.input}
        return run.told() | told

    def _window(self, asked: dict[str, str]) -> dict[str, object]:
        seconds, counts = float(asked.get("seconds", "60")), self._world.counts
        if not seconds > 0:
            raise ValueError("seconds is a number above 0")
        posts, runs = busiest(counts.creating_posts, seconds), busiest(counts.runs_made, seconds)
        return {"seconds": seconds, "creating_posts": posts, "runs_made": runs}

    def _reset(self, asker: Client) -> dict[str, object]:
        self._world.close()
        self._world = World()
        for client in tuple(self._live):
            if client.is_busy and client is not asker:  # it waits for what will never come
                client.reset()
        return {"reset": True}

    def _changed(self, pairs: dict[str, str]) -> dict[str, object]:
        begin = self._start if pairs.pop("clear", "") else self._settings
        self._settings = begin.changed(pairs)
        return self._settings.shown()


async def _or_refuse(client: Client, made: Callable[[], Any]) -> Any:
    try:
        return made()
    except ValueError as wrong:
        await _refuse(client, Refused(400, str(wrong)))
        return None


async def _refuse(client: Client, refused: Refused) -> None:
    await client.send(refused.status, orjson.dumps(envelope(refused)))


async def _leave(client: Client, reason: str) -> None:
    try:
        await client.send(400, reason.encode(), kind="text/plain", more="Connection: close\r\n")
    except Gone:
        return
