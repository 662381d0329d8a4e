"""What workers tell of their rows, calls and money, and what they hand in: on its way to whom it concerns."""

from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from tasks_lib.engine.leases import Reserve, Settle
from tasks_lib.engine.stop import Stop
from tasks_lib.job.workers.commits import Arrived, Commits
from tasks_lib.job.workers.frames import (
    Broke,
    Committed,
    Done,
    Drawn,
    Frame,
    Gone,
    Halt,
    Keep,
    Kept,
    Left,
    Noted,
    State,
    Words,
    Written,
)
from tasks_lib.job.workers.losses import Losses
from tasks_lib.job.workers.member import Member
from tasks_lib.job.workers.merging import Merging
from tasks_lib.job.workers.rota import Rota
from tasks_lib.ledger import LedgerError
from tasks_lib.ledger.under_way import UnderWay
from tasks_lib.outputs import FilesError, FileStore


class Intake:
    """Heeds what workers say, and believes none that speaks of what it was not given."""

    def __init__(
        self,
        *,
        ledger: Path,
        commits: Commits,
        merging: Merging | None,
        rota: Rota,
        under_way: UnderWay,
        losses: Losses,
        stop: Stop,
        changed: Callable[[], None],
    ) -> None:
        """Nothing was said.

        Args:
            ledger: beside which files are kept.
            commits: of what workers from elsewhere hand in.
            merging: of what workers of this machine write down; None: there are none.
            rota: is told which plans are over.
            under_way: has the rows under way of workers without a part of the limits.
            losses: is told which rows are over.
            stop: the batch's own.
            changed: is called when rows are over; must not wait.
        """
        self._ledger = ledger
        self._commits = commits
        self._merging = merging
        self._rota = rota
        self._under_way = under_way
        self._losses = losses
        self._stop = stop
        self._changed = changed

    def heed(self, worker: Member, frame: Frame, tasks: TaskGroup) -> None:
        """Do what is to be done about a frame; what takes time, in one of these tasks.

        A commit that fails there raises LedgerError.
        """
        try:
            self._do(worker, frame, tasks)
        except KeyError as unknown:  # of a row or an account that it was not given: no worker of ours
            worker.broke = Broke(error=f"it spoke of {unknown}, which it does not have", run=None)
            worker.is_gone = True

    def written(self, worker: Member, written: Written) -> None:
        """Runs are in a worker's journal.

        Raises:
            KeyError: they are none that it was given.
        """
        assert self._merging is not None  # noqa: S101 - only workers of this machine have a journal
        self._take(worker, written)
        worker.last = written.entry
        self._merging.take(written.counted, worker=worker.number, entry=written.entry)
        self._not_begun(worker, written.runs)

    def _do(self, worker: Member, frame: Frame, tasks: TaskGroup) -> None:
        match frame:
            case Words(words=words):
                for word in words:
                    self._heed_word(worker, word)
            case Done():
                self._take(worker, frame)
                arrived = self._commits.arrive(frame.counted, frame.facts)
                tasks.start_soon(self._commit, worker, frame, arrived)
            case Written():
                self.written(worker, frame)
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

    def _heed_word(self, worker: Member, word: object) -> None:
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
                self._changed()
            case _:
                if worker.part is not None and isinstance(word, Reserve):
                    worker.sums.add(word.number)
                elif worker.part is not None and isinstance(word, Settle):
                    worker.sums.discard(word.number)
                worker.holder.heed(word)  # type: ignore[arg-type]  # what is left are words on calls and money

    def _take(self, worker: Member, done: Done | Written) -> None:
        """Runs were handed in: they are this process's now."""
        if not worker.given.keys() >= set(done.runs):
            raise KeyError("runs")
        for run in done.runs:
            self._rota.over(worker.given.pop(run), worker.number)
        self._losses.over(done.counted)
        self._changed()

    def _not_begun(self, worker: Member, runs: Sequence[str]) -> None:
        """Rows are under way no more; of most workers only these themselves know which ones are."""
        for plan in filter(None, (worker.begun.pop(run, None) for run in runs)):
            self._under_way.ended(plan)

    async def _commit(self, worker: Member, done: Done, arrived: Arrived) -> None:
        with anyio.CancelScope(shield=True):  # it is paid for
            await self._commits.see_to(arrived)
            if arrived.error is None:
                self._not_begun(worker, done.runs)
            await worker.tell(Committed(number=done.number, error=arrived.error))
        if arrived.error is not None:
            raise LedgerError(arrived.error)

    async def _keep(self, worker: Member, keep: Keep) -> None:
        """Keep a file that a worker elsewhere has made of an answer."""
        store = FileStore.beside(self._ledger)
        with anyio.CancelScope(shield=True):  # it is paid for
            assert store is not None  # noqa: S101 - a job in a file has a ledger in one; see `check_spread`
            try:
                file = await to_thread.run_sync(
                    lambda: store.put(keep.content, task_run_id=keep.task_run_id, mime_type=keep.mime_type)
                )
                kept = Kept(number=keep.number, file=file)
            except FilesError as error:
                kept = Kept(number=keep.number, error=str(error))
            await worker.tell(kept)
