"""The batch's own side of its workers: who is there, which plans each is given, and who gets them if it dies.

A worker may be a process of this machine or one elsewhere, may come late, and may die. What it has been given
and not handed in is known here: others get it. What it hands in once it counts as dead is never heard.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from time import monotonic

import anyio
from anyio.abc import Process, TaskGroup

from tasks_lib.domain.plan import Plan
from tasks_lib.engine.admission import Admission
from tasks_lib.engine.breakers import Outage
from tasks_lib.engine.feed import Feed
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.leased_gate import Lessee
from tasks_lib.engine.leases import Answer, Settle, Word
from tasks_lib.engine.lessor import Lessor
from tasks_lib.engine.money import Money
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.accounts import Part, limits_for, open_gates
from tasks_lib.job.books import Books
from tasks_lib.job.causes import is_all
from tasks_lib.job.setup import Setup
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.watch import UnderWayWatch
from tasks_lib.job.workers.channel import LOST, Channel, Outbox
from tasks_lib.job.workers.commits import Commits
from tasks_lib.job.workers.crew_of_all import CrewOfAll
from tasks_lib.job.workers.elsewhere import Elsewhere
from tasks_lib.job.workers.frames import Answers, Begin, Drop, Frame, Halt, Plans, Want
from tasks_lib.job.workers.intake import Intake
from tasks_lib.job.workers.left_behind import LeftBehind
from tasks_lib.job.workers.losses import Losses
from tasks_lib.job.workers.luggage import packed, variables_for
from tasks_lib.job.workers.member import Member
from tasks_lib.job.workers.merging import Merging, merging
from tasks_lib.job.workers.own_share import OWN, OwnShare
from tasks_lib.job.workers.processes import ended, seen_to_their_ends, started
from tasks_lib.job.workers.recruiting import Listen, Recruiter
from tasks_lib.job.workers.rota import Rota
from tasks_lib.ledger import Ledger, LedgerError
from tasks_lib.ledger.under_way import UnderWay

_PATIENCE = 30.0  # seconds in which a worker that was told to drop everything hands in what it has
_AT_A_TIME = 256  # plans that are had from the feed for each worker


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
        self._pulse = (listen or Listen()).pulse
        self._rota = Rota(suspects, joins=setup.job.identical_rows == "once")
        self._changed = anyio.Event()  # somebody may be given something, or all is over
        self._over = anyio.Event()
        self._is_all = False  # no plan will come any more, but those that are brought back
        self._no_more = False  # every row is accounted for
        self._dropping = False
        self._workers: list[Member] = []
        self._leaving: list[Process] = []  # those that have come to their end in order, and perhaps not left
        self._coming = 0  # processes of ours that are being started
        self._numbered = 0
        self._own: OwnShare | None = None
        self._luggage = packed(setup)
        self._variables = variables_for(setup)
        self._losses = Losses(workers=setup.job.workers, warn=self._warn)
        self._left_behind = LeftBehind(
            setup.job, ledger=ledger, batch_id=batch_id, suspects=suspects, under_way=under_way
        )
        self._elsewhere: Elsewhere | None = None
        if recruiter is not None:
            self._elsewhere = Elsewhere(
                recruiter,
                listen or Listen(),
                batch_id=batch_id,
                workers=self._workers,
                stop=stop,
                let_in=self._let_in,
                warn=self._warn,
            )
        self._lessor: Lessor
        self._intake: Intake
        self._tasks: TaskGroup
        self.crew = CrewOfAll(setup, self._workers)
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
            asks = self._elsewhere is not None or not all(gate.is_shared for gate in gates.values())
            leased = gates if asks else {}
            self._lessor = Lessor(leased, self._money, clock=monotonic)
            hired, merger = self._setup.job.workers, None
            if self._elsewhere is not None:
                await stack.enter_async_context(self._elsewhere.opened())
            else:
                merger = await stack.enter_async_context(
                    merging(self._ledger, batch_id=self._batch_id, books=self._books)
                )
                hired -= 1
                self._own = self._own_share(gates, None if asks else self._part(hired), merger)
            self._intake = Intake(
                ledger=self._ledger.path,
                commits=Commits(
                    self._ledger, batch_id=self._batch_id, books=self._books, under_way=lambda: self._begun
                ),
                merging=merger,
                rota=self._rota,
                under_way=self._under_way,
                losses=self._losses,
                stop=self._stop,
                changed=lambda: self._changed.set(),  # noqa: PLW0108 - it is another event by then
            )
            self.crew.begin(leased, self._lessor, self._own)
            try:
                async with anyio.create_task_group() as self._tasks:
                    self._tasks.start_soon(self._lessor.run)
                    self._tasks.start_soon(self._fetch, feed)
                    self._tasks.start_soon(self._hand_out)
                    self._tasks.start_soon(self._tell_stop)
                    self._tasks.start_soon(self.crew.tell_acts)
                    if self._elsewhere is not None:
                        self._tasks.start_soon(self._elsewhere.miss_them)
                    for number in range(hired):
                        self._hire(None if asks else self._part(number))
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

    def _part(self, number: int) -> Part:
        """The part of one of several processes that keep limits together; the last is this one's."""
        return Part(number=number, of=self._setup.job.workers)

    def _own_share(self, gates: Mapping[str, Gate], part: Part | None, merging: Merging) -> OwnShare:
        """What this process does itself, at gates that hold its part, or at leases like its workers'."""
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
        return OwnShare(
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

    async def _let_go(self) -> None:
        """Hang up on all workers, and see processes of ours to their end."""
        self.crew.close()
        with anyio.CancelScope(shield=True):
            for worker in self._workers:
                worker.holder.gone()
                await worker.channel.aclose()
                if worker.process is not None and not worker.has_spoken:
                    await self._turn_away(worker.process, worker.number)
            left = (worker.process for worker in self._workers)
            await seen_to_their_ends(filter(None, (*left, *self._leaving)))
            if self._elsewhere is not None:
                await self._elsewhere.close()

    async def _turn_away(self, process: Process, number: int) -> None:
        """End a process of ours that is not ready yet, and has nothing; it may have begun a file."""
        await ended(process, within=0.0)
        with suppress(LedgerError):  # nothing is written, since no row was under way
            await self._left_behind.find_deaths(number, ())

    # Workers come and go.

    def _hire(self, part: Part | None) -> None:
        """Have one more worker."""
        number, self._numbered = self._numbered, self._numbered + 1
        if self._elsewhere is None:
            self._coming += 1
            self._tasks.start_soon(self._start, number, part)
        else:
            self._elsewhere.hire(number, self._tasks)

    async def _start(self, number: int, part: Part | None) -> None:
        """Start a process of this machine, and heed it."""
        with anyio.CancelScope(shield=True):  # one that nobody knows of would be left running
            variables = self._setup.environment.variables
            process, channel = await started(
                {name: value for name, value in variables.items() if name not in self._variables}
            )
            worker = self._known(number, part, channel, process)
            self._coming -= 1
        await self._employ(worker)

    def _let_in(self, number: int, channel: Channel) -> bool:
        """A worker from elsewhere has called in; False: nothing is left for it."""
        if self._over.is_set():  # or is about to be: the door is closed after this
            return False
        self._tasks.start_soon(self._employ, self._known(number, None, channel, None))
        return True

    def _known(self, number: int, part: Part | None, channel: Channel, process: Process | None) -> Member:
        outbox = Outbox[Answer](channel, Answers)
        holder = self._lessor.holder(outbox.say)
        worker = Member(number, part, channel, process, outbox, holder)
        self._workers.append(worker)
        return worker

    async def _employ(self, worker: Member) -> None:
        """Tell a worker what to work on, and heed it."""
        await worker.tell(
            Begin(
                setup=self._luggage,
                variables=self._variables,
                batch_id=self._batch_id,
                number=worker.number,
                part=worker.part,
                has_journal=worker.process is not None,
                revision_ids=self._ledger.revision_ids(self._batch_id),
                pulse=self._pulse,
            )
        )
        if worker.part is not None:
            await worker.tell(self.crew.act)
        if self._stop.why is not None:
            await worker.tell(Halt(why=self._stop.why, reason=self._stop.reason or ""))
        await self._serve(worker)

    async def _serve(self, worker: Member) -> None:
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

    async def _part_from(self, worker: Member) -> None:
        """A worker is gone: others get what it had, and somebody else takes its place."""
        how = worker.ended.gave_up if worker.ended is not None else await worker.how_it_ended()
        for number in worker.sums:  # for calls that nobody here has seen begin or end
            worker.holder.heed(Settle(number, None))
        worker.holder.gone()
        await worker.channel.aclose()
        if worker.process is not None:
            for written in await self._left_behind.untold(worker):
                self._intake.written(worker, written)
        if worker.ended is not None and worker.process is not None:
            self._leaving.append(worker.process)
        if worker.ended is not None:
            self.outages.extend(worker.ended.outages)
            self._warn(*worker.ended.warnings)
        begun = frozenset(worker.begun)
        if worker.ended is None:
            begun = await self._left_behind.bury(worker)
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

    def _replace(self, worker: Member, how: str) -> None:
        """Have another worker in place of one that is gone, unless they all go."""
        self._losses.add(worker.number, how)
        if self._losses.too_many is None:
            self._hire(worker.part)
        elif self._own is None:
            self._stop.call(Why.FAILURES, self._losses.too_many)

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

    # What they are given.

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
            too_many = self._losses.too_many
            if too_many is not None and not self._present and not self._rota_is_for_own:
                self._stop.call(Why.FAILURES, too_many)
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

    def _give_to(self, worker: Member) -> None:
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
            self._tasks.start_soon(worker.tell, Plans(plans=tuple(plans)))

    def _tell_end(self, worker: Member) -> None:
        if worker.wants:
            worker.wants = 0
            self._tasks.start_soon(worker.tell, Plans(plans=()))

    def _heed(self, worker: Member, frame: Frame, tasks: TaskGroup) -> None:
        worker.has_spoken = True
        if not isinstance(frame, Want):
            self._intake.heed(worker, frame, tasks)
            return
        worker.wants = frame.most
        if self._no_more:
            self._tell_end(worker)
        else:
            self._changed.set()

    # How it ends.

    async def _tell_stop(self) -> None:
        """Tell all workers once the stop is called."""
        with self._stop.cuts_short():
            await anyio.sleep_forever()
        await self._tell_all(Halt(why=self._stop.why or Why.INTERRUPTED, reason=self._stop.reason or ""))
        self._look()

    async def _tell_all(self, frame: Frame) -> None:
        async with anyio.create_task_group() as tasks:  # nobody waits for one who does not listen
            for worker in self._workers:
                tasks.start_soon(worker.tell, frame)

    async def _drop(self) -> None:
        """Have all workers leave their calls, and heed what they make of them."""
        self._dropping = self._no_more = True
        async with anyio.create_task_group() as self._tasks:
            for worker in tuple(self._workers):
                if worker.process is not None and not worker.has_spoken:
                    continue  # it has nothing yet
                self._tasks.start_soon(self._serve, worker)
                self._tasks.start_soon(worker.tell, Drop())


def _go_on(reason: str) -> None:
    """This process is never too far from itself: if leave comes late to it, it is busy."""
