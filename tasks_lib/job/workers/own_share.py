"""The batch's own process runs a share of the rows itself, beside its workers of this machine.

A process that did nothing but hand out and commit would leave half a core idle, and what it does itself need
not be sent. All else is as with workers: its rows come from the same rota and go into the same commits.

No row that is suspected of having killed a process is run here: who is killed by it must be a worker.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from time import monotonic
from typing import Final

import anyio
from anyio import from_thread

from tasks_lib.domain.plan import Plan
from tasks_lib.domain.run import TaskRun
from tasks_lib.engine.admission import Admission
from tasks_lib.engine.breakers import Outage
from tasks_lib.engine.money import Money
from tasks_lib.engine.run import Engine
from tasks_lib.engine.stop import Stop
from tasks_lib.engine.watch import RowWatch
from tasks_lib.job.accounts import Part, group_rows, open_accounts, rows_at_once, rows_at_once_anywhere
from tasks_lib.job.counted import Counted
from tasks_lib.job.kept_files import keep_of
from tasks_lib.job.row_inputs import preparing
from tasks_lib.job.setup import Setup
from tasks_lib.job.steering import CrewHere
from tasks_lib.job.workers.frames import Act
from tasks_lib.job.workers.merging import Merging
from tasks_lib.job.workers.rota import Rota
from tasks_lib.ledger import facts_of, open_writer
from tasks_lib.ledger.journal import Journal

OWN: Final = -1  # the number of this process among those that have plans


class OwnShare:
    """An engine in the batch's own process, whose plans are those of its rota."""

    def __init__(
        self,
        setup: Setup,
        *,
        batch_id: str,
        part: Part | None,
        gates: Mapping[str, Admission],
        revision_ids: Mapping[str, str],
        rota: Rota,
        merging: Merging,
        stop: Stop,
        money: Money,
        watch: RowWatch,
        look: Callable[[], None],
    ) -> None:
        """Nothing happens before `run`.

        Args:
            setup: the job.
            batch_id: the batch.
            part: of the limits that the gates keep; None: they are no one process's.
            gates: of all accounts.
            revision_ids: of the batch, by fingerprint.
            rota: where plans come from.
            merging: is told what this process writes to its journal.
            stop: the batch's own.
            money: the batch's own.
            watch: what keeps the rows under way.
            look: is called when the rota runs low, and when no row is left here; must not wait.
        """
        self._setup = setup
        self._batch_id = batch_id
        self._part = part
        self._gates = gates
        self._revision_ids = revision_ids
        self._rota = rota
        self._merging = merging
        self._journal = Journal(setup.job.ledger, batch_id=batch_id, worker=None)
        self._stop = stop
        self._money = money
        self._watch = watch
        self._look = look
        self._came = anyio.Event()  # plans, or the end of them
        self._no_more = False
        self._rows = 0
        self._act = Act()
        self.crew: CrewHere | None = None
        self.outages: Sequence[Outage] = ()
        self.is_over = False

    @property
    def rows(self) -> int:
        """Rows that were drawn and are not over."""
        return self._rows

    async def run(self) -> None:
        """Run what can be drawn until there is no more, or the stop is called.

        Raises:
            LedgerError: a commit failed.
        """
        async with AsyncExitStack() as stack:
            stack.enter_context(closing(self._journal))
            accounts = await stack.enter_async_context(open_accounts(self._setup, gates=self._gates))
            at_once = rows_at_once(self._setup, accounts)
            async with (
                open_writer(
                    self, batch_id=self._batch_id, group_rows=lambda: group_rows(at_once())
                ) as writer,
                preparing(self._setup) as prepare,
            ):
                engine = Engine(
                    accounts=accounts,
                    prices=self._setup.price_lists(),
                    record=writer.add,
                    stop=self._stop,
                    money=self._money,
                    joins=self._setup.job.identical_rows == "once",
                    watch=self,
                    prepare=prepare,
                    keep=keep_of(self._setup, self._stop),
                    clock=monotonic,
                )
                for account in accounts.values():
                    account.gate.on_change = engine.grow
                self.crew = CrewHere(accounts, engine, part=self._part)
                self.do(self._act)
                try:
                    await engine.run(self._draw, at_once=at_once, in_outages=rows_at_once_anywhere(accounts))
                finally:
                    self.outages = engine.breakers.outages
        self.is_over = True
        self._look()

    def do(self, act: Act) -> None:
        """Do what the user does to the batch."""
        self._act = act
        if self.crew is None:
            return
        if act.paused is not None:
            self.crew.pause(paused=act.paused)
        if act.limits is not None:
            self.crew.change(act.limits)

    def wake(self) -> None:
        """There are plans to be drawn."""
        self._came.set()

    def end(self) -> None:
        """There will be no more plans."""
        self._no_more = True
        self._came.set()

    async def _draw(self) -> Plan | None:
        while not self._stop.called:
            plan = self._rota.next_harmless(OWN)
            if self._rota.runs_low or self._rota.owes:
                self._look()
            if plan is not None:
                self._rows += 1
                return plan
            if self._no_more:
                return None
            self._came = anyio.Event() if self._came.is_set() else self._came
            with self._stop.cuts_short():
                await self._came.wait()
        return None

    # What the engine tells of its rows.

    def began(self, plan: Plan) -> None:
        """See `RowWatch`."""
        self._watch.began(plan)

    def broke(self, plan: Plan, error: Exception) -> None:
        """See `RowWatch`."""
        self._watch.broke(plan, error)

    def ended(self, plan: Plan) -> None:
        """See `RowWatch`."""
        self._watch.ended(plan)
        self._rota.over(plan, OWN)
        self._rows -= 1
        if not self._rows:
            self._look()

    # What its writer hands in.

    def add(
        self, task_runs: Sequence[TaskRun], *, batch_id: str, on_commit: Callable[[int], None] | None = None
    ) -> None:
        """Write runs down, to be counted and taken in among those of the workers; called in a thread.

        Raises:
            LedgerError: they could not be written.
        """
        del batch_id  # there is one
        facts = facts_of(task_runs, revision_ids=self._revision_ids)
        counted = tuple(map(Counted.of, task_runs))
        entry = self._journal.append(facts)
        from_thread.run_sync(lambda: self._merging.take(counted, worker=None, entry=entry))
        if on_commit is not None:
            on_commit(len(task_runs))
