"""One request for a completion: limits, its fault, its latency, its answer, and the counting of all of it."""

import asyncio
import time
from typing import Final, Literal

from tests.llmserver import answers
from tests.llmserver.accounts import Account
from tests.llmserver.counts import Counts, Row
from tests.llmserver.heads import head, limit_lines
from tests.llmserver.limits import Room
from tests.llmserver.protocol import Connection, Request
from tests.llmserver.retry_after import said

CUT: Final = 444
"""The status under which an exchange is counted that was ended without an answer."""


class Exchange:
    """One request for a completion, from its arrival until its answer is delivered or lost."""

    __slots__ = (
        "_account",
        "_connection",
        "_counts",
        "_fault",
        "_good",
        "_hanging",
        "_limits",
        "_now",
        "_number",
        "_outcome",
        "_path",
        "_row",
        "_row_id",
        "_status",
        "_wants",
    )

    def __init__(
        self, connection: Connection, account: Account, counts: Counts, number: int, path: str
    ) -> None:
        self._connection = connection
        self._account = account
        self._counts = counts
        self._number = number
        self._path = path
        self._now = time.monotonic()
        self._limits = ""
        self._status = CUT
        self._outcome = "ok"
        self._hanging: asyncio.TimerHandle | None = None
        self._wants: answers.Asked
        self._row: Row | None = None
        self._row_id = "?"
        self._fault: str | None = None
        self._good = False

    def begin(self, request: Request) -> None:
        """Everything that happens before the latency."""
        account, counts, now = self._account, self._counts, self._now
        counts.arrive(now)
        account.inflight += 1
        self._notice_pause()
        if request.encoding not in {"", "identity"}:
            self._refuse(400, "e400_encoding", f"Content-Encoding {request.encoding} is not spoken here.")
            return
        try:
            self._wants = answers.asked(request.body, self._path)
        except answers.Refused as refused:
            self._refuse(400, "e400_request", str(refused))
            return
        self._row_id = row_id = request.row_id or answers.row_id_of(request.body)
        self._row, early = counts.receive(row_id, now)
        if not self._let_in(request.authorization, early):
            return
        attempt = self._row.received
        self._fault = fault = account.draw.fault(row_id, attempt)
        latency = account.draw.latency(row_id, attempt)
        loop = asyncio.get_running_loop()
        if fault == "e_reset":
            self._break(CUT, fault)
            self._connection.reset()
        elif fault == "e_hang":
            self._connection.gone = self._left_hanging
            self._hanging = loop.call_later(account.settings.hang_s, self._hung)
        elif not latency or (fault is not None and fault.startswith("e4")):  # a refusal takes no time
            self._end()
        else:
            loop.call_later(latency, self._end)

    def _notice_pause(self) -> None:
        broken = self._account.pauses.broken(self._now, self._account.settings.pause_grace / 1000)
        if broken is None:
            return
        counts, (early, since) = self._counts, broken
        if not early:
            counts.pause_underway += 1
            return
        counts.pause_violations += 1
        counts.pause_earliest = max(counts.pause_earliest, early)
        counts.pause_latest = max(counts.pause_latest, since)

    def _let_in(self, authorization: str, early: float) -> bool:
        account, settings, now = self._account, self._account.settings, self._now
        if early > 0 and settings.strict_ra:
            return self._refuse(429, "e429_early", "This came back before its Retry-After.", wait=early)
        if settings.auth and not _allowed(settings.auth, authorization):
            return self._refuse(401, "e401_key")
        if settings.max_inflight and account.inflight > settings.max_inflight:
            return self._refuse(429, "e429_inflight", "Too many requests at once.")
        rooms: list[Room] = []
        if settings.rps:
            depth, limit = settings.burst or max(1.0, settings.rps), settings.rps * 60
            rooms.append(account.bucket.take(now, rate=settings.rps, depth=depth, cost=1, limit=limit))
            self._limits = self._told("requests", rooms[0])
            if not rooms[0].taken:
                return self._refuse(429, "e429_rps", "Too many requests a second.", wait=rooms[0].wait)
        if settings.rpm:
            rooms.append(account.window.take(now, limit=settings.rpm, seconds=settings.rpm_window))
            self._limits = self._told("requests", min(rooms, key=lambda room: room.left))
            if not rooms[-1].taken:
                return self._refuse(429, "e429_rpm", "Too many requests a minute.", wait=rooms[-1].wait)
        if settings.tpm:
            rate, cost = settings.tpm / 60, -(-self._wants.size // 4) + settings.out_tokens
            room = account.tokens.take(now, rate=rate, depth=settings.tpm, cost=cost, limit=settings.tpm)
            self._limits += self._told("tokens", room)
            if not room.taken:
                return self._refuse(429, "e429_tpm", "Too many tokens a minute.", wait=room.wait)
        return True

    def _told(self, what: str, room: Room) -> str:
        return limit_lines(what, room) if self._account.settings.tell else ""

    def _end(self) -> None:
        """Everything that happens after the latency."""
        fault = self._fault
        if fault == "e_html":
            self._outcome, self._status = fault, 502
            page = answers.HTML_PAGE
            self._connection.send(head(502, len(page), kind="text/html") + page, self)
        elif fault is not None and fault[1:].isdigit():
            self._refuse(int(fault[1:]), fault)
        else:
            self._complete(fault)

    def _complete(self, fault: str | None) -> None:
        """From here the completion exists: it is billed, whatever becomes of the answer."""
        connection, row = self._connection, self._row
        assert row is not None, "a request without a row is refused before its latency"
        made = answers.completion(
            self._account.settings,
            self._wants,
            self._row_id,
            fault,
            number=self._number,
            created=int(time.time()),
        )
        self._outcome, self._status = fault or "ok", 200
        self._counts.bill(
            row,
            self._outcome,
            tokens_in=made.tokens_in,
            tokens_out=made.tokens_out,
            cached=made.cached,
            reasoning=made.reasoning,
        )
        body, half = made.body, len(made.body) // 2
        if fault == "e_malformed":
            body = body[:half]
        heading = head(200, len(body), more=self._limits + self._traced(), kind=made.kind)
        match fault:
            case "e_reset_late":
                self._break(CUT, fault)
                connection.reset()
            case "e_trunc":
                self._break(200, fault)
                connection.close(heading + body[:half])
            case "e_trunc_rst":
                self._break(200, fault)
                connection.reset(heading + body[:half])
            case "e_garbage":
                self._break(200, fault)
                connection.close(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
            case "e_drip":
                self._good = True
                fifths = [body[n * len(body) // 5 : (n + 1) * len(body) // 5] for n in range(5)]
                self._drip([heading + fifths[0], *fifths[1:]])
            case _:
                self._good = fault is None
                connection.send(heading + body, self)

    def _traced(self) -> str:
        took = (time.monotonic() - self._now) * 1000
        return f"x-request-id: req_{self._number}\r\nopenai-processing-ms: {took:.0f}\r\n"

    def _drip(self, pieces: list[bytes]) -> None:
        if len(pieces) == 1 or self._connection.left:
            self._connection.send(pieces[-1], self)
            return
        self._connection.piece(pieces[0])
        asyncio.get_running_loop().call_later(self._account.settings.drip_s / 4, self._drip, pieces[1:])

    def _refuse(
        self, status: int, outcome: str, reason: str = "", *, wait: float | None = None
    ) -> Literal[False]:
        """Answer an error; wait, in seconds, is what a limit says in place of the setting."""
        self._outcome, self._status = outcome, status
        more = self._limits + self._traced()
        if status in {429, 503, 529}:
            more += self._promise(self._account.settings.ra if wait is None else wait)
        body = answers.error(status, reason)
        self._connection.send(head(status, len(body), more=more) + body, self)
        return False

    def _promise(self, seconds: float) -> str:
        now = time.monotonic()
        lines, until = said(self._account.settings.ra_mode, seconds, monotonic=now, wall=time.time())
        if until is not None:
            self._account.pauses.ask(now, until)
            if self._row is not None:
                self._row.promised = max(self._row.promised, until)
        return lines

    def _break(self, status: int, outcome: str) -> None:
        """The exchange ends without a whole answer, on purpose."""
        self._status, self._outcome = status, outcome
        if self._connection.left:
            self._counts.client_aborts += 1
        self._finish()

    def _hung(self) -> None:
        self._connection.gone = None
        self._break(CUT, "e_hang")
        self._connection.close()

    def _left_hanging(self) -> None:
        assert self._hanging is not None, "only a hanging exchange waits for its client to leave"
        self._hanging.cancel()
        self._break(CUT, "e_hang")

    def _finish(self) -> None:
        self._account.inflight -= 1
        counts = self._counts
        counts.inflight -= 1
        counts.by_outcome[self._outcome] += 1
        counts.by_status[self._status] += 1

    def delivered(self) -> None:
        """Every byte went into the socket of a client that was still there."""
        self._finish()
        if self._good and self._row is not None:
            self._counts.ok += 1
            self._row.ok += 1

    def lost(self) -> None:
        """The client went away first."""
        self._counts.client_aborts += 1
        self._finish()


def _allowed(auth: str, authorization: str) -> bool:
    scheme, _, key = authorization.partition(" ")
    return scheme.lower() == "bearer" and bool(key) and auth in {"1", key}
