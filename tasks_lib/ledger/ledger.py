"""The ledger: one DuckDB file to which facts are added, and the questions it answers."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from tasks_lib.domain.job import Job
from tasks_lib.domain.plan import Stored
from tasks_lib.domain.remote import Remote
from tasks_lib.domain.run import TaskRun
from tasks_lib.ledger import batches, deaths, made_files, remote_runs, reports, results
from tasks_lib.ledger.batches import BatchContext
from tasks_lib.ledger.connections import Connections
from tasks_lib.ledger.deaths import Death
from tasks_lib.ledger.errors import LedgerError, is_out_of_memory, told
from tasks_lib.ledger.facts import (
    Facts,
    facts_of,
    longest_text,
    reporting_group_id,
    together,
)
from tasks_lib.ledger.journal import WrittenJournal, journals_left
from tasks_lib.ledger.migrations import check_readable, migrate, our_migrations
from tasks_lib.ledger.notices import NoticeFact, insert_notices
from tasks_lib.ledger.remote_runs import RemoteFact, RemoteGroup
from tasks_lib.ledger.results import StoredResult, relation
from tasks_lib.ledger.statements import statement, statements
from tasks_lib.ledger.stored import Question, stored_answers

_LARGE = 8 << 20  # bytes of one commit; DuckDB needs several times as much memory for it
_running: set[str] = set()
"""The batches that this process has begun and not ended, in whatever ledger.

Only the process knows that they are alive: its number and host are those of another one after a restart in
a container, or in years.
"""
_writing = threading.Lock()
"""One writer at a time in this process, whatever object it has a ledger by.

DuckDB lets two transactions work at once and fails the second one where they meet, such as at a reporting
group that both add, a task that both bring up to date, or a view that both make.
"""


def open_ledger(path: Path, *, read_only: bool = False) -> "Ledger":
    """The ledger in a file, to be used in a `with`; one that is not there is made, unless it is only read.

    It has what dead batches have left in journals beside it, too.

    Raises:
        LedgerInUse: another process has it; while one writes, no other can even read the file.
        LedgerTooNew: a later version of the program made it.
        LedgerError: it cannot be opened or made.
    """
    if read_only and path.exists() and journals_left(path, but_of=_running):
        with suppress(LedgerError):  # a batch is running, or nothing can be written here: read what there is
            open_ledger(path).close()
    connections = Connections(path, read_only=read_only)
    try:
        with told(path):
            connection = connections.cursor()
            if read_only:
                check_readable(connection, our_migrations(), path=path)
            else:
                with _writing:
                    _bring_up_to_date(connection, path)
                connections.allow_memory(longest_text=_longest_stored(connection))
        ledger = Ledger(path, connections)
        if not read_only:
            ledger.take_in_journals()
    except BaseException:
        connections.close()
        raise
    return ledger


def _bring_up_to_date(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    changed = migrate(connection, our_migrations(), path=path)
    connection.execute("begin")
    for view in statements("views"):
        connection.execute(view.text)
    connection.execute("commit")
    if changed:
        connection.execute("checkpoint")  # a crash then finds the tables in the file, and not in its log


def _longest_stored(connection: duckdb.DuckDBPyConnection) -> int | None:
    """The bytes of the longest text of a ledger, which DuckDB keeps with a column; None: it does not say."""
    lengths = connection.execute(statement("queries", "longest_texts")).fetchone() or (0,)
    return None if None in lengths else max(lengths)


class Ledger:
    """An open ledger. It may be used from several threads: each has a connection of its own."""

    def __init__(self, path: Path, connections: Connections) -> None:
        """See `open_ledger`."""
        self.path = path
        self._connections = connections
        self._begun: set[str] = set()
        self._contexts: dict[str, BatchContext] = {}
        self.listener: Callable[[Facts], None] | None = None  # told of what was committed, on that thread
        self._groups: set[str] | None = None  # names of those that are stored; None: not yet read

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go; other processes can open it."""
        _running.difference_update(self._begun)
        self._connections.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's DuckDB connection, for what the ledger has no word for, such as serving it."""
        return self._connections.cursor()

    # writing

    def begin_batch(
        self,
        job: Job,
        *,
        batch_id: str,
        rows: int | None,
        started_at: datetime,
        user_id: str | None,
        host: str,
        pid: int,
        version: str,
    ) -> None:
        """Write down that a batch runs, and whatever of its task is new.

        Batches that a process left running when it died are interrupted by now, and are marked so. The view
        `results_<task>` is made anew for the task's output.

        Args:
            job: what the batch is to do.
            batch_id: a UUID.
            rows: that the batch is about; None: unknown.
            started_at: with its zone.
            user_id: who runs it.
            host: on which machine.
            pid: in which process.
            version: of the program.

        Raises:
            LedgerError: it cannot be written.
        """
        with told(self.path), self._transaction() as connection:
            batches.interrupt_dead_batches(connection, alive=_running)
            batches.insert_batch(
                connection,
                job,
                batch_id=batch_id,
                rows=rows,
                started_at=started_at,
                user_id=user_id,
                host=host,
                pid=pid,
                version=version,
            )
        self._begun.add(batch_id)
        _running.add(batch_id)

    def end_batch(
        self,
        batch_id: str,
        *,
        status: str,
        reason: str | None,
        rows: int | None,
        completed: int,
        failed: int,
        skipped: int,
        cancelled: int,
        finished_at: datetime,
    ) -> None:
        """Write down how a batch ended.

        Raises:
            LedgerError: it cannot be written.
        """
        with told(self.path), self._transaction() as connection:
            connection.execute(
                statement("queries", "end_batch"),
                {
                    "id": batch_id,
                    "status": status,
                    "reason": reason,
                    "rows": rows,
                    "completed": completed,
                    "failed": failed,
                    "skipped": skipped,
                    "cancelled": cancelled,
                    "finished_at": finished_at,
                },
            )
        self._begun.discard(batch_id)
        _running.discard(batch_id)

    def add(
        self,
        task_runs: Sequence[TaskRun],
        *,
        batch_id: str,
        on_commit: Callable[[int], None] | None = None,
    ) -> None:
        """Commit task runs of a batch, each with its attempts or not at all.

        It is one commit unless they are large; `on_commit` is told how many runs each one held.

        Raises:
            LedgerError: they cannot be written; what was committed before stands.
            LookupError: the batch, or the revision of a run, is unknown.
        """
        if not task_runs:
            return
        with told(self.path):
            revision_ids = self._context(batch_id).revision_ids
            facts = facts_of(task_runs, revision_ids=revision_ids)
            if facts.nbytes > _LARGE and len(task_runs) > 1:
                step = max(1, len(task_runs) * _LARGE // facts.nbytes)
                for first in range(0, len(task_runs), step):
                    self.add(task_runs[first : first + step], batch_id=batch_id, on_commit=on_commit)
                return
        self.add_facts(facts, batch_id=batch_id)
        if on_commit is not None:
            on_commit(len(task_runs))

    def add_facts(self, facts: Facts, *, batch_id: str) -> None:
        """Commit what another process has made of its task runs; all of it or nothing.

        Raises:
            LedgerError: it cannot be written; what was committed before stands.
            LookupError: the batch is unknown.
        """
        with told(self.path):
            commit = partial(self._commit, facts, batch_id=batch_id, context=self._context(batch_id))
            self._connections.allow_memory(longest_text=longest_text(facts.task_runs))
            try:
                commit()
            except duckdb.Error as error:
                if not is_out_of_memory(error):
                    raise
                # rather too much memory than a paid answer lost
                self._connections.allow_memory(longest_text=None)
                commit()
        if self.listener is not None:
            self.listener(facts)

    def take_in_journals(self) -> int:
        """Commit the runs that dead batches have left in journals beside the ledger; gives their number.

        Each is taken in once, however often this is cut short. The journals of a batch that this ledger does
        not know are left where they are.

        Raises:
            LedgerError: they cannot be read or written, a worker of a dead batch still writes, or one is
                damaged; that one is set aside, and only told once.
        """
        taken = 0
        for path in journals_left(self.path, but_of=_running):
            journal = WrittenJournal(path)
            try:
                with journal.held() as is_ours:
                    if not is_ours:
                        raise LedgerError(
                            f"{path} is still being written, by a worker whose batch is dead. "
                            "It ends by itself in a minute at most: try again then, or end it."
                        )
                    taken += self._take_in(journal)
            except FileNotFoundError:  # somebody else was quicker
                continue
            except OSError as error:
                raise LedgerError(f"{path} cannot be taken in: {error.strerror}.") from error
            finally:
                journal.close()
        return taken

    def _take_in(self, journal: WrittenJournal) -> int:
        batch_id = journal.batch_id
        taken = 0
        if batch_id is not None:
            try:
                self._context(batch_id)
            except LookupError:
                return 0
            places = list(journal.places())
            for some in _by_size(journal.facts(*place) for place in places):
                facts = self._not_here(some)
                if facts:
                    self.add_facts(together(facts), batch_id=batch_id)
                taken += sum(one.task_runs.num_rows for one in facts)
            damaged = journal.damaged_at(places[-1][1] if places else 0)
            if damaged is not None:
                aside = journal.set_aside()
                raise LedgerError(
                    f"what a batch that died had written is damaged: {aside} at byte {damaged}. "
                    "What was before that is in the ledger, and rows after it will be asked again. "
                    "Run the same again."
                )
        journal.remove()
        return taken

    def _not_here(self, entries: Sequence[Facts]) -> Sequence[Facts]:
        """Those that were not committed; each was so as a whole, or not at all."""
        firsts = [one.task_runs.column("id")[0].as_py() for one in entries]
        connection = self.cursor()
        with told(self.path), relation(connection, "asked", pa.table({"id": pa.array(firsts, pa.string())})):
            known = {row[0] for row in connection.execute(statement("queries", "runs_known")).fetchall()}
        return [one for one, first in zip(entries, firsts, strict=True) if first not in known]

    def revision_ids(self, batch_id: str) -> Mapping[str, str]:
        """The ids of the batch's revisions by fingerprint, for who makes facts elsewhere.

        Raises:
            LookupError: the batch is unknown.
        """
        return self._context(batch_id).revision_ids

    def add_deaths(self, died: Sequence[Death], *, found_at: datetime) -> None:
        """Write down rows that were under way when a process died; one that is known is not added again.

        Raises:
            LedgerError: it cannot be written.
        """
        if not died:
            return
        with told(self.path), self._transaction() as connection:
            deaths.insert_deaths(connection, died, found_at=found_at)

    def add_notices(self, notices: Sequence[NoticeFact], *, batch_id: str) -> None:
        """Write down what became of notices to a webhook.

        Raises:
            LedgerError: it cannot be written.
        """
        if not notices:
            return
        with told(self.path), self._transaction() as connection:
            insert_notices(connection, notices, batch_id=batch_id)

    def add_remote_runs(self, facts: Sequence[RemoteFact], *, batch_id: str) -> None:
        """Write down runs that are about to be begun at hosted tasks, and the ids of those that were.

        Raises:
            LedgerError: it cannot be written.
        """
        if not facts:
            return
        with told(self.path), self._transaction() as connection:
            remote_runs.insert_remote_runs(connection, facts, batch_id=batch_id)

    def add_remote_group(self, group: RemoteGroup) -> None:
        """Write down a group that was made at a hosted task.

        Raises:
            LedgerError: it cannot be written.
        """
        with told(self.path), self._transaction() as connection:
            remote_runs.insert_remote_group(connection, group)

    def note_output(self, place: str, *, stamp: str, rows: int) -> None:
        """Write down that an output file was written of what the ledger has now; `stamp` is a UUID.

        Raises:
            LedgerError: it cannot be written.
        """
        with told(self.path), self._transaction() as connection:
            connection.execute(
                statement("queries", "note_output"), {"path": place, "stamp": stamp, "rows": rows}
            )

    def rows_of_output(self, place: str, *, stamp: str) -> int | None:
        """The rows of an output file that was written with this stamp; None: no longer of what is here now.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            row = (
                self.cursor()
                .execute(statement("queries", "rows_of_output"), {"path": place, "stamp": stamp})
                .fetchone()
            )
        return int(row[0]) if row is not None and row[0] is not None else None

    def _commit(self, facts: Facts, *, batch_id: str, context: BatchContext) -> None:
        with _writing:
            connection, arrivals = self._connections.writer()
            with _transaction(connection):
                new_groups = self._new_groups(connection, facts.groups)
                arrivals.add(
                    facts,
                    batch_id=batch_id,
                    task_id=context.task_id,
                    user_id=context.user_id,
                )
                for name, table in facts.told_by_hosts.items():
                    if table.num_rows:
                        remote_runs.insert_told(connection, name, table, batch_id=batch_id)
        if self._groups is not None:
            self._groups |= new_groups

    def _context(self, batch_id: str) -> BatchContext:
        context = self._contexts.get(batch_id)
        if context is None:
            context = self._contexts[batch_id] = batches.batch_context(self.cursor(), batch_id)
        return context

    def _new_groups(self, connection: duckdb.DuckDBPyConnection, groups: Mapping[str, datetime]) -> set[str]:
        """Store the reporting groups that no run had before, and give their names."""
        if self._groups is None:
            self._groups = {
                str(row[0]) for row in connection.execute("select name from reporting_groups").fetchall()
            }
        first_used = {name: at for name, at in groups.items() if name not in self._groups}
        if first_used:
            arriving = pa.table(
                {
                    "id": [reporting_group_id(name) for name in first_used],
                    "name": list(first_used),
                    "created_at": pa.array(first_used.values(), pa.timestamp("us", tz="UTC")),
                }
            )
            with relation(connection, "arriving", arriving):
                connection.execute(statement("queries", "add_reporting_groups"))
        return set(first_used)

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with _writing:
            connection = self.cursor()
            with _transaction(connection):
                yield connection

    # reading

    def answered(self, identities: Sequence[str], *, but_of: str | None = None) -> set[str]:
        """Those of the identities (32 hexadecimal digits each) that need no new call: a run completed.

        A batch that looks for answers of others, and not of its own (`but_of`), need not go through its own.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return results.answered(self.cursor(), identities, but_of=but_of)

    def keys_known(
        self, asked: Sequence[tuple[str, str]], *, job: str, but_of: str | None = None
    ) -> dict[str, bool]:
        """Those of the rows (key, and hash of the inputs) whose key batches of a job have run, but for one.

        What is said of each is whether it was ever run with these inputs: a row that was not has changed.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return results.keys_known(self.cursor(), asked, job=job, but_of=but_of)

    def failed(self, identities: Sequence[str]) -> set[str]:
        """Those of the identities that failed and were never answered.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return results.failed(self.cursor(), identities)

    def times_ended(self, identities: Sequence[str]) -> dict[str, int]:
        """How many runs of each identity came to their end, answered or failed; without those of none.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return results.times_ended(self.cursor(), identities)

    def open_remote_runs(self, identities: Sequence[str]) -> dict[str, Remote]:
        """The hosted run of each identity that was begun, and whose end no task run tells.

        So it is with runs of a process that died, that a batch let go or gave up, and of which the last
        attempt lost sight.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return remote_runs.open_remote_runs(self.cursor(), identities)

    def begun_under(self, remote_ids: Sequence[str]) -> dict[str, set[str]]:
        """The identities for which hosted runs were begun under each of these ids that is known.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return remote_runs.begun_under(self.cursor(), remote_ids)

    def groups_of_lost_runs(self, provider: str) -> tuple[str, ...]:
        """The groups at a provider in which runs may be whose ids never arrived, oldest first.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return remote_runs.groups_of_lost_runs(self.cursor(), provider)

    def remote_groups(self, provider: str) -> tuple[RemoteGroup, ...]:
        """The groups of runs that all batches made at a provider, oldest first.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return remote_runs.remote_groups(self.cursor(), provider)

    def stored_answers(
        self, questions: Sequence[Question], *, not_before: datetime | None
    ) -> Mapping[Question, Stored]:
        """The latest answer to each question that was answered at or after a moment (None: ever).

        A question is a revision's id and an input hash. Answers that a run took from another do not count.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return stored_answers(self.cursor(), questions, not_before=not_before)

    def spent_since(self, moment: datetime) -> Decimal:
        """Dollars that calls since then have cost, those included that may have been billed.

        Calls of unknown cost count nothing.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            row = self.cursor().execute(statement("queries", "spent_since"), {"moment": moment}).fetchone()
        return Decimal(row[0]) if row else Decimal(0)

    def results(self, identities: Sequence[str]) -> dict[str, StoredResult]:
        """What came of those of the identities that were ever run: the latest answer, else failure.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        return results.by_identity(self.results_table(identities))

    def results_table(self, identities: Sequence[str]) -> pa.Table:
        """The same as columns: `identity` and the fields of a `StoredResult`; each once, in no order.

        It is quickest for some thousands at a time that were run at about the same time.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return results.results(self.cursor(), identities)

    def show(self, task_run_id: str) -> dict[str, Any]:
        """The whole record of a task run, named by its id or at least eight first digits of it.

        Raises:
            NotInLedger: no run has such an id, or several have.
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return reports.show(self.cursor(), task_run_id)

    def latest_files(self) -> pa.Table:
        """The file of each row's latest answer, as the view `produced_files` has it, by job, task and row.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return made_files.latest_files(self.cursor())

    def files_of(self, task_run_ids: Sequence[str]) -> pa.Table:
        """The files that these runs have made, as the view `produced_files` has them, in no order.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return made_files.files_of(self.cursor(), task_run_ids)

    def files_known(self, names: Sequence[str]) -> set[str]:
        """Those of the names that files of task runs have.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return made_files.files_known(self.cursor(), names)

    def batches_known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are batches of this ledger.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return made_files.batches_known(self.cursor(), ids)

    def batches(self, limit: int = 20) -> pa.Table:
        """The latest batches, newest first, as the view `batch_summary` has them.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            latest = self.cursor().execute("from batch_summary order by started_at desc limit $1", [limit])
            return latest.to_arrow_table()

    def report(self, name: str, *, since: date | None = None) -> pa.Table:
        """The rows of a report, about what happened at or after a date or time (UTC, if it has no zone).

        Raises:
            NotInLedger: there is no such report.
            LedgerError: the ledger cannot be read.
        """
        with told(self.path):
            return reports.report(self.cursor(), name, since=since)

    @staticmethod
    def reports() -> list[tuple[str, str]]:
        """The names of the reports, and the question that each answers."""
        return [(one.name, one.question) for one in statements("reports")]

    def sql(self, text: str) -> pa.Table:
        """The answer to one question in SQL, which can change nothing in the ledger.

        In a ledger that was opened to be read, it cannot reach any other file either, nor the network. In
        one that is open for writing it can read files that this process can read (`read_csv`), since DuckDB
        has one such switch for all connections. What remains possible in both is to use much time and memory.

        Raises:
            LedgerError: it is not one question, or DuckDB does not understand it.
        """
        with told(self.path):
            return reports.ask(self.cursor(), text)


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("begin")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        with suppress(duckdb.Error):  # after a fatal error there is nothing left to roll back
            connection.execute("rollback")
        raise


def _by_size(entries: Iterable[Facts]) -> Iterator[list[Facts]]:
    """The entries in their order, as many together as are one commit."""
    some: list[Facts] = []
    size = 0
    for one in entries:
        some.append(one)
        size += one.nbytes
        if size > _LARGE:
            yield some
            some, size = [], 0
    if some:
        yield some
