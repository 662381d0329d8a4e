"""Reading a ledger that another process writes to, and what is left when that process is killed."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from tasks_lib.cli import main
from tasks_lib.job.reading import open_to_read
from tasks_lib.ledger import LedgerInUse, open_ledger
from tasks_lib.ledger.distant import DistantLedger
from tasks_lib.live import notice_path, reach
from tests.ledger.builders import begin, runs
from tests.live.held import held


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("live") / "ledger.duckdb"
    with held(path) as child:
        yield path
    assert child.returncode == 0


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    heard = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, heard.out, heard.err


def test_all_that_reads_a_ledger_reads_one_in_use(writing: Path, tmp_path: Path) -> None:
    """Through the process that writes, the answers are of the kind that the file would give."""
    with open_ledger(tmp_path / "same.duckdb") as same:
        one = next(runs(1))
        same.add([one], batch_id=begin(same))
        shown, stored = same.show(one.plan.task_run_id), same.results_table([one.plan.identity])
        table, report = same.sql("from batches"), same.report("cost_by_model")
    with open_to_read(writing) as ledger:
        assert isinstance(ledger, DistantLedger)
        asked = "select id::varchar as id, identity::varchar as identity from task_runs limit 1"
        (row,) = ledger.sql(asked).to_pylist()
        there = ledger.show(row["id"])
        assert there.keys() == shown.keys()
        assert [type(value) for value in there.values()] == [type(value) for value in shown.values()]
        identity = row["identity"].replace("-", "")
        found = ledger.results_table([identity, "f" * 32])
        assert found.schema.equals(stored.schema)
        (result,), (known,) = found.to_pylist(), stored.to_pylist()
        for name in ("cost", "response", "status"):
            assert result[name] == known[name]
        assert ledger.sql("from batches").schema.equals(table.schema)
        assert ledger.report("cost_by_model").schema.equals(report.schema)
        assert [batch["status"] for batch in ledger.batches().to_pylist()] == ["running"]


def test_a_report_since_a_date(writing: Path) -> None:
    """A report over the channel can be about what happened lately."""
    with open_to_read(writing) as ledger:
        assert ledger.report("cost_by_model", since=date(2020, 1, 1)).num_rows == 1
        assert ledger.report("cost_by_model", since=date(2999, 1, 1)).num_rows == 0


def test_it_is_read_while_it_grows(writing: Path) -> None:
    """Each question sees what was committed by then, while the batch goes on."""
    with open_to_read(writing) as ledger:
        (first,) = ledger.sql("select count(*) as n from task_runs").to_pylist()
        later = first
        while later["n"] < first["n"] + 200:
            (later,) = ledger.sql("select count(*) as n from task_runs").to_pylist()


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("drop table task_runs", "one question"),
        ("insert into deaths select * from deaths", "one question"),
        ("delete from task_runs", "one question"),
        ("explain analyze delete from task_runs", "one question"),
        ("copy task_runs to 'stolen.csv'", "one question"),
        ("attach 'stolen.duckdb'", "one question"),
        ("set memory_limit = '1TB'", "one question"),
        ("select 1; drop table task_runs", "one question"),
        ("call force_checkpoint()", "one question"),
        ("from force_checkpoint()", "disabled"),
        ("from read_csv('/etc/passwd')", "disabled"),
        ("from read_text('/etc/passwd')", "disabled"),
        ("select (select count(*) from read_blob('/etc/passwd'))", "disabled"),
        ("from query('from read_text(''/etc/passwd'')')", "disabled"),
        ("from arrow_scan(1, 2, 3)", "disabled"),
        ("from '/etc/passwd'", "disabled"),
        ("from 'other.duckdb'", "disabled"),
        ("from other.csv", "disabled"),
        ("summarize 'other.parquet'", "disabled"),
        ("selec 1", "syntax error"),
        ("select nothing from task_runs", "nothing"),
    ],
)
def test_nothing_but_questions(
    writing: Path, question: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would change the ledger, or reach a file, is refused in one line, and the batch goes on."""
    code, out, err = said(capsys, "sql", question, "--ledger", str(writing))
    assert (code, out) == (2, "")
    assert words in err
    assert {file.name.partition(".duckdb")[2] for file in writing.parent.iterdir()} <= {
        "", ".live", ".wal", ".tmp",
    }  # fmt: skip
    with open_to_read(writing) as ledger:
        assert ledger.sql("select count(*) > 0 as some from task_runs").to_pylist() == [{"some": True}]


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--json"],
        ["report", "cost_by_model", "--format", "json"],
        ["sql", "from task_runs limit 1", "--format", "json"],
    ],
)
def test_commands_read_a_ledger_in_use(
    writing: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever asks from another terminal need not know that a batch runs."""
    code, out, err = said(capsys, *arguments, "--ledger", str(writing))
    assert (code, err) == (0, "")
    assert len(json.loads(out)) == 1


def test_a_killed_process_leaves_a_notice_that_does_no_harm(tmp_path: Path) -> None:
    """After a kill -9 the file is read as if there were no notice, and the next batch replaces it."""
    path = tmp_path / "ledger.duckdb"
    with held(path) as child:
        child.kill()
        child.wait(timeout=30)
        assert notice_path(path).exists()
        assert reach(path) is None
        with open_to_read(path) as ledger:
            assert not isinstance(ledger, DistantLedger)
            assert ledger.sql("select 1 as one").to_pylist() == [{"one": 1}]
    with held(path):
        client = reach(path)
        assert client is not None
        client.close()
    assert not notice_path(path).exists()


def test_a_process_that_cannot_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger that something else has open is told to be in use, as before."""
    path = tmp_path / "ledger.duckdb"
    with held(path):
        notice_path(path).unlink()
        with pytest.raises(LedgerInUse):
            open_to_read(path)
        code, _, err = said(capsys, "status", str(path))
    assert code == 2
    assert "in use by another process" in err
