"""Questions of the user's own, and the whole record of one run."""

from pathlib import Path

import pytest

from tasks_lib.ledger import Ledger, LedgerError, NotInLedger, open_ledger
from tests.ledger.builders import begin, plan, refused, run, runs


def test_a_question(ledger: Ledger) -> None:
    """A question gives a table, with or without a semicolon."""
    ledger.add(list(runs(2)), batch_id=begin(ledger))
    for text in (
        "select row_key from task_runs order by all",
        "from task_runs select row_key order by all;",
        "with them as (from task_runs) select row_key from them order by all -- all of them",
    ):
        assert ledger.sql(text).to_pylist() == [{"row_key": "1"}, {"row_key": "2"}]


QUESTIONS = [
    "describe task_runs",
    "summarize attempts",
    "explain select 1",
    "show tables",
    "pivot task_runs on status using count(*)",
    "values (1)",
]
NO_QUESTIONS = [
    "delete from task_runs",
    "select 1; delete from task_runs",
    "delete from task_runs; select 1",
    "commit; delete from task_runs; select 1",
    "with gone as (select 1) delete from task_runs",
    "explain analyze delete from task_runs",
    "update batches set status = 'completed'",
    "drop table task_runs",
    "create table mine (a int); select 1",
    "create or replace view failures as select 1; select 1",
    "insert into attempts select * from attempts",
    "copy task_runs to 'stolen.csv'",
    "export database 'stolen'",
    "attach 'other.duckdb'; select 1",
    "set memory_limit = '1TB'",
    "checkpoint",
    "load httpfs",
    "begin; select 1",
    "select 1; select 2",
    "",
    "-- nothing",
    "selct 1",
    "select nothing from task_runs",
]


@pytest.mark.parametrize("read_only", [True, False])
def test_whatever_only_asks(path: Path, read_only: bool) -> None:
    """Every form of question is allowed."""
    with open_ledger(path) as ledger:
        ledger.add(list(runs(2)), batch_id=begin(ledger))
    with open_ledger(path, read_only=read_only) as ledger:
        for text in QUESTIONS:
            assert ledger.sql(text).num_columns > 0, text


@pytest.mark.parametrize("read_only", [True, False])
def test_whatever_does_more_is_refused(path: Path, read_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything but one question is an error, changes nothing, and leaves the ledger usable."""
    monkeypatch.chdir(path.parent)  # the names above are relative: whatever is made is made here
    with open_ledger(path) as ledger:
        ledger.add(list(runs(2)), batch_id=begin(ledger))
    with open_ledger(path, read_only=read_only) as ledger:
        before = everything(ledger)
        for text in NO_QUESTIONS:
            with pytest.raises(LedgerError):
                ledger.sql(text)
            assert everything(ledger) == before, text
    assert {file.name for file in path.parent.iterdir()} == {path.name}


def everything(ledger: Ledger) -> tuple[object, ...]:
    return (
        ledger.sql("from task_runs").to_pylist(),
        ledger.sql("from batches").to_pylist(),
        ledger.sql("select view_name, sql from duckdb_views() where not internal order by all").to_pylist(),
        ledger.sql("select table_name, sql from duckdb_tables() order by all").to_pylist(),
    )


def test_other_files_are_out_of_reach(path: Path) -> None:
    """A ledger that was opened to be read opens no other file, whatever is asked of it."""
    other = path.parent / "secret.csv"
    other.write_text("key\nhidden\n")
    with open_ledger(path):
        pass
    with open_ledger(path, read_only=True) as ledger:
        for text in (
            f"from read_csv('{other}')",
            f"from '{other}'",
            "from glob('/*')",
            f"from read_text('{other}')",
            f"from sniff_csv('{other}')",
        ):
            with pytest.raises(LedgerError, match="disabled by configuration"):
                ledger.sql(text)


def test_show_by_id(ledger: Ledger) -> None:
    """A run is found by its id, with hyphens or without, or by enough of its first digits."""
    task_run = run(plan(key="17", group="acme"))
    ledger.add([*runs(3), task_run], batch_id=begin(ledger))
    id_ = task_run.plan.task_run_id
    for asked in (id_, id_.upper(), id_.replace("-", ""), f" {id_[:34]} "):
        shown = ledger.show(asked)
        assert (shown["id"], shown["row_key"], shown["job"], shown["task"]) == (
            id_,
            "17",
            "reviews",
            "sentiment",
        )
    assert shown["response"] == {"sentiment": "positive"}
    assert shown["run_data"] == {"submitted": {"text": "good"}}
    assert [attempt["number"] for attempt in shown["attempts"]] == [1]


def test_show_what_is_ambiguous(ledger: Ledger) -> None:
    """Digits that several runs share give the candidates, and ask for more."""
    ids = [f"01990000-0000-7000-8000-00000000000{n}" for n in range(7)]
    task_runs = list(runs(7))
    for id_, task_run in zip(ids, task_runs, strict=True):
        object.__setattr__(task_run.plan, "task_run_id", id_)
    ledger.add(task_runs, batch_id=begin(ledger))
    with pytest.raises(NotInLedger, match=rf"several .*{ids[0]}, {ids[1]}.* and more\. Give more digits"):
        ledger.show("01990000")
    assert ledger.show(ids[3])["row_key"] == "4"


def test_show_what_is_no_id(ledger: Ledger) -> None:
    """What cannot be the beginning of an id says what an id is."""
    for asked in ("", "0199", "0199000g", "x' or 1=1 --", "0" * 33):
        with pytest.raises(NotInLedger, match=r"is no task run's id: .* at least its first 8 digits"):
            ledger.show(asked)


def test_show_what_is_not_there(ledger: Ledger) -> None:
    """An id of another ledger is not found here."""
    ledger.add([run(plan(), refused())], batch_id=begin(ledger))
    with pytest.raises(NotInLedger, match="there is no task run ffffffff in this ledger"):
        ledger.show("ffffffff")
