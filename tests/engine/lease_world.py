"""A batch's own process and workers elsewhere in virtual time, and a net between that is slow at times."""

import heapq
import itertools
from collections import Counter
from contextlib import asynccontextmanager
from decimal import Decimal

import anyio

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Reply
from tasks_lib.domain.usage import Usage
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.leased_gate import Lessee
from tasks_lib.engine.lessor import Lessor
from tasks_lib.engine.money import Spent

UNCOMMITTED = 240  # rows beyond the room where it is found out, as `job.accounts` has them
SEEN_DEAD = 2.0  # seconds until it is seen that a worker is dead


class Net:
    """Carries whatever is sent to whoever it is for, each thing at its time."""

    def __init__(self):
        self._heap, self._number = [], itertools.count()
        self._sent = anyio.Event()

    async def run(self):
        while True:
            now = anyio.current_time()
            while self._heap and self._heap[0][0] <= now:
                _, _, arrive, what = heapq.heappop(self._heap)
                arrive(what)
            self._sent = anyio.Event()
            with anyio.move_on_after(self._heap[0][0] - now if self._heap else float("inf")):
                await self._sent.wait()

    def carry(self, at, arrive, what):
        if at <= anyio.current_time() and not self._heap:  # nothing is under way: there at once
            arrive(what)
            return
        heapq.heappush(self._heap, (at, next(self._number), arrive, what))
        self._sent.set()


class Line:
    """One way of a connection: keeps the order, and takes `delay()` seconds."""

    def __init__(self, net, arrive, delay):
        self._net, self._arrive, self._delay = net, arrive, delay
        self._last, self.is_cut, self.sent = 0.0, False, Counter()

    def send(self, what):
        self.sent[type(what).__name__] += 1
        self._last = max(self._last, anyio.current_time() + self._delay())
        self._net.carry(self._last, self._come, what)

    def _come(self, what):
        if not self.is_cut:
            self._arrive(what)


def at_once():
    return 0.0


class Elsewhere:
    """A worker: draws rows while there are any, as many at once as it has room for, one call for each."""

    def __init__(self, net, lessor, *, account="a", to=at_once, back=at_once, most=None):
        self.gave_up, self._most, self._account = [], most, account
        self.up = Line(net, self._told, to)
        self.lessee = Lessee([account], self.up.send, give_up=self.gave_up.append)
        self.down = Line(net, self.lessee.heed, back)
        self.holder = lessor.holder(self.down.send)
        self.gate, self.purse = self.lessee.gates[account], self.lessee.purse
        self.times, self.under_way, self.most_under_way = [], 0, 0
        self.stop = anyio.CancelScope()

    async def run(self, draw, call, *, worst=None, group=None, between=0.0, tokens=0):
        """Until nothing is drawn any more, or the worker dies."""
        with anyio.CancelScope() as self.stop:
            try:
                async with anyio.create_task_group() as rows:
                    self._rows, self._running, self._is_over = rows, 0, False
                    self._one = lambda: self._work(draw, call, worst, group, between, tokens)
                    self._grow()
                    self.gate.on_change = self._grow
            finally:
                self.gate.on_change = None

    def _told(self, word):
        self.holder.heed(word)

    def die(self):
        """Without a word; nobody sees it yet."""
        self.up.is_cut = self.down.is_cut = True
        self.stop.cancel()

    def _room(self):
        room = self.gate.most_in_flight + (UNCOMMITTED if self.gate.is_adaptive else 0)
        return room if self._most is None else min(self._most, room)

    def _grow(self):
        while not self._is_over and self._running < self._room():
            self._running += 1
            self._rows.start_soon(self._one)

    async def _work(self, draw, call, worst, group, between, tokens):
        number = 0
        while self._running <= self._room() and (number := draw()) is not None:
            reserved = None
            if worst is not None:
                try:
                    reserved = await self.purse.reserve(worst, group=group)
                except Spent as spent:
                    self.spent, self._is_over = spent, True
                    break
            try:
                passed = await self.gate.enter(output_tokens=tokens)
            except BaseException:
                if reserved is not None:
                    self.purse.settle(reserved, Decimal(0))
                raise
            began = anyio.current_time()
            self.times.append(began)
            self.under_way += 1
            outcome, cost = Failure(kind=FailureKind.CANCELLED, message="", maybe_billed=True), None
            try:
                outcome, cost = await call(number)
            finally:
                self.under_way -= 1
                self.gate.leave(passed, outcome, worked=anyio.current_time() - began)
                if reserved is not None:
                    self.purse.settle(reserved, cost)
            await anyio.sleep(between)
        else:
            self._is_over |= number is None
        self._running -= 1


@asynccontextmanager
async def leasing(limits, *, money=None, adaptive=None):
    """A gate for the account "a" with its lessor, and a net."""
    gate = Gate(limits, now=anyio.current_time(), adaptive=adaptive)
    lessor, net = Lessor({"a": gate}, money), Net()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lessor.run)
        tasks.start_soon(net.run)
        yield gate, lessor, net
        await anyio.sleep(5.0)  # what was told last arrives
        tasks.cancel_scope.cancel()


def answers(after=1.0, *, tokens=0, cost=Decimal(0)):
    """What a call comes to: an answer, so many seconds later."""

    async def call(number):
        await anyio.sleep(after)
        return Reply(text="yes", usage=Usage(input_tokens=0, output_tokens=tokens)), cost

    return call


def rows(count):
    """Draws so many in all, for whoever asks."""
    numbers = iter(range(count))
    return lambda: next(numbers, None)
