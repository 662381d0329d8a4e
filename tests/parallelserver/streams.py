"""The three event streams, whole or cut."""

import asyncio
from collections.abc import Mapping

from tests.parallelserver.counts import Counts
from tests.parallelserver.refusals import error_of, invalid
from tests.parallelserver.runs import ENDED, STATUSES, Group, Run, position
from tests.parallelserver.settings import Settings
from tests.parallelserver.wire import Client, Gone


class Cut(Exception):
    """The stream was ended too early, in good order."""


class Stream:
    """An event stream to one client, with the misbehaviour that was asked for."""

    def __init__(
        self, client: Client, counts: Counts, settings: Settings, *, is_cut: bool, has_error: bool
    ) -> None:
        self._client = client
        self._counts = counts
        self._settings = settings
        self._is_cut = is_cut
        self._has_error = has_error
        self._sent = 0
        self.is_broken = False
        """Whether it was broken off on purpose."""

    async def send(self, kind: str, told: object) -> None:
        """Send an event, or break off.

        Raises:
            Gone: The client left, or was left.
            Cut: The stream ends here, as if this were its end.
        """
        client, settings = self._client, self._settings
        if self._is_cut and self._sent == settings.sse_cut_after:
            await self._break(kind, told)
        if self._sent:
            await client.pause(settings.sse_ms / 1_000)
        if settings.comments:
            await client.comment()
        await client.event(kind, told)
        self._sent += 1
        if self._has_error and self._sent == 1:
            await client.event("error", {"type": "error", "error": error_of("Something went wrong here")})

    async def _break(self, kind: str, told: object) -> None:
        self._counts.streams_cut += 1
        how = self._settings.sse_cut_how
        if how == "end":
            raise Cut
        self.is_broken = True
        await self._client.half_event(kind, told)
        if how == "reset":
            await asyncio.sleep(0.02)  # a reset overtakes what the client has not read yet
            self._client.reset()
        raise Gone

    async def wait(self, changed: asyncio.Event, end: float) -> bool:
        """Whether the change came before the end (loop time); comments keep the stream alive meanwhile."""
        loop = asyncio.get_running_loop()
        every = self._settings.ping_ms / 1_000 or float("inf")
        while (left := end - loop.time()) > 0:
            if await self._client.wait(changed, min(left, every)):
                return True
            if left > every:
                await self._client.comment()
        return False


async def run_events(stream: Stream, run: Run, settings: Settings) -> None:
    """A run's state, its whole reasoning trace, its progress, and its state once more when it has ended."""
    end = asyncio.get_running_loop().time() + settings.stream_s
    shown, told, progress = 0, run.status, -1.0
    await stream.send("task_run.state", run.event(None))
    while True:
        changed = run.pulse.next
        for kind, message in run.messages[shown:]:
            await stream.send(kind, message)
            shown += 1
        stats = run.stats_event()
        if stats["progress_meter"] != progress:
            progress = stats["progress_meter"]
            await stream.send("task_run.progress_stats", stats)
        if run.status in ENDED and shown == len(run.messages):
            await stream.send("task_run.state", run.event(None, with_output=True))
            run.results_read += run.status == "completed"
            return
        if run.status == "action_required" != told:
            await stream.send("task_run.state", run.event(None))
        told = run.status
        if not await stream.wait(changed, end):
            return


def chosen_runs(group: Group, query: Mapping[str, str], *, ended_only: bool) -> list[tuple[int, Run]]:
    """The runs that a snapshot shows, each with its place in the group.

    Raises:
        Refused: 422.
    """
    begin, status = position(query.get("last_event_id", ""), len(group.runs)), query.get("status")
    if status is not None and status not in STATUSES:
        raise invalid("status", f"Input should be one of {', '.join(STATUSES)}")
    after = enumerate(group.runs[begin:], begin + 1)
    return [
        (place, run)
        for place, run in after
        if status in {None, run.status} and not (ended_only and run.told()["is_active"])
    ]


async def group_runs(
    stream: Stream, chosen: list[tuple[int, Run]], *, with_input: bool, with_output: bool
) -> None:
    """The runs as they are at this moment; nothing is waited for."""
    for place, run in chosen:
        event = run.event(str(place), with_input=with_input, with_output=with_output)
        await stream.send("task_run.state", event)
        run.results_read += with_output and run.output is not None


async def group_events(stream: Stream, group: Group, begin: int, seconds: float) -> None:
    """The group's status, and runs as they end, until none is active."""
    end = asyncio.get_running_loop().time() + seconds
    at = begin
    await _send_status(stream, group, at)
    while True:
        changed = group.pulse.next
        for run, told in group.ends[at:]:
            at += 1
            event = run.event(str(at)) | {"run": told}
            await stream.send("task_run.state", event)
            if at % 100 == 0:
                await _send_status(stream, group, at)
        if changed is not group.pulse.next:  # something happened while we sent
            continue
        if not group.is_active:
            await _send_status(stream, group, at)
            return
        if not await stream.wait(changed, end):
            return


async def _send_status(stream: Stream, group: Group, at: int) -> None:
    told = {"type": "task_group_status", "event_id": str(at), "status": group.status()}
    await stream.send("task_group_status", told)
