"""What a worker leaves that is gone: runs that it did not live to tell, and rows that it may have died of."""

from collections.abc import Collection, Sequence

from anyio import to_thread

from tasks_lib.domain.job import Job
from tasks_lib.engine.run import utc_now
from tasks_lib.job.counted import counted_in
from tasks_lib.job.kept_files import folder_of_files
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.workers.frames import Written
from tasks_lib.job.workers.member import Member
from tasks_lib.ledger import Death, Ledger
from tasks_lib.ledger.journal import entries_after
from tasks_lib.ledger.under_way import UnderWay, companies_at_deaths, find_deaths_of
from tasks_lib.outputs import FileStore


class LeftBehind:
    """Takes up what the workers of a batch leave behind."""

    def __init__(
        self, job: Job, *, ledger: Ledger, batch_id: str, suspects: Suspects, under_way: UnderWay
    ) -> None:
        """Nobody is gone; `suspects` learn of deaths, and `under_way` has the rows of workers elsewhere."""
        self._job = job
        self._ledger = ledger
        self._batch_id = batch_id
        self._suspects = suspects
        self._under_way = under_way

    async def untold(self, worker: Member) -> Sequence[Written]:
        """What a worker of this machine has written to its journal and did not live to tell.

        Raises:
            LedgerError: it cannot be read.
        """
        found = await to_thread.run_sync(
            lambda: entries_after(
                self._ledger.path, batch_id=self._batch_id, worker=worker.number, last=worker.last
            )
        )
        return [
            Written(
                entry=entry,
                runs=tuple(map(str, facts.task_runs.column("id").to_pylist())),
                counted=counted_in(facts),
            )
            for entry, facts in found
        ]

    async def bury(self, worker: Member) -> frozenset[str]:
        """Write down which rows were under way when a worker died; they are suspects from now on.

        Gives their task runs.

        Raises:
            LedgerError: it cannot be written.
        """
        if worker.part is not None:
            begun = await self.find_deaths(worker.number, worker.given.keys())
        else:
            begun = await self._told(worker)
        if begun:
            self._suspects.learn(await to_thread.run_sync(companies_at_deaths, self._ledger))
            if (folder := folder_of_files(self._job)) is not None and folder.is_dir():
                # they were made for runs that will never be in the ledger
                store = FileStore(self._job.ledger)
                await to_thread.run_sync(store.remove, begun)
        return begun

    async def find_deaths(self, number: int, runs: Collection[str]) -> frozenset[str]:
        """Write down which of these runs a worker's own file has as under way; the file is removed.

        Raises:
            LedgerError: it cannot be written.
        """
        found_at = utc_now()
        return await to_thread.run_sync(
            lambda: find_deaths_of(
                self._ledger, batch_id=self._batch_id, worker=number, of=runs, found_at=found_at
            )
        )

    async def _told(self, worker: Member) -> frozenset[str]:
        """Write down which rows a worker had told of that it began them."""
        found_at = utc_now()
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
        return begun
