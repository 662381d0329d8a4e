"""What an account bears that nobody told us: calls in flight, calls a second, tokens a second."""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from tasks_lib.engine.adaptive_pace import LearnedPace
from tasks_lib.engine.adaptive_room import GENTLE, RECOVERING, Room

CUT = 0.7  # of the calls in flight, for a wave of refusals
MOST = 1_000
NO_RUSH = 0.02  # seconds: calls quicker than this need not be spread
RUSH = 1.5  # times the rate at which answers come: no faster do calls begin
TOGETHER = 0.03  # of the calls in flight may begin at once
FIRST_LATENCY = 0.12  # seconds, before one is known: the first calls go 5 ms apart
SURE = 2.5  # of the evidence for tokens or against them


class End(Enum):
    """How a call ended, as far as it says what the provider bears."""

    ANSWERED = auto()
    RATE_LIMITED = auto()  # a 429
    FAILED = auto()  # 5xx, timeouts, lost connections: nothing is cut for them
    GIVEN_BACK = auto()  # entered, and never made


class Ticket(NamedTuple):
    """A call that began: when, in which wave, and how much had been sent before it."""

    at: float
    wave: int
    in_flight: int
    tokens: float
    calls_before: float
    tokens_before: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveState:
    """What was found out so far, for whoever looks on."""

    limit: int  # calls that may be in flight
    calls_per_second: float | None  # None: no limit has shown itself
    tokens_per_second: float | None
    why: str  # the last change of the limit: began, grew, 429, throughput
    pace_why: str  # the last change of the pace: began, grew, 429
    waves: int  # of 429s


class Adaptive:
    """Finds how many calls in flight, and how many calls or tokens a second, an account bears.

    Concurrency doubles for each clean round until the first 429, or until more brings no more answers; a
    wave of 429s is heeded once, however many arrive. Whether a wave tells of too many calls at once, too
    many a second or too many tokens a second is decided by which explains it: calls at once, if hardly any
    was ever answered that began with so many in flight; tokens, if it is the large calls that are refused.

    Times are seconds of one monotonic clock, and only ever given. Not for several threads.
    """

    __slots__ = (
        "_answered_at", "_answers", "_at", "_calls", "_latency", "_level", "_room", "_size_counts", "_tokens",
        "_tokens_bind", "_wave",
    )  # fmt: skip

    def __init__(self, *, now: float, most: int = MOST) -> None:
        """Begin with a few calls in flight and no pace; never have more than `most` in flight."""
        self._room = Room(most=most)
        self._calls = LearnedPace(now=now)
        self._tokens = LearnedPace(now=now)
        self._tokens_bind = False
        self._wave = 0
        self._answered_at = [0.0] * (most + 2)  # answers to calls that began with so many in flight
        self._latency = FIRST_LATENCY
        self._answers = 0
        self._size_counts = 0.0  # evidence that tokens are limited, and not calls
        self._level = 1.0
        self._at = now

    @property
    def limit(self) -> int:
        """Calls that may be in flight."""
        return self._room.limit

    @property
    def _paced(self) -> LearnedPace:
        return self._tokens if self._tokens_bind else self._calls

    def state(self) -> AdaptiveState:
        """What was found out so far."""
        calls, tokens = self._calls.rate, self._tokens.rate
        return AdaptiveState(
            limit=self._room.limit,
            calls_per_second=None if self._tokens_bind or calls == math.inf else calls,
            tokens_per_second=tokens if self._tokens_bind and tokens != math.inf else None,
            why=self._room.why,
            pace_why=self._paced.why,
            waves=self._wave,
        )

    def delay(self, *, now: float, tokens: float = 0.0) -> float:
        """Seconds until the next call may begin; 0 if it may now."""
        wait = self._tokens.delay(tokens, now=now) if self._tokens_bind else self._calls.delay(1.0, now=now)
        if self._latency > NO_RUSH:
            spread = RUSH * self._room.limit / self._latency
            missing = 1.0 - (self._level + (now - self._at) * spread)
            if missing > 1e-6:
                wait = max(wait, missing / spread)
        return wait

    def began(self, *, now: float, in_flight: int, tokens: float = 0.0) -> Ticket:
        """A call begins, with which so many are in flight, and which is likely to use so many tokens."""
        calls, in_tokens = self._calls, self._tokens
        ticket = Ticket(now, self._wave, in_flight, tokens, calls.total, in_tokens.total)
        calls.take(1.0, now=now)
        if tokens:
            in_tokens.take(tokens, now=now)
        room = self._room
        room.began(in_flight)
        if self._latency > NO_RUSH:
            limit = room.limit
            level = self._level + (now - self._at) * RUSH * limit / self._latency
            most = 1.0 + limit * TOGETHER
            self._level = (min(most, level)) - 1.0
        self._at = now
        return ticket

    def ended(
        self,
        ticket: Ticket,
        *,
        now: float,
        in_flight: int,  # noqa: ARG002  # what a begun call saw is enough; the gate's face has it
        end: End,
        tokens: float | None = None,
    ) -> None:
        """A call ended; so many are in flight without it, and it used so many tokens, if that is known."""
        if end is End.ANSWERED:
            self._answered(ticket, now, tokens)
            return
        if end is End.FAILED:
            return
        self._calls.settle(-1.0)
        if ticket.tokens:
            self._tokens.settle(-ticket.tokens)
        if end is End.RATE_LIMITED:
            self._refused(ticket)

    def _answered(self, ticket: Ticket, now: float, tokens: float | None) -> None:
        latency = now - ticket.at
        self._answers += 1
        self._latency += (latency - self._latency) * max(0.05, 1 / self._answers)
        if ticket.in_flight < len(self._answered_at):
            self._answered_at[ticket.in_flight] += 1.0
        if tokens is not None and ticket.tokens:
            self._tokens.settle(tokens - ticket.tokens)
        self._room.answered(now=now)

    def _refused(self, ticket: Ticket) -> None:
        if ticket.wave != self._wave:  # it began before the last cut, which was made for it too
            self._calls.refused(at=ticket.at)
            self._tokens.refused(at=ticket.at)
            return
        self._wave += 1
        crowded = self._is_crowd(ticket.in_flight)
        self._calls.wave(at=ticket.at, total=ticket.calls_before, binding=not crowded)
        if ticket.tokens:
            self._tokens.wave(at=ticket.at, total=ticket.tokens_before, binding=not crowded)
        if crowded:
            if self._answers:
                self._room.refused(ticket.in_flight)
            else:  # the first calls of all, which came in a rush: perhaps it was that
                self._room.cut((ticket.in_flight - 1) / self._room.limit, growing=RECOVERING)
            return
        self._choose(ticket)
        pace = self._paced
        if pace.shaken:
            self._room.restore()
        elif self._room.used and not pace.bound:
            self._room.cut(CUT, growing=GENTLE)
        else:
            self._room.again()

    def _is_crowd(self, in_flight: int) -> bool:
        """Whether hardly a call was answered that began with so many in flight: then they are too many."""
        if self._paced.rate != math.inf and not self._room.used:
            return False
        answered = sum(self._answered_at[in_flight:])
        self._answered_at = [count * 0.8 for count in self._answered_at]
        return answered <= max(3.0, 0.25 * in_flight)

    def _choose(self, ticket: Ticket) -> None:
        """Pace what the refused calls point at: calls, or their tokens.

        An empty bucket of tokens refuses a call in proportion to its size, one of calls whatever its size is:
        the logarithm of size over mean size is the evidence of the one against the other.
        """
        if not ticket.tokens or ticket.calls_before < 1:
            return
        mean = ticket.tokens_before / ticket.calls_before
        if mean > 0:
            self._size_counts = 0.95 * self._size_counts + math.log(ticket.tokens / mean)
        if abs(self._size_counts) > SURE:
            self._tokens_bind = self._size_counts > 0
