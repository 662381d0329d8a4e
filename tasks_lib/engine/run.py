"""Rows > row > attempt > exchange: each adds one concern to the one below.

run      draws plans for as many rows at once as may be under way
_row     has attempts until `next_call` says that the run is over, and records it
Caller   waits, passes the gate, has one exchange, and judges and prices what came of it (attempt.py)
have     drives the protocol's generator over the transport (exchange.py)
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import anyio

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.policy import next_call
from tasks_lib.domain.pricing import PriceList
from tasks_lib.domain.run import Attempt, Status, TaskRun, conclude, conclude_joined, conclude_stored
from tasks_lib.domain.task import Model
from tasks_lib.engine.attempt import Account, Caller, Keep, keep_nothing
from tasks_lib.engine.breakers import Breakers
from tasks_lib.engine.hosted import NoBook, RemoteBook
from tasks_lib.engine.money import Purse
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.engine.wakes import Wakes
from tasks_lib.engine.watch import RowWatch, Unwatched

Draw = Callable[[], Awaitable[Plan | None]]
Record = Callable[[TaskRun], Awaitable[None]]
Prepare = Callable[[Plan], Awaitable[Plan]]
"""Completes a plan with what processors and files say; one that it cannot complete has a problem."""

_ENDED = Failure(kind=FailureKind.CANCELLED, message="the batch ended before this row did")


def utc_now() -> datetime:
    """The time of day, with its zone."""
    return datetime.now(UTC)


@dataclass(slots=True)
class _Asking:
    """A run under way, for others that ask the same."""

    over: anyio.Event | None = None  # made by the first who waits
    task_run: TaskRun | None = None


class Engine:
    """Carries rows from plan to task run."""

    def __init__(
        self,
        *,
        accounts: Mapping[str, Account],  # by the provider's name
        prices: Mapping[Model, PriceList | None],
        record: Record,
        stop: Stop,
        money: Purse | None = None,
        joins: bool = True,
        watch: RowWatch | None = None,
        prepare: Prepare | None = None,
        keep: Keep = keep_nothing,
        book: RemoteBook | None = None,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        """Work with these accounts and hand each task run to `record` when it is over.

        With `joins`, rows that ask the same while one of them is under way share its calls. `prepare`
        completes the plans that processors or files come before, and `keep` makes files of answers. `book`
        remembers runs of hosted tasks.
        """
        self._watch = watch or Unwatched()
        self._caller = Caller(
            accounts=accounts,
            prices=prices,
            stop=stop,
            money=money,
            now=now,
            clock=clock,
            sleeping=self._sleeping,
            began=self._watch.began,
            keep=keep,
            book=book or NoBook(),
        )
        self._prepare = prepare
        self._record = record
        self._stop = stop
        self._joins = joins
        self._now = now
        self._asking: dict[tuple[str, str, int], _Asking] = {}  # by what is asked
        self._most: Callable[[], int] = lambda: 0
        self._awake = 0  # workers that are not waiting for a backoff or for another row's answer
        self._asleep = 0  # those that are
        self._spare: Callable[[], object] | None = None  # starts another worker

    @property
    def breakers(self) -> Breakers:
        """Which models are up, and which were not."""
        return self._caller.breakers

    @property
    def wakes(self) -> Wakes:
        """Who waits for which hosted run."""
        return self._caller.wakes

    @property
    def rows_under_way(self) -> int:
        """Rows that were drawn and are not yet recorded."""
        return self._awake + self._asleep

    async def run(
        self, draw: Draw, *, at_once: Callable[[], int], in_outages: Callable[[], int] | None = None
    ) -> None:
        """Run what is drawn until nothing is left or the stop is called; so many rows at once.

        A row that waits for its next try makes room for another, so that a wave of failures does not
        leave the line idle. While a model is down, `in_outages` tells how many rows at once. When one of
        the two gives more than before, call `grow`.
        """
        breakers = self._caller.breakers
        breakers.on_change = self.grow
        if in_outages is None:
            self._most = at_once
        else:
            self._most = lambda: in_outages() if breakers.any_is_down else at_once()
        async with anyio.create_task_group() as workers:
            self._spare = partial(workers.start_soon, self._work, draw)
            self.grow()
        self._spare = None

    def grow(self) -> None:
        """Have as many workers as rows may be under way; too many go by themselves."""
        while self._spare is not None and self._awake < self._most():
            self._awake += 1
            self._spare()

    async def _work(self, draw: Draw) -> None:
        while not self._stop.called and self._awake <= self._most():
            plan = await draw()
            if plan is None:
                self._spare = None  # nobody else would find one
                break
            try:
                await self._row(plan)
            except Exception as error:
                self._watch.broke(plan, error)
                raise
            finally:
                self._watch.ended(plan)
        self._awake -= 1

    async def _row(self, plan: Plan) -> None:
        created_at = self._now()
        if plan.stored is not None:
            await self._record(
                conclude_stored(plan, plan.stored, created_at=created_at, finished_at=self._now())
            )
            return
        if not self._joins or plan.problem is not None:
            await self._ask(plan, created_at)
            return
        # a run that was begun for this very row is seen to its end, and others may share it
        asked = (plan.revision.fingerprint, plan.input_hash, plan.begin_at)
        while plan.remote is None and (other := self._asking.get(asked)) is not None:
            other.over = other.over or anyio.Event()
            with self._stop.cuts_short(), self._sleeping():
                await other.over.wait()
            if self._stop.called:
                return
            if other.task_run is not None and other.task_run.status is not Status.CANCELLED:
                await self._record(
                    conclude_joined(plan, other.task_run, created_at=created_at, finished_at=self._now())
                )
                return
        self._asking[asked] = asking = _Asking()
        try:
            await self._ask(plan, created_at, asking)
        finally:
            if self._asking.get(asked) is asking:
                del self._asking[asked]
            if asking.over is not None:
                asking.over.set()

    async def _ask(self, plan: Plan, created_at: datetime, asking: _Asking | None = None) -> None:
        attempts: list[Attempt] = []
        cut_short: Failure | None = _ENDED
        try:
            complete = plan
            if not plan.is_prepared and plan.problem is None and self._prepare is not None:
                with self._stop.cuts_short(), self._sleeping():  # others make calls meanwhile
                    complete = await self._prepare(plan)
                if not complete.is_prepared:  # the stop came first
                    return
                # what was sent is not held until the commit: files may be large
                plan = replace(complete, messages=plan.messages, file_refs=())
            if await self._try(complete, attempts):
                cut_short = None
        finally:
            if cut_short is None or any(attempt.is_call for attempt in attempts):
                with anyio.CancelScope(shield=True):  # what was paid for is told, whatever comes
                    await self._conclude(plan, attempts, created_at, cut_short, asking)

    async def _try(self, plan: Plan, attempts: list[Attempt]) -> bool:
        """Have attempts until the run is over; False if the stop came first."""
        while (call := next_call(plan, attempts)) is not None:
            if not await self._caller.make(plan, call, attempts):
                return False
        return True

    async def _conclude(
        self,
        plan: Plan,
        attempts: Sequence[Attempt],
        created_at: datetime,
        cut_short: Failure | None,
        asking: _Asking | None,
    ) -> None:
        task_run = conclude(
            plan, attempts, created_at=created_at, finished_at=self._now(), cut_short=cut_short
        )
        failure = task_run.failure
        if failure is not None and failure.kind.ends_batch:
            self._stop.call(Why.REFUSED, failure.reason)  # before the record, which may take its time
        if asking is not None:
            asking.task_run = task_run
        await self._record(task_run)

    @contextmanager
    def _sleeping(self) -> Iterator[None]:
        """Have another worker take a row while this one only waits; at most as many wait as may work."""
        self._awake -= 1
        self._asleep += 1
        if self._asleep <= self._most():
            self.grow()
        try:
            yield
        finally:
            self._asleep -= 1
            self._awake += 1
