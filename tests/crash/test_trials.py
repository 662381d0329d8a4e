"""What happens to machines, tried on the command: nothing is lost, and the next run goes on."""

import csv
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from tests.cli.conftest import Project
from tests.cli.test_run import counts, ended, summary, until

pytestmark = pytest.mark.crash


class Starts:
    """Starts the command for a project; what still runs at the end of a test is killed."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.running: list[subprocess.Popen[str]] = []

    def __call__(
        self, *arguments: str | Path, before: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        """The command in a process of its own, with its output in pipes."""
        running = subprocess.Popen(
            [sys.executable, "-m", "tasks_lib.cli", *map(str, arguments)],
            cwd=self.project.folder,
            env=self.project.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,  # noqa: PLW1509  # the tests have no threads when they start it
        )
        self.running.append(running)
        return running


@pytest.fixture
def start(project: Project) -> Iterator[Starts]:
    starts = Starts(project)
    yield starts
    for running in starts.running:
        running.kill()
        running.communicate()


def heeds_interrupts() -> None:
    """Undo what a shell does to programs in its background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def found(project: Project, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(project.ledger), read_only=True) as ledger:
        return ledger.execute(query).fetchall()


def size_of(path: Path) -> int:
    """Bytes; 0 if it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def left_beside_the_ledger(project: Project) -> set[str]:
    """What a run has left where the ledger is, but for the ledger and the rows."""
    return {one.name for one in project.ledger.parent.iterdir()} - {project.ledger.name, "reviews.csv", "out"}


def test_a_disk_that_fills_while_rows_run(project: Project, start: Starts) -> None:
    """The batch stops with exit code 3 and keeps what is durable; with more room the next run goes on."""
    lines = "".join(f"{n},customer {n % 3},{'fine thing ' * 3_000}\n" for n in range(1, 201))
    project.write("data/reviews.csv", f"id,customer,review\n{lines}")

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, resource.RLIM_INFINITY))

    done = ended(start("run", project.job, "--json", before=small_disk))
    told = summary(done)
    assert (done.code, told["outcome"]) == (3, "stopped"), done.err
    assert "no room left on the disk" in str(told["reason"])
    completed = int(str(told["completed"]))
    assert 0 < completed < 200
    asked = project.server.stats()["recv"]
    assert asked <= completed + 8, "no more was asked in vain than may be in flight"
    more = summary(project.rowmill("run", project.job, "--json"))
    assert counts(more) == (200, 200 - completed, 0, completed, 0)
    assert project.server.stats()["recv"] == asked + 200 - completed
    assert left_beside_the_ledger(project) == set()


def test_killed_while_the_output_is_written(project: Project, start: Starts) -> None:
    """The old output stands or the new one is whole, and what was left is cleared by the next run."""
    project.rows(2_000)
    project.provider()
    assert (
        summary(project.rowmill("run", project.job, "--json", "--set", "limits.in_flight=64"))["rows"]
        == 2_000
    )
    whole = project.output.read_text()
    part = project.output.with_name(f".{project.output.name}.rowmill-part")
    torn = 0
    for _ in range(4):
        project.output.write_text("what was there before\n")
        running = start("run", project.job, "--quiet")
        while running.poll() is None and size_of(part) < 100:
            pass  # the moment is short; before the first call as little is written as proves that it can be
        running.kill()
        running.communicate()
        torn += part.exists()
        assert project.output.read_text() in {"what was there before\n", whole}
    assert torn, "it was never killed in the middle"
    assert project.rowmill("run", project.job, "--quiet").code == 0
    assert project.output.read_text() == whole
    assert [file.name for file in project.output.parent.iterdir()] == [project.output.name]
    assert project.server.stats()["recv"] == 2_000


def test_two_runs_at_once(project: Project, start: Starts) -> None:
    """The second run on a ledger says who has it, with exit code 2 and no call; the first ends well."""
    project.provider(lat=2_500)
    first = start("run", project.job, "--json")
    until(lambda: project.server.stats()["inflight"] == 8, of=first)
    second = project.rowmill("run", project.job, env=project.environment(PRETEND_KEY="sk-of-the-second"))
    assert second.code == 2
    assert f"is in use by another process (pid {first.pid})" in second.err
    done = ended(first)
    assert (done.code, counts(summary(done))) == (0, (20, 20, 0, 0, 0))
    assert project.server.stats()["recv"] == project.server.stats()["billed"] == 20, "none with its key"
    assert found(project, "select count(*) from batches") == [(1,)]


def test_a_machine_that_sleeps(project: Project, start: Starts) -> None:
    """A process that stood still with calls in flight goes on: all answered, nothing timed out or twice."""
    project.provider(lat=400)
    running = start("run", project.job, "--json")
    until(lambda: project.server.stats()["inflight"] == 8, of=running)
    running.send_signal(signal.SIGSTOP)
    time.sleep(3)  # how long it sleeps is what is tried
    running.send_signal(signal.SIGCONT)
    done = ended(running)
    assert (done.code, counts(summary(done))) == (0, (20, 20, 0, 0, 0)), done.err
    assert project.server.stats()["recv"] == project.server.stats()["billed"] == 20
    assert found(project, "select count(*), count(failure_kind) from attempts") == [(20, 0)]


def test_a_machine_that_sleeps_longer_than_calls_may_take(project: Project, start: Starts) -> None:
    """A sleep beyond the time that a call may take costs at most the calls in flight once more."""
    project.write(
        "configs/providers.yaml",
        f"pretend: {{protocol: openai, base_url: '{project.server.base_url(lat=400)}', key: PRETEND_KEY, "
        "timeouts: {total: 2}}\n",
    )
    running = start("run", project.job, "--json")
    until(lambda: project.server.stats()["inflight"] == 8, of=running)
    running.send_signal(signal.SIGSTOP)
    time.sleep(4)  # as above
    running.send_signal(signal.SIGCONT)
    done = ended(running)
    assert (done.code, counts(summary(done))) == (0, (20, 20, 0, 0, 0)), done.err
    assert project.server.stats()["recv"] <= 28
    twice = "select count(*) from (select row_key from task_runs group by 1 having count(*) > 1)"
    assert found(project, twice) == [(0,)]


ORPHAN = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "tasks_lib.cli", "run", sys.argv[1], "--json"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""


def test_a_parent_that_dies(project: Project) -> None:
    """A run whose parent is killed, and whose output nobody takes any more, answers all rows all the same."""
    project.provider(lat=400)
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(project.job)],
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    until(lambda: project.server.stats()["inflight"] == 8, of=parent)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{orphan}").exists() if sys.platform == "linux" else _lives(orphan):
        assert time.monotonic() < deadline, "it never ends"
        time.sleep(0.05)
    assert found(project, "select status, completed from batches") == [("completed", 20)]
    with project.output.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 20


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("times", [1, 2, 3])
def test_who_interrupts_suspects_no_row(project: Project, start: Starts, times: int) -> None:
    """However often Ctrl-C is pressed, no row was under way at a death afterwards."""
    project.provider(lat=400 if times == 1 else 60_000)
    running = start("run", project.job, before=heeds_interrupts)
    until(lambda: project.server.stats()["inflight"] == 8, of=running)
    assert len(left_beside_the_ledger(project)) >= 1
    assert running.stderr is not None
    for word in ("to drop them", "this very moment", "")[:times]:
        running.send_signal(signal.SIGINT)
        while word and word not in running.stderr.readline():
            pass
    running.communicate(timeout=30)
    assert running.returncode == 130
    assert not [name for name in left_beside_the_ledger(project) if "under-way" in name]
    project.provider()
    assert summary(project.rowmill("run", project.job, "--json"))["cancelled"] == 0
    assert found(project, "select count(*) from deaths") == [(0,)]


def test_a_kill_is_told_by_the_ledger(project: Project, start: Starts) -> None:
    """After a kill -9 the next run finds which rows were under way, and answers them as ever."""
    project.provider(lat=60_000)
    running = start("run", project.job)
    until(lambda: project.server.stats()["inflight"] == 8, of=running)
    running.kill()
    running.communicate()
    project.provider()
    again = project.rowmill("run", project.job, "--json", "--retry-poisoned")
    assert counts(summary(again)) == (20, 20, 0, 0, 0)
    assert found(project, "select count(*), min(row_number), max(row_number) from deaths") == [(8, 1, 8)]
    assert left_beside_the_ledger(project) == set()
