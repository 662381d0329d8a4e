"""One request to the API: the key, the faults, the limits, the answer, and the counting of all of it."""

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from tests.llmserver.answers import HTML_PAGE
from tests.llmserver.retry_after import said
from tests.parallelserver import streams
from tests.parallelserver.asked import asked_of, metadata_of, spec_of
from tests.parallelserver.outputs import subject_of
from tests.parallelserver.refusals import Refused, detail_only, envelope, invalid, located
from tests.parallelserver.runs import Group, Run, position
from tests.parallelserver.settings import Settings
from tests.parallelserver.streams import Cut, Stream
from tests.parallelserver.wire import Client, Gone, Request
from tests.parallelserver.world import World

CUT: Final = 444
"""The status under which an exchange is counted that was ended without an answer."""
_RESULT_GONE: Final = "Run failed or run id not found"


class Exchange:
    """One request, from its arrival until it is answered or broken off; name is that of its endpoint."""

    def __init__(self, client: Client, request: Request, name: str, settings: Settings, world: World) -> None:
        self._client = client
        self._request = request
        self._name = name
        self._settings = settings
        self._world = world
        self._account = world.account(request.headers.get("x-api-key", ""))
        self._outcome = ""
        self._fault = ""
        self._is_counted = False

    async def answer(self, *told: str) -> None:
        """Answer it; told are the ids in its path.

        Raises:
            Gone: The connection is no longer of use.
        """
        counts = self._world.counts
        counts.requests[self._name] += 1
        try:
            self._admit()
            await _ENDPOINTS[self._name](self, *told)
        except _Answered:
            return
        except Refused as refused:
            known = self._fault if self._fault[1:] == str(refused.status) else str(refused.status)
            self._outcome, self._fault = self._outcome or known, ""
            body = envelope(refused)
            if refused.status == 422 and "group" in self._name and self._settings.group_422 == "detail":
                body = detail_only(refused)
            more = self._retry_after() if refused.status in {429, 503} else ""
            await self._say(refused.status, orjson.dumps(body), more=more)
        except Gone:
            if not self._is_counted:
                counts.client_aborts += 1
                self._count(CUT, "left")
            raise

    def _admit(self) -> None:
        key, settings = self._request.headers.get("x-api-key", ""), self._settings
        if not key or settings.auth not in {"", key}:
            raise Refused(401)
        is_get = self._request.method == "GET"
        if not is_get and int(self._request.headers.get("x-stainless-retry-count", "0") or 0):
            self._world.counts.resent += 1
        if is_get and settings.rpm and settings.rpm_all:
            self._take_room(1)

    def _take_room(self, number: int) -> None:
        settings = self._settings
        if not settings.rpm:
            return
        try:
            self._account.window.take(number, limit=settings.rpm, seconds=settings.rpm_window)
        except Refused:
            self._outcome = "rpm"
            raise

    def _retry_after(self) -> str:
        now, settings = time.monotonic(), self._settings
        return said(settings.ra_mode, settings.ra, monotonic=now, wall=time.time())[0]

    async def _say(self, status: int, body: bytes, *, kind: str = "application/json", more: str = "") -> None:
        if self._fault.endswith("trunc"):
            body = body[: len(body) // 2]
        await self._client.send(status, body, kind=kind, more=more)
        self._count(status, self._outcome or self._fault or ("ok" if status < 300 else str(status)))

    def _count(self, status: int, outcome: str) -> None:
        self._is_counted = True
        self._world.counts.by_status[status] += 1
        self._world.counts.by_outcome[outcome] += 1

    async def _json(self, told: object, status: int = 200) -> None:
        await self._say(status, orjson.dumps(told))

    def _break(self) -> None:
        self._count(CUT, self._fault)
        self._client.reset()
        raise Gone

    # Creating

    async def create_run(self) -> None:
        """POST /v1/tasks/runs."""
        told = self._body()
        await self._before_making(_key_of(told, self._settings), 1)
        asked = asked_of(told, self._settings)
        (run,) = self._world.make(self._account, [asked], self._settings)
        await self._after_making(202, run.told(), [run])

    async def add_runs(self, group_id: str) -> None:
        """POST .../groups/{gid}/runs."""
        told, settings = self._body(), self._settings
        inputs = told.get("inputs") if isinstance(told, dict) else None
        digest = hashlib.md5(self._request.body, usedforsecurity=False).hexdigest()
        await self._before_making(digest, len(inputs) if isinstance(inputs, list) else 1)
        group = self._account.group(group_id)
        if not isinstance(inputs, list) or not inputs:
            raise invalid("inputs", "Field required, a list of at least one run")
        if len(inputs) > settings.group_max:
            raise invalid("inputs", f"{len(inputs)} runs of at most {settings.group_max} in one request")
        spec = told.get("default_task_spec")
        with located("default_task_spec"):
            default = None if spec is None else spec_of(spec, settings)
        asked = []
        for number, one in enumerate(inputs):
            with located(f"inputs.{number}"):
                asked.append(asked_of(one, settings, default=default))
        is_fresh = _flag(self._request, "refresh_status", default=True)
        before, ends = len(group.runs), len(group.ends)
        runs = self._world.make(self._account, asked, settings, group=group)
        answer = {
            "status": group.status() if is_fresh else group.cached_status(),
            "run_ids": [run.run_id for run in runs],
            "run_cursor": str(before) if before else None,
            "event_cursor": str(ends) if before else None,
        }
        await self._after_making(200, answer, runs)

    async def create_group(self) -> None:
        """POST .../groups."""
        told = self._body() if self._request.body else {}
        if not isinstance(told, dict):
            raise invalid("body", "Input should be an object")
        await self._before_making("group", 0)
        group = self._world.add_group(self._account, metadata_of(told.get("metadata")))
        await self._after_making(200, group.told(), [])

    async def _before_making(self, subject: str, runs: int) -> None:
        """What a request that makes so many runs may meet before they are made; a new group has none."""
        world, settings = self._world, self._settings
        if runs:
            world.counts.creating_posts.append(time.monotonic())
        if world.chance.number("c_first", subject) <= settings.c_first:
            self._outcome = "c_first"
            raise Refused(settings.c_first_status)
        self._fault = world.chance.one_of(settings, "creates", subject)
        await self._client.pause(settings.c_ms / 1_000)
        await self._misbehave()
        if not runs:
            return
        if self._account.is_broke(settings):
            self._outcome = "broke"
            raise Refused(402)
        self._take_room(runs if settings.rpm_runs else 1)

    async def _after_making(self, status: int, told: object, runs: list[Run]) -> None:
        counts = self._world.counts
        counts.lost_runs += len(runs)  # until the answer has gone out
        if self._fault == "c_lost":
            self._break()
        if self._fault == "c_slow":
            await self._client.pause(self._settings.slow_ms / 1_000)
        await self._json(told, status)
        if self._fault != "c_trunc":
            counts.lost_runs -= len(runs)

    async def _misbehave(self) -> None:
        """The faults that come before anything else happens."""
        fault = self._fault
        if fault[1:].isdigit():
            raise Refused(int(fault[1:]))
        if fault.endswith("_html"):
            await self._say(502, HTML_PAGE, kind="text/html")
            raise _Answered
        if fault in {"c_early", "r_cut"}:
            self._break()

    # Reading

    async def _before_reading(self, subject: str) -> None:
        settings = self._settings
        self._fault = self._world.chance.one_of(settings, "reads", subject, about=self._name)
        await self._client.pause((settings.r_ms + settings.slow_ms * (self._fault == "r_slow")) / 1_000)
        await self._misbehave()

    async def _run(self, run_id: str) -> Run:
        run = self._account.runs.get(run_id)
        await self._before_reading(run.key if run else run_id)
        return self._account.run(run_id)

    async def _group(self, group_id: str) -> Group:
        await self._before_reading("group")
        return self._account.group(group_id)

    async def run(self, run_id: str) -> None:
        """GET .../runs/{id}."""
        await self._json((await self._run(run_id)).told())

    async def run_input(self, run_id: str) -> None:
        """GET .../runs/{id}/input."""
        await self._json((await self._run(run_id)).asked.echo)

    async def result(self, run_id: str) -> None:
        """GET .../runs/{id}/result: held until the run has ended, or the caller's patience has."""
        client, counts, settings = self._client, self._world.counts, self._settings
        seconds = self._patience()
        run = self._account.runs.get(run_id)
        await self._before_reading(run.key if run else run_id)
        if run is None:
            raise Refused(404, _RESULT_GONE)
        counts.wait(1)
        try:
            has_ended = await client.wait(run.over, seconds)
        finally:
            counts.wait(-1)
        if not has_ended:
            raise Refused(408)
        await client.pause(settings.result_ms / 1_000)
        if run.status != "completed":
            raise Refused(404, _RESULT_GONE)
        await self._json({"run": run.told(), "output": run.output})
        if self._fault != "r_trunc":
            counts.results_delivered += 1
            run.results_read += 1

    def _patience(self) -> float:
        """Seconds until a 408; a caller that polls by itself takes none, and is held until it gives up."""
        told, headers = self._request.query.get("timeout", "600"), self._request.headers
        if not told.isdecimal():
            raise invalid("timeout", "Input should be an integer of at least 0")
        if self._settings.poll_helper and headers.get("x-stainless-poll-helper", "").lower() == "true":
            return _seconds(headers.get("x-stainless-read-timeout", "3600"), "x-stainless-read-timeout") + 1
        return float(told)

    async def group(self, group_id: str) -> None:
        """GET .../groups/{gid}."""
        await self._json((await self._group(group_id)).told())

    async def group_run(self, group_id: str, run_id: str) -> None:
        """GET .../groups/{gid}/runs/{id}."""
        group = await self._group(group_id)
        run = self._account.run(run_id)
        if run.group is not group:
            raise Refused(404)
        await self._json(run.told())

    # Streams

    async def run_events(self, run_id: str) -> None:
        """GET .../runs/{id}/events."""
        run = await self._run(run_id)
        await self._streamed(lambda stream: streams.run_events(stream, run, self._settings), run.key)

    async def group_runs(self, group_id: str) -> None:
        """GET .../groups/{gid}/runs."""
        group, query = await self._group(group_id), self._request.query
        chosen = streams.chosen_runs(group, query, ended_only=bool(self._settings.ended_only))
        with_input = _flag(self._request, "include_input", default=False)
        with_output = _flag(self._request, "include_output", default=False)
        await self._streamed(
            lambda stream: streams.group_runs(stream, chosen, with_input=with_input, with_output=with_output),
            "group",
        )

    async def group_events(self, group_id: str) -> None:
        """GET .../groups/{gid}/events."""
        group, query = await self._group(group_id), self._request.query
        begin = position(query.get("last_event_id", ""), len(group.ends))
        told = query.get("timeout")
        seconds = self._settings.group_stream_s if told is None else _seconds(told, "timeout")
        await self._streamed(lambda stream: streams.group_events(stream, group, begin, seconds), "group")

    async def _streamed(self, tell: Callable[[Stream], Awaitable[None]], subject: str) -> None:
        client, settings, world = self._client, self._settings, self._world
        hits, counts = world.chance.hits, world.counts
        is_cut = hits(settings, settings.sse_cut, f"cut {self._name}", subject) or self._fault == "r_trunc"
        has_error = hits(settings, settings.sse_error, f"error {self._name}", subject)
        stream = Stream(client, counts, settings, is_cut=is_cut, has_error=has_error)
        await client.open_stream()
        counts.stream(1)
        try:
            await tell(stream)
            outcome = "ok"
        except Cut:
            outcome = "sse_cut"
        except Gone:
            self._count(200, "sse_cut" if stream.is_broken else "left")
            counts.client_aborts += not stream.is_broken
            raise
        finally:
            counts.stream(-1)
        await client.end_stream()
        self._count(200, outcome)

    def _body(self) -> Any:
        try:
            return orjson.loads(self._request.body)
        except orjson.JSONDecodeError:
            raise invalid("body", "JSON decode error") from None


class _Answered(Exception):
    """The answer has been sent already."""


def _key_of(told: Any, settings: Settings) -> str:
    """The row that a body is about, if it says so."""
    if not isinstance(told, dict):
        return ""
    metadata = told.get("metadata")
    if isinstance(metadata, dict) and settings.row_key in metadata:
        return str(metadata[settings.row_key])
    return subject_of(told.get("input", ""))


def _flag(request: Request, name: str, *, default: bool) -> bool:
    told = request.query.get(name, "").lower()
    if told not in {"", "true", "false", "1", "0"}:
        raise invalid(name, "Input should be a boolean")
    return told in {"true", "1"} if told else default


def _seconds(told: str, where: str) -> float:
    try:
        return min(max(float(told), 0.0), 1e6)
    except ValueError:
        raise invalid(where, "Input should be a number") from None


_ENDPOINTS: Final[dict[str, Callable[..., Awaitable[None]]]] = {
    "POST run": Exchange.create_run,
    "GET run": Exchange.run,
    "GET input": Exchange.run_input,
    "GET result": Exchange.result,
    "GET run events": Exchange.run_events,
    "POST group": Exchange.create_group,
    "GET group": Exchange.group,
    "POST group runs": Exchange.add_runs,
    "GET group runs": Exchange.group_runs,
    "GET group events": Exchange.group_events,
    "GET group run": Exchange.group_run,
}
NAMES: Final = frozenset(_ENDPOINTS)
"""The endpoints, as they are counted."""
