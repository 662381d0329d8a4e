"""The batch's own side of its workers: plans go out, runs come back, and nothing else is done twice."""

import math
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal

import anyio
from anyio import to_thread
from anyio.abc import Process, UNIXSocketStream

from tasks_lib.domain.fingerprint import content_hash
from tasks_lib.domain.job import Limits
from tasks_lib.domain.plan import Plan
from tasks_lib.engine.breakers import Outage
from tasks_lib.engine.feed import Feed
from tasks_lib.engine.money import Money, Reserved, Spent
from tasks_lib.engine.stop import Stop
from tasks_lib.job.books import Books
from tasks_lib.job.setup import Setup
from tasks_lib.job.workers.frames import (
    Act,
    Begin,
    Channel,
    Committed,
    Done,
    Drop,
    Frame,
    Gone,
    Granted,
    Halt,
    Need,
    Plans,
    State,
    Want,
)
from tasks_lib.ledger import Facts, Ledger, LedgerError, together
from tasks_lib.live import AccountNow, ModelNow

_PATIENCE = 30.0  # seconds in which a worker that was told to drop everything hands in what it has


class WorkerDied(Exception):
    """A worker ended without a word; what it had under way is asked again by the next batch."""


@dataclass(slots=True)
class _Arrived:
    """Facts that wait for their commit."""

    facts: Facts
    durable: anyio.Event = field(default_factory=anyio.Event)
    error: str | None = None


@dataclass(slots=True)
class _Worker:
    number: int
    process: Process
    channel: Channel
    leases: list[Reserved] = field(default_factory=list)
    accounts: tuple[AccountNow, ...] = ()
    models: tuple[ModelNow, ...] = ()
    under_way: int = 0
    gone: bool = False


class Fleet:
    """Runs a batch's rows in several processes."""

    def __init__(
        self, setup: Setup, *, ledger: Ledger, batch_id: str, books: Books, stop: Stop, money: Money
    ) -> None:
        """Nothing is started before `run`."""
        self._setup = setup
        self._ledger = ledger
        self._batch_id = batch_id
        self._books = books
        self._stop = stop
        self._money = money
        self._leases_money = money.is_limited
        self._workers: list[_Worker] = []
        self._arrived: list[_Arrived] = []
        self._committing = anyio.Lock(fast_acquire=True)
        self._acts, self._to_tell = anyio.create_memory_object_stream[Act](math.inf)
        self.warnings: list[str] = []
        self.outages: list[Outage] = []

    async def run(self, feed: Feed) -> None:
        """Run what the feed holds, until nothing is left or the stop is called.

        Cancelling has the workers drop their calls; what they have made of them by then is committed.

        Raises:
            LedgerError: a commit failed; what was committed before stands.
            WorkerDied: a worker was killed, or broke.
        """
        try:
            for number in range(self._setup.job.workers):
                self._workers.append(await self._started(number))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell_stop)
                tasks.start_soon(self._tell_acts)
                try:
                    async with anyio.create_task_group() as serving:
                        for worker in self._workers:
                            serving.start_soon(self._serve, worker, feed)
                except anyio.get_cancelled_exc_class():
                    with anyio.move_on_after(_PATIENCE, shield=True):
                        await self._drop(feed)
                    raise
                tasks.cancel_scope.cancel()
        finally:
            self._acts.close()
            self._to_tell.close()
            with anyio.CancelScope(shield=True):
                for worker in self._workers:
                    await worker.channel.aclose()
                    with anyio.move_on_after(_PATIENCE):
                        await worker.process.wait()
                    if worker.process.returncode is None:
                        worker.process.kill()
                        await worker.process.wait()

    def pause(self, *, paused: bool) -> None:
        """Have all workers begin no more calls, or go on."""
        self._acts.send_nowait(Act(paused=paused))

    def change(self, limits: Limits) -> None:
        """Have all workers together keep other limits."""
        self._acts.send_nowait(Act(limits=limits))

    def news(self, remote_ids: Sequence[str]) -> None:
        """Nobody waits for any: hosted runs are those of one process (see `check_workers`)."""

    @property
    def heeds_money(self) -> bool:
        """Workers that began without a limit do not ask for money."""
        return self._leases_money

    @property
    def accounts(self) -> tuple[AccountNow, ...]:
        """How things stand at the accounts of all workers together, as they last said."""
        by_name: dict[str, AccountNow] = {}
        for worker in self._workers:
            for one in () if worker.gone else worker.accounts:
                known = by_name.get(one.provider)
                by_name[one.provider] = one if known is None else _joined(known, one)
        return tuple(by_name.values())

    @property
    def models(self) -> tuple[ModelNow, ...]:
        """How the models do: down for all of them, if they are so for one."""
        by_name: dict[str, ModelNow] = {}
        for worker in self._workers:
            for one in () if worker.gone else worker.models:
                known = by_name.get(one.model)
                by_name[one.model] = one if known is None else _seen_by_both(known, one)
        return tuple(by_name.values())

    @property
    def under_way(self) -> int:
        """Rows that workers have drawn and not handed in, as they last said."""
        return sum(worker.under_way for worker in self._workers if not worker.gone)

    async def _started(self, number: int) -> _Worker:
        setup = self._setup
        assert setup.path is not None  # noqa: S101 - a setup of several workers has a file; see job.setup
        ours, theirs = socket.socketpair()
        with theirs:
            process = await anyio.open_process(
                [sys.executable, "-m", "tasks_lib.job.workers.worker", str(theirs.fileno())],
                stdin=None,
                stdout=2,  # whatever a library has to say is not for the batch's own output
                stderr=None,
                pass_fds=(theirs.fileno(),),
                env=dict(setup.environment.variables),
            )
        channel = Channel(await UNIXSocketStream.from_socket(ours))
        await channel.send(
            Begin(
                job=setup.path,  # as it is: where it begins, the paths in its definition do
                overrides=setup.overrides,
                fingerprint=content_hash(setup.job.definition),
                batch_id=self._batch_id,
                number=number,
                workers=setup.job.workers,
                revision_ids=self._ledger.revision_ids(self._batch_id),
                limits_money=self._leases_money,
                variants=setup.job.variants,
            )
        )
        return _Worker(number, process, channel)

    async def _serve(self, worker: _Worker, feed: Feed) -> None:
        """Heed what a worker says until it is gone."""
        async with anyio.create_task_group() as tasks:
            while not worker.gone:
                try:
                    frame = await worker.channel.receive()
                except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError) as end:
                    code = await worker.process.wait()
                    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                    raise WorkerDied(f"worker {worker.number + 1} {how}") from end
                if isinstance(frame, Gone):
                    self._settle(worker, frame)
                elif isinstance(frame, State):
                    worker.accounts, worker.under_way = frame.accounts, frame.under_way
                    worker.models = frame.models
                elif isinstance(frame, Halt):
                    self._stop.call(frame.why, frame.reason)
                elif isinstance(frame, Done):  # now, so that books and commits keep one order
                    for run in frame.counted:
                        self._books.count(run)
                    self._arrived.append(arrived := _Arrived(frame.facts))
                    tasks.start_soon(self._commit, worker, frame, arrived)
                else:
                    tasks.start_soon(self._answer, worker, frame, feed)

    async def _answer(self, worker: _Worker, frame: Frame, feed: Feed) -> None:
        match frame:
            case Want(most=most):
                plans: Sequence[Plan] = ()
                with self._stop.cuts_short():
                    plans = await feed.draw_some(most)
                await _tell(worker, Plans(plans=() if self._stop.called else tuple(plans)))
            case Need(worst=worst):
                await _tell(worker, self._granted(worker, worst))

    def _granted(self, worker: _Worker, worst: Decimal) -> Granted:
        try:
            lease = self._money.lease(worst, among=len(self._workers))
        except Spent as spent:
            return Granted(amount=Decimal(0), reason=str(spent))
        worker.leases.append(lease)
        return Granted(amount=lease.worst)

    def _settle(self, worker: _Worker, gone: Gone) -> None:
        """Take back what a worker has not spent."""
        worker.gone = True
        self.outages.extend(gone.outages)
        self.warnings.extend(warning for warning in gone.warnings if warning not in self.warnings)
        unspent = gone.unspent
        for lease in worker.leases:
            back = min(lease.worst, max(unspent, Decimal(0)))
            unspent -= back
            self._money.settle(lease, lease.worst - back)

    async def _commit(self, worker: _Worker, done: Done, arrived: _Arrived) -> None:
        """Commit what has arrived by now: while one commit is made, others share the next one."""
        with anyio.CancelScope(shield=True):  # it is paid for
            async with self._committing:
                if not arrived.durable.is_set():
                    await self._commit_arrived()
            if arrived.error is None:
                self._books.committed(len(done.counted))
            for run in done.counted:
                await self._books.count_down(run)
            await _tell(worker, Committed(number=done.number, error=arrived.error))
        if arrived.error is not None:
            raise LedgerError(arrived.error)

    async def _commit_arrived(self) -> None:
        taken, self._arrived = self._arrived, []
        facts = together([one.facts for one in taken])
        error: str | None = None
        try:
            await to_thread.run_sync(lambda: self._ledger.add_facts(facts, batch_id=self._batch_id))
        except LedgerError as failed:
            error = str(failed)
        for one in taken:
            one.error = error
            one.durable.set()

    async def _tell_stop(self) -> None:
        """Tell all workers once the stop is called."""
        with self._stop.cuts_short():
            await anyio.sleep_forever()
        assert self._stop.why is not None  # noqa: S101 - it was called
        await self._tell_all(Halt(why=self._stop.why, reason=self._stop.reason or ""))

    async def _tell_acts(self) -> None:
        async for act in self._to_tell:
            await self._tell_all(act)

    async def _tell_all(self, frame: Frame) -> None:
        for worker in self._workers:
            if not worker.gone:
                await _tell(worker, frame)

    async def _drop(self, feed: Feed) -> None:
        await self._tell_all(Drop())
        async with anyio.create_task_group() as serving:
            for worker in self._workers:
                if not worker.gone:
                    serving.start_soon(self._serve, worker, feed)


async def _tell(worker: _Worker, frame: Frame) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # it died; who serves it says so
        await worker.channel.send(frame)


def _joined(one: AccountNow, other: AccountNow) -> AccountNow:
    """An account as two workers see it: what each has for itself is added up."""
    return replace(
        one,
        in_flight=one.in_flight + other.in_flight,
        most_in_flight=one.most_in_flight + other.most_in_flight,
        waiting=one.waiting + other.waiting,
        closed_for=max(one.closed_for or 0.0, other.closed_for or 0.0),
        closed_why=one.closed_why or other.closed_why,
    )


def _seen_by_both(one: ModelNow, other: ModelNow) -> ModelNow:
    """A model as two workers see it, each with a breaker of its own; the worse of the two is told."""
    worse = max(one, other, key=lambda model: _BADNESS.index(model.breaker))
    return replace(worse, outages=one.outages + other.outages, passed_by=one.passed_by + other.passed_by)


_BADNESS = ("closed", "half open", "open")
