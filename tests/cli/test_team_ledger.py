"""A team's ledger from the command line: it is served, told, asked and brought home."""

import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from socket import socket

import pytest

from tasks_lib.configs import Environment
from tasks_lib.configs.ledger_tokens import ledger_tokens
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job import team as team_module
from tasks_lib.ledger.team import QuackUri, read_place
from tests.cli.conftest import ROOT, Project
from tests.job.one_job import OneJob
from tests.ledger.team_server import READ, WRITE, free_address, serving

pytestmark = pytest.mark.skipif(
    not (find_spec("duckdb_extension_quack") and find_spec("duckdb_extension_httpfs")),
    reason="needs the `live` extra",
)
ROWS = "id,text\na,one\nb,two\nc,three\n"


def a_job(folder: Path, *, team: QuackUri | None) -> OneJob:
    folder.mkdir()
    job = OneJob(folder, rows=ROWS, job=f"team_ledger: {team}\n" if team is not None else "")
    job.environment = Environment.of(
        {**job.environment.variables, "ROWMILL_LEDGER_WRITE_TOKEN": WRITE}, user="ada"
    )
    return job


def test_a_job_tells_its_team_and_another_machine_pays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines with one job: the second one fetches what the first published, and makes no call."""
    monkeypatch.setenv("ROWMILL_LEDGER_TOKEN", READ)
    at = free_address()
    first, second = a_job(tmp_path / "first", team=at), a_job(tmp_path / "second", team=at)
    with serving(tmp_path / "team.duckdb", at):
        summary = first.run()
        assert (summary.completed, summary.warnings) == (3, ())
        with read_place(at, token=READ) as team:
            told = team.sql("select status, completed, calls from batch_summary").to_pylist()
        assert told == [{"status": "completed", "completed": 3, "calls": 3}]
        done = subprocess.run(
            [sys.executable, "-m", "tasks_lib.cli", "ledger", "fetch", str(second.path), "--json"],
            capture_output=True, text=True, check=True, cwd=ROOT, timeout=120,
        )  # fmt: skip
        assert json.loads(done.stdout) == {"batches": 1, "task_runs": 3, "parcels": 1, "left": []}
        again = second.run()
    assert (again.skipped, second.asked) == (3, [])


def test_a_team_that_is_away_holds_up_no_batch(tmp_path: Path) -> None:
    """A batch whose team's ledger does not answer runs as ever, keeps everything, and says so at its end."""
    job = a_job(tmp_path / "job", team=free_address())
    summary = job.run()
    assert summary.completed == 3
    (warning,) = summary.warnings
    assert "`rowmill ledger publish` or the next run brings the rest" in warning
    assert WRITE not in warning


def test_a_team_that_says_nothing_holds_up_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that accepts a connection and then is silent for ever does not keep a batch from its end."""
    monkeypatch.setattr(team_module, "_PATIENCE", 0.5)
    monkeypatch.setattr(team_module, "_LAST_PATIENCE", 0.1)
    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        job = a_job(tmp_path / "job", team=QuackUri(host="127.0.0.1", port=silent.getsockname()[1]))
        summary = job.run()
    assert summary.completed == 3
    assert "the place says nothing" in summary.warnings[0]


def test_a_team_without_a_token_is_told_before_the_first_call(tmp_path: Path) -> None:
    """A job that could never publish is refused before anything is paid."""
    job = a_job(tmp_path / "job", team=free_address())
    job.environment = Environment.of({"OPENAI_API_KEY": "not-a-key"}, user="ada")
    with pytest.raises(Mistake, match="ROWMILL_LEDGER_WRITE_TOKEN"):
        job.run()
    assert job.asked == []


def test_served_published_and_asked(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`ledger serve`, `ledger publish`, and report, sql, status and show of a served ledger."""
    project.rows(4)
    project.provider()
    assert project.here("run", project.job).code == 0
    at = free_address()
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# the team's\nread {READ}\nwrite {WRITE}\n")
    tokens.chmod(0o600)
    serve = ["ledger", "serve", str(tmp_path / "team.duckdb"), "--token-file", str(tokens), "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "tasks_lib.cli", *serve, "--listen", f"{at.host}:{at.port}"],
        cwd=project.folder, env=dict(project.environment()), stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        try:
            assert server.stdout is not None
            assert json.loads(server.stdout.readline())["uri"] == str(at)
            published = project.here(
                "ledger", "publish", project.ledger, "--to", str(at), "--token-file", tokens
            )
            assert published.out == "published: 4 task runs of 1 batches that were new\n"
            monkeypatch.setenv("ROWMILL_LEDGER_TOKEN", READ)
            here, there = ("--ledger", project.ledger), ("--ledger", str(at))
            (run, *_) = json.loads(
                project.here("sql", "select id from task_runs", *here, "--format", "json").out
            )
            for asked in (
                ("report", "cost_by_reporting_group", "--since", "2026-01-01"),
                ("sql", "select row_key, status from task_runs order by all"),
                ("status", "--json"),
                ("show", str(run["id"]), "--json"),
            ):
                told = project.here(*asked, *there)
                assert (told.code, told.out) == (0, project.here(*asked, *here).out)
            refused = project.here("sql", "from read_csv('/etc/passwd')", *there)
            assert refused.code == 2
            monkeypatch.setenv("ROWMILL_LEDGER_TOKEN", "nobody-" + "x" * 30)
            assert project.here("status", *there).code == 2
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=60) == 0
        finally:
            server.kill()
    assert project.here("sql", "from publications", "--ledger", tmp_path / "team.duckdb").code == 0


def test_tokens_of_a_file(tmp_path: Path) -> None:
    """A file of tokens is refused where others can read it, or a line of it says something else."""
    file = tmp_path / "tokens"
    file.write_text("read one\n\n# more\nread two\nwrite three\n")
    file.chmod(0o600)
    nothing = Environment.of({})
    found = ledger_tokens(nothing, file=file)
    assert (found.read, found.write, found.to_read, found.to_write) == (
        ("one", "two"),
        ("three",),
        "one",
        "three",
    )
    assert "one" not in repr(found)
    file.chmod(0o640)
    with pytest.raises(Mistake, match="chmod 600"):
        ledger_tokens(nothing, file=file)
    file.chmod(0o600)
    file.write_text("read one two\n")
    with pytest.raises(Mistake, match="tokens:1: give") as mistake:
        ledger_tokens(nothing, file=file)
    assert "one two" not in str(mistake.value)
    with pytest.raises(Mistake, match="cannot be read"):
        ledger_tokens(nothing, file=tmp_path / "nothing")
