"""Workers that people start: `run --runner hand` writes tickets, and `worker` takes part with them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from tests.cli.conftest import KEY, Project

pytestmark = pytest.mark.timeout(240)  # three programs on a busy machine


def hired(project: Project, *arguments: str | Path) -> subprocess.Popen[str]:
    """A worker, with nothing of the project's: another folder, no key."""
    env = {name: value for name, value in project.environment().items() if name != "PRETEND_KEY"}
    return subprocess.Popen(
        [sys.executable, "-m", "tasks_lib.cli", "worker", *map(str, arguments)],
        cwd="/",
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begun_by_hand(project: Project, *, workers: int) -> tuple["subprocess.Popen[str]", Path]:
    """A run that waits for so many workers, and the folder of its tickets."""
    tickets = project.folder / "tickets"
    driver = project.begin(
        "run", project.job, "--workers", str(workers), "--runner", "hand", "--listen", "127.0.0.1",
        "--tickets", tickets, "--json",
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list(tickets.glob("*.ticket"))) < workers:
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, "no tickets were written"
        time.sleep(0.05)
    return driver, tickets


def ended(*programs: "subprocess.Popen[str]") -> list[tuple[int, str, str]]:
    """The exit codes of programs, and what they said."""
    told = [program.communicate(timeout=120) for program in programs]
    return [(program.returncode, *texts) for program, texts in zip(programs, told, strict=True)]


def test_workers_with_tickets_do_the_calls(project: Project) -> None:
    """Workers that know nothing but their ticket answer all rows; keys and secrets are in no file."""
    project.rows(120)
    project.provider(lat=20)
    driver, tickets = begun_by_hand(project, workers=2)
    one, other = sorted(tickets.glob("*.ticket"))
    assert {path.stat().st_mode & 0o777 for path in (one, other)} == {0o600}
    secrets = {str(json.loads(path.read_text("utf-8"))["secret"]) for path in (one, other)}
    assert len(secrets) == 2
    (code, out, err), *workers = ended(driver, hired(project, one), hired(project, other))
    assert code == 0, err
    told = json.loads(out)
    assert (told["rows"], told["completed"], told["calls"]) == (120, 120, 120)
    assert [code for code, *_ in workers] == [0, 0], workers
    assert sum("has ended" in err for *_, err in workers) == 2
    with duckdb.connect(str(project.ledger), read_only=True) as ledger:
        counted = ledger.execute("select count(*), count(distinct row_key) from task_runs").fetchone()
    assert counted == (120, 120)
    assert not list(tickets.iterdir())
    left = [path.read_bytes() for path in project.folder.rglob("*") if path.is_file()]
    said = [out, err, *(text for worker in workers for text in worker[1:])]
    for secret in (KEY, *secrets):
        assert not any(secret.encode() in content for content in left)
        assert not any(secret in text for text in said)


def test_workers_that_end_are_replaced_from_the_folder(project: Project) -> None:
    """Told to end, a worker drops no call; killed, it loses no row. Others take the tickets of successors."""
    project.rows(300)
    project.provider(lat=30)
    driver, tickets = begun_by_hand(project, workers=1)

    def asked(number: int, by: "subprocess.Popen[str]") -> None:
        deadline = time.monotonic() + 60
        while project.server.stats()["recv"] < number:
            assert time.monotonic() < deadline, ended(by)
            time.sleep(0.02)

    first = hired(project, tickets)
    asked(40, first)
    first.send_signal(signal.SIGTERM)
    ((code, _, said),) = ended(first)
    recv = project.server.stats()["recv"]
    told = f"{recv} rows were run, and the others left to other workers: was told to end"
    assert (code, told in " ".join(said.split())) == (130, True), said
    second = hired(project, tickets)
    asked(recv + 40, second)
    second.send_signal(signal.SIGKILL)
    second.communicate()
    (code, out, err), (worked, _, said) = ended(driver, hired(project, tickets, "--wait", "3"))
    assert (code, worked) == (0, 0), (err, said)
    summary = json.loads(out)
    assert (summary["rows"], summary["completed"]) == (300, 300), summary
    for number, how in ((1, "was told to end"), (2, "hung up")):
        assert any(f"worker {number} {how}" in warning for warning in summary["warnings"]), summary
    with duckdb.connect(str(project.ledger), read_only=True) as ledger:
        counted = ledger.execute("select count(*), count(distinct row_key) from task_runs").fetchone()
    assert counted == (300, 300)


def test_what_is_no_ticket_is_told(project: Project) -> None:
    """A file that is none, and a folder without any, end with 2 and the reason."""
    no_ticket = project.write("no.ticket", "{}")
    done = project.here("worker", no_ticket)
    assert (done.code, "holds no ticket" in done.err) == (2, True), done.err
    (project.folder / "none").mkdir()
    done = project.here("worker", project.folder / "none", "--wait", "0")
    assert (done.code, "has had no ticket" in done.err) == (2, True), done.err
