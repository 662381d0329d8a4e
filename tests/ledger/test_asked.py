"""Questions of other processes, as the ledger's own process sees them."""

from collections.abc import Iterator
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.ledger import Ledger, LedgerError
from tasks_lib.ledger.guard import check_reads_only
from tasks_lib.ledger.questions import ROWS, Questions
from tasks_lib.ledger.results import by_identity
from tests.ledger.builders import begin, plan, refused, run, runs


def settings(ledger: Ledger) -> tuple[object, ...]:
    row = ledger.cursor().execute(
        "select current_setting('memory_limit'), current_setting('checkpoint_threshold')"
    )
    return row.fetchone() or ()


def test_the_writer_is_spared_while_a_question_is_answered(ledger: Ledger) -> None:
    """Meanwhile there is more memory and no checkpoint; after the last question all is as it was."""
    before = settings(ledger)
    questions = Questions(ledger)
    first, second = (questions.begin({"ask": "sql", "text": "from range(10)"}) for _ in range(2))
    next(first.tables())
    during = settings(ledger)
    assert during[1] == "1.0 TiB"
    assert during[0] != before[0]
    next(second.tables())
    first.close()
    assert settings(ledger) == during
    second.close()
    second.close()
    assert settings(ledger) == before


def test_an_answer_is_read_while_runs_are_added(ledger: Ledger) -> None:
    """An answer under way is of the moment when it began."""
    batch = begin(ledger)
    ledger.add(list(runs(5_000)), batch_id=batch)
    question = Questions(ledger).begin({"ask": "sql", "text": "select row_key from task_runs"})
    ((_, _, batches),) = _first_table(question.tables())
    first = next(batches)
    ledger.add(list(runs(100, first=9_000)), batch_id=batch)
    assert first.num_rows + sum(more.num_rows for more in batches) == 5_000
    question.close()


def _first_table(tables: Iterator[tuple]) -> list[tuple]:
    return [next(tables)]


def test_an_interrupted_question_fails(ledger: Ledger) -> None:
    """A question that was interrupted before or while it is answered gives nothing more."""
    early = Questions(ledger).begin({"ask": "sql", "text": "select 1"})
    early.interrupt()
    assert list(early.tables()) == []
    late = Questions(ledger).begin({"ask": "sql", "text": "select range from range(100_000_000)"})
    _, _, batches = next(late.tables())
    next(batches)
    late.interrupt()
    with pytest.raises(LedgerError):
        list(batches)
    late.close()
    late.interrupt()


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"ask": "everything"},
        {"ask": "sql"},
        {"ask": "sql", "text": 3},
        {"ask": "report", "name": "nothing_such"},
        {"ask": "report", "name": "failures", "since": "yesterday"},
        {"ask": "show", "id": "no id"},
        {"ask": "batches", "limit": "many"},
        {"ask": "results", "identities": [3]},
        {"ask": "results", "identities": 3},
    ],
)
def test_a_question_that_is_none(ledger: Ledger, question: dict[str, object]) -> None:
    """What is no question is an error in words, or has no answer."""
    asked = Questions(ledger).begin(question)
    with pytest.raises(LedgerError):
        list(asked.tables())
    asked.close()


def test_results_go_there_and_back(ledger: Ledger) -> None:
    """Stored results come through a question as they were, with exact amounts."""
    good, bad = plan(key="1"), plan(key="2", text="bad")
    ledger.add([run(good), run(bad, refused())], batch_id=begin(ledger))
    stored = ledger.results([good.identity, bad.identity])
    assert len(stored) == 2
    for identities, expected in ((list(stored), stored), ([], {})):
        asked = Questions(ledger).begin({"ask": "results", "identities": identities})
        ((name, schema, batches),) = ((*table[:2], list(table[2])) for table in asked.tables())
        assert name == ROWS
        assert by_identity(pa.Table.from_batches(batches, schema)) == expected
        asked.close()


READS = [
    "from t;",
    "explain select 1",
    "EXPLAIN ANALYZE select 1",
    "with x as (from t) from x",
    "select (select max(i) from t) from range(3)",
    "from main.task_runs",
    "from ledger.main.task_runs",
    "from information_schema.tables",
    "describe t",
    "summarize t",
    "show tables",
    "values (1)",
    "select unnest([1, 2])",
    "from duckdb_tables()",
]
DOES_MORE = [
    "",
    ";",
    "pivot t on i using count(*)",
    "explain analyze delete from t",
    "explain explain delete from t",
    "/* a */ explain drop table t",
    "select 1; select 2",
    "with gone as (delete from t returning *) from gone",
    "from t, lateral (from glob('/*'))",
    "from t union all from read_text('/etc/passwd')",
    "select [(from read_blob('/etc/passwd'))]",
    "from t where i in (from read_csv('x'))",
    "from query_table('t')",
    "from json_execute_serialized_sql('')",
    "from seq_scan(1)",
    "from quack_query('quack:elsewhere', 'select 1')",
    "from enable_logging()",
    "from parquet_metadata('x')",
    "from main.csv",
    "from here.parquet",
    "from 'dir/x'",
    'from "dir/x".y',
    "describe 'x.csv'",
    "select nextval('s')",
    "select sleep_ms(1)",
    "select write_log('x')",
    "pragma database_size",
    "set x = 1",
    "\0",
    "select " + "(" * 5_000,
    "select " + "1 + " * 5_000 + "1",
]


@pytest.mark.parametrize("text", READS)
def test_what_only_reads_is_let_through(text: str) -> None:
    """Every form of question about tables, views and the catalogue passes."""
    check_reads_only(text)


@pytest.mark.parametrize("text", DOES_MORE)
def test_what_does_more_is_stopped(text: str) -> None:
    """What writes, reaches a file or the network, or is not understood, does not."""
    with pytest.raises(LedgerError):
        check_reads_only(text)


@given(st.text(max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    """Whatever is asked either passes or is refused, and nothing else is raised."""
    with suppress(LedgerError):
        check_reads_only(text)
