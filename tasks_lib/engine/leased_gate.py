"""Admission and money for a worker elsewhere: each call asks the batch's own process for leave.

A grant is good for a moment. The gate spreads calls over the minute as it lets them in, and a provider counts
them as they arrive: what lies between the two must not differ much from call to call, or grants that were
held up on the way arrive together with later ones, and a minute sees more than its limit.

How much it may differ is known: `pace.SLACK` keeps half a hundredth of every limit back, which is 0.3 s of a
minute. Of these a grant may use `FRESH`, and the rest is the way's from the worker to the provider. How long
the answer was under way is not measured, since the clocks of two machines need not agree; but asking and
answer together are: the time since it was asked, less the time for which it waited at the gate. Of this the
asking had a part, at least half of the shortest round trip that was ever seen here: so much is taken off, and
a worker that is a quarter of a second away can still work. A grant that is later is given back, so that the
gate lets another call in for it, and the call asks anew, after a while if that happens again and again. It
is never used all the same: many calls are late together, when a line was held up, and just these would bunch
up. A worker for which every grant is too late for a minute gives up, and leaves its rows to others. Where
nothing is counted by the minute, but only how many calls are in flight, no grant is too late.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import anyio

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.engine.gate import LONGEST_PAUSE
from tasks_lib.engine.gate_state import GateState
from tasks_lib.engine.leases import (
    Answer,
    Ask,
    Ended,
    Funds,
    Heard,
    LetIn,
    NotSetAside,
    Reserve,
    Room,
    SetAside,
    Settle,
    Word,
)
from tasks_lib.engine.money import Budget, Reserved, Scope, Spent
from tasks_lib.engine.passed import Passed
from tasks_lib.providers.rates import Rate, Rates

FRESH = 0.25  # seconds for which a grant may have been under way
_AGAIN_AT_ONCE = 3  # grants in a row that are too late, after which a call waits before it asks anew
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0  # seconds
TOO_FAR = 60.0  # seconds in which every grant was too late
_ENOUGH = 5  # round trips, before the shortest of them is believed
_A_WHILE = 30.0  # seconds for which the shortest round trip is remembered, at least
_FEW = 0.2  # of a limit; when less is left, each count matters
_OFTEN, _SELDOM = 0.1, 1.0  # seconds between two words on what is left, when it matters and when not
_NOTHING = Decimal(0)


@dataclass(slots=True)
class LeasedCall(Passed):
    """A call that was let in elsewhere."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedMoney(Reserved):
    """What was set aside elsewhere."""

    number: int


class _Wait:
    """Somebody waits for an answer."""

    __slots__ = ("answer", "asked_at", "came")

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.came = anyio.Event()
        self.answer: LetIn | SetAside | NotSetAside | None = None


class Lessee:
    """A worker's end of all leases: its gates, its purse, and what is on its way."""

    def __init__(
        self,
        accounts: Iterable[str],
        tell: Callable[[Word], None],
        *,
        give_up: Callable[[str], None],
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        """Ask for calls at these accounts; `tell` must not wait nor raise, and keeps the order.

        `give_up` is told why, once, if no grant comes in time for a minute: the worker is to come to its end
        then, as it does when the batch's own process is gone.
        """
        self.tell = tell
        self.clock = clock
        self.give_up = give_up
        self.is_lost = False
        self._numbered = 0
        self._waits: dict[int, _Wait] = {}
        self.way = _Way()
        self.gates: Mapping[str, LeasedGate] = {name: LeasedGate(name, self) for name in accounts}
        self.purse = LeasedPurse(self)

    def heed(self, answer: Answer) -> None:
        """Heed an answer; does not wait."""
        match answer:
            case LetIn() | SetAside() | NotSetAside():
                wait = self._waits.pop(answer.number, None)
                if wait is not None:  # else it was cancelled, and that was told
                    wait.answer = answer
                    wait.came.set()
            case Room():
                self.gates[answer.account].heed(answer)
            case Funds():
                self.purse.is_limited = answer.are_limited

    def lost(self) -> None:
        """Nobody answers any more: no call is let in from now on, and nothing more is told.

        Whoever waits goes on waiting until it is cancelled, as it is by the stop that is to be called first.
        """
        self.is_lost = True

    def number(self) -> int:
        """A number that was never used."""
        self._numbered += 1
        return self._numbered

    async def answer_to(self, word: Ask | Reserve, *, no_more: Word) -> tuple[_Wait, float]:
        """Tell a word and wait for its answer; gives the moment at which it is heeded, too.

        Cancelled, it tells that nothing is wanted any more, whether or not the answer is on its way.
        """
        wait = self._waits[word.number] = _Wait(self.clock())
        self.say(word)
        try:
            await wait.came.wait()
            if self.is_lost:
                await anyio.sleep_forever()
        except BaseException:  # cancelled
            self._waits.pop(word.number, None)
            self.say(no_more)
            raise
        return wait, self.clock()

    def say(self, word: Word) -> None:
        """Tell a word, if anybody hears it."""
        if not self.is_lost:
            self.tell(word)


class LeasedGate:
    """Admission to an account whose gate is in the batch's own process.

    What the user does to a batch while it runs, such as a pause or other limits, is done at that gate.
    """

    def __init__(self, account: str, lessee: Lessee) -> None:
        """Made by a `Lessee`; begins with room for one call, until it hears more."""
        self.on_change: Callable[[], None] | None = None
        self.in_flight = 0
        self.most_in_flight = 1
        self.is_adaptive = False
        self.counts_tokens = True
        self._account = account
        self._lessee = lessee
        self._waiting = 0
        self._is_paced = True
        self._closed_until = -math.inf
        self._late_since: float | None = None  # with no grant in time since
        self._late_at = -math.inf  # the last one that was not
        self._gave_up = False
        self._heard = _Heard()

    @property
    def is_shared(self) -> bool:
        """All workers keep the account's limits together."""
        return True

    @property
    def closed_for(self) -> float:
        """Seconds for which nobody is let in, as far as it is known here."""
        return max(0.0, self._closed_until - self._lessee.clock())

    def enter_at_once(self, *, input_tokens: float = 0.0, output_tokens: float = 0.0) -> Passed | None:
        """Never: somebody else has to be asked."""

    async def enter(self, *, input_tokens: float = 0.0, output_tokens: float = 0.0) -> Passed:
        """Wait for leave to have one call in flight that is likely to use so many tokens."""
        lessee = self._lessee
        self._waiting += 1
        try:
            late = 0
            while True:
                number = lessee.number()
                wait, now = await lessee.answer_to(
                    Ask(number, self._account, input_tokens, output_tokens), no_more=Ended(number, made=False)
                )
                let_in = wait.answer
                assert isinstance(let_in, LetIn)  # noqa: S101 - the answer to what was asked
                if self._is_fresh(now, under_way=now - wait.asked_at - let_in.waited):
                    break
                lessee.say(Ended(number, made=False))
                late += 1
                if late >= _AGAIN_AT_ONCE:
                    await anyio.sleep(min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (late - _AGAIN_AT_ONCE)))
        finally:
            self._waiting -= 1
        self.in_flight += 1
        return LeasedCall(now, input_tokens, output_tokens, None, None, number)

    def leave(self, passed: Passed, outcome: Reply | Failure, *, worked: float) -> None:
        """End a call that entered and took so many seconds."""
        assert isinstance(passed, LeasedCall)  # noqa: S101 - `enter` gives no other
        self.in_flight -= 1
        if isinstance(outcome, Reply):
            self._lessee.say(Ended(passed.number, made=True, usage=outcome.usage, worked=worked))
            return
        retry_after = outcome.retry_after
        if retry_after is not None:  # whether all pause for it is told soon
            until = self._lessee.clock() + min(retry_after, LONGEST_PAUSE)
            self._closed_until = max(self._closed_until, until)
        self._lessee.say(
            Ended(
                passed.number,
                made=True,
                kind=outcome.kind,
                usage=outcome.usage,
                retry_after=retry_after,
                worked=worked,
            )
        )

    def give_back(self, passed: Passed) -> None:
        """End a call that entered and was never made."""
        assert isinstance(passed, LeasedCall)  # noqa: S101 - `enter` gives no other
        self.in_flight -= 1
        self._lessee.say(Ended(passed.number, made=False))

    def hear(self, rates: Rates) -> None:
        """Tell what a response says about the account's limits, where that is worth a word."""
        if self._heard.is_news(rates, now=self._lessee.clock()):
            self._lessee.say(Heard(self._account, rates))

    def change(self, limits: Limits) -> None:
        """Done at the gate itself: here it changes nothing."""

    def pause(self) -> None:
        """Done at the gate itself: here it changes nothing."""

    def resume(self) -> None:
        """Done at the gate itself: here it changes nothing."""

    def state(self) -> GateState:
        """How things stand for this worker; limits and what is left of them are known at the gate itself."""
        return GateState(
            in_flight=self.in_flight,
            most_in_flight=self.most_in_flight,
            waiting=self._waiting,
            head_waits=math.inf if self._waiting else 0.0,
            waits_for="turn" if self._waiting else None,
            paused=False,
            closed_for=self.closed_for,
            limits={},
            learned={},
            left={},
            adaptive=None,
            processes=1,
            in_flight_of_all=self.in_flight,
        )

    def heed(self, room: Room) -> None:
        """Hear how things stand at the gate itself."""
        most, self.most_in_flight = self.most_in_flight, max(1, room.most_in_flight)
        self.is_adaptive = room.is_adaptive
        self.counts_tokens = room.counts_tokens
        self._is_paced = room.is_paced
        self._closed_until = self._lessee.clock() + room.closed_for if room.closed_for else -math.inf
        if self.on_change is not None and self.most_in_flight > most:
            self.on_change()

    def _is_fresh(self, now: float, *, under_way: float) -> bool:
        """Whether a grant that was under way for so long, with its asking, may be used now."""
        late_by = self._lessee.way.late_by(now, under_way)
        if late_by <= FRESH or not self._is_paced:
            self._late_since = None
            return True
        asked_on = (
            now - self._late_at <= 2 * _LONGEST_WAIT
        )  # else nobody asked for a while, which says nothing
        self._late_at = now
        if self._late_since is None or not asked_on:
            self._late_since = now
        elif now - self._late_since >= TOO_FAR and not self._gave_up:
            self._gave_up = True
            self._lessee.give_up(
                f"leave to make calls comes too late: it was {under_way:.1f} s under way, "
                f"and has been for {now - self._late_since:.0f} s"
            )
        return False


class LeasedPurse:
    """Money that is set aside in the batch's own process, for each call."""

    def __init__(self, lessee: Lessee) -> None:
        """Made by a `Lessee`; asks until it hears that it need not."""
        self.is_limited = True
        self._lessee = lessee

    async def reserve(self, worst: Decimal, *, group: str | None) -> Reserved:
        """Have what a call of a reporting group can cost set aside.

        Raises:
            Spent: it cannot be had.
        """
        number = self._lessee.number()
        wait, _ = await self._lessee.answer_to(
            Reserve(number, worst, group), no_more=Settle(number, _NOTHING)
        )
        answer = wait.answer
        if isinstance(answer, NotSetAside):
            scope = Scope.GROUP if answer.of_group else Scope.BATCH
            raise Spent(Budget(scope=scope, most=_NOTHING, of=group), reason=answer.reason)
        return LeasedMoney(worst=worst, budgets=(), number=number)

    def settle(self, reserved: Reserved, cost: Decimal | None) -> None:
        """Tell what the call did cost; None: nobody knows."""
        assert isinstance(reserved, LeasedMoney)  # noqa: S101 - `reserve` gives no other
        self._lessee.say(Settle(reserved.number, cost))


class _Way:
    """How long words are under way, to the batch's own process and back."""

    __slots__ = ("_before", "_least", "_seen", "_since")

    def __init__(self) -> None:
        self._seen = 0
        self._least = self._before = math.inf  # of this while, and of the one before
        self._since = -math.inf

    def late_by(self, now: float, under_way: float) -> float:
        """Seconds that an answer took at most, when asking and answer together took so long."""
        if now - self._since > _A_WHILE:
            self._before, self._least, self._since = self._least, math.inf, now
        self._least = min(self._least, under_way)
        self._seen += 1
        if self._seen < _ENOUGH:
            return under_way
        return under_way - min(FRESH, min(self._least, self._before) / 2)


class _Heard:
    """What was told of an account's limits, so that it is not told again and again."""

    __slots__ = ("_limits", "_told_at")

    def __init__(self) -> None:
        self._limits: tuple[float | None, ...] = ()
        self._told_at = -math.inf

    def is_news(self, rates: Rates, *, now: float) -> bool:
        """Whether it is to be told.

        A limit that is new is told at once, and so is a count at its end. A count that is low is told often,
        since it may be what keeps the next call; any other now and then, since it goes down as others call.
        """
        told = (rates.requests, rates.tokens, rates.input_tokens, rates.output_tokens)
        limits = tuple(None if rate is None else rate.limit for rate in told)
        wait = _OFTEN if any(map(_is_low, told)) else _SELDOM
        is_over = rates.closed_for is not None or any(
            rate is not None and rate.remaining is not None and rate.remaining < 1 for rate in told
        )
        if limits == self._limits and not is_over and now - self._told_at < wait:
            return False
        self._limits, self._told_at = limits, now
        return True


def _is_low(rate: Rate | None) -> bool:
    if rate is None or rate.remaining is None:
        return False
    return rate.limit is None or rate.remaining < _FEW * rate.limit
