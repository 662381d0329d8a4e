"""One batch, from the first row to the last commit."""

from collections.abc import Mapping
from importlib.metadata import version
from os import getpid
from pathlib import Path
from socket import gethostname
from time import monotonic

import anyio
import httpx
import uuid_utils
from anyio import to_thread

from tasks_lib.domain.run import TaskRun
from tasks_lib.engine.budget import Budget
from tasks_lib.engine.feed import Feed
from tasks_lib.engine.run import Account, Engine, utc_now
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.accounts import open_accounts
from tasks_lib.job.books import Books, ChunkWatch
from tasks_lib.job.checks import check_before_rows, check_source, columns_of, planner_of
from tasks_lib.job.export import write_enriched
from tasks_lib.job.setup import Setup
from tasks_lib.job.stretches import Options, Stretches
from tasks_lib.job.tally import Outcome, Summary, Tally
from tasks_lib.ledger import Ledger, LedgerError, LedgerWriter, open_ledger, open_writer
from tasks_lib.rows import OpenSource, open_source

CHUNK_ROWS = 2_500

_OUTCOME_OF = {
    Why.INTERRUPTED: Outcome.INTERRUPTED,
    Why.MONEY: Outcome.STOPPED,
    Why.FAILURES: Outcome.STOPPED,
    Why.LEDGER: Outcome.STOPPED,
    Why.REFUSED: Outcome.REFUSED,
}


async def run_batch(
    setup: Setup,
    *,
    options: Options | None = None,
    tally: Tally | None = None,
    stop: Stop | None = None,
    chunks: ChunkWatch | None = None,
    chunk_rows: int = CHUNK_ROWS,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Summary:
    """Run a job's rows that were not answered before, and write its output.

    The caller may read `tally` meanwhile, and call `stop` for an orderly end: no new call is made, those
    under way are finished. Cancelling is the hard end: calls under way are dropped and recorded as such.
    Either way nothing that was answered is lost, and the same call takes up what is left.

    Args:
        setup: the job and what it needs.
        options: which of its rows.
        tally: the caller's own counts, to be read while the batch runs.
        stop: the caller's own stop.
        chunks: is told of stretches of `chunk_rows` rows as they begin and end.
        chunk_rows: see `chunks`.
        transport: stands for every network that the batch would use.

    Raises:
        Mistake: something was found wrong before the first call.
    """
    options = options or Options()
    check_before_rows(setup)
    with open_source(setup.job.source) as source:
        rows = await to_thread.run_sync(lambda: check_source(setup.job, source, limit=options.limit))
        with open_ledger(setup.job.ledger) as ledger:
            batch = Batch(
                setup,
                source=source,
                rows=rows,
                ledger=ledger,
                options=options,
                tally=tally if tally is not None else Tally(),
                stop=stop if stop is not None else Stop(),
                chunks=chunks,
                chunk_rows=chunk_rows,
            )
            return await batch.run(transport)


class Batch:
    """A batch over a source that is open and checked, into a ledger that is open for writing."""

    def __init__(
        self,
        setup: Setup,
        *,
        source: OpenSource,
        rows: int,
        ledger: Ledger,
        options: Options,
        tally: Tally,
        stop: Stop,
        chunks: ChunkWatch | None = None,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        """Nothing happens before `run`."""
        self.id = str(uuid_utils.uuid7())
        self._setup = setup
        self._source = source
        self._ledger = ledger
        self._options = options
        self._tally = tally
        self._stop = stop
        self._chunk_rows = chunk_rows
        self._books = Books(tally, stop, max_failures=setup.job.limits.max_failures, watch=chunks)
        self._began = monotonic()
        tally.rows = rows

    async def run(self, transport: httpx.AsyncBaseTransport | None = None) -> Summary:
        """Run the rows, end the batch in the ledger, write the output."""
        self._begin()
        try:
            await self._run_rows(transport)
        except BaseException as error:
            cause = sole_cause(error)
            if not isinstance(cause, LedgerError):
                dropped = isinstance(cause, anyio.get_cancelled_exc_class())
                outcome = Outcome.INTERRUPTED if dropped else Outcome.CRASHED
                self._end(self._summary(outcome, "dropped" if dropped else f"{type(cause).__name__}: {cause}"))
                if cause is error:
                    raise
                raise cause from None
            self._stop.call(Why.LEDGER, str(cause))  # such as a full disk: what was committed stands
        outcome = self._outcome()
        summary = self._summary(outcome, self._stop.reason)
        self._end(summary)
        if self._setup.job.output is None or not outcome.is_whole:
            return summary
        await to_thread.run_sync(self._write_output)
        return self._summary(outcome, self._stop.reason, output=self._setup.job.output.path)

    async def _run_rows(self, transport: httpx.AsyncBaseTransport | None) -> None:
        job = self._setup.job
        stretches = Stretches(
            self._source.rows(size=self._chunk_rows, limit=self._options.limit, columns=columns_of(job)),
            planner=planner_of(job),
            ledger=self._ledger,
            options=self._options,
            tally=self._tally,
            books=self._books,
        )
        async with Feed(stretches.fetch) as feed:
            if not await feed.has_any():
                return  # without having opened an account or started a local model
            async with (
                open_accounts(self._setup, transport=transport) as accounts,
                open_writer(self._ledger, batch_id=self.id, on_commit=self._books.committed) as writer,
            ):
                await self._engine(accounts, writer).run(feed.draw, at_once=at_once(self._setup, accounts))
            await self._books.close()

    def _engine(self, accounts: Mapping[str, Account], writer: LedgerWriter) -> Engine:
        async def record(task_run: TaskRun) -> None:
            self._books.count(task_run)
            await writer.add(task_run)
            await self._books.count_down(task_run)

        most = self._setup.job.limits.max_cost
        return Engine(
            accounts=accounts,
            prices=self._setup.price_lists(),
            record=record,
            stop=self._stop,
            budget=Budget(most) if most is not None else None,
        )

    def _outcome(self) -> Outcome:
        if self._stop.why is not None:
            return _OUTCOME_OF[self._stop.why]
        return Outcome.COMPLETED_WITH_FAILURES if self._tally.durable_failed else Outcome.COMPLETED

    def _begin(self) -> None:
        environment = self._setup.environment
        self._tally.batch_id = self.id
        self._ledger.begin_batch(
            self._setup.job,
            batch_id=self.id,
            rows=self._tally.rows,
            started_at=utc_now(),
            user_id=environment.user,
            host=gethostname(),
            pid=getpid(),
            version=version("rowmill"),
        )

    def _end(self, summary: Summary) -> None:
        try:
            self._ledger.end_batch(
                self.id,
                status=summary.outcome.value,
                reason=summary.reason,
                rows=summary.rows,
                completed=summary.completed,
                failed=summary.failed,
                skipped=summary.skipped,
                cancelled=summary.cancelled,
                finished_at=utc_now(),
            )
        except LedgerError:
            # The disk that is too full for the rows is too full for this, and the next batch will find that
            # this one is dead. The reason is in the summary already.
            if summary.outcome is not Outcome.STOPPED:
                raise

    def _write_output(self) -> None:
        destination = self._setup.job.output
        if destination is not None:
            write_enriched(
                self._setup.job,
                source=self._source,
                ledger=self._ledger,
                destination=destination,
                limit=self._options.limit,
            )

    def _summary(self, outcome: Outcome, reason: str | None, *, output: Path | None = None) -> Summary:
        return Summary.of(
            self._tally,
            job=self._setup.job,
            outcome=outcome,
            reason=reason,
            seconds=monotonic() - self._began,
            output=output,
        )


def at_once(setup: Setup, accounts: Mapping[str, Account]) -> int:
    """How many rows may be under way: as many as the primaries' accounts let in."""
    primaries = {revision.models[0].model.provider for revision in setup.job.task.revisions}
    return sum(accounts[name].gate.most_in_flight for name in primaries)


def sole_cause(error: BaseException) -> BaseException:
    """The one error that a group of groups comes down to; a group that holds several stays one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
