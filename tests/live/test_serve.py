"""A ledger that other DuckDB clients read while it is written to."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tasks_lib.ledger import Ledger, serve
from tasks_lib.ledger.serve import Served, served
from tests.ledger.builders import begin, runs
from tests.live.held import ROOT

installed = pytest.mark.skipif(
    not (find_spec("duckdb_extension_quack") and find_spec("duckdb_extension_httpfs")),
    reason="needs the `live` extra",
)


def told(where: Served, *statements: str, token: str | None = None) -> list[object]:
    """What another process is told, its `attach` first."""
    assert where.uri is not None
    done = subprocess.run(
        [sys.executable, "-m", "tests.live.quack_client", where.uri],
        input="\n".join([token or where.token or "", *statements]) + "\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@installed
def test_another_client_reads_while_we_write(ledger: Ledger) -> None:
    """A DuckDB of another process attaches the ledger and asks it about tables and views."""
    batch = begin(ledger)
    ledger.add(list(runs(30)), batch_id=batch)
    with served(ledger) as where:
        attached, counted, models, joined, whole = told(
            where,
            "select count(*) from run.task_runs",
            "select distinct model from run.attempts where model is not null",
            "from run.query('from batches b join task_runs r on b.id = r.batch_id select count(*)')",
            "from run.query('select count(*) from task_runs')",
        )
        ledger.add(list(runs(1, first=100)), batch_id=batch)
    assert (attached, counted, models) == ([], [[30]], [["openai:gpt-5-mini"]])
    assert (joined, whole) == ([[30]], [[30]])
    assert ledger.sql("select count(*) as n from task_runs").to_pylist() == [{"n": 31}]


WRITES = [
    "insert into run.deaths select * from run.deaths",
    "insert into run.reporting_groups values ('0197a200-f827-7db7-8d89-ba7698d22db7', 'x', now())",
    "create table run.mine as select 1 as one",
    "create view run.mine as select 1 as one",
    "drop table run.attempts",
    "drop view run.failures",
    "alter table run.attempts add column mine int",
    "delete from run.task_runs",
    "update run.batches set status = 'completed'",
    "from run.query('delete from task_runs')",
    "from run.query('copy task_runs to ''stolen.csv''')",
    "from run.query('set global memory_limit = ''1TB''')",
    "from run.query('set global quack_authorization_function = ''quack_nop_authorization''')",
    "from run.query('select 1; drop table attempts')",
    "from run.query('attach ''stolen.duckdb''')",
    "from run.query('from read_text(''/etc/passwd'')')",
    "from run.query('from force_checkpoint()')",
    "from run.query('call quack_stop(''URI'')')",
    "from quack_query('URI', 'drop table attempts', token := 'TOKEN')",
    "from quack_query('URI', 'checkpoint', token := 'TOKEN')",
]


@installed
def test_another_client_changes_nothing(ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would write, set or reach a file is refused, and leaves the ledger as it was."""
    monkeypatch.chdir(path.parent)
    ledger.add(list(runs(3)), batch_id=begin(ledger))
    names = "select table_name, column_name from information_schema.columns order by all"
    before = [ledger.sql(text).to_pylist() for text in (names, "from task_runs", "from batches")]
    with served(ledger) as where:
        attached, *answers = told(where, *WRITES, "select count(*) from run.task_runs")
        setting = ledger.sql("select current_setting('quack_authorization_function') as f").to_pylist()
    assert attached == []
    assert [
        statement for statement, answer in zip(WRITES, answers, strict=False) if not isinstance(answer, str)
    ] == []
    assert answers[-1] == [[3]]
    assert setting == [{"f": "rowmill_reads_only"}]
    assert [ledger.sql(text).to_pylist() for text in (names, "from task_runs", "from batches")] == before
    assert {file.name for file in path.parent.iterdir()} <= {
        path.name,
        path.name + ".wal",
        path.name + ".tmp",
    }


@installed
def test_another_client_needs_the_token(ledger: Ledger) -> None:
    """Without the token nothing is attached."""
    with served(ledger) as where:
        attached, answer = told(where, "from run.batches", token="wrong-token")  # noqa: S106
        assert where.token is not None
        assert where.token not in repr(where)
    assert "Authentication failed" in str(attached)
    assert isinstance(answer, str)


@installed
def test_serving_ends(ledger: Ledger) -> None:
    """Once it is over nobody can attach, and the same ledger can be served again."""
    for _ in range(2):
        with served(ledger) as where:
            assert told(where)[0] == []
        assert isinstance(told(where)[0], str)


def test_without_the_extension_all_else_goes_on(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the packages are missing it is said why nothing is served, and the ledger can be used."""
    monkeypatch.setattr(serve, "_EXTENSIONS", ("nothing_such",))
    with served(ledger) as where:
        assert (where.uri, where.token) == (None, None)
        assert where.off is not None
        assert "install rowmill[live]" in where.off
        ledger.add(list(runs(3)), batch_id=begin(ledger))
    assert ledger.sql("select count(*) as n from task_runs").to_pylist() == [{"n": 3}]
