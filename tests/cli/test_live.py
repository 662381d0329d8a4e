"""A run in one terminal, and what can be seen of it and done to it from another one."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.conftest import KEY, Project

ROWS = 4_000


@contextmanager
def running(project: Project, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run that would take half a minute, once something of it is in the ledger."""
    project.rows(ROWS)
    project.provider(lat=50)
    with project.begin("run", project.job, "--json", *arguments) as run:
        try:
            while project.server.stats()["ok"] < 40:
                assert run.poll() is None, run.communicate()
            yield run
        finally:
            run.kill()


def looked(project: Project) -> dict[str, object]:
    done = project.here("top", "--once", "--json", "--every", "0.2")
    assert done.code == 0, done.err
    look: dict[str, object] = json.loads(done.out)
    return look


def ended(run: subprocess.Popen[str]) -> dict[str, object]:
    """The summary of a run that was cancelled."""
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert KEY not in out + err
    summary: dict[str, object] = json.loads(out)
    return summary


def test_a_run_is_read_and_steered(project: Project) -> None:
    """It is read by every command, paused, resumed, given other limits and ended from elsewhere."""
    with running(project) as run:
        (batch,) = json.loads(project.here("status", "--json").out)
        assert batch["status"] == "running"
        asked = project.here("sql", "select count(*) as n from task_runs", "--format", "json")
        assert json.loads(asked.out)[0]["n"] > 0
        found = project.here("sql", "select id from task_runs limit 1", "--format", "csv").out.split()[1]
        assert json.loads(project.here("show", found, "--json").out)["id"] == found
        groups = json.loads(project.here("report", "cost_by_reporting_group", "--format", "json").out)
        assert {group["reporting_group"] for group in groups} == {"customer 0", "customer 1", "customer 2"}

        look = looked(project)
        assert (look["job"], look["phase"], look["rows"], look["pid"]) == (
            "reviews",
            "running",
            ROWS,
            run.pid,
        )
        assert look["batch_id"] == batch["batch_id"]

        assert project.here("pause").code == 0
        while (paused := looked(project))["under_way"] and paused["accounts"][0]["in_flight"]:
            pass
        calls = project.server.stats()["recv"]
        assert looked(project)["phase"] == "paused"
        assert project.server.stats()["recv"] == calls

        done = project.here("limits", "--set", "in_flight=3", "--json")
        assert json.loads(done.out)["in_flight"] == 3
        assert project.here("resume").code == 0
        while project.server.stats()["recv"] <= calls + 20:
            assert run.poll() is None
        assert looked(project)["accounts"][0]["most_in_flight"] == 3
        refused = project.here("limits", "--set", "in_fligth=4")
        assert (refused.code, "in_fligth" in refused.err) == (2, True)

        assert project.here("cancel").code == 0
        summary = ended(run)
    assert 0 < summary["completed"] < ROWS
    assert summary["completed"] + summary["cancelled"] == ROWS
    assert project.here("top").code == 2
    assert sorted(file.name for file in (project.folder / "data").iterdir() if ".live" in file.name) == []
    (batch,) = json.loads(project.here("status", "--json").out)
    assert (batch["status"], batch["completed"]) == ("interrupted", summary["completed"])


def test_a_run_that_is_paused_can_be_ended(project: Project) -> None:
    """Who cancels a paused run need not resume it first."""
    with running(project) as run:
        assert project.here("pause").code == 0
        assert project.here("cancel").code == 0
        assert ended(run)["cancelled"] > 0


def test_rows_so_far_are_exported(project: Project) -> None:
    """The enriched rows can be had from a ledger that is being written to."""
    with running(project):
        done = project.here("export", project.job, "--output", "so_far.jsonl", "--limit", "200")
        assert done.code == 0, done.err
    rows = [json.loads(line) for line in (project.folder / "so_far.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 200
    assert sum(row["sentiment"] is not None for row in rows) > 0


def test_a_killed_run_is_read_as_before(project: Project) -> None:
    """After a kill -9 the ledger is read from its file, no batch runs, and the next run goes on."""
    with running(project) as run:
        run.kill()
        run.wait(timeout=30)
    assert project.here("top").code == 2
    assert project.here("status").code == 0
    project.rows(1_000)
    project.provider()
    again = project.here("run", project.job, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["completed"] > 0
