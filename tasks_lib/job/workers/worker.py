"""A worker: an engine whose plans come from a batch's own process, and whose runs are committed there.

One of this machine is `python -m tasks_lib.job.workers.worker DESCRIPTOR`, started by a fleet and by nobody
else. One elsewhere is `work_for(ticket)`, in whatever process or thread an engine has for it.

It ends with its batch: when the channel is gone, or nothing was heard for too long, it drops its calls.
"""

import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic

import anyio
from anyio import from_thread
from anyio.abc import UNIXSocketStream

from tasks_lib.configs import Environment
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.run import TaskRun
from tasks_lib.engine.attempt import Account
from tasks_lib.engine.leased_gate import Lessee
from tasks_lib.engine.leases import Word
from tasks_lib.engine.run import Engine
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.engine.watch import RowWatch
from tasks_lib.job.accounts import (
    group_rows,
    limits_for,
    open_accounts,
    rows_at_once,
    rows_at_once_anywhere,
)
from tasks_lib.job.causes import is_all, sole_cause
from tasks_lib.job.counted import Counted
from tasks_lib.job.garbage import collect_seldom
from tasks_lib.job.kept_files import keep_of
from tasks_lib.job.row_inputs import preparing
from tasks_lib.job.spared import spare_pandas
from tasks_lib.job.steering import account_now, model_now
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.watch import UnderWayWatch
from tasks_lib.job.workers.calling import call_in
from tasks_lib.job.workers.channel import LOST, Channel, Outbox
from tasks_lib.job.workers.distant_shelf import DistantShelf
from tasks_lib.job.workers.frames import (
    Act,
    Answers,
    Begin,
    Broke,
    Committed,
    Done,
    Drawn,
    Drop,
    Frame,
    Gone,
    Halt,
    Keep,
    Kept,
    Left,
    Noted,
    Plans,
    State,
    Want,
    Words,
    Written,
)
from tasks_lib.job.workers.luggage import unpacked
from tasks_lib.job.workers.recruiting import Pulse, Ticket
from tasks_lib.job.workers.where import told_where
from tasks_lib.ledger import Facts, LedgerError, facts_of, open_writer
from tasks_lib.ledger.journal import Journal
from tasks_lib.ledger.under_way import UnderWay

_LOOKED_AT = 1.0  # seconds between two words on how things stand
_AT_A_TIME = 512  # plans that are asked for at once: enough for half a second of one that others left alone
_TO_PART = 10.0  # seconds in which the batch hangs up on a worker that has said that it is gone
_LONGEST_TOLD = 500  # characters of an error


def main() -> None:
    """Work until there is nothing left, or whoever started this is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; we hear from the fleet
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as above, of a service's end
    spare_pandas()
    collect_seldom()
    anyio.run(_work_here, int(sys.argv[1]))


def work_for(ticket: Ticket) -> str:
    """Take part in the batch that a ticket is for, until it is over, and tell how it ended.

    It may run in any process or thread that has no event loop of its own, and leaves the process as it is:
    its signals, its modules and its garbage.

    Raises:
        NotLetIn: the ticket is refused, or no batch can be reached.
    """
    return anyio.run(take_part, ticket)


async def _work_here(descriptor: int) -> None:
    channel = Channel(await UNIXSocketStream.from_socket(descriptor))
    begin: Frame | None = None
    with suppress(*LOST):
        begin = await channel.receive()
    if isinstance(begin, Begin):  # else it is over already
        await Worker(channel, begin).run()


async def take_part(ticket: Ticket, leave: anyio.Event | None = None) -> str:
    """As `work_for`, in an event loop; once `leave` is set, the calls under way are the last ones.

    Cancelled, it drops its calls. In both cases others get what is left.

    Raises:
        NotLetIn: the ticket is refused, or no batch can be reached.
    """
    channel = await call_in(ticket)
    try:
        begin: Frame | None = None
        with anyio.move_on_after(Pulse().lease), suppress(*LOST):
            begin = await channel.receive()
        if not isinstance(begin, Begin):
            return "the batch was over before anything was to be done"
        return await Worker(channel, begin, leave=leave).run()
    finally:
        await channel.aclose()


class Worker:
    """An engine whose plans come from elsewhere, and whose runs are committed there."""

    def __init__(self, channel: Channel, begin: Begin, *, leave: anyio.Event | None = None) -> None:
        """Nothing happens before `run`; once `leave` is set, the calls under way are the last ones."""
        self._channel = channel
        self._begin = begin
        self._leave = leave or anyio.Event()
        self._setup = unpacked(begin.setup, begin.variables, environment=Environment.from_os())
        self._is_elsewhere = begin.part is None
        self._outbox = Outbox[Word | Drawn | Left | Noted](channel, Words)
        self._lessee = Lessee(
            self._setup.secrets() if self._is_elsewhere else (),
            self._outbox.say,
            give_up=self._give_up,
            clock=monotonic,
        )
        self._stop = Stop()
        self._plans: deque[Plan] = deque()
        self._no_more = False
        self._came = anyio.Event()  # plans, or the word that there are no more
        self._asked = False
        self._waiting: dict[int, _Reply] = {}  # by the number of what was sent
        self._numbered = 0
        self._journal = (
            Journal(self._setup.job.ledger, batch_id=begin.batch_id, worker=begin.number)
            if begin.has_journal
            else None
        )
        self._handed_in: set[str] = set()  # runs, until their rows have left
        self._rows = 0
        self._accounts: Mapping[str, Account] = {}
        self._engine: Engine | None = None
        self._blamed: str | None = None  # the run that an error came of
        self._gave_up: str | None = None
        self._orphaned: str | None = None
        self._work = anyio.CancelScope()
        self._is_over = False
        self._noted = False  # whether it was told that the batch will not be whole
        self._is_parting = False
        self._hung_up = anyio.Event()
        self._act = Act()  # what the user had done to the batch before there were accounts here
        self._warnings: list[str] = []

    async def run(self) -> str:
        """Run what is handed over until nothing is left, or the end is asked for; tells how that came."""
        try:
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._drop_when_cancelled)
                try:
                    with anyio.CancelScope(shield=True):  # what is dropped is handed in first
                        await self._run()
                finally:
                    self._is_over = True
                beside.cancel_scope.cancel()
        except Exception as error:
            if self._orphaned is None and not is_all(error, LedgerError):
                await self._tell_error(error)
                raise
            # What could not be committed is known where it should have been, or nobody is left to know it.
        if self._orphaned is not None:
            return f"{self._rows:,} rows were run, and the calls under way dropped: {self._orphaned}"
        if self._gave_up is not None:
            return f"{self._rows:,} rows were run, and the others left to other workers: {self._gave_up}"
        return f"{self._rows:,} rows were run" + (f": {self._stop.reason}" if self._stop.reason else "")

    async def _drop_when_cancelled(self) -> None:
        """Have the calls under way dropped, and nothing else, when whoever runs this worker cancels it."""
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            if not self._is_over:
                self._gave_up = self._gave_up or "was interrupted"
                self._work.cancel()
            raise

    async def _run(self) -> None:
        begin = self._begin
        async with anyio.create_task_group() as listening:
            with self._work:
                listening.start_soon(self._channel.keep_alive, begin.pulse, begin.pulse.patience)
                listening.start_soon(self._listen)
                listening.start_soon(self._outbox.post)
                listening.start_soon(self._tell_stop)
                listening.start_soon(self._tell_state)
                listening.start_soon(self._go_when_told)
                async with open_accounts(
                    self._setup,
                    warn=self._warnings.append,
                    part=begin.part,
                    gates=self._lessee.gates if self._is_elsewhere else None,
                ) as accounts:
                    self._accounts = accounts
                    self._do(self._act)
                    if not all(account.gate.is_shared for account in accounts.values()):
                        self._give_up("cannot keep limits together with others: " + "; ".join(self._warnings))
                    await self._run_rows(accounts)
            if self._orphaned is None:
                await self._part()
            listening.cancel_scope.cancel()

    async def _part(self) -> None:
        """Say that this is the end, and wait until it was heard: a channel may lose what is sent last."""
        outages = self._engine.breakers.outages if self._engine is not None else ()
        with suppress(*LOST), anyio.move_on_after(_TO_PART, shield=True):
            self._is_parting = True
            await self._outbox.flush()
            await self._channel.send(
                Gone(gave_up=self._gave_up, warnings=tuple(self._warnings), outages=tuple(outages))
            )
            await self._hung_up.wait()

    async def _run_rows(self, accounts: Mapping[str, Account]) -> None:
        at_once = rows_at_once(self._setup, accounts)
        watch, close = self._watched()
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
                    money=self._lessee.purse,
                    joins=self._setup.job.identical_rows == "once",
                    watch=watch,
                    prepare=told_where(prepare) if self._is_elsewhere else prepare,
                    keep=keep_of(
                        self._setup,
                        self._stop,
                        shelf=DistantShelf(self._kept) if self._is_elsewhere else None,
                    ),
                    clock=monotonic,
                )
                for account in accounts.values():
                    account.gate.on_change = engine.grow
                await engine.run(self._draw, at_once=at_once, in_outages=rows_at_once_anywhere(accounts))
        finally:
            close()
            if self._journal is not None:
                self._journal.close()

    def _watched(self) -> tuple[RowWatch, Callable[[], None]]:
        """What is told of each row, and how that ends: rows of this machine's workers are in a file, too."""
        if self._is_elsewhere:
            return _Told(self, None), _nothing
        begin = self._begin
        under_way = UnderWay(self._setup.job.ledger, batch_id=begin.batch_id, worker=begin.number)
        return _Told(self, UnderWayWatch(under_way, Suspects(self._stop))), under_way.close

    def add(
        self, task_runs: Sequence[TaskRun], *, batch_id: str, on_commit: Callable[[int], None] | None = None
    ) -> None:
        """Write the runs down, or have the batch's own process commit them; called in a thread.

        Raises:
            LedgerError: they could not be written.
        """
        del batch_id  # there is one
        facts = facts_of(task_runs, revision_ids=self._begin.revision_ids)
        runs = tuple(run.plan.task_run_id for run in task_runs)
        counted = tuple(map(Counted.of, task_runs))
        if self._journal is not None:
            try:
                entry = self._journal.append(facts)
            except LedgerError as error:
                from_thread.run(self._tell_full, str(error))
                raise
            from_thread.run(self._tell_written, Written(entry=entry, runs=runs, counted=counted))
        else:
            refused = from_thread.run(self._commit, runs, counted, facts)
            if refused is not None:
                raise LedgerError(refused)
        if on_commit is not None:
            on_commit(len(task_runs))

    async def _tell_written(self, written: Written) -> None:
        self._handed_in.update(written.runs)
        self._rows += len(written.runs)
        with suppress(*LOST):  # whoever opens the ledger next finds them
            await self._outbox.flush()  # so that a row is known as under way before it is known as over
            await self._channel.send(written)

    async def _tell_full(self, reason: str) -> None:
        """Nothing more can be written, so nothing more is to be paid for."""
        with suppress(*LOST):
            await self._channel.send(Halt(why=Why.LEDGER, reason=reason))

    async def _commit(self, runs: tuple[str, ...], counted: tuple[Counted, ...], facts: Facts) -> str | None:
        reply = await self._answered(
            lambda number: Done(number=number, runs=runs, counted=counted, facts=facts)
        )
        if isinstance(reply, Committed) and reply.error is None:
            self._handed_in.update(runs)
            self._rows += len(runs)
            return None
        return reply.error if isinstance(reply, Committed) else self._orphaned

    async def _kept(self, content: bytes, task_run_id: str, mime_type: str) -> Kept:
        reply = await self._answered(
            lambda number: Keep(number=number, content=content, task_run_id=task_run_id, mime_type=mime_type)
        )
        return reply if isinstance(reply, Kept) else Kept(number=0, error=self._orphaned)

    async def _answered(self, frame_of: Callable[[int], Frame]) -> Committed | Kept | None:
        """What the batch answers to a frame that has this number; None if nobody is left to answer."""
        if self._orphaned is not None:
            return None
        self._numbered += 1
        number = self._numbered
        reply = self._waiting[number] = _Reply()
        with suppress(*LOST):  # who listens learns that, too, and tells
            await self._outbox.flush()  # so that a row is known as under way before it is known as over
            await self._channel.send(frame_of(number))
        await reply.came.wait()
        return reply.answer

    async def _draw(self) -> Plan | None:
        while not self._plans:
            if self._no_more:
                return None
            self._came = anyio.Event() if self._came.is_set() else self._came
            await self._want()
            with self._stop.cuts_short():
                await self._came.wait()
            if self._stop.called:
                return None
        plan = self._plans.popleft()
        if self._is_elsewhere:
            self._outbox.say(Drawn(plan.task_run_id))  # before anything is asked for it
        if len(self._plans) < _AT_A_TIME // 2:
            await self._want()
        return plan

    async def _want(self) -> None:
        if not (self._asked or self._no_more):
            self._asked = True
            with suppress(*LOST):
                await self._channel.send(Want(most=_AT_A_TIME))

    def left(self, plan: Plan) -> None:
        """A row is under way no more."""
        if plan.task_run_id in self._handed_in:
            self._handed_in.discard(plan.task_run_id)
        elif self._orphaned is None and self._is_left_undone:
            if self._stop.noted is not None and not self._noted:
                self._noted = True
                self._outbox.say(Noted(*self._stop.noted))
            self._outbox.say(Left(plan.task_run_id))

    @property
    def _is_left_undone(self) -> bool:
        """Whether rows that are not run here are run by nobody; else they are for whoever takes our place."""
        if self._gave_up is not None or self._blamed is not None:
            return False
        return self._stop.called or self._stop.noted is not None

    def blame(self, plan: Plan, error: Exception) -> None:
        """The row brought forth an error that ends this worker."""
        if not isinstance(error, LedgerError):
            self._blamed = self._blamed or plan.task_run_id

    async def _listen(self) -> None:
        with suppress(*LOST):
            while True:
                self._heed(await self._channel.receive())
        self._hung_up.set()
        if self._is_parting:
            return
        silent = self._channel.silent_for
        self._be_orphan(
            "the batch's own process is gone"
            if silent is None
            else f"the batch's own process was not heard of for {silent:.0f} s"
        )
        self._work.cancel()

    def _heed(self, frame: Frame) -> None:
        match frame:
            case Answers(answers=answers):
                for answer in answers:
                    self._lessee.heed(answer)
            case Plans(plans=plans):
                self._plans.extend(plans)
                self._asked, self._no_more = False, not plans
                self._came.set()
            case Committed() | Kept():
                reply = self._waiting.pop(frame.number)
                reply.answer = frame
                reply.came.set()
            case Halt(why=why, reason=reason):
                self._stop.call(why, reason)
            case Drop():
                self._work.cancel()
            case Act():
                self._act = frame
                self._do(frame)

    def _do(self, act: Act) -> None:
        """Do what the user does to the batch at the gates that are here."""
        for account in self._accounts.values():
            gate = account.gate
            if act.paused is not None:
                (gate.pause if act.paused else gate.resume)()
            if act.limits is not None:
                gate.change(limits_for(account.provider, act.limits, self._begin.part))

    def _be_orphan(self, reason: str) -> None:
        """Nobody will answer any more."""
        self._orphaned = reason
        self._stop.call(Why.INTERRUPTED, reason)
        self._lessee.lost()
        for reply in self._waiting.values():
            reply.came.set()
        self._waiting.clear()

    def _give_up(self, reason: str) -> None:
        """No call is let in here in time: come to an end, and leave the batch to others."""
        self._gave_up = reason
        self._stop.call(Why.INTERRUPTED, reason)

    async def _go_when_told(self) -> None:
        """Come to an end once whoever runs this worker asks for it."""
        await self._leave.wait()
        self._give_up("was told to end")

    async def _tell_stop(self) -> None:
        """Tell the fleet once something here asks for the end of the batch, or says that it is not whole."""
        with self._stop.cuts_short():
            await anyio.sleep_forever()
        assert self._stop.why is not None  # noqa: S101 - it was called
        if self._gave_up is None:
            with suppress(*LOST):  # who listens for it learns that, too
                await self._channel.send(Halt(why=self._stop.why, reason=self._stop.reason or ""))

    async def _tell_state(self) -> None:
        with suppress(*LOST):
            while True:
                await anyio.sleep(_LOOKED_AT)
                accounts = () if self._is_elsewhere else self._accounts.items()
                engine = self._engine
                await self._channel.send(
                    State(
                        accounts=tuple(account_now(name, account.gate) for name, account in accounts),
                        under_way=engine.rows_under_way if engine is not None else 0,
                        models=tuple(map(model_now, engine.breakers.states)) if engine is not None else (),
                    )
                )

    async def _tell_error(self, error: BaseException) -> None:
        """Say what ends this worker, and of which row it came."""
        cause = sole_cause(error)
        told = f"{type(cause).__name__}: {cause}"[:_LONGEST_TOLD]
        with suppress(*LOST), anyio.move_on_after(_TO_PART, shield=True):
            await self._outbox.flush()
            await self._channel.send(Broke(error=told, run=self._blamed))


class _Reply:
    """What is waited for."""

    def __init__(self) -> None:
        self.came = anyio.Event()
        self.answer: Committed | Kept | None = None


class _Told:
    """Tells a worker of its rows, and whatever else keeps them."""

    def __init__(self, worker: Worker, kept: RowWatch | None) -> None:
        self._worker = worker
        self._kept = kept

    def began(self, plan: Plan) -> None:
        """See `RowWatch`."""
        if self._kept is not None:
            self._kept.began(plan)

    def broke(self, plan: Plan, error: Exception) -> None:
        """See `RowWatch`."""
        self._worker.blame(plan, error)
        if self._kept is not None:
            self._kept.broke(plan, error)

    def ended(self, plan: Plan) -> None:
        """See `RowWatch`."""
        self._worker.left(plan)
        if self._kept is not None:
            self._kept.ended(plan)


def _nothing() -> None:
    """There is nothing to be closed."""


if __name__ == "__main__":
    main()
