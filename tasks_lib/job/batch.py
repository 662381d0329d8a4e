"""One batch, from the first row to the last commit."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from functools import partial
from importlib.metadata import version
from os import getpid
from socket import gethostname
from time import monotonic

import anyio
import httpx
import pyarrow as pa
import uuid_utils
from anyio import to_thread

from tasks_lib.domain.job import Limits
from tasks_lib.domain.run import TaskRun
from tasks_lib.engine.attempt import Account
from tasks_lib.engine.feed import Feed, Fetch
from tasks_lib.engine.money import Money, Sums
from tasks_lib.engine.run import Engine, Prepare, utc_now
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.abilities import untold
from tasks_lib.job.accounts import group_rows, open_accounts, rows_at_once, rows_at_once_anywhere
from tasks_lib.job.accuracy import accuracy_of
from tasks_lib.job.books import Books, ChunkWatch
from tasks_lib.job.causes import first_cause, is_all, sole_cause
from tasks_lib.job.checks import check_before_rows, check_source, columns_of, planner_of
from tasks_lib.job.counted import Counted
from tasks_lib.job.export import bring_up_to_date
from tasks_lib.job.group_book import LedgerGroups
from tasks_lib.job.growth import Growth
from tasks_lib.job.hosted import doubts
from tasks_lib.job.kept_files import keep_of, keeping_files
from tasks_lib.job.reach import reachable
from tasks_lib.job.row_inputs import preparing
from tasks_lib.job.row_overrides import with_variants
from tasks_lib.job.setup import Setup, check_spread
from tasks_lib.job.steering import CrewHere, Steering
from tasks_lib.job.stretches import Options, Stretches
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.taken_up import asks_hosted_tasks
from tasks_lib.job.tally import Outcome, Summary, Tally
from tasks_lib.job.team import telling_the_team
from tasks_lib.job.telemetry import telemetry_of
from tasks_lib.job.watch import UnderWayWatch
from tasks_lib.job.webhook import Notices, telling
from tasks_lib.job.workers.fleet import Fleet
from tasks_lib.job.workers.recruiting import Listen, Recruiter
from tasks_lib.ledger import Ledger, LedgerError, LedgerWriter, open_ledger, open_writer
from tasks_lib.ledger.under_way import UnderWay, companies_at_deaths, find_deaths, rows_under_way
from tasks_lib.rows import OpenSource, open_source

CHUNK_ROWS = 2_500

_OUTCOME_OF = {
    Why.INTERRUPTED: Outcome.INTERRUPTED,
    Why.MONEY: Outcome.STOPPED,
    Why.FAILURES: Outcome.STOPPED,
    Why.LEDGER: Outcome.STOPPED,
    Why.REFUSED: Outcome.REFUSED,
}

Heard = Callable[[TaskRun], Awaitable[None]]


async def run_batch(
    setup: Setup,
    *,
    options: Options | None = None,
    tally: Tally | None = None,
    stop: Stop | None = None,
    chunks: ChunkWatch | None = None,
    chunk_rows: int = CHUNK_ROWS,
    transport: httpx.AsyncBaseTransport | None = None,
    recruiter: Recruiter | None = None,
    listen: Listen | None = None,
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
        recruiter: has the job's workers started elsewhere, which then make all calls; it is closed when the
            rows are over, however that comes, and not asked at all where there is none to be run.
        listen: where these workers call in; on this machine alone by default.

    Raises:
        Mistake: something was found wrong before the first call.
    """
    options = options or Options()
    pa.set_memory_pool(pa.system_memory_pool())  # gives back what it does not need: 60 MB of 450 at the peak
    if recruiter is not None:
        check_spread(setup)
    check_before_rows(setup)
    with open_source(setup.job.source, folder=setup.folder) as source:
        rows = await to_thread.run_sync(partial(check_source, setup, source, limit=options.limit))
        setup = await to_thread.run_sync(partial(with_variants, setup, source, limit=options.limit))
        runs = rows * setup.job.assignment.runs_a_row
        with (
            open_ledger(setup.job.ledger) as ledger,
            telling_the_team(ledger, team=setup.job.team_ledger, environment=setup.environment) as team,
        ):
            batch = Batch(
                setup,
                ledger=ledger,
                tally=tally,
                stop=stop,
                chunks=chunks,
                retry_poisoned=options.retry_poisoned,
                recruiter=recruiter,
                listen=listen,
            )
            if setup.job.source.key is not None:
                batch.tally.growth = Growth(ledger, job=setup.job.name, but_of=batch.id)
            stretches = Stretches(
                source.rows(size=chunk_rows, limit=options.limit, columns=columns_of(setup.job)),
                planner=planner_of(setup.job),
                ledger=ledger,
                options=options,
                tally=batch.tally,
                books=batch.books,
                suspects=batch.suspects,
                count_runs=any(
                    setup.provider(model).idempotency_header or setup.provider(model).hosted
                    for model in setup.models
                ),
                stored=setup.job.stored_answers,
                take_up=asks_hosted_tasks(setup),
                batch_id=batch.id,
                growth=batch.tally.growth,
            )
            if rows == 0:
                batch.tally.warnings.append(f"{source.description}: there is no row in it (yet)")
            async with reachable(
                batch.steering,
                ledger=ledger,
                batch_id=batch.id,
                warn=batch.tally.warnings.append,
                serve=setup.job.serve,
            ):
                summary = await batch.run(stretches.fetch, rows=runs, transport=transport)
                if summary.outcome.is_whole:
                    summary = await to_thread.run_sync(
                        partial(_finished, summary, setup, source, ledger, options)
                    )
                return await team.told(summary)


def _finished(
    summary: Summary, setup: Setup, source: OpenSource, ledger: Ledger, options: Options
) -> Summary:
    """The summary of a whole batch, with its output written and its accuracy measured."""
    began = monotonic()
    job, limit = setup.job, options.limit
    if job.output is not None:
        bring_up_to_date(job, source=source, ledger=ledger, destination=job.output, limit=limit)
    return replace(
        summary,
        output=job.output.path if job.output is not None and not source.is_empty else None,
        accuracy=accuracy_of(job, source=source, ledger=ledger, limit=limit) if job.expected else (),
        seconds=summary.seconds + monotonic() - began,
    )


class Batch:
    """A batch of rows that come from anywhere, into a ledger that is open for writing."""

    def __init__(
        self,
        setup: Setup,
        *,
        ledger: Ledger,
        tally: Tally | None = None,
        stop: Stop | None = None,
        chunks: ChunkWatch | None = None,
        heard: Heard | None = None,
        retry_poisoned: bool = False,
        recruiter: Recruiter | None = None,
        listen: Listen | None = None,
    ) -> None:
        """Nothing happens before `run`; `heard` is told of each run once the ledger has taken it.

        With `retry_poisoned`, rows are asked again that were set aside since processes died of them. With a
        `recruiter`, workers elsewhere make the calls, and call in where it is said to `listen`.
        """
        self._recruiter = recruiter
        self._listen = listen
        self.id = str(uuid_utils.uuid7())
        self.tally = tally if tally is not None else Tally()
        self.stop = stop if stop is not None else Stop()
        self.books = Books(self.tally, self.stop, max_failures=setup.job.limits.max_failures, watch=chunks)
        self.suspects = Suspects(self.stop, retry_poisoned=retry_poisoned)
        self._setup = setup
        self._ledger = ledger
        self._heard = heard
        self._telemetry = telemetry_of(setup)
        self._notices: Notices | None = None
        self._began = monotonic()
        self._money = _money(setup.job.limits, ledger)
        self.steering = Steering(
            setup,
            batch_id=self.id,
            tally=self.tally,
            stop=self.stop,
            money=self._money,
            limit_failures=self.books.limit_failures,
        )

    async def run(
        self, fetch: Fetch, *, rows: int | None, transport: httpx.AsyncBaseTransport | None = None
    ) -> Summary:
        """Run what is fetched, and end the batch in the ledger; `rows` is None if nobody knows how many.

        Where revisions are compared, a row counts once for each of them.
        """
        async with telling(
            self._setup,
            batch_id=self.id,
            ledger=self._ledger,
            warn=self.tally.warnings.append,
            transport=transport,
        ) as self._notices:
            return await self._run(fetch, rows=rows, transport=transport)

    async def _run(
        self, fetch: Fetch, *, rows: int | None, transport: httpx.AsyncBaseTransport | None
    ) -> Summary:
        self._begin(rows)
        try:
            with (
                keeping_files(self._setup, ledger=self._ledger, batch_id=self.id),
                rows_under_way(self._ledger, batch_id=self.id) as under_way,
            ):
                await self._run_rows(fetch, transport, under_way)
        except BaseException as error:
            cause = sole_cause(error)
            if is_all(error, LedgerError):  # the journal, the writer or both: whoever needed room first
                cause = first_cause(error)
            if not isinstance(cause, LedgerError):
                dropped = isinstance(cause, anyio.get_cancelled_exc_class())
                reason = "dropped" if dropped else f"{type(cause).__name__}: {cause}"
                await self._end_told(Outcome.INTERRUPTED if dropped else Outcome.CRASHED, reason)
                if cause is error:
                    raise
                raise cause from None
            self.stop.call(Why.LEDGER, str(cause))  # such as a full disk: what was committed stands
        return await self._end_told(*self._outcome())

    async def _end_told(self, outcome: Outcome, reason: str | None) -> Summary:
        """The summary of the batch that ends with this, in the ledger and to whoever listens."""
        summary = self._summary(outcome, reason)
        self._end(summary)
        if self._telemetry is not None:
            await self._telemetry.ended(summary)
        if self._notices is not None:
            self._notices.ended(summary)
        return summary

    async def _run_rows(
        self, fetch: Fetch, transport: httpx.AsyncBaseTransport | None, under_way: UnderWay
    ) -> None:
        async with Feed(fetch) as feed:
            if not await feed.has_any():
                return  # without having opened an account or started a local model
            self.tally.warnings.extend((*untold(self._setup), *doubts(self._setup)))
            has_workers = self._setup.job.workers > 1 or self._recruiter is not None
            if has_workers and transport is None:
                if self._telemetry is not None:
                    self.tally.warnings.append(
                        "traces and metrics are of the batch as a whole: of single rows they are told by a "
                        "batch of one process"
                    )
                fleet = Fleet(
                    self._setup,
                    ledger=self._ledger,
                    batch_id=self.id,
                    books=self.books,
                    stop=self.stop,
                    money=self._money,
                    suspects=self.suspects,
                    under_way=under_way,
                    recruiter=self._recruiter,
                    listen=self._listen,
                )
                self.steering.runs(fleet.crew)
                try:
                    await fleet.run(feed)
                finally:
                    self.tally.warnings.extend(fleet.warnings)
                    self.tally.outages.extend(sorted(fleet.outages, key=lambda outage: outage.began_at))
            else:
                await self._run_here(feed, transport, UnderWayWatch(under_way, self.suspects))
            await self.books.close()

    async def _run_here(
        self, feed: Feed, transport: httpx.AsyncBaseTransport | None, watch: UnderWayWatch
    ) -> None:
        """Run the rows in this process."""
        async with AsyncExitStack() as stack:
            accounts = await stack.enter_async_context(
                open_accounts(
                    self._setup,
                    transport=transport,
                    warn=self.tally.warnings.append,
                    groups=LedgerGroups(self._ledger, batch_id=self.id),
                )
            )
            at_once = rows_at_once(self._setup, accounts)
            writer = await stack.enter_async_context(
                open_writer(
                    self._ledger,
                    batch_id=self.id,
                    on_commit=self.books.committed,
                    group_rows=lambda: group_rows(at_once()),
                    begin=partial(self._ledger.add_remote_runs, batch_id=self.id),
                )
            )
            prepare = await stack.enter_async_context(preparing(self._setup, transport=transport))
            engine = self._engine(accounts, writer, watch, prepare)
            for account in accounts.values():
                account.gate.on_change = engine.grow
            self.steering.runs(CrewHere(accounts, engine))
            draw = partial(self.suspects.drawn, feed.draw)
            try:
                await engine.run(draw, at_once=at_once, in_outages=rows_at_once_anywhere(accounts))
            finally:
                self.tally.outages.extend(engine.breakers.outages)

    def _engine(
        self,
        accounts: Mapping[str, Account],
        writer: LedgerWriter,
        watch: UnderWayWatch,
        prepare: Prepare | None,
    ) -> Engine:
        async def record(task_run: TaskRun) -> None:
            counted = Counted.of(task_run)
            self.books.count(counted)
            await writer.add(task_run)
            await self.books.count_down(counted)
            if self._telemetry is not None:
                self._telemetry.heard(task_run)
            if self._heard is not None:
                await self._heard(task_run)

        return Engine(
            accounts=accounts,
            prices=self._setup.price_lists(),
            record=record,
            stop=self.stop,
            money=self._money,
            joins=self._setup.job.identical_rows == "once",
            watch=watch,
            prepare=prepare,
            keep=keep_of(self._setup, self.stop),
            book=writer,
            clock=monotonic,
        )

    def _outcome(self) -> tuple[Outcome, str | None]:
        """How the batch ended, and why it did not do all that it was to do, if it did not."""
        if self.stop.why is not None:
            return _OUTCOME_OF[self.stop.why], self.stop.reason
        if self.stop.noted is not None:
            why, reason = self.stop.noted
            return _OUTCOME_OF[why], reason
        whole = Outcome.COMPLETED_WITH_FAILURES if self.tally.durable_failed else Outcome.COMPLETED
        return whole, None

    def _begin(self, rows: int | None) -> None:
        self.tally.batch_id = self.id
        self.tally.rows = rows or 0
        self.tally.runs_a_row = self._setup.job.assignment.runs_a_row
        started_at = utc_now()
        if self._telemetry is not None:
            self._telemetry.begun(batch_id=self.id, rows=rows, started_at=started_at)
        self._ledger.begin_batch(
            self._setup.job,
            batch_id=self.id,
            rows=rows,
            started_at=started_at,
            user_id=self._setup.environment.user,
            host=gethostname(),
            pid=getpid(),
            version=version("rowmill"),
        )
        find_deaths(self._ledger, found_at=utc_now())
        self.suspects.learn(companies_at_deaths(self._ledger))

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
            # A disk that is too full for the rows is too full for this, and the next batch will find that
            # this one is dead. The reason is in the summary already.
            if summary.outcome is not Outcome.STOPPED:
                raise

    def _summary(self, outcome: Outcome, reason: str | None) -> Summary:
        return Summary.of(
            self.tally,
            job=self._setup.job,
            outcome=outcome,
            reason=reason,
            seconds=monotonic() - self._began,
        )


def _money(limits: Limits, ledger: Ledger) -> Money:
    midnight = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    return Money(
        Sums(
            batch=limits.max_cost,
            group=limits.max_cost_per_group,
            day=limits.max_cost_per_day,
            spent_today=ledger.spent_since(midnight) if limits.max_cost_per_day is not None else Decimal(0),
        )
    )
