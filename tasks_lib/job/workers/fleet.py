"""The batch's own side of its workers: plans go out, runs come back, and nothing else is done twice.

A worker may be a process of this machine or one elsewhere, may come late, and may die. What it has been given
and not handed in is known here: others get it. What it hands in once it counts as dead is never heard.
"""

import math
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic

import anyio
from anyio import to_thread
from anyio.abc import Process, TaskGroup, UNIXSocketStream

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.job import Limits
from tasks_lib.domain.plan import Plan
from tasks_lib.engine.admission import Admission
from tasks_lib.engine.breakers import Outage
from tasks_lib.engine.feed import Feed
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.leased_gate import Lessee
from tasks_lib.engine.leases import Answer, Reserve, Settle, Word
from tasks_lib.engine.lessor import Holder, Lessor
from tasks_lib.engine.money import Money
from tasks_lib.engine.run import utc_now
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.accounts import Part, limits_for, open_gates
from tasks_lib.job.books import Books
from tasks_lib.job.causes import is_all
from tasks_lib.job.counted import counted_in
from tasks_lib.job.kept_files import folder_of_files
from tasks_lib.job.setup import Setup
from tasks_lib.job.steering import account_now
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.watch import UnderWayWatch
from tasks_lib.job.workers.channel import LOST, Channel, Outbox
from tasks_lib.job.workers.commits import Arrived, Commits
from tasks_lib.job.workers.door import Door
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
from tasks_lib.job.workers.luggage import packed, variables_for
from tasks_lib.job.workers.merging import Merging, merging
from tasks_lib.job.workers.own_share import OWN, OwnShare
from tasks_lib.job.workers.recruiting import Listen, NoWorker, Recruiter
from tasks_lib.job.workers.rota import Rota
from tasks_lib.ledger import Death, Ledger, LedgerError
from tasks_lib.ledger.journal import Entry, entries_after
from tasks_lib.ledger.under_way import UnderWay, companies_at_deaths, find_deaths_of
from tasks_lib.live import AccountNow, ModelNow
from tasks_lib.outputs import FilesError, FileStore

_PATIENCE = 30.0  # seconds in which a worker that was told to drop everything hands in what it has
_TO_CLOSE = 60.0  # seconds in which whoever has started workers elsewhere sees to their end
_TO_END = 5.0  # seconds in which a process ends that has hung up
_IN_A_ROW = 3  # for each worker: so many come to their end with no row answered in between
_ALONE = 2  # deaths of a row that no other was under way beside; these are forgiven when it is set aside,
_FORGIVEN = 16  # for so many rows with none answered in between: the program itself may be what kills
_AT_A_TIME = 256  # plans that are had from the feed for each worker
_TOLD = 10  # warnings of workers that died; that there were more is told once


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker that has come, and what it has."""

    number: int
    part: Part | None  # of the limits; None: each of its calls asks for leave
    channel: Channel
    process: Process | None  # None: elsewhere
    outbox: Outbox[Answer]
    holder: Holder
    last: Entry | None = None  # of its journal, that it told of
    wants: int = 0  # plans
    given: dict[str, Plan] = field(default_factory=dict)  # by task run; what was handed in is not among them
    begun: dict[str, Plan] = field(default_factory=dict)  # those under way; of one without a part only
    sums: set[int] = field(default_factory=set)  # numbers of money set aside for calls not heard of here
    accounts: tuple[AccountNow, ...] = ()
    models: tuple[ModelNow, ...] = ()
    under_way: int = 0
    has_spoken: bool = False
    broke: Broke | None = None
    ended: Gone | None = None  # in order
    is_gone: bool = False  # however


class Fleet:
    """Runs a batch's rows in several processes."""

    def __init__(
        self,
        setup: Setup,
        *,
        ledger: Ledger,
        batch_id: str,
        books: Books,
        stop: Stop,
        money: Money,
        suspects: Suspects,
        under_way: UnderWay,
        recruiter: Recruiter | None = None,
        listen: Listen | None = None,
    ) -> None:
        """Nothing is started before `run`.

        Without a recruiter workers are processes of this machine, and this one is the last of them.
        """
        self._setup = setup
        self._ledger = ledger
        self._batch_id = batch_id
        self._books = books
        self._stop = stop
        self._money = money
        self._suspects = suspects
        self._under_way = under_way
        self._recruiter = recruiter
        self._listen = listen or Listen()
        self._pulse = self._listen.pulse
        self._rota = Rota(suspects, joins=setup.job.identical_rows == "once")
        self._changed = anyio.Event()  # somebody may be given something, or all is over
        self._over = anyio.Event()
        self._is_all = False  # no plan will come any more, but those that are brought back
        self._no_more = False  # every row is accounted for
        self._dropping = False
        self._workers: list[_Worker] = []
        self._leaving: list[Process] = []  # those that have come to their end in order, and perhaps not left
        self._coming = 0  # processes of ours that are being started
        self._awaited: set[int] = set()  # numbers of workers that were asked for and have not called in
        self._numbered = 0
        self._in_a_row = 0  # workers that came to their end since a row was answered
        self._forgiven = 0  # rows that were set aside since then
        self._deaths = 0
        self._act = Act()  # what the user has done to the batch so far
        self._acts, self._to_tell = anyio.create_memory_object_stream[Act](math.inf)
        self._gates: Mapping[str, Gate] = {}  # at which workers ask for leave
        self._own: OwnShare | None = None
        self._without: str | None = None  # why no worker takes the place of one that is gone
        self._luggage = packed(setup)
        self._variables = variables_for(setup)
        self._commits = Commits(ledger, batch_id=batch_id, books=books, under_way=lambda: self._begun)
        self._merging: Merging | None = None  # of what workers of this machine write down
        self._lessor: Lessor
        self._door: Door
        self._tasks: TaskGroup
        self.warnings: list[str] = []
        self.outages: list[Outage] = []

    async def run(self, feed: Feed) -> None:
        """Run what the feed holds, until nothing is left or the stop is called.

        Cancelling has the workers drop their calls; what they have made of them by then is committed.

        Raises:
            LedgerError: a commit failed; what was committed before stands.
            Mistake: nobody can call in where workers were to be listened for.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._let_go)
            gates = stack.enter_context(open_gates(self._setup, warn=self._warn))
            if self._recruiter is not None or not all(gate.is_shared for gate in gates.values()):
                self._gates = gates
                self._apply(self._act)
            if self._recruiter is not None:
                self._door = Door(self._listen, batch_id=self._batch_id, let_in=self._let_in, warn=self._warn)
                await stack.enter_async_context(self._door.opened())
            self._lessor = Lessor(self._gates, self._money, clock=monotonic)
            hired = self._setup.job.workers
            if self._recruiter is None:
                self._merging = await stack.enter_async_context(
                    merging(self._ledger, batch_id=self._batch_id, books=self._books)
                )
                hired -= 1
                self._own = self._own_share(gates, self._merging)
            try:
                async with anyio.create_task_group() as self._tasks:
                    self._tasks.start_soon(self._lessor.run)
                    self._tasks.start_soon(self._fetch, feed)
                    self._tasks.start_soon(self._hand_out)
                    self._tasks.start_soon(self._tell_stop)
                    self._tasks.start_soon(self._tell_acts)
                    if self._recruiter is not None:
                        self._tasks.start_soon(self._miss_them)
                    for number in range(hired):
                        self._hire(self._part(number))
                    if self._own is not None:
                        self._tasks.start_soon(self._own.run)
                    await self._over.wait()
                    self._tasks.cancel_scope.cancel()
            except BaseException as error:
                if not is_all(error, LedgerError):  # else nothing more can be kept
                    with anyio.move_on_after(_PATIENCE, shield=True):
                        await self._drop()
                raise
            finally:
                if self._own is not None:
                    self.outages.extend(self._own.outages)

    def _part(self, number: int) -> Part | None:
        """The part of one of several processes that keep limits together; the last is this one's."""
        if self._gates:
            return None
        return Part(number=number, of=self._setup.job.workers)

    def _own_share(self, gates: Mapping[str, Gate], merging: Merging) -> OwnShare:
        """What this process does itself, at gates that hold its part, or at leases like its workers'."""
        part = self._part(self._setup.job.workers - 1)
        own: Mapping[str, Admission] = gates
        if part is None:

            def tell(word: Word) -> None:
                holder.heed(word)

            lessee = Lessee(gates, tell, give_up=_go_on, clock=monotonic)
            holder = self._lessor.holder(lessee.heed)
            own = lessee.gates
        else:
            for name, gate in gates.items():
                gate.change(limits_for(self._setup.providers[name], self._setup.job.limits, part))
        share = OwnShare(
            self._setup,
            batch_id=self._batch_id,
            part=part,
            gates=own,
            revision_ids=self._ledger.revision_ids(self._batch_id),
            rota=self._rota,
            merging=merging,
            stop=self._stop,
            money=self._money,
            watch=UnderWayWatch(self._under_way, self._suspects),
            look=self._look,
        )
        share.do(self._act)
        return share

    async def _let_go(self) -> None:
        """Hang up on all workers, and see processes of ours to their end."""
        self._acts.close()
        self._to_tell.close()
        with anyio.CancelScope(shield=True):
            for worker in self._workers:
                worker.holder.gone()
                await worker.channel.aclose()
                if worker.process is not None and not worker.has_spoken:
                    await self._turn_away(worker.process, worker.number)
            async with anyio.create_task_group() as ends:
                left = (worker.process for worker in self._workers)
                for process in filter(None, (*left, *self._leaving)):
                    ends.start_soon(_seen_to_its_end, process)
            if self._recruiter is not None:
                with anyio.move_on_after(_TO_CLOSE):
                    await self._recruiter.close()

    async def _turn_away(self, process: Process, number: int) -> None:
        """End a process of ours that is not ready yet, and has nothing; it may have begun a file."""
        await _ended(process, within=0.0)
        with suppress(LedgerError):  # nothing is written, since no row was under way
            await to_thread.run_sync(
                lambda: find_deaths_of(
                    self._ledger, batch_id=self._batch_id, worker=number, of=(), found_at=utc_now()
                )
            )

    # Workers come and go.

    def _hire(self, part: Part | None) -> None:
        """Have one more worker."""
        number, self._numbered = self._numbered, self._numbered + 1
        if self._recruiter is None:
            self._coming += 1
            self._tasks.start_soon(self._start, number, part)
        else:
            self._awaited.add(number)
            self._tasks.start_soon(self._ask_for, number, self._recruiter)

    async def _ask_for(self, number: int, recruiter: Recruiter) -> None:
        """Have a worker started elsewhere."""
        try:
            with self._stop.cuts_short():
                await recruiter.begin(self._door.ticket(number))
        except NoWorker as why:
            self._door.tear_up(number)
            self._awaited.discard(number)
            self._warn(f"worker {number + 1} cannot be had: {why}")
            if not (self._awaited or self._present):
                self._stop.call(Why.FAILURES, f"no worker can be had: {why}")

    async def _start(self, number: int, part: Part | None) -> None:
        """Start a process of this machine, and heed it."""
        with anyio.CancelScope(shield=True):  # one that nobody knows of would be left running
            ours, theirs = socket.socketpair()
            with theirs:
                process = await anyio.open_process(
                    [sys.executable, "-m", "tasks_lib.job.workers.worker", str(theirs.fileno())],
                    stdin=None,
                    stdout=2,  # whatever a library has to say is not for the batch's own output
                    stderr=None,
                    pass_fds=(theirs.fileno(),),
                    env={
                        name: value
                        for name, value in self._setup.environment.variables.items()
                        if name not in self._variables
                    },
                )
            channel = Channel(await UNIXSocketStream.from_socket(ours))
            worker = self._known(number, part, channel, process)
            self._coming -= 1
        await self._employ(worker)

    def _let_in(self, number: int, channel: Channel) -> bool:
        """A worker from elsewhere has called in; False: nothing is left for it."""
        self._awaited.discard(number)
        if self._over.is_set():  # or is about to be: the door is closed after this
            return False
        self._tasks.start_soon(self._employ, self._known(number, None, channel, None))
        return True

    def _known(self, number: int, part: Part | None, channel: Channel, process: Process | None) -> _Worker:
        outbox = Outbox[Answer](channel, Answers)
        holder = self._lessor.holder(outbox.say)
        worker = _Worker(number, part, channel, process, outbox, holder)
        self._workers.append(worker)
        return worker

    async def _employ(self, worker: _Worker) -> None:
        """Tell a worker what to work on, and heed it."""
        await _tell(
            worker,
            Begin(
                setup=self._luggage,
                variables=self._variables,
                batch_id=self._batch_id,
                number=worker.number,
                part=worker.part,
                has_journal=worker.process is not None,
                revision_ids=self._ledger.revision_ids(self._batch_id),
                pulse=self._pulse,
            ),
        )
        if worker.part is not None:
            await _tell(worker, self._act)
        if self._stop.why is not None:
            await _tell(worker, Halt(why=self._stop.why, reason=self._stop.reason or ""))
        await self._serve(worker)

    async def _serve(self, worker: _Worker) -> None:
        """Heed what a worker says until it is gone, in order or not."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.channel.keep_alive, self._pulse)
            tasks.start_soon(worker.outbox.post)
            with suppress(*LOST):
                while worker.ended is None and not worker.is_gone:
                    self._heed(worker, await worker.channel.receive(), tasks)
            worker.is_gone = True  # whatever comes now is not heard
            tasks.cancel_scope.cancel()  # but commits: they are paid for
        with anyio.CancelScope(shield=True):
            await self._part_from(worker)

    async def _part_from(self, worker: _Worker) -> None:
        """A worker is gone: others get what it had, and somebody else takes its place."""
        how = worker.ended.gave_up if worker.ended is not None else await _how_it_ended(worker)
        for number in worker.sums:  # for calls that nobody here has seen begin or end
            worker.holder.heed(Settle(number, None))
        worker.holder.gone()
        await worker.channel.aclose()
        if worker.process is not None:
            await self._take_rest(worker)
        if worker.ended is not None and worker.process is not None:
            self._leaving.append(worker.process)
        if worker.ended is not None:
            self.outages.extend(worker.ended.outages)
            self._warn(*worker.ended.warnings)
        begun = frozenset(worker.begun)
        if worker.ended is None:
            begun = await self._bury(worker)
        elif worker.part is None:
            for plan in worker.begun.values():  # of one that left before its batch did
                self._under_way.ended(plan)
        self._rota.gone(worker.number)
        self._rota.bring_back(tuple(worker.given.values()), begun=begun)
        worker.given.clear()
        self._workers.remove(worker)
        if how is not None and not (self._stop.called or self._no_more or self._dropping):
            self._replace(worker, how)
        self._look()

    async def _bury(self, worker: _Worker) -> frozenset[str]:
        """Write down which rows were under way when a worker died; they are suspects from now on.

        Raises:
            LedgerError: it cannot be written.
        """
        found_at = utc_now()
        if worker.part is not None:
            begun = await to_thread.run_sync(
                lambda: find_deaths_of(
                    self._ledger,
                    batch_id=self._batch_id,
                    worker=worker.number,
                    of=worker.given.keys(),
                    found_at=found_at,
                )
            )
        else:
            plans = tuple(worker.begun.values())
            if worker.broke is not None and worker.broke.run in worker.begun:
                plans = (worker.begun[worker.broke.run],)  # that one alone is to blame
            deaths = [
                Death(
                    batch_id=self._batch_id,
                    task_run_id=plan.task_run_id,
                    identity=plan.identity,
                    row_key=plan.row_key,
                    row_number=plan.row_number,
                )
                for plan in plans
            ]
            await to_thread.run_sync(lambda: self._ledger.add_deaths(deaths, found_at=found_at))
            for plan in worker.begun.values():
                self._under_way.ended(plan)
            begun = frozenset(worker.begun)
            worker.begun.clear()
        if begun:
            self._suspects.learn(await to_thread.run_sync(companies_at_deaths, self._ledger))
            if (folder := folder_of_files(self._setup.job)) is not None and folder.is_dir():
                # they were made for runs that will never be in the ledger
                store = FileStore(self._setup.job.ledger)
                await to_thread.run_sync(store.remove, begun)
        return begun

    def _replace(self, worker: _Worker, how: str) -> None:
        """Have another worker in place of one that is gone, unless they all go."""
        self._deaths += 1
        self._in_a_row += 1
        whose = f"worker {worker.number + 1}"
        if self._deaths <= _TOLD:
            self._warn(f"{whose} {how}; others go on with its rows")
        elif self._deaths == _TOLD + 1:
            self._warn("and further workers came to their end")
        if self._in_a_row > _IN_A_ROW * self._setup.job.workers:
            self._without = (
                f"{self._in_a_row} workers in a row came to their end with no row answered in between; "
                f"{whose} {how}. What they had to say is in their own logs, or above"
            )
        if self._without is None:
            self._hire(worker.part)
        elif self._own is None:
            self._stop.call(Why.FAILURES, self._without)

    async def _miss_them(self) -> None:
        """Give up once there was no worker for too long."""
        since = monotonic()
        while True:
            await anyio.sleep(min(1.0, self._listen.absence / 4))
            now = monotonic()
            if self._present:
                since = now
            elif now - since > self._listen.absence:
                self._stop.call(Why.FAILURES, self._why_nobody_comes())
                return

    def _why_nobody_comes(self) -> str:
        missed = f"no worker has called in for {self._listen.absence:g} s"
        if self._recruiter is None:
            return missed
        if self._door.refused is not None:
            return f"{missed} but such as could not take part: {self._door.refused}"
        return (
            f"no worker has called in at {', '.join(self._door.hosts)} port {self._door.port} "
            f"for {self._listen.absence:g} s. Look at whatever starts them, and at whether they reach that "
            "address: a firewall, another network"
        )

    def _warn(self, *warnings: str) -> None:
        self.warnings.extend(one for one in warnings if one not in self.warnings)

    @property
    def _present(self) -> int:
        return len(self._workers) + self._coming

    @property
    def _begun(self) -> int:
        """Rows that are under way with workers elsewhere."""
        return sum(len(worker.begun) for worker in self._workers)

    def _look(self) -> None:
        """Something has changed: look at who may have what, and whether all is over."""
        self._changed.set()
        if not (self._stop.called or self._no_more):
            return
        if self._own is not None:  # nobody waits for a process that is not ready yet
            if self._own.is_over and not any(worker.has_spoken for worker in self._workers):
                self._over.set()
        elif not self._present:
            self._over.set()

    # What they are given, and what they hand in.

    async def _fetch(self, feed: Feed) -> None:
        """Have plans in the rota before it runs dry."""
        while not (self._stop.called or self._is_all):
            if self._rota.runs_low and (self._own or any(one.wants for one in self._workers)):
                drawn: Sequence[Plan] = ()
                with self._stop.cuts_short():
                    drawn = await feed.draw_some(_AT_A_TIME * max(2, len(self._workers)))
                    self._is_all = not drawn
                self._rota.bring(drawn)
                self._look()
            else:
                with self._stop.cuts_short():
                    await self._changed.wait()

    async def _hand_out(self) -> None:
        """Give plans to whoever wants some, until every row is accounted for."""
        while not self._stop.called:
            if self._changed.is_set():  # else somebody waits for this very event
                self._changed = anyio.Event()
            self._give()
            if self._is_all and self._rota.is_empty and not self._anybody_has_rows:
                break
            if self._without is not None and not self._present and not self._rota_is_for_own:
                self._stop.call(Why.FAILURES, self._without)
            with self._stop.cuts_short():
                await self._changed.wait()
        self._no_more = True
        for worker in tuple(self._workers):
            self._tell_end(worker)
        if self._own is not None:
            self._own.end()
        self._look()

    @property
    def _anybody_has_rows(self) -> bool:
        return bool(self._own and self._own.rows) or any(worker.given for worker in self._workers)

    @property
    def _rota_is_for_own(self) -> bool:
        """Whether there is more to be done than what only a worker may do."""
        return not self._is_all or self._rota.has_for(OWN) or self._anybody_has_rows

    def _give(self) -> None:
        if self._own is not None and self._rota.has_for(OWN):
            self._own.wake()
        for worker in self._workers:
            self._give_to(worker)
        for worker in self._workers if self._rota.owes else ():
            if self._rota.has_for(worker.number):  # what others were not given since this one has its twin
                self._give_to(worker)
        if self._own is not None and self._rota.owes and self._rota.has_for(OWN):
            self._own.wake()

    def _give_to(self, worker: _Worker) -> None:
        if not worker.wants or worker.is_gone:
            return
        plans = self._rota.next_for(
            worker.number,
            worker.given,
            most=worker.wants,
            among=len(self._workers) + (self._own is not None),
            is_all=self._is_all,
        )
        if plans:
            worker.wants = 0
            worker.given.update((plan.task_run_id, plan) for plan in plans)
            self._tasks.start_soon(_tell, worker, Plans(plans=tuple(plans)))

    def _tell_end(self, worker: _Worker) -> None:
        if worker.wants:
            worker.wants = 0
            self._tasks.start_soon(_tell, worker, Plans(plans=()))

    def _heed(self, worker: _Worker, frame: Frame, tasks: TaskGroup) -> None:
        worker.has_spoken = True
        try:
            self._do(worker, frame, tasks)
        except KeyError as unknown:  # of a row or an account that it was not given: no worker of ours
            worker.broke = Broke(error=f"it spoke of {unknown}, which it does not have", run=None)
            worker.is_gone = True

    def _do(self, worker: _Worker, frame: Frame, tasks: TaskGroup) -> None:
        match frame:
            case Words(words=words):
                for word in words:
                    self._heed_word(worker, word)
            case Want(most=most):
                worker.wants = most
                if self._no_more:
                    self._tell_end(worker)
                else:
                    self._changed.set()
            case Done():
                self._take(worker, frame)
                arrived = self._commits.arrive(frame.counted, frame.facts)
                tasks.start_soon(self._commit, worker, frame, arrived)
            case Written():
                self._take(worker, frame)
                self._merge(worker, frame)
            case Keep(task_run_id=run):
                worker.given[run]  # else it would choose where a file lies
                tasks.start_soon(self._keep, worker, frame)
            case State():
                worker.accounts, worker.under_way = frame.accounts, frame.under_way
                worker.models = frame.models
            case Halt(why=why, reason=reason):
                self._stop.call(why, reason)
            case Broke():
                worker.broke = frame
            case Gone():
                worker.ended = frame

    def _heed_word(self, worker: _Worker, word: object) -> None:
        match word:
            case Drawn(run=run):
                plan = worker.given[run]
                self._under_way.began(plan)
                worker.begun[run] = plan
            case Noted(why=why, reason=reason):
                self._stop.note(why, reason)
            case Left(run=run):
                left = worker.given.pop(run, None)
                worker.begun.pop(run, None)
                if left is not None:
                    self._rota.over(left, worker.number)
                if left is not None and worker.part is None:
                    self._under_way.ended(left)
                self._changed.set()
            case _:
                if worker.part is not None and isinstance(word, Reserve):
                    worker.sums.add(word.number)
                elif worker.part is not None and isinstance(word, Settle):
                    worker.sums.discard(word.number)
                worker.holder.heed(word)  # type: ignore[arg-type]  # what is left are words on calls and money

    def _take(self, worker: _Worker, done: Done | Written) -> None:
        """Runs were handed in: they are this process's now."""
        if not worker.given.keys() >= set(done.runs):
            raise KeyError("runs")
        for run in done.runs:
            self._rota.over(worker.given.pop(run), worker.number)
        for one in done.counted:
            if one.kind is not FailureKind.POISONED:
                self._in_a_row = self._forgiven = 0
            elif self._forgiven < _FORGIVEN:
                self._in_a_row, self._forgiven = max(0, self._in_a_row - _ALONE), self._forgiven + 1
        self._changed.set()

    def _merge(self, worker: _Worker, written: Written) -> None:
        assert self._merging is not None  # noqa: S101 - only workers of this machine have a journal
        worker.last = written.entry
        self._merging.take(written.counted, worker=worker.number, entry=written.entry)
        self._not_begun(worker, written.runs)

    def _not_begun(self, worker: _Worker, runs: Sequence[str]) -> None:
        """Rows are under way no more; of most workers only these themselves know which ones are."""
        for plan in filter(None, (worker.begun.pop(run, None) for run in runs)):
            self._under_way.ended(plan)

    async def _take_rest(self, worker: _Worker) -> None:
        """Take what a worker that is gone has written to its journal and did not live to tell.

        Raises:
            LedgerError: it cannot be read.
        """
        found = await to_thread.run_sync(
            partial(
                entries_after,
                self._ledger.path,
                batch_id=self._batch_id,
                worker=worker.number,
                last=worker.last,
            )
        )
        for entry, facts in found:
            counted = counted_in(facts)
            runs = tuple(str(run) for run in facts.task_runs.column("id").to_pylist())
            written = Written(entry=entry, runs=runs, counted=counted)
            self._take(worker, written)
            self._merge(worker, written)

    async def _commit(self, worker: _Worker, done: Done, arrived: Arrived) -> None:
        with anyio.CancelScope(shield=True):  # it is paid for
            await self._commits.see_to(arrived)
            if arrived.error is None:
                self._not_begun(worker, done.runs)
            await _tell(worker, Committed(number=done.number, error=arrived.error))
        if arrived.error is not None:
            raise LedgerError(arrived.error)

    async def _keep(self, worker: _Worker, keep: Keep) -> None:
        """Keep a file that a worker elsewhere has made of an answer."""
        store = FileStore.beside(self._ledger.path)
        with anyio.CancelScope(shield=True):  # it is paid for
            assert store is not None  # noqa: S101 - a job in a file has a ledger in one; see `check_spread`
            try:
                file = await to_thread.run_sync(
                    lambda: store.put(keep.content, task_run_id=keep.task_run_id, mime_type=keep.mime_type)
                )
                kept = Kept(number=keep.number, file=file)
            except FilesError as error:
                kept = Kept(number=keep.number, error=str(error))
            await _tell(worker, kept)

    # What the user does to a batch, and sees of it.

    def pause(self, *, paused: bool) -> None:
        """Have all workers begin no more calls, or go on."""
        self._have(Act(paused=paused))

    def change(self, limits: Limits) -> None:
        """Have all workers together keep other limits."""
        self._have(Act(limits=limits))

    def news(self, remote_ids: Sequence[str]) -> None:
        """Nobody waits for any: hosted runs are those of one process (see `check_workers`)."""

    @property
    def accounts(self) -> tuple[AccountNow, ...]:
        """How things stand at the accounts of all workers together."""
        if self._gates:
            return tuple(
                replace(account_now(name, gate), waiting=self._lessor.waiting(name))
                for name, gate in self._gates.items()
            )
        by_name: dict[str, AccountNow] = {}
        here = self._own.crew.accounts if self._own and self._own.crew else ()
        for some in (here, *(worker.accounts for worker in self._workers)):
            for one in some:
                known = by_name.get(one.provider)
                by_name[one.provider] = one if known is None else _joined(known, one)
        return tuple(by_name.values())

    @property
    def models(self) -> tuple[ModelNow, ...]:
        """How the models do: down for all of them, if they are so for one."""
        by_name: dict[str, ModelNow] = {}
        here = self._own.crew.models if self._own and self._own.crew else ()
        for some in (here, *(worker.models for worker in self._workers)):
            for one in some:
                known = by_name.get(one.model)
                by_name[one.model] = one if known is None else _seen_by_both(known, one)
        return tuple(by_name.values())

    @property
    def under_way(self) -> int:
        """Rows that were drawn and not handed in, as workers last said."""
        return (self._own.rows if self._own else 0) + sum(worker.under_way for worker in self._workers)

    def _have(self, act: Act) -> None:
        """Have workers do this, those that come later, too."""
        self._act = Act(
            paused=self._act.paused if act.paused is None else act.paused,
            limits=self._act.limits if act.limits is None else act.limits,
        )
        self._apply(act)
        if self._own is not None:
            self._own.do(self._act)
        self._acts.send_nowait(act)

    def _apply(self, act: Act) -> None:
        """Do this at the gates where workers ask for leave."""
        for name, gate in self._gates.items():
            if act.paused is not None:
                (gate.pause if act.paused else gate.resume)()
            if act.limits is not None:
                gate.change(limits_for(self._setup.providers[name], act.limits))

    async def _tell_acts(self) -> None:
        async for act in self._to_tell:
            self._lessor.look()  # there may be other money, too
            for worker in tuple(self._workers):
                if worker.part is not None:
                    await _tell(worker, act)

    async def _tell_stop(self) -> None:
        """Tell all workers once the stop is called."""
        with self._stop.cuts_short():
            await anyio.sleep_forever()
        await self._tell_all(Halt(why=self._stop.why or Why.INTERRUPTED, reason=self._stop.reason or ""))
        self._look()

    async def _tell_all(self, frame: Frame) -> None:
        async with anyio.create_task_group() as tasks:  # nobody waits for one who does not listen
            for worker in self._workers:
                tasks.start_soon(_tell, worker, frame)

    async def _drop(self) -> None:
        """Have all workers leave their calls, and heed what they make of them."""
        self._dropping = self._no_more = True
        async with anyio.create_task_group() as self._tasks:
            for worker in tuple(self._workers):
                if worker.process is not None and not worker.has_spoken:
                    continue  # it has nothing yet
                self._tasks.start_soon(self._serve, worker)
                self._tasks.start_soon(_tell, worker, Drop())


def _go_on(reason: str) -> None:
    """This process is never too far from itself: if leave comes late to it, it is busy."""


async def _tell(worker: _Worker, frame: Frame) -> None:
    with suppress(*LOST):  # it is gone; who serves it says so
        await worker.channel.send(frame)


async def _how_it_ended(worker: _Worker) -> str:
    """What became of a worker that is gone and did not say so; a process of ours is gone after this."""
    silent = worker.channel.silent_for
    if worker.process is not None:
        code = await _ended(worker.process, within=0.0 if silent is not None else _TO_END)
        if silent is None:
            told = f": {worker.broke.error}" if worker.broke is not None else ""
            return (f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}") + told
    if silent is not None:
        return f"was not heard of for {silent:.0f} s"
    return f"broke: {worker.broke.error}" if worker.broke is not None else "hung up"


async def _ended(process: Process, *, within: float) -> int:
    """The exit code of a process that ends by itself within so many seconds, or else is killed."""
    with anyio.move_on_after(within):
        await process.wait()
    if process.returncode is None:
        process.kill()
    return await process.wait()


async def _seen_to_its_end(process: Process) -> None:
    await _ended(process, within=_PATIENCE)


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
