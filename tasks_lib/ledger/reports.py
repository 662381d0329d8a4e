"""What people ask of a ledger: reports, one task run, and questions of their own in SQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from difflib import get_close_matches
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from tasks_lib.ledger.errors import LedgerError, NotInLedger
from tasks_lib.ledger.statements import Statement, literal, statement, statements

_SHORTEST = 8  # hexadecimal digits of an id that may stand for the whole
_HEX = set("0123456789abcdef")
_JSON = ("response", "run_data", "metadata", "warnings", "citations", "history")
_SHOWN = 5


def report(connection: duckdb.DuckDBPyConnection, name: str, *, since: date | None) -> pa.Table:
    """The rows of a report, about what happened at or after a date or a time (UTC, if it has no zone).

    Raises:
        NotInLedger: there is no such report.
    """
    asked = report_named(name)
    if since is None:
        return connection.execute(asked.text).to_arrow_table()
    connection.execute(f"set variable since = {literal(since.isoformat())}::timestamptz")
    try:
        return connection.execute(asked.text).to_arrow_table()
    finally:
        connection.execute("reset variable since")


def report_named(name: str) -> Statement:
    """A report's statement.

    Raises:
        NotInLedger: there is none of that name.
    """
    known = {one.name: one for one in statements("reports")}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise NotInLedger(f"there is no report {name!r}. {hint}There are {', '.join(known)}.")


def show(connection: duckdb.DuckDBPyConnection, task_run_id: str) -> dict[str, Any]:
    """The whole record of a task run, JSON as values, with its attempts in order and its files.

    Raises:
        NotInLedger: no run has an id that begins so, or several have.
    """
    return record_of(*recorded(connection, task_run_id))


def recorded(connection: duckdb.DuckDBPyConnection, task_run_id: str) -> tuple[pa.Table, pa.Table, pa.Table]:
    """A task run as one row, its attempts in order, and its files: those that were sent first.

    Raises:
        NotInLedger: no run has an id that begins so, or several have.
    """

    def between(first: str, last: str) -> list[str]:
        asked = statement("queries", "task_runs_between")
        return [str(row[0]) for row in connection.execute(asked, {"first": first, "last": last}).fetchall()]

    found = {"id": whole_id(task_run_id, between=between)}
    run = connection.execute(statement("queries", "show_task_run"), found).to_arrow_table()
    attempts = connection.execute(statement("queries", "show_attempts"), found).to_arrow_table()
    files = connection.execute(statement("queries", "show_files"), found).to_arrow_table()
    return run, attempts, files


def record_of(run: pa.Table, attempts: pa.Table, files: pa.Table) -> dict[str, Any]:
    """A task run with its attempts and files as values, of what `recorded` gives."""
    record: dict[str, Any] = run.to_pylist()[0]
    tried = attempts.to_pylist()
    for name in _JSON:
        if record[name] is not None:
            record[name] = orjson.loads(record[name])
    for attempt in tried:
        if attempt["remote_run"] is not None:
            attempt["remote_run"] = orjson.loads(attempt["remote_run"])
    return {**record, "attempts": tried, "files": files.to_pylist()}


def whole_id(task_run_id: str, *, between: Callable[[str, str], list[str]]) -> str:
    """The id that begins so; `between` gives some of those from one to another, 32 digits each.

    Raises:
        NotInLedger: no run has an id that begins so, or several have.
    """
    digits = task_run_id.strip().lower().replace("-", "")
    if not _SHORTEST <= len(digits) <= 32 or not _HEX.issuperset(digits):
        raise NotInLedger(
            f"{task_run_id!r} is no task run's id: give all of one, or at least its first {_SHORTEST} digits."
        )
    found = between(digits.ljust(32, "0"), digits.ljust(32, "f"))
    if not found:
        raise NotInLedger(f"there is no task run {task_run_id} in this ledger.")
    if len(found) > 1:
        more = " and more" if len(found) > _SHOWN else ""
        raise NotInLedger(
            f"several task runs begin with {task_run_id}: {', '.join(found[:_SHOWN])}{more}. "
            "Give more digits."
        )
    return found[0]


def ask(connection: duckdb.DuckDBPyConnection, text: str) -> pa.Table:
    """The answer to one question in SQL, which can change nothing.

    Raises:
        LedgerError: it is not one question.
    """
    with told_of_question():
        check_question(connection, text)
        connection.execute("begin transaction read only")
        try:
            return connection.execute(text).to_arrow_table()
        finally:
            connection.execute("rollback")


@contextmanager
def told_of_question() -> Iterator[None]:
    """Raise a `LedgerError` where the question is at fault, and not the ledger."""
    try:
        yield
    except (duckdb.ProgrammingError, duckdb.DataError) as error:
        raise LedgerError(str(error)) from error


def check_question(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """Refuse what is not one question.

    Raises:
        LedgerError: see above.
    """
    kinds = [parsed.type for parsed in connection.extract_statements(text)]
    questions = [
        kind for kind in kinds if kind in {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
    ]
    # DuckDB makes two statements of a `pivot`: it creates a temporary type first
    others = {kind for kind in kinds if kind not in {*questions, duckdb.StatementType.CREATE}}
    if len(questions) == 1 and kinds[-1] in questions and not others:
        return
    raise LedgerError(
        "give one question: a `select` (or `from`, `with`, `describe`, `summarize`, `explain`)."
    )
