"""Jobs over folders that grow: only new and changed rows are asked, and paid for."""

from pathlib import Path

import pytest

from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.preflight import preflight
from tasks_lib.job.setup import load_setup
from tasks_lib.job.tally import Outcome
from tests.job.one_job import OneJob

KEYED = """\
task: task.yaml
source: {path: inbox, key: id}
ledger: ledger.duckdb
output: out.csv
limits: {in_flight: 1}
"""
UNKEYED = KEYED.replace(", key: id", "")


def job_over_a_folder(folder: Path, text: str = KEYED) -> OneJob:
    one = OneJob(folder, rows="")
    one.path.write_text(text)
    (folder / "inbox").mkdir()
    return one


def put(one: OneJob, name: str, *rows: str) -> None:
    path = one.folder / "inbox" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(("id,text", *rows)) + "\n")


def asked_now(one: OneJob) -> list[str]:
    """What a run asks that begins now."""
    before = len(one.asked)
    summary = one.run()
    assert summary.outcome is Outcome.COMPLETED
    return sorted(text.removeprefix("Say ") for _, text in one.asked[before:])


def answers(one: OneJob) -> list[str]:
    return [line.split(",")[1] for line in (one.folder / "out.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("text", [KEYED, UNKEYED])
def test_a_folder_that_grows(tmp_path, text):
    """A file that is added or a row that is changed is asked; renaming, moving and removing ask nothing."""
    one = job_over_a_folder(tmp_path, text)
    put(one, "b.csv", "1,one", "2,two")
    assert asked_now(one) == ["one", "two"]
    put(one, "a.csv", "3,three")
    assert asked_now(one) == ["three"]
    assert answers(one) == ["three", "one", "two"]
    put(one, "b.csv", "1,one", "2,deux")
    assert asked_now(one) == ["deux"]
    (tmp_path / "inbox/b.csv").rename(tmp_path / "inbox/0.csv")
    assert asked_now(one) == []
    assert answers(one) == ["one", "deux", "three"]
    put(one, "day/c.csv", "1,one", "2,deux")
    (tmp_path / "inbox/0.csv").unlink()
    assert asked_now(one) == []
    put(one, "day/c.csv", "2,deux", "1,one")
    assert asked_now(one) == []
    (tmp_path / "inbox/a.csv").unlink()
    assert asked_now(one) == []
    assert answers(one) == ["deux", "one"]


def test_an_empty_folder_ends_well(tmp_path):
    """Nothing in the inbox tonight is nothing to do: no call, no fault, and the output stays as it was."""
    one = job_over_a_folder(tmp_path)
    summary = one.run()
    assert (summary.outcome, summary.rows, summary.calls) == (Outcome.COMPLETED, 0, 0)
    assert any("inbox: there is no row in it" in warning for warning in summary.warnings)
    assert not (tmp_path / "out.csv").exists()
    put(one, "a.csv", "1,one")
    assert asked_now(one) == ["one"]
    (tmp_path / "inbox/a.csv").unlink()
    assert asked_now(one) == []
    assert answers(one) == ["one"]


def test_an_empty_folder_that_is_refused(tmp_path):
    """A job can say that there must be something."""
    one = job_over_a_folder(tmp_path, KEYED.replace("key: id", "key: id, empty: refused"))
    with pytest.raises(Mistake, match="means no file"):
        one.run()


def test_an_output_among_its_own_source(tmp_path):
    """An output that the next run would read as input is refused."""
    one = job_over_a_folder(tmp_path, KEYED.replace("out.csv", "inbox/out.csv"))
    with pytest.raises(Mistake, match="among the source's files"):
        one.run()
    one.path.write_text(
        KEYED.replace("out.csv", "inbox/out.parquet").replace("path: inbox", "path: inbox/*.csv")
    )
    put(one, "a.csv", "1,one")
    assert asked_now(one) == ["one"]


def test_new_and_changed_rows_are_counted(tmp_path):
    """A plan and a summary say which of the rows to be asked are new, and which have changed."""
    one = job_over_a_folder(tmp_path)
    put(one, "a.csv", "1,one", "2,two", "3,three")

    def planned() -> tuple[int, int, int]:
        found = preflight(load_setup(one.path, environment=one.environment))
        return found.to_run, found.new, found.changed

    assert planned() == (3, 3, 0)
    first = one.run()
    assert (first.new, first.changed, first.skipped) == (3, 0, 0)
    put(one, "a.csv", "1,one", "2,deux", "3,three")
    put(one, "b.csv", "4,four", "5,five")
    assert planned() == (3, 2, 1)
    second = one.run()
    assert (second.new, second.changed, second.skipped, second.completed) == (2, 1, 2, 3)
    put(one, "a.csv", "1,one", "2,two", "3,three")
    third = one.run()
    assert (third.new, third.changed, third.completed) == (0, 0, 0)
    assert planned() == (0, 0, 0)
