"""A ledger that another process has open, read through that process."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa

from tasks_lib.ledger.questions import ATTEMPTS, FILES, ROWS, RUN
from tasks_lib.ledger.reports import record_of

AskElsewhere = Callable[[Mapping[str, Any]], Mapping[str, pa.Table]]


class ReadableLedger(Protocol):
    """A ledger as somebody reads it who does not write to it: in its file, or through whoever writes."""

    def __enter__(self) -> Self:
        """It is let go at the end."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let it go."""
        ...

    def batches(self, limit: int = 20) -> pa.Table:
        """See `Ledger.batches`."""
        ...

    def report(self, name: str, *, since: date | None = None) -> pa.Table:
        """See `Ledger.report`."""
        ...

    def show(self, task_run_id: str) -> dict[str, Any]:
        """See `Ledger.show`."""
        ...

    def sql(self, text: str) -> pa.Table:
        """See `Ledger.sql`."""
        ...

    def results_table(self, identities: Sequence[str]) -> pa.Table:
        """See `Ledger.results_table`."""
        ...

    def latest_files(self) -> pa.Table:
        """See `Ledger.latest_files`."""
        ...

    def files_of(self, task_run_ids: Sequence[str]) -> pa.Table:
        """See `Ledger.files_of`."""
        ...


class DistantLedger:
    """The reading half of a `Ledger`, by questions that another process answers.

    Whatever is wrong is raised as a `Mistake` in that process's words.
    """

    def __init__(self, path: Path, ask: AskElsewhere, *, close: Callable[[], None]) -> None:
        """Ask these questions; `close` hangs up."""
        self.path = path
        self._ask = ask
        self._close = close

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
        """Hang up."""
        self._close()

    def batches(self, limit: int = 20) -> pa.Table:
        """See `Ledger.batches`."""
        return self._ask({"ask": "batches", "limit": limit})[ROWS]

    def report(self, name: str, *, since: date | None = None) -> pa.Table:
        """See `Ledger.report`."""
        when = since.isoformat() if since is not None else None
        return self._ask({"ask": "report", "name": name, "since": when})[ROWS]

    def show(self, task_run_id: str) -> dict[str, Any]:
        """See `Ledger.show`."""
        found = self._ask({"ask": "show", "id": task_run_id})
        return record_of(found[RUN], found[ATTEMPTS], found[FILES])

    def sql(self, text: str) -> pa.Table:
        """See `Ledger.sql`."""
        return self._ask({"ask": "sql", "text": text})[ROWS]

    def results_table(self, identities: Sequence[str]) -> pa.Table:
        """See `Ledger.results_table`."""
        return self._ask({"ask": "results", "identities": list(identities)})[ROWS]

    def latest_files(self) -> pa.Table:
        """See `Ledger.latest_files`."""
        return self._ask({"ask": "files"})[ROWS]

    def files_of(self, task_run_ids: Sequence[str]) -> pa.Table:
        """See `Ledger.files_of`."""
        return self._ask({"ask": "files", "ids": list(task_run_ids)})[ROWS]
