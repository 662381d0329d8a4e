"""Starting a run: its limits, its fault, its latency, its answer, and the counting of all of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from tests.llmserver.answers import HTML_PAGE
from tests.llmserver.counts import Row
from tests.llmserver.limits import Room
from tests.llmserver.retry_after import said as promised
from tests.rightbrainserver.control import Customer
from tests.rightbrainserver.tally import TaskCounts
from tests.rightbrainserver.told import Own
from tests.rightbrainserver.wire import Ending, Reply

CUT: Final = 444
"""The status under which an exchange is counted that was ended without an answer."""
GATEWAY_PAGE: Final = b"<html><head><title>504 Gateway Time-out</title></head><body>504</body></html>"
_ENDINGS: Final[dict[str, Ending]] = {
    "e_reset_late": "cut",
    "e_trunc": "half",
    "e_trunc_rst": "half_reset",
    "e_garbage": "garbage",
}


class Attempt(NamedTuple):
    """A run that is to be made: for which marker, the how manyth of it, how spoiled, in how many seconds."""

    row: Row
    marker: str
    number: int
    fault: str | None
    seconds: float


class Made(NamedTuple):
    """What came of it, and the answer that tells it; `ok` is good, all else names what it is."""

    outcome: str
    reply: Reply


Run = Callable[[Attempt], Awaitable[Made]]
Refuse = Callable[[int], Reply]


async def created(
    customer: Customer[Own],
    counts: TaskCounts,
    marker: str,
    *,
    run: Run,
    refuse: Refuse,
    gateway_s: float,
    running: set[asyncio.Task[Made]],
) -> Reply:
    """The answer to a request that starts a run.

    Run makes it, latency included. Refuse gives the API's own error of a status. After gateway_s (0: never)
    a gateway answers 504 while the run goes on. Running holds what goes on though nobody waits for it.
    """
    now, account = time.monotonic(), customer.account
    counts.arrive(now)
    account.inflight += 1
    row, early = counts.receive(marker, now)
    outcome, reply = await _answered(
        customer, row, marker, early, run=run, refuse=refuse, gateway_s=gateway_s, running=running
    )
    status = CUT if reply.ending in {"cut", "garbage"} else reply.status

    def heard(there: bool) -> None:
        account.inflight -= 1
        counts.inflight -= 1
        counts.by_outcome[outcome] += 1
        counts.by_status[status] += 1
        counts.client_aborts += not there
        if there and outcome == "ok":
            counts.ok += 1
            row.ok += 1

    return reply._replace(heard=heard)


async def _answered(
    customer: Customer[Own],
    row: Row,
    marker: str,
    early: float,
    *,
    run: Run,
    refuse: Refuse,
    gateway_s: float,
    running: set[asyncio.Task[Made]],
) -> Made:
    limited = _limited(customer, early)
    if limited is not None:
        outcome, wait = limited
        return Made(outcome, _waiting(customer, row, refuse(429), wait))
    faults, draw = customer.told.faults, customer.account.draw
    is_meant = customer.told.own.include(marker, row.received)
    fault = draw.fault(marker, row.received) if is_meant else None
    seconds = draw.latency(marker, row.received)
    if fault == "e_reset":
        return Made(fault, Reply(CUT, b"", ending="cut"))
    if fault == "e_hang":
        await asyncio.sleep(faults.hang_s)
        return Made(fault, Reply(CUT, b"", ending="cut"))
    if fault is not None and fault[1:].isdigit():
        status = int(fault[1:])
        if status >= 500:  # a refusal takes no time
            await asyncio.sleep(seconds)
        reply = refuse(status)
        return Made(fault, _waiting(customer, row, reply, faults.ra) if status in {429, 503, 529} else reply)
    if fault == "e_html":
        await asyncio.sleep(seconds)
        return Made(fault, Reply(502, HTML_PAGE, "text/html"))
    making = asyncio.ensure_future(run(Attempt(row, marker, row.received, fault, seconds)))
    running.add(making)
    making.add_done_callback(running.discard)
    try:
        made = await asyncio.wait_for(asyncio.shield(making), gateway_s or None)
    except TimeoutError:
        return Made("gateway", Reply(504, GATEWAY_PAGE, "text/html"))
    if fault is None or made.reply.status >= 400:
        return made
    if fault == "e_malformed":
        return Made(fault, made.reply._replace(body=made.reply.body[: len(made.reply.body) // 2]))
    return Made(fault, made.reply._replace(ending=_ENDINGS.get(fault, "whole")))


def _limited(customer: Customer[Own], early: float) -> tuple[str, float] | None:
    """Why and for how many seconds this one is not let in."""
    now, account, faults = time.monotonic(), customer.account, customer.told.faults
    if early > 0 and faults.strict_ra:
        return "e429_early", early
    if faults.max_inflight and account.inflight > faults.max_inflight:
        return "e429_inflight", faults.ra
    if faults.rps:
        room: Room = account.bucket.take(
            now, rate=faults.rps, depth=faults.burst or max(1.0, faults.rps), cost=1, limit=faults.rps
        )
        if not room.taken:
            return "e429_rps", room.wait
    if faults.rpm:
        room = account.window.take(now, limit=faults.rpm, seconds=faults.rpm_window)
        if not room.taken:
            return "e429_rpm", room.wait
    return None


def _waiting(customer: Customer[Own], row: Row, reply: Reply, seconds: float) -> Reply:
    """The same, with a Retry-After as the settings say it."""
    lines, until = promised(
        customer.told.faults.ra_mode, seconds, monotonic=time.monotonic(), wall=time.time()
    )
    if until is not None:
        row.promised = max(row.promised, until)
    named = (line.partition(": ") for line in lines.split("\r\n") if line)
    return reply._replace(headers=(*reply.headers, *((name, value) for name, _, value in named)))
