"""Questions from other processes, answered by the one that has the ledger open for writing.

Such a question must not harm the writer. DuckDB's memory is bounded narrowly while a batch writes, a
checkpoint that finds none closes the database, and a question may take all there is. So while one is being
answered there is more memory and no checkpoint; both end with the last question under way.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from tasks_lib.ledger import reports
from tasks_lib.ledger.errors import LedgerError, told
from tasks_lib.ledger.guard import check_reads_only
from tasks_lib.ledger.ledger import Ledger
from tasks_lib.ledger.made_files import files_of, latest_files
from tasks_lib.ledger.results import results

RUN, ATTEMPTS, FILES, ROWS = "run", "attempts", "files", "rows"
_AT_A_TIME = 2_048  # rows; with long answers some megabytes
_MORE_MEMORY = 256  # MiB
_MEMORY = re.compile(r"([\d.]+) (KiB|MiB|GiB|TiB)")
_MIB = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0, "TiB": 1024.0**2}
_SESSION = "set timezone = 'UTC'; set enable_progress_bar = false; set python_enable_replacements = false"


class Questions:
    """What other processes ask of a ledger that is open for writing."""

    def __init__(self, ledger: Ledger) -> None:
        """Nothing is asked yet."""
        self._ledger = ledger
        self._changing = threading.Lock()
        self._under_way = 0
        self._before: tuple[str, str] | None = None
        self._set: str | None = None

    def begin(self, question: Mapping[str, Any]) -> "Question":
        """A question under way; nothing is done before its tables are asked for."""
        return Question(self._ledger, question, spare=self._spare, restore=self._restore)

    def _spare(self) -> None:
        """Have more memory, and no checkpoint."""
        with self._changing:
            self._under_way += 1
            if self._under_way > 1:
                return
            connection = self._ledger.cursor()
            row = connection.execute(
                "select current_setting('memory_limit'), current_setting('checkpoint_threshold')"
            ).fetchone()
            if row is None:
                return
            self._before = (str(row[0]), str(row[1]))
            self._set = f"{_mebibytes(self._before[0]) + _MORE_MEMORY:.1f} MiB"
            connection.execute(f"set global memory_limit = '{self._set}'")
            connection.execute("set global checkpoint_threshold = '1 TiB'")

    def _restore(self) -> None:
        with self._changing:
            self._under_way -= 1
            if self._under_way or self._before is None:
                return
            memory, threshold = self._before
            self._before = None
            connection = self._ledger.cursor()
            connection.execute(f"set global checkpoint_threshold = '{_as_it_was(threshold)}'")
            row = connection.execute("select current_setting('memory_limit')").fetchone()
            if row is None or abs(_mebibytes(str(row[0])) - _mebibytes(self._set or "0 MiB")) > 1.0:
                return  # the writer has set another one meanwhile
            with suppress(
                duckdb.OutOfMemoryException
            ):  # it could not be given back at once; the writer copes
                connection.execute(f"set global memory_limit = '{_as_it_was(memory)}'")


def _mebibytes(text: str) -> float:
    found = _MEMORY.fullmatch(text)
    return float(found[1]) * _MIB[found[2]] if found else 0.0


def _as_it_was(text: str) -> str:
    """A size that DuckDB will say in the same words: it cuts its digits off, and would shrink each time."""
    number, _, unit = text.partition(" ")
    return f"{float(number) + 0.05} {unit}"


class Question:
    """One question, on a connection of its own."""

    def __init__(
        self,
        ledger: Ledger,
        question: Mapping[str, Any],
        *,
        spare: Callable[[], None],
        restore: Callable[[], None],
    ) -> None:
        """See `Questions.begin`."""
        self._ledger = ledger
        self._question = question
        self._spare = spare
        self._restore = restore
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._interrupted = False

    def tables(self) -> Iterator[tuple[str, pa.Schema, Iterator[pa.RecordBatch]]]:
        """The answer, table by table; each is to be read before the next one is asked for.

        Raises:
            LedgerError: it is no question that the ledger answers, or cannot be answered.
        """
        if self._interrupted:
            return
        with self._told():
            self._spare()
            self._connection = self._ledger.cursor().cursor()
            self._connection.execute(_SESSION)
            answer = self._answer(self._connection)
            table = next(answer, None)
        while table is not None:
            name, reader = table
            yield name, reader.schema, self._batches(reader)
            with self._told():
                table = next(answer, None)

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            with self._told():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with told(self._ledger.path), reports.told_of_question():
                yield
        except (pa.ArrowException, OSError) as error:  # what DuckDB says in the middle of a stream
            raise LedgerError(f"{self._ledger.path}: {error}") from error

    def interrupt(self) -> None:
        """Let the answer fail soon; any thread may say so."""
        self._interrupted = True
        if (connection := self._connection) is not None:
            with suppress(duckdb.Error):  # it was closed meanwhile
                connection.interrupt()

    def close(self) -> None:
        """Let go of what the question has taken."""
        if (connection := self._connection) is not None:
            self._connection = None
            connection.close()
            self._restore()

    def _answer(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, pa.RecordBatchReader]]:
        asked = self._question
        match asked.get("ask"):
            case "sql":
                text = _text(asked, "text")
                check_reads_only(text)
                reports.check_question(connection, text)
                connection.execute("begin transaction read only")
                yield ROWS, connection.execute(text).to_arrow_reader(_AT_A_TIME)
            case "batches":
                latest = "from batch_summary order by started_at desc limit $1"
                yield ROWS, connection.execute(latest, [_number(asked, "limit")]).to_arrow_reader()
            case "report":
                since = _moment(asked, "since")
                yield ROWS, reports.report(connection, _text(asked, "name"), since=since).to_reader()
            case "show":
                run, attempts, files = reports.recorded(connection, _text(asked, "id"))
                yield RUN, run.to_reader()
                yield ATTEMPTS, attempts.to_reader()
                yield FILES, files.to_reader()
            case "files":
                ids = asked.get("ids")
                found = (
                    latest_files(connection) if ids is None else files_of(connection, _texts(asked, "ids"))
                )
                yield ROWS, found.to_reader()
            case "results":
                yield ROWS, results(connection, _texts(asked, "identities")).to_reader()
            case other:
                raise LedgerError(f"a ledger knows no question of the kind {other!r}.")


def _text(question: Mapping[str, Any], name: str) -> str:
    value = question.get(name)
    if not isinstance(value, str):
        raise LedgerError(f"this question needs {name!r}.")
    return value


def _texts(question: Mapping[str, Any], name: str) -> list[str]:
    values = question.get(name)
    if not isinstance(values, list) or any(not isinstance(value, str) for value in values):
        raise LedgerError(f"this question needs {name!r}.")
    return values


def _number(question: Mapping[str, Any], name: str) -> int:
    value = question.get(name)
    if not isinstance(value, int) or value < 0:
        raise LedgerError(f"this question needs {name!r}.")
    return value


def _moment(question: Mapping[str, Any], name: str) -> datetime | None:
    value = question.get(name)
    if value is None:
        return None
    try:
        return datetime.fromisoformat(_text(question, name))
    except ValueError:
        raise LedgerError(f"{value!r} is no date or time.") from None
