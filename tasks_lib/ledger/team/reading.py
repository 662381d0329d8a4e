"""A team's ledger as somebody reads it."""

from collections.abc import Sequence
from datetime import date
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from tasks_lib.ledger.errors import LedgerError
from tasks_lib.ledger.guard import check_reads_only
from tasks_lib.ledger.reports import record_of, report_named, whole_id
from tasks_lib.ledger.statements import literal, statement
from tasks_lib.ledger.team.place import Place


class TeamReading:
    """The reading half of a `Ledger`, in a place where many write.

    Raises:
        Unreachable: nobody answers there.
        LedgerError: what is asked cannot be answered.
    """

    def __init__(self, place: Place, *, name: str) -> None:
        """Ask this place."""
        self._place = place
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._place.close()

    def batches(self, limit: int = 20) -> pa.Table:
        """See `Ledger.batches`."""
        return self._place.ask(f"from batch_summary order by started_at desc limit {int(limit)}")

    def report(self, name: str, *, since: date | None = None) -> pa.Table:
        """See `Ledger.report`."""
        asked = report_named(name)
        if since is None:
            return self._place.ask(asked.text)
        self._place.ask(f"set variable since = {literal(since.isoformat())}::timestamptz")
        try:
            return self._place.ask(asked.text)
        finally:
            self._place.ask("reset variable since")

    def show(self, task_run_id: str) -> dict[str, Any]:
        """See `Ledger.show`."""

        def between(first: str, last: str) -> list[str]:
            text = statement("queries", "task_runs_between")
            found = self._place.ask(text.replace("$first", literal(first)).replace("$last", literal(last)))
            return [str(value) for value in found.column(0).to_pylist()]

        id_ = literal(whole_id(task_run_id, between=between))
        run, attempts, files = (
            self._place.ask(statement("queries", name).replace("$id", id_))
            for name in ("show_task_run", "show_attempts", "show_files")
        )
        return record_of(run, attempts, files)

    def sql(self, text: str) -> pa.Table:
        """See `Ledger.sql`."""
        check_reads_only(text)  # a place may be another one's to guard, and says less of why
        return self._place.ask(text)

    def results_table(self, identities: Sequence[str]) -> pa.Table:  # noqa: ARG002  the face of a ledger
        """Not from here: `fetch` brings a job's rows home, where they can be exported."""
        raise LedgerError(
            f"no rows are exported from {self._name}; `rowmill ledger fetch` brings a job's facts home first."
        )

    def latest_files(self) -> pa.Table:
        """Not from here: files lie beside the ledger that their batch ran into."""
        raise self._no_files()

    def files_of(self, task_run_ids: Sequence[str]) -> pa.Table:  # noqa: ARG002  as above
        """Not from here, as `latest_files`."""
        raise self._no_files()

    def _no_files(self) -> LedgerError:
        return LedgerError(
            f"files of task runs are not in {self._name}, but beside the ledger that their batch ran into."
        )
