"""Lets calls of workers elsewhere in, one by one, at the accounts' gates and out of the batch's money.

Workers need no shares of a limit that would have to be divided again when one comes, idles, slows down or
dies: whoever asks first goes first, whichever worker it is. What a dead worker had is known call by call.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import anyio

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Reply
from tasks_lib.engine.gate import Gate
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
from tasks_lib.engine.money import Money, Reserved, Scope, Spent
from tasks_lib.engine.passed import Passed

LOOKED_AT = 0.5  # seconds between two looks at who needs how much room
_AT_ONCE = 0.05  # seconds in which changes are gathered, so that many are told as one
HUNGRY = 0.75  # of its room: who uses so much of it wants more
SPARE = 0.25  # of a worker's part, beyond it: calls that wait at the gate, so that it never waits for them
_FEWEST_SPARE = 4
GROWS = 2.0  # times what a worker uses: more it is not told at once
_WORTH_TELLING = 0.1  # of the room that was told
_CLOSED_ALIKE = 0.05  # seconds by which two ends of a pause may differ
_NAP = 0.005  # seconds between two looks at a gate that lets several in within them
_WORTH_A_NAP = 3  # calls
_NOTHING = Decimal(0)
_LOST = Failure(kind=FailureKind.CANCELLED, message="its worker was not heard of any more", maybe_billed=True)


class _Call:
    """A call that asked to be let in: it waits, or it may be under way."""

    __slots__ = ("amounts", "asked_at", "holder", "is_withdrawn", "number", "passed")

    def __init__(self, holder: "Holder", number: int, amounts: tuple[float, float], asked_at: float) -> None:
        self.holder = holder
        self.number = number
        self.amounts = amounts  # tokens of input and of output
        self.asked_at = asked_at
        self.passed: Passed | None = None
        self.is_withdrawn = False


class _Sum:
    """Money for a call: it is waited for, or set aside."""

    __slots__ = ("group", "holder", "is_withdrawn", "number", "reserved", "worst")

    def __init__(self, holder: "Holder", number: int, worst: Decimal, group: str | None) -> None:
        self.holder = holder
        self.number = number
        self.worst = worst
        self.group = group
        self.reserved: Reserved | None = None
        self.is_withdrawn = False


class _Line:
    """Those who wait at one account, in the order in which they came; only the first is at the gate."""

    __slots__ = ("at_head", "came", "gate", "name", "queue", "told_to", "waiting")

    def __init__(self, name: str, gate: Gate) -> None:
        self.name = name
        self.gate = gate
        self.queue: deque[_Call] = deque()
        self.waiting = 0  # without those that were withdrawn
        self.came = anyio.Event()
        self.at_head: tuple[_Call, anyio.CancelScope] | None = None
        self.told_to: dict[Holder, _Told] = {}


class _Told:
    """What a worker was told of an account, and how much of it it uses."""

    __slots__ = ("closed_until", "is_due", "room", "used")

    def __init__(self) -> None:
        self.used = 0  # calls that wait or are under way
        self.room: Room | None = None
        self.closed_until = 0.0
        self.is_due = True  # whether the worker must hear how things stand, whatever it was told


class _Quick:
    """Whether so many are let in that it is cheaper to let several in at a time.

    A gate of ten thousand calls a minute and more holds a tenth of a second of them (see `pace.BURST`): who
    looks at it every few milliseconds lets in as many as who waits for each on a timer.
    """

    __slots__ = ("_clock", "_let_in", "_napped_at")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._let_in = 0
        self._napped_at = clock()

    def is_worth_a_nap(self) -> bool:
        """Whether several were let in since the last one, within a time of that length or so."""
        if self._let_in < _WORTH_A_NAP:
            return False
        if self._clock() - self._napped_at <= 2 * _NAP * self._let_in / _WORTH_A_NAP:
            return True
        self.nap()
        return False

    def let_in(self) -> None:
        """One more was let in."""
        self._let_in += 1

    def nap(self) -> None:
        """Count anew."""
        self._let_in, self._napped_at = 0, self._clock()


class Lessor:
    """Lets calls of any number of workers in, first come, first served over all of them.

    `run` has to be running for calls that cannot be let in at once. All of it is for one event loop.
    """

    def __init__(
        self,
        gates: Mapping[str, Gate],
        money: Money | None = None,
        *,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        """Let in at these gates, by their providers' names; `clock` is the gates' own, in seconds.

        The gates' `on_change` is taken.
        """
        self._lines = {name: _Line(name, gate) for name, gate in gates.items()}
        self._money = money
        self._clock = clock
        self._holders: dict[Holder, None] = {}  # in the order in which they came
        self._sums: deque[_Sum] = deque()
        self._sum_came = anyio.Event()
        self._sum_at_head: tuple[_Sum, anyio.CancelScope] | None = None
        self._changed = anyio.Event()
        self._are_limited = money is not None and money.is_limited
        for gate in gates.values():
            gate.on_change = self.look

    @property
    def holders(self) -> int:
        """Workers that may make calls."""
        return len(self._holders)

    def waiting(self, account: str) -> int:
        """Calls of all workers that wait at an account; the gate itself knows of the first only."""
        return self._lines[account].waiting

    def holder(self, tell: Callable[[Answer], None]) -> "Holder":
        """One more worker, that hears answers by `tell`, which must not wait nor raise."""
        one = Holder(self, tell)
        self._holders[one] = None
        for line in self._lines.values():
            line.told_to[one] = _Told()
        tell(Funds(are_limited=self._are_limited))
        self._tell_rooms()
        return one

    def look(self) -> None:
        """Limits, pauses or money may be other than before: have all workers told, soon."""
        self._changed.set()

    async def run(self) -> None:
        """Let in who has to wait, and keep workers told of how things stand, until cancelled."""
        async with anyio.create_task_group() as tasks:
            for line in self._lines.values():
                tasks.start_soon(self._let_in_waiting, line)
            if self._money is not None:
                tasks.start_soon(self._set_aside_waiting, self._money)
            while True:
                with anyio.move_on_after(LOOKED_AT):
                    await self._changed.wait()
                    await anyio.sleep(_AT_ONCE)
                self._changed = anyio.Event()
                self._tell_rooms()

    async def _let_in_waiting(self, line: _Line) -> None:
        """Take the first to the gate, one after another."""
        gate, queue = line.gate, line.queue
        quick = _Quick(self._clock)
        while True:
            while not queue:
                line.came = anyio.Event()
                await line.came.wait()
            call = queue[0]
            if call.is_withdrawn:
                queue.popleft()
                continue
            input_tokens, output_tokens = call.amounts
            passed = gate.enter_at_once(input_tokens=input_tokens, output_tokens=output_tokens)
            if passed is None and quick.is_worth_a_nap() and gate.in_flight < gate.most_in_flight:
                quick.nap()
                await anyio.sleep(_NAP)
                continue
            with anyio.CancelScope() as scope:
                line.at_head = call, scope
                passed = passed or await gate.enter(
                    input_tokens=input_tokens, output_tokens=output_tokens, since=call.asked_at
                )
            line.at_head = None
            queue.popleft()
            if scope.cancel_called:  # it was withdrawn
                if passed is not None:
                    gate.give_back(passed)
            elif passed is not None:
                quick.let_in()
                line.waiting -= 1
                call.passed = passed
                call.holder.tell(LetIn(call.number, max(0.0, self._clock() - call.asked_at)))

    async def _set_aside_waiting(self, money: Money) -> None:
        """Set aside for the first, one after another."""
        sums = self._sums
        while True:
            while not sums:
                self._sum_came = anyio.Event()
                await self._sum_came.wait()
            one = sums[0]
            if one.is_withdrawn:
                sums.popleft()
                continue
            reserved: Reserved | None = None
            answer: Answer | None = None
            with anyio.CancelScope() as scope:
                self._sum_at_head = one, scope
                try:
                    reserved = await money.reserve(one.worst, group=one.group)
                    answer = SetAside(one.number)
                except Spent as spent:
                    of_group = spent.budget.scope is Scope.GROUP
                    answer = NotSetAside(one.number, reason=str(spent), of_group=of_group)
            self._sum_at_head = None
            sums.popleft()
            if scope.cancel_called:  # it was withdrawn
                if reserved is not None:
                    money.settle(reserved, _NOTHING)
            elif answer is not None:
                one.reserved = reserved
                if reserved is None:
                    one.holder.forget(one)
                one.holder.tell(answer)

    def ask(self, holder: "Holder", word: Ask) -> _Call:
        """Let a call in, or have it wait."""
        line = self._lines[word.account]
        now = self._clock()
        call = _Call(holder, word.number, (word.input_tokens, word.output_tokens), now)
        line.told_to[holder].used += 1
        if not line.queue:
            call.passed = line.gate.enter_at_once(
                input_tokens=word.input_tokens, output_tokens=word.output_tokens
            )
            if call.passed is not None:
                holder.tell(LetIn(word.number, 0.0))
                return call
        line.queue.append(call)
        line.waiting += 1
        line.came.set()
        return call

    def end(self, call: _Call, account: str, outcome: Reply | Failure | None, *, worked: float) -> None:
        """A call is over, or (None) was never made."""
        line = self._lines[account]
        line.told_to[call.holder].used -= 1
        if call.passed is None:
            self._withdraw(line, call)
        elif outcome is None:
            line.gate.give_back(call.passed)
        else:
            line.gate.leave(call.passed, outcome, worked=worked)
            if isinstance(outcome, Failure) and outcome.retry_after:
                line.told_to[call.holder].is_due = True  # it thinks that all pause, which may not be so
                self.look()

    def hear(self, word: Heard) -> None:
        """Heed what a response has told."""
        line = self._lines[word.account]
        line.gate.hear(word.rates)
        if word.rates.closed_for:
            self.look()

    def reserve(self, holder: "Holder", word: Reserve) -> _Sum:
        """Set money aside, or have it waited for."""
        one = _Sum(holder, word.number, word.worst, word.group)
        if self._money is None:
            one.reserved = Reserved(worst=_NOTHING, budgets=())
        elif not self._sums:
            one.reserved = self._money.reserve_at_once(word.worst, group=word.group)
        if one.reserved is not None:
            holder.tell(SetAside(word.number))
            return one
        self._sums.append(one)
        self._sum_came.set()
        return one

    def settle(self, one: _Sum, cost: Decimal | None) -> None:
        """Count what a call did cost; None: nobody knows."""
        if one.reserved is None:
            one.is_withdrawn = True
            if self._sum_at_head is not None and self._sum_at_head[0] is one:
                self._sum_at_head[1].cancel()
        elif self._money is not None:
            self._money.settle(one.reserved, cost)

    def dismiss(self, holder: "Holder") -> None:
        """A worker is gone: others may have its room."""
        self._holders.pop(holder, None)
        for line in self._lines.values():
            line.told_to.pop(holder, None)
        self.look()

    def _withdraw(self, line: _Line, call: _Call) -> None:
        call.is_withdrawn = True
        line.waiting -= 1
        if line.at_head is not None and line.at_head[0] is call:
            line.at_head[1].cancel()

    def _tell_rooms(self) -> None:
        """Tell every worker what has changed for it."""
        now = self._clock()
        for line in self._lines.values():
            if line.told_to:
                self._tell_room(line, now)
        are_limited = self._money is not None and self._money.is_limited
        if are_limited != self._are_limited:
            self._are_limited = are_limited
            for holder in self._holders:
                holder.tell(Funds(are_limited=are_limited))

    def _tell_room(self, line: _Line, now: float) -> None:
        gate = line.gate
        closed_for = gate.closed_for
        closed_until = now + closed_for if closed_for else 0.0
        is_adaptive, counts_tokens, is_paced = gate.is_adaptive, gate.counts_tokens, gate.is_paced
        parts = parts_of(
            gate.most_in_flight,
            [(told.used, told.room.most_in_flight if told.room else 0) for told in line.told_to.values()],
        )
        for (holder, told), part in zip(line.told_to.items(), parts, strict=True):
            before = told.room
            if (
                before is not None
                and not told.is_due
                and abs(part - before.most_in_flight) <= _WORTH_TELLING * before.most_in_flight
                and abs(closed_until - told.closed_until) <= _CLOSED_ALIKE
                and (is_adaptive, counts_tokens, is_paced)
                == (before.is_adaptive, before.counts_tokens, before.is_paced)
            ):
                continue
            told.room = Room(line.name, part, is_adaptive, counts_tokens, is_paced, closed_for)
            told.closed_until = closed_until
            told.is_due = False
            holder.tell(told.room)


def parts_of(most: int, used: Iterable[tuple[int, int]]) -> list[int]:
    """How many calls each worker may have, out of so many, and some more that wait.

    `used` has for each the calls that it has and the room that it was told. Who uses little keeps an even
    part, and leaves what it does not use to those who want more; the gate sees to it that the whole is kept.
    Nobody is told more than twice what it uses beyond that, so that what it cannot use is not heaped upon it.
    """
    all_used = list(used)
    even = max(1, math.ceil(most / len(all_used)))
    wants = [
        math.inf if not room or calls >= HUNGRY * room else calls * (1.0 + SPARE) for calls, room in all_used
    ]
    level, left, others = float(even), float(most), len(wants)
    for want in sorted(wants):
        level = left / others
        if want > level:
            break
        left -= want
        others -= 1
    parts = (
        max(even, math.ceil(min(level, GROWS * calls))) if want > level else even
        for (calls, _), want in zip(all_used, wants, strict=True)
    )
    return [part + max(_FEWEST_SPARE, round(SPARE * part)) for part in parts]


class Holder:
    """One worker, as the batch's own process knows it."""

    __slots__ = ("_calls", "_is_gone", "_lessor", "_owes", "_sums", "_tell")

    def __init__(self, lessor: Lessor, tell: Callable[[Answer], None]) -> None:
        """Made by `Lessor.holder`."""
        self._lessor = lessor
        self._tell = tell
        self._calls: dict[int, tuple[str, _Call]] = {}  # with the account
        self._sums: dict[int, _Sum] = {}
        self._owes = False  # a call has ended, and its money has not been settled since
        self._is_gone = False

    @property
    def calls(self) -> int:
        """Calls that wait or may be under way."""
        return len(self._calls)

    def heed(self, word: Word) -> None:
        """Heed a word of the worker; does not wait. What it says once it is gone is not heeded.

        Raises:
            KeyError: there is no such account.
        """
        if self._is_gone:
            return
        match word:
            case Ask():
                self._calls[word.number] = (word.account, self._lessor.ask(self, word))
            case Ended():
                self._end(word)
            case Heard():
                self._lessor.hear(word)
            case Reserve():
                self._sums[word.number] = self._lessor.reserve(self, word)
            case Settle():
                self._owes = False
                one = self._sums.pop(word.number, None)
                if one is not None:
                    self._lessor.settle(one, word.cost)

    def gone(self) -> None:
        """The worker is dead, or at its end: what it waits for is forgotten, and its places are free again.

        Calls that were let in and of whose end nothing was heard may have been made: their requests and
        tokens stay counted, and money that may have been for them counts as the worst case.
        """
        if self._is_gone:
            return
        self._is_gone = True
        perhaps = int(self._owes)
        for account, call in self._calls.values():
            perhaps += call.passed is not None
            self._lessor.end(call, account, _LOST, worked=0.0)
        self._calls.clear()
        self._settle_all(perhaps)
        self._lessor.dismiss(self)

    def tell(self, answer: Answer) -> None:
        """Tell the worker, if it is there."""
        if not self._is_gone:
            self._tell(answer)

    def forget(self, one: _Sum) -> None:
        """A sum is not to be had."""
        self._sums.pop(one.number, None)

    def _end(self, word: Ended) -> None:
        found = self._calls.pop(word.number, None)
        if found is None:
            return
        account, call = found
        if not word.made:
            self._lessor.end(call, account, None, worked=0.0)
            return
        self._owes = True
        outcome: Reply | Failure
        if word.kind is None:
            outcome = Reply(text="", usage=word.usage)
        else:
            outcome = Failure(kind=word.kind, message="", usage=word.usage, retry_after=word.retry_after)
        self._lessor.end(call, account, outcome, worked=word.worked)

    def _settle_all(self, perhaps: int) -> None:
        """Settle what is set aside, when so many calls may have been made of which nothing was heard.

        Nobody knows which sum is for which call. A call of a group is paid out of a sum of that group, so as
        many of each group count as spent, and the largest of them: no less can have been.
        """
        of_group: dict[str | None, list[_Sum]] = {}
        for one in self._sums.values():
            of_group.setdefault(one.group, []).append(one)
        self._sums.clear()
        for sums in of_group.values():
            sums.sort(key=lambda one: (one.reserved is not None, one.worst), reverse=True)
            for number, one in enumerate(sums):
                self._lessor.settle(one, None if number < perhaps else _NOTHING)
