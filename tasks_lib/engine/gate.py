"""Admission to one provider account: who may call now, in the order in which they came."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import anyio

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.engine.adaptive import Adaptive, End
from tasks_lib.engine.cells import Cells
from tasks_lib.engine.gate_state import GateState
from tasks_lib.engine.keepers import AT_ONCE_OF_ALL, LIMIT_NAMES, Keepers
from tasks_lib.engine.layout import (
    CALLS,
    CLOSED_UNTIL,
    GENERATION,
    HEADS_UNTIL,
    HIGHEST_SEAT,
    IN_FLIGHT,
    INPUT,
    KINDS,
    LEARNED,
    LIMITS,
    OUTPUT,
    OWN_LIMITS,
    RAMP_NEXT,
    RAMP_STEP,
    RAMP_UNTIL,
    REQUESTS,
    SEATED,
    TAKEN,
    TOKENS,
    TOLD_UNTIL,
    WAITS_SINCE,
    WAITS_UNTIL,
    WANTS_INPUT,
    WANTS_OUTPUT,
    private_cells,
    seat_at,
    told_at,
)
from tasks_lib.engine.passed import Passed
from tasks_lib.engine.quota import Told
from tasks_lib.engine.refusals import Refusals
from tasks_lib.engine.shared import SharedAccount
from tasks_lib.providers.rates import Rates

AT_ONCE = 32  # calls in flight where nothing else is said
LONGEST_PAUSE = 3600.0  # seconds; beyond an hour it is a mistake, or as good as a refusal
SPREAD = 0.25  # of a pause: over so long everybody comes back after it
LONGEST_SPREAD = 10.0  # seconds
_A_MINUTE = 65.0  # seconds; whose quota is whole again later than this has no limit of a minute
_POLL = 0.01  # seconds between two looks at what another process may give back
_LATE = 0.25  # seconds; a head of another process that is later than this has lost its turn
_NOTICE = 1.0  # seconds in which a process that died is noticed
_NOTHING = 1e-7  # seconds; too short to wait for
_SAME_TURN = 0.01  # seconds in which a turn may be had by another call
_OF_THE_PROVIDER = frozenset(
    {FailureKind.SERVER_ERROR, FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.BROKEN_REPLY}
)


class _Waiter:
    """A call that is to be let in."""

    __slots__ = ("amounts", "armed_until", "arrived", "event", "passed")

    def __init__(self, input_tokens: float, output_tokens: float, *, arrived: float) -> None:
        self.amounts = (1.0, input_tokens + output_tokens, input_tokens, output_tokens)
        self.arrived = arrived
        self.armed_until = math.inf
        self.event: anyio.Event | None = None
        self.passed: Passed | None = None


class Gate:
    """Requests and tokens a minute and a day, calls in flight, and pauses: one decision.

    First come, first served: only the head of the queue is looked at, and it alone waits on a timer. Who
    comes when nobody waits and everything allows it passes at once.

    With a `SharedAccount` what is known of the account is shared by all processes that use it: each keeps its
    own limits, and all together keep the widest that any of them was given; of calls in flight those do that
    were given a number. Heads of several queues are served in the order in which they came, too.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        now: float,  # noqa: ARG002  # the clock is read when somebody comes; kept for whoever calls
        adaptive: Adaptive | None = None,
        shared: SharedAccount | None = None,
        clock: Callable[[], float] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Open for a provider's limits.

        `clock` is the event loop's by default; among processes it is the system's monotonic one. `wall` gives
        the seconds since 1970, for days of UTC.

        Raises:
            ValueError: a limit lets nothing pass.
        """
        self.on_change: Callable[[], None] | None = None  # told when more calls may be in flight than before
        self.in_flight = 0
        self._adaptive = adaptive
        self._shared = shared
        self._clock = clock or (time.monotonic if shared is not None else anyio.current_time)
        self._wall = wall
        self._paused = False
        self._refusals = Refusals()
        self._queue: deque[_Waiter] = deque()
        self._why: str | None = None  # what keeps the first of the queue
        self._head_until = math.inf  # when it is likely to be let in
        self._cells: Cells = shared.cells if shared is not None else private_cells()
        self._own_cells = private_cells() if shared is not None else self._cells
        self._seat = seat_at(shared.seat) if shared is not None else seat_at(0)
        self._told = [Told(self._cells, told_at(kind)) for kind in range(KINDS)]
        self._noticed = -math.inf
        self._cells[self._seat + TAKEN] = 1.0
        self._own_limits: list[float]
        self._tell(limits)

    @property
    def most_in_flight(self) -> int:
        """Calls of this process that may be in flight at this moment."""
        own = self._own_most
        if self._adaptive is None:
            return own or AT_ONCE
        limit = self._adaptive.limit
        return limit if not own or limit < own else own

    @property
    def is_adaptive(self) -> bool:
        """Whether it finds out by itself how many calls may be in flight."""
        return self._adaptive is not None and not self._own_most

    @property
    def is_shared(self) -> bool:
        """Whether other processes keep the account's limits together with this one."""
        return self._shared is not None

    @property
    def waiting(self) -> int:
        """Calls that wait to be let in."""
        return len(self._queue)

    @property
    def closed_for(self) -> float:
        """Seconds for which nobody is let in, since the provider asked for it."""
        until = self._cells[CLOSED_UNTIL]
        return max(0.0, until - self._clock()) if until else 0.0

    @property
    def counts_tokens(self) -> bool:
        """Whether a forecast of tokens matters."""
        return (
            self._shared is not None
            or self._adaptive is not None
            or bool(self._account.windows)
            or self._account.day_limits is not None
        )

    @property
    def is_paced(self) -> bool:
        """Whether it matters when calls are made, and not only how many are in flight."""
        return (
            self._adaptive is not None
            or any(self._in_force[:AT_ONCE_OF_ALL])
            or self._cells[TOLD_UNTIL] > self._clock()
        )

    def enter_at_once(self, *, input_tokens: float = 0.0, output_tokens: float = 0.0) -> Passed | None:
        """As `enter`, if nobody waits and everything allows it at this moment; else None."""
        if self._queue:
            return None
        waiter = _Waiter(input_tokens, output_tokens, arrived=self._clock())
        self._try(waiter, now=waiter.arrived)
        return waiter.passed

    async def enter(
        self, *, input_tokens: float = 0.0, output_tokens: float = 0.0, since: float | None = None
    ) -> Passed:
        """Wait for leave to have one call in flight that is likely to use so many tokens.

        What is returned is to be given back to `leave` when the call has ended, or to `give_back` when it was
        never made. A call that has waited elsewhere came at `since` of the gate's clock: among processes its
        turn is by that.
        """
        now = self._clock()
        waiter = _Waiter(input_tokens, output_tokens, arrived=now if since is None else since)
        if self._queue or self._try(waiter, now=now):
            self._queue.append(waiter)
            try:
                await self._turn(waiter)
            except BaseException:  # cancelled
                if waiter.passed is not None:
                    self.give_back(waiter.passed)
                else:
                    self._forget(waiter)
                raise
        return cast("Passed", waiter.passed)

    def leave(
        self,
        passed: Passed,
        outcome: Reply | Failure,
        *,
        worked: float,  # noqa: ARG002  # adaptive has its own clock; for one that had not
    ) -> None:
        """End a call that entered and took so many seconds.

        Its usage settles its tokens; without one those that were taken stay. A pause that it was asked for
        holds for all behind the gate, unless such pauses are known not to help (see `refusals`).
        """
        now = self._clock()
        most = self.most_in_flight
        usage = outcome.usage
        taken = (1.0, passed.input_tokens + passed.output_tokens, passed.input_tokens, passed.output_tokens)
        used = taken
        if usage is not None:
            used = (1.0, float(usage.total_tokens), float(usage.input_tokens), float(usage.output_tokens))
        retry_after = outcome.retry_after if isinstance(outcome, Failure) else None
        self._refusals.ended(refused=retry_after is not None)
        self._end(passed, taken, used, now=now, retry_after=retry_after)
        if self._adaptive is not None and passed.ticket is not None:
            self._adaptive.ended(
                passed.ticket,
                now=now,
                in_flight=self.in_flight,
                end=_end_of(outcome),
                tokens=used[TOKENS] if usage is not None else None,
            )
        self._go_on(most)

    def give_back(self, passed: Passed) -> None:
        """End a call that entered and was never made: all that was taken for it is there again.

        But its turn is not, unless it is given back at once: turns are what keeps the requests of a minute
        apart, and one that somebody else had later would come on top of those that are due then.
        """
        now = self._clock()
        most = self.most_in_flight
        taken = (1.0, passed.input_tokens + passed.output_tokens, passed.input_tokens, passed.output_tokens)
        self._end(passed, taken, (0.0, 0.0, 0.0, 0.0), now=now, retry_after=None)
        if self._adaptive is not None and passed.ticket is not None:
            self._adaptive.ended(passed.ticket, now=now, in_flight=self.in_flight, end=End.GIVEN_BACK)
        self._go_on(most)

    def hear(self, rates: Rates) -> None:
        """Heed what a response says about the account's limits.

        What it says is left counts at once where it is less than we think. A limit it tells holds where it is
        lower than the one we were given, or none was given, until another is told. A limit below one is no
        limit, and one whose quota takes longer than a minute to be whole is none of a minute.
        """
        now = self._clock()
        cells = self._cells
        told = (rates.requests, rates.tokens, rates.input_tokens, rates.output_tokens)
        self._lock()
        try:
            for kind, rate in enumerate(told):
                if rate is None:
                    continue
                limit, reset = rate.limit, rate.reset
                of_a_minute = limit is not None and limit >= 1 and (reset is None or reset <= _A_MINUTE)
                if limit is not None and of_a_minute and limit != cells[LEARNED + kind]:
                    cells[LEARNED + kind] = limit
                    cells[GENERATION] += 1.0
                if rate.remaining is not None and reset:
                    until = self._told[kind].hear(limit=limit, remaining=rate.remaining, reset=reset, now=now)
                    cells[TOLD_UNTIL] = max(cells[TOLD_UNTIL], until)
            if rates.closed_for:
                self._close(rates.closed_for, now=now)
            if cells[GENERATION] == self._generation:
                return
            self._configure()
        finally:
            self._unlock()
        self._serve()

    def change(self, limits: Limits) -> None:
        """Keep other limits from now on.

        Raises:
            ValueError: a limit lets nothing pass; the old ones stay.
        """
        most = self.most_in_flight
        self._tell(limits)
        self._go_on(most)

    def pause(self) -> None:
        """Let nobody in until `resume`; calls under way come to their end."""
        self._paused = True
        self._serve()

    def resume(self) -> None:
        """Let calls in again, if the user had stopped them."""
        self._paused = False
        self._serve()

    def state(self) -> GateState:
        """How things stand."""
        now, cells = self._clock(), self._cells
        head = self._queue[0] if self._queue else None
        return GateState(
            in_flight=self.in_flight,
            most_in_flight=self.most_in_flight,
            waiting=len(self._queue),
            head_waits=0.0 if head is None else max(0.0, self._head_until - now),
            waits_for=None if head is None else self._why,
            paused=self._paused,
            closed_for=max(0.0, cells[CLOSED_UNTIL] - now),
            limits={name: limit for name, limit in zip(LIMIT_NAMES, self._in_force, strict=True) if limit},
            learned={
                LIMIT_NAMES[kind]: cells[LEARNED + kind] for kind in range(KINDS) if cells[LEARNED + kind]
            },
            left=self._account.left(now=now, wall=self._wall),
            adaptive=self._adaptive.state() if self._adaptive is not None else None,
            processes=int(cells[SEATED]) if self._shared is not None else 1,
            in_flight_of_all=int(
                sum(cells[seat_at(seat) + CALLS] for seat in range(int(cells[HIGHEST_SEAT]) + 1))
            ),
        )

    async def _turn(self, waiter: _Waiter) -> None:
        """Wait in the queue until let in; on a timer at its head, and for a word from there elsewhere."""
        while waiter.passed is None:
            wait = math.inf
            if self._queue[0] is waiter:
                now = self._clock()
                wait = self._try(waiter, now=now)
                if not wait:
                    self._queue.popleft()
                    self._serve()
                    return
                waiter.armed_until = self._head_until = now + wait
            waiter.event = anyio.Event()
            with anyio.move_on_after(wait):
                await waiter.event.wait()

    def _serve(self) -> None:
        """Let in who may pass now, and see that who is first then has its timer."""
        queue = self._queue
        while queue:
            waiter = queue[0]
            now = self._clock()
            wait = self._try(waiter, now=now)
            if wait:
                self._head_until = now + wait
                if self._head_until < waiter.armed_until - _NOTHING and waiter.event is not None:
                    waiter.event.set()
                return
            queue.popleft()
            if waiter.event is not None:
                waiter.event.set()

    def _go_on(self, most: int) -> None:
        """Let in who waits; say so if more may be in flight than before."""
        if self._queue:
            self._serve()
        if self.on_change is not None and self.most_in_flight > most:
            self.on_change()

    def _forget(self, waiter: _Waiter) -> None:
        """Take one out of the queue that waits no longer."""
        was_first = self._queue[0] is waiter
        self._queue.remove(waiter)
        if was_first:
            self._wait_no_more()
            self._serve()

    def _try(self, waiter: _Waiter, *, now: float) -> float:
        """Let the first one in if all allows it, and give 0; else the seconds until the next try."""
        if self._paused:
            return self._not_yet(math.inf, "pause")
        adaptive, most = self._adaptive, self._own_most
        if adaptive is not None:
            if not most or adaptive.limit < most:
                most = adaptive.limit
        elif not most:
            most = AT_ONCE
        if self.in_flight >= most:
            return self._not_yet(math.inf, "in_flight")  # until a call ends
        amounts = waiter.amounts
        if adaptive is not None:
            wait = adaptive.delay(now=now, tokens=amounts[TOKENS])
            if wait > _NOTHING:
                return self._not_yet(wait, "pace")
        if self._shared is None:
            return self._try_account(waiter, now)
        if self._narrower is not None:
            wait, kind = self._narrower.delay(amounts, now=now, wall=self._wall)
            if wait > _NOTHING:
                return self._not_yet(wait, LIMIT_NAMES[kind])
        self._shared.lock()
        try:
            return self._try_account(waiter, now)
        finally:
            self._shared.unlock()

    def _try_account(self, waiter: _Waiter, now: float) -> float:
        """The part of the decision that all who use the account take part in."""
        cells, amounts = self._cells, waiter.amounts
        if cells[GENERATION] != self._generation:
            self._configure()
        wait, why = 0.0, "retry_after"
        if cells[RAMP_UNTIL] > now:
            wait = max(cells[CLOSED_UNTIL], cells[RAMP_NEXT]) - now
        delay, kind = self._account.delay(amounts, now=now, wall=self._wall)
        if delay > wait:
            wait, why = delay, LIMIT_NAMES[kind]
        if cells[TOLD_UNTIL] > now:
            for kind, told in enumerate(self._told):
                delay = told.delay(amounts[kind], now=now)
                if delay > wait:
                    wait, why = delay, LIMIT_NAMES[kind]
        if self._shared is not None and self._shared.others:
            wait, why = self._among_others(waiter, now, wait, why)
        if wait > _NOTHING:
            self._why = why
            return wait
        self._take(waiter, now)
        return 0.0

    def _among_others(self, waiter: _Waiter, now: float, wait: float, why: str) -> tuple[float, str]:
        """The same where other processes have calls in flight, and queues whose first came before ours."""
        cells = self._cells
        most = self._in_force[AT_ONCE_OF_ALL] if self._own_most else 0.0  # kept by those who were given one
        if most and cells[IN_FLIGHT] >= most and wait < _POLL:
            wait, why = _POLL, "in_flight"
        if cells[HEADS_UNTIL] + _LATE > now:
            ahead, until = [0.0, 0.0, 0.0, 0.0], 0.0
            for seat in range(int(cells[HIGHEST_SEAT]) + 1):
                at = seat_at(seat)
                if at == self._seat or not 0.0 < cells[at + WAITS_SINCE] < waiter.arrived:
                    continue
                if cells[at + WAITS_UNTIL] + _LATE <= now:
                    continue
                ahead[REQUESTS] += 1.0
                ahead[INPUT] += cells[at + WANTS_INPUT]
                ahead[OUTPUT] += cells[at + WANTS_OUTPUT]
                until = max(until, cells[at + WAITS_UNTIL])
            ahead[TOKENS] = ahead[INPUT] + ahead[OUTPUT]
            if ahead[REQUESTS] and wait <= _NOTHING:
                together = tuple(map(sum, zip(waiter.amounts, ahead, strict=True)))
                room = not most or cells[IN_FLIGHT] + ahead[REQUESTS] < most
                if not (room and self._account.fit(together, now=now)):
                    wait, why = max(until - now, 0.0) + _POLL / 2, "turn"
        if wait > _NOTHING:
            if now - self._noticed > _NOTICE and self._shared is not None:
                self._noticed = now
                self._shared.clear_seats_of_the_dead()
            at = self._seat
            cells[at + WAITS_SINCE], cells[at + WAITS_UNTIL] = waiter.arrived, now + wait
            cells[at + WANTS_INPUT], cells[at + WANTS_OUTPUT] = waiter.amounts[INPUT], waiter.amounts[OUTPUT]
            cells[HEADS_UNTIL] = max(cells[HEADS_UNTIL], now + wait)
        return wait, why

    def _take(self, waiter: _Waiter, now: float) -> None:
        """Let one in: it is counted everywhere."""
        cells, amounts, seat = self._cells, waiter.amounts, self._seat
        account = self._account
        account.take(amounts, now=now)
        if self._narrower is not None:
            self._narrower.take(amounts, now=now)
        if cells[TOLD_UNTIL] > now:
            for kind, told in enumerate(self._told):
                told.take(amounts[kind], now=now)
        if cells[RAMP_UNTIL] > now:
            cells[RAMP_NEXT] = max(now, cells[RAMP_NEXT]) + cells[RAMP_STEP]
        day = None
        if account.day_limits is not None or self._shared is not None:
            day = account.day.take(requests=1.0, tokens=amounts[TOKENS], moment=self._wall())
            if self._narrower is not None:
                self._narrower.day.take(requests=1.0, tokens=amounts[TOKENS], moment=self._wall())
        self.in_flight += 1
        cells[seat + CALLS] += 1.0
        cells[seat + WAITS_SINCE] = 0.0
        if self._own_most:
            cells[IN_FLIGHT] += 1.0
        ticket = None
        if self._adaptive is not None:
            ticket = self._adaptive.began(now=now, in_flight=self.in_flight, tokens=amounts[TOKENS])
        waiter.passed = Passed(now, amounts[INPUT], amounts[OUTPUT], day, ticket)

    def _end(
        self,
        passed: Passed,
        taken: tuple[float, ...],
        used: tuple[float, ...],
        *,
        now: float,
        retry_after: float | None,
    ) -> None:
        """Count a call that is over."""
        cells = self._cells
        self.in_flight -= 1
        if self._shared is not None:
            self._shared.lock()
        try:
            if used is not taken:
                turn = used
                if not used[REQUESTS] and now - passed.at > _SAME_TURN:  # its turn is over
                    turn = (taken[REQUESTS], *used[TOKENS:])
                self._account.settle(taken, turn, at=passed.at, now=now)
                if self._narrower is not None:
                    self._narrower.settle(taken, turn, at=passed.at, now=now)
                if cells[TOLD_UNTIL] > now:
                    for kind, told in enumerate(self._told):
                        told.settle(taken=taken[kind], used=used[kind], now=now)
                if passed.day is not None:
                    requests, tokens = used[REQUESTS] - taken[REQUESTS], used[TOKENS] - taken[TOKENS]
                    self._account.day.settle(passed.day, requests=requests, tokens=tokens)
                    if self._narrower is not None:
                        self._narrower.day.settle(passed.day, requests=requests, tokens=tokens)
            cells[self._seat + CALLS] -= 1.0
            if self._own_most:
                cells[IN_FLIGHT] -= 1.0
            if retry_after is not None and self._refusals.call_for_pause(
                began=passed.at, now=now, paused_until=cells[CLOSED_UNTIL], ramp_until=cells[RAMP_UNTIL]
            ):
                self._close(retry_after, now=now)
        finally:
            if self._shared is not None:
                self._shared.unlock()

    def _close(self, seconds: float, *, now: float) -> None:
        """Let nobody in for so long, at most an hour; a longer pause that is under way stands.

        Nobody comes back earlier, and not all at one instant: within a quarter of the pause as many are let
        in, one after another, as may be in flight.
        """
        if not seconds > 0.0:  # nothing, or not a number
            return
        seconds = min(seconds, LONGEST_PAUSE)
        cells, until = self._cells, now + seconds
        if until <= cells[CLOSED_UNTIL]:
            return
        spread = min(SPREAD * seconds, LONGEST_SPREAD)
        cells[CLOSED_UNTIL] = cells[RAMP_NEXT] = until
        cells[RAMP_UNTIL] = until + spread
        cells[RAMP_STEP] = spread / max(1, self.most_in_flight)

    def _not_yet(self, wait: float, why: str) -> float:
        """Wait for something that is this process's own affair."""
        self._why = why
        self._wait_no_more()
        return wait

    def _wait_no_more(self) -> None:
        """Keep nobody of another process waiting."""
        if self._shared is not None and self._cells[self._seat + WAITS_SINCE]:
            self._cells[self._seat + WAITS_SINCE] = 0.0

    def _tell(self, limits: Limits) -> None:
        """Have these limits as one's own, and tell who shares the account."""
        own = _listed(limits)
        Keepers(own, private_cells())  # a limit that lets nothing pass is refused before anything changes
        self._own_limits = own
        self._own_most = limits.in_flight
        cells = self._cells
        self._lock()
        try:
            counted = bool(cells[self._seat + OWN_LIMITS + AT_ONCE_OF_ALL])
            if counted != bool(self._own_most):
                cells[IN_FLIGHT] += -float(self.in_flight) if counted else float(self.in_flight)
            for number, limit in enumerate(own):
                cells[self._seat + OWN_LIMITS + number] = limit
            cells[GENERATION] += 1.0
            self._configure()
        finally:
            self._unlock()

    def _configure(self) -> None:
        """Keep the limits in force: the widest that was given, or what the provider says if it is less."""
        cells = self._cells
        self._generation = cells[GENERATION]
        widest = list(self._own_limits)
        if self._shared is not None:
            for seat in range(int(cells[HIGHEST_SEAT]) + 1):
                at = seat_at(seat)
                if cells[at + TAKEN]:
                    widest = [max(widest[n], cells[at + OWN_LIMITS + n]) for n in range(LIMITS)]
        for kind in range(KINDS):
            learned = cells[LEARNED + kind]
            if learned and (not widest[kind] or learned < widest[kind]):
                widest[kind] = learned
        self._in_force = widest
        self._account = Keepers(widest, cells)
        narrower = [
            own if own and (not wide or own < wide) else 0.0
            for own, wide in zip(self._own_limits[:AT_ONCE_OF_ALL], widest, strict=False)
        ]
        self._narrower = (
            Keepers([*narrower, 0.0], self._own_cells) if self._shared is not None and any(narrower) else None
        )

    def _lock(self) -> None:
        if self._shared is not None:
            self._shared.lock()

    def _unlock(self) -> None:
        if self._shared is not None:
            self._shared.unlock()


def _listed(limits: Limits) -> list[float]:
    """The limits in the order of their cells; 0 is none."""
    return [
        float(limit or 0)
        for limit in (
            limits.requests_per_minute,
            limits.tokens_per_minute,
            limits.input_tokens_per_minute,
            limits.output_tokens_per_minute,
            limits.requests_per_day,
            limits.tokens_per_day,
            limits.in_flight,
        )
    ]


def _end_of(outcome: Reply | Failure) -> End:
    """What an outcome says about what the provider bears; a refusal or a bad request is an answer."""
    if isinstance(outcome, Reply):
        return End.ANSWERED
    if outcome.kind is FailureKind.RATE_LIMITED:
        return End.RATE_LIMITED
    if outcome.kind in _OF_THE_PROVIDER or outcome.kind is FailureKind.CANCELLED:
        return End.FAILED
    return End.ANSWERED
