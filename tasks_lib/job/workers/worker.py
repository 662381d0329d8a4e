"""A worker: `python -m tasks_lib.job.workers.worker DESCRIPTOR`, started by a fleet and by nobody else.

It ends with whoever started it: a socket that hangs up drops the calls under way.
"""

import gc
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from time import monotonic

import anyio
from anyio import from_thread
from anyio.abc import UNIXSocketStream

from tasks_lib.configs import Environment
from tasks_lib.domain.fingerprint import content_hash
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.run import TaskRun
from tasks_lib.engine.attempt import Account
from tasks_lib.engine.run import Engine
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.accounts import (
    Part,
    group_rows,
    limits_for,
    open_accounts,
    rows_at_once,
    rows_at_once_anywhere,
)
from tasks_lib.job.causes import is_all
from tasks_lib.job.counted import Counted
from tasks_lib.job.kept_files import keep_of
from tasks_lib.job.row_inputs import preparing
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.spared import spare_pandas
from tasks_lib.job.steering import account_now, model_now
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.watch import UnderWayWatch
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
from tasks_lib.job.workers.lease import Lease
from tasks_lib.ledger import Facts, LedgerError, facts_of, open_writer
from tasks_lib.ledger.under_way import UnderWay

_NOTHING = Decimal(0)
_LOOKED_AT = 1.0  # seconds between two words on how things stand
_AT_A_TIME = 256  # plans that are asked for at once


def main() -> None:
    """Work until there is nothing left, or whoever started this is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; we hear from the fleet
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as above, of a service's end
    spare_pandas()
    gc.collect()
    gc.freeze()  # as the command does
    anyio.run(_work, int(sys.argv[1]))


async def _work(descriptor: int) -> None:
    channel = Channel(await UNIXSocketStream.from_socket(descriptor))
    begin = await channel.receive()
    assert isinstance(begin, Begin)  # noqa: S101 - it is our own word, and a fleet begins with it
    setup = load_setup(begin.job, overrides=begin.overrides, environment=Environment.from_os())
    if content_hash(setup.job.definition) != begin.fingerprint:
        await channel.send(Halt(why=Why.FAILURES, reason=f"{begin.job} was changed while it is run"))
        await channel.send(Gone(unspent=_NOTHING))
        return
    setup = replace(setup, job=replace(setup.job, variants=begin.variants))
    worker = Worker(channel, begin, setup)
    try:
        await worker.run()
    except BaseException as error:
        if not (worker.is_orphan or is_all(error, LedgerError)):
            raise
        # What could not be committed is known where it should have been, or nobody is left to know it.


class Worker:
    """An engine whose plans come from elsewhere, and whose runs are committed there."""

    def __init__(self, channel: Channel, begin: Begin, setup: Setup) -> None:
        """Nothing happens before `run`."""
        self._channel = channel
        self._begin = begin
        self._setup = setup
        self._part = Part(number=begin.number, of=begin.workers)
        self._stop = Stop()
        self._plans: deque[Plan] = deque()
        self._no_more = False
        self._came = anyio.Event()  # plans, or the word that there are no more
        self._asked = False
        self._waiting: dict[int, _Reply] = {}  # by the number of what was sent
        self._granted: deque[_Reply] = deque()
        self._numbered = 0
        self._accounts: Mapping[str, Account] = {}
        self.is_orphan = False
        self._engine: Engine | None = None
        self._warnings: list[str] = []

    async def run(self) -> None:
        """Run what is handed over until there is nothing more, or the end is asked for."""
        begin = self._begin
        lease = Lease(self._need) if begin.limits_money else None
        async with anyio.create_task_group() as listening:
            with anyio.CancelScope() as work:
                listening.start_soon(self._listen, work)
                listening.start_soon(self._tell_stop)
                listening.start_soon(self._tell_state)
                async with open_accounts(
                    self._setup, warn=self._warnings.append, part=self._part
                ) as accounts:
                    self._accounts = accounts
                    await self._run_rows(accounts, lease)
            listening.cancel_scope.cancel()
        unspent = lease.unspent if lease is not None else _NOTHING
        outages = self._engine.breakers.outages if self._engine is not None else ()
        await self._channel.send(Gone(unspent=unspent, warnings=tuple(self._warnings), outages=outages))

    async def _run_rows(self, accounts: Mapping[str, Account], lease: Lease | None) -> None:
        under_way = UnderWay(self._setup.job.ledger, batch_id=self._begin.batch_id, worker=self._begin.number)
        at_once = rows_at_once(self._setup, accounts)
        try:
            async with (
                open_writer(
                    self, batch_id=self._begin.batch_id, group_rows=lambda: group_rows(at_once())
                ) as writer,
                preparing(self._setup) as prepare,
            ):
                self._engine = engine = Engine(
                    accounts=accounts,
                    prices=self._setup.price_lists(),
                    record=writer.add,
                    stop=self._stop,
                    money=lease,
                    joins=self._setup.job.identical_rows == "once",
                    watch=UnderWayWatch(under_way, Suspects(self._stop)),
                    prepare=prepare,
                    keep=keep_of(self._setup, self._stop),
                    clock=monotonic,
                )
                for account in accounts.values():
                    account.gate.on_change = engine.grow
                await engine.run(self._draw, at_once=at_once, in_outages=rows_at_once_anywhere(accounts))
        finally:
            under_way.close()

    def add(
        self, task_runs: Sequence[TaskRun], *, batch_id: str, on_commit: Callable[[int], None] | None = None
    ) -> None:
        """Have the runs counted and committed by the batch's own process; called in a thread.

        Raises:
            LedgerError: they could not be written there.
        """
        del batch_id  # there is one
        facts = facts_of(task_runs, revision_ids=self._begin.revision_ids)
        error = from_thread.run(self._commit, tuple(map(Counted.of, task_runs)), facts)
        if error is not None:
            raise LedgerError(error)
        if on_commit is not None:
            on_commit(len(task_runs))

    async def _commit(self, counted: tuple[Counted, ...], facts: Facts) -> str | None:
        self._numbered += 1
        number = self._numbered
        reply = self._waiting[number] = _Reply()
        await self._channel.send(Done(number=number, counted=counted, facts=facts))
        await reply.came.wait()
        return reply.error

    async def _draw(self) -> Plan | None:
        while not self._plans:
            if self._no_more:
                return None
            self._came = anyio.Event() if self._came.is_set() else self._came
            if not self._asked:
                self._asked = True
                await self._channel.send(Want(most=_AT_A_TIME))
            with self._stop.cuts_short():
                await self._came.wait()
            if self._stop.called:
                return None
        plan = self._plans.popleft()
        if len(self._plans) < _AT_A_TIME // 2 and not (self._asked or self._no_more):
            self._asked = True
            await self._channel.send(Want(most=_AT_A_TIME))
        return plan

    async def _need(self, worst: Decimal) -> Granted:
        reply = _Reply()
        self._granted.append(reply)
        await self._channel.send(Need(worst=worst))
        await reply.came.wait()
        assert reply.granted is not None  # noqa: S101 - it came
        return reply.granted

    async def _listen(self, work: anyio.CancelScope) -> None:
        try:
            while True:
                await self._heed(await self._channel.receive(), work)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            self._give_up("the batch's own process is gone")
            work.cancel()

    async def _heed(self, frame: Frame, work: anyio.CancelScope) -> None:
        match frame:
            case Plans(plans=plans):
                self._plans.extend(plans)
                self._asked, self._no_more = False, not plans
                self._came.set()
            case Committed(number=number, error=error):
                reply = self._waiting.pop(number)
                reply.error = error
                reply.came.set()
            case Granted():
                reply = self._granted.popleft()
                reply.granted = frame
                reply.came.set()
            case Halt(why=why, reason=reason):
                self._stop.call(why, reason)
            case Drop():
                work.cancel()
            case Act(paused=paused, limits=limits):
                for account in self._accounts.values():
                    if paused is not None:
                        (account.gate.pause if paused else account.gate.resume)()
                    if limits is not None:
                        account.gate.change(
                            limits_for(account.provider, limits, self._part, shared=account.gate.is_shared)
                        )

    def _give_up(self, reason: str) -> None:
        """Nobody will answer any more."""
        self.is_orphan = True
        self._stop.call(Why.INTERRUPTED, reason)
        for reply in (*self._waiting.values(), *self._granted):
            reply.error, reply.granted = reason, Granted(amount=_NOTHING, reason=reason)
            reply.came.set()

    async def _tell_stop(self) -> None:
        """Tell the fleet once something here asks for the end of the batch, or says that it is not whole."""
        with self._stop.cuts_short():
            await anyio.sleep_forever()
        assert self._stop.why is not None  # noqa: S101 - it was called
        with suppress(anyio.BrokenResourceError):  # who listens for it learns that, too
            await self._channel.send(Halt(why=self._stop.why, reason=self._stop.reason or ""))

    async def _tell_state(self) -> None:
        while True:
            await anyio.sleep(_LOOKED_AT)
            accounts = tuple(account_now(account) for account in self._accounts.values())
            under_way = self._engine.rows_under_way if self._engine is not None else 0
            models = tuple(map(model_now, self._engine.breakers.states)) if self._engine is not None else ()
            await self._channel.send(State(accounts=accounts, under_way=under_way, models=models))


class _Reply:
    """What is waited for."""

    def __init__(self) -> None:
        self.came = anyio.Event()
        self.error: str | None = None
        self.granted: Granted | None = None


if __name__ == "__main__":
    main()
