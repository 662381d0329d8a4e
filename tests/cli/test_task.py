"""One task, one run, from the command line."""

import json
from pathlib import Path

import jsonschema_rs
import pytest

from tasks_lib.ledger.record import record_schema, record_schema_text
from tests.cli.conftest import ROOT, Project, project, server  # noqa: F401  # fixtures


@pytest.fixture
def task(project: Project) -> Path:  # noqa: F811  # the fixture
    project.provider()
    return project.folder / "configs/tasks/sentiment.yaml"


def test_a_task_is_run_and_shown(project: Project, task: Path) -> None:  # noqa: F811
    """What `task run` prints is what `show --json` gives back, and both are what the schema says."""
    done = project.rowmill("task", "run", task, "-i", "id=7", "--input", "review=good soup")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["run_data"] == {"submitted": {"id": "7", "review": "good soup"}}
    assert jsonschema_rs.validator_for(record_schema()).is_valid(told)
    shown = project.rowmill("show", told["id"], "--ledger", "rowmill.duckdb", "--json")
    assert json.loads(shown.out) == told
    agent = project.rowmill("show", told["id"], "--ledger", "rowmill.duckdb", "--as-agent")
    assert json.loads(agent.out)["task_run_id"] == told["id"]


@pytest.mark.parametrize(
    "given",
    [
        ["-i", '{"id": 7, "review": "good"}'],
        ["-i", "id:=7", "-i", "review=@review.txt"],
        ["-i", "-"],
    ],
)
def test_inputs_are_written_in_four_ways(project: Project, task: Path, given: list[str]) -> None:  # noqa: F811
    """R11: values keep their JSON types; text comes from the line, a file or standard input."""
    project.write("review.txt", "good")
    done = project.rowmill("task", "run", task, *given, text='{"id": 7, "review": "good"}')
    assert done.code == 0, done.err
    assert json.loads(done.out)["run_data"]["submitted"] == {"id": 7, "review": "good"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["-i", "id=7"], "task_input has no 'review'"),
        (["-i", "review"], "write NAME=TEXT"),
        (["-i", "id:=seven"], "id is not JSON"),
        (["-i", "{"], "is not JSON"),
        (["-i", "review=@absent.txt"], "absent.txt cannot be read"),
        (["--file", "absent.png"], "absent.png cannot be read"),
    ],
)
def test_what_is_wrong_is_told_before_a_call(
    project: Project,  # noqa: F811
    task: Path,
    given: list[str],
    said: str,
) -> None:
    """R54: a wrong input costs nothing."""
    before = project.server.stats()["recv"]
    done = project.here("task", "run", task, *given)
    assert done.code == 2
    assert said in done.err
    assert project.server.stats()["recv"] == before


def test_a_failed_run_ends_with_1(project: Project, task: Path) -> None:  # noqa: F811
    """The record tells why; the exit code that it failed."""
    project.provider(e400=1)
    done = project.rowmill("task", "run", task, "-i", "id=7", "-i", "review=good")
    told = json.loads(done.out)
    assert (done.code, told["is_error"], told["error"]["kind"]) == (1, True, "rejected")


def test_the_published_schema_is_fresh() -> None:
    """docs/schemas has the record's schema: `rowmill schema task_run` writes it."""
    assert (ROOT / "docs/schemas/task_run.schema.json").read_text("utf-8") == record_schema_text()
