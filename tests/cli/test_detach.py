"""A batch that goes on without whoever began it."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tasks_lib.live.notice import notice_beside
from tests.cli.conftest import KEY, Project, project, server  # noqa: F401  # fixtures


def over(started: Project, pid: int) -> None:
    """Wait until the batch's process has let its ledger go."""
    for _ in range(600):
        notice = notice_beside(started.ledger)
        if notice is None or notice.pid != pid:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the batch did not end")


def logs(started: Project) -> list[Path]:
    return sorted(started.ledger.parent.glob("*.log"))


@pytest.fixture
def slow(project: Project) -> Iterator[Project]:  # noqa: F811  # the fixture
    project.provider(lat=1_500)  # longer than other commands take to begin, on a busy machine, too
    project.rows(40)
    yield project
    notice = notice_beside(project.ledger)
    if notice is not None:
        os.kill(notice.pid, signal.SIGKILL)


def test_it_gives_the_id_and_goes_on(slow: Project) -> None:
    """W07, W08: the id comes before the rows do, and the rows come all the same."""
    ended = slow.rowmill("run", slow.job, "--detach", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert set(told) == {"batch_id", "job", "pid", "log"}
    os.kill(told["pid"], 0)  # it is there
    status = json.loads(slow.rowmill("status", slow.job, "--json").out)
    assert json.dumps(status).count(told["batch_id"]) >= 1
    over(slow, told["pid"])
    (latest,) = json.loads(slow.rowmill("status", slow.job, "--json").out)
    assert (latest["status"], latest["completed"]) == ("completed", 40)
    (log,) = logs(slow)
    (summary,) = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert summary["batch_id"] == told["batch_id"]
    assert KEY not in log.read_text()


def test_it_outlives_its_terminal(slow: Project) -> None:
    """It is in a session of its own, where no Ctrl-C and no hang-up of ours arrives."""
    slow.rows(4_000)
    told = json.loads(slow.rowmill("run", slow.job, "--detach", "--json").out)
    assert os.getsid(told["pid"]) == told["pid"] != os.getsid(0)
    assert slow.rowmill("cancel", "--ledger", slow.ledger).code == 0
    over(slow, told["pid"])


def test_mistakes_are_told_at_once(project: Project) -> None:  # noqa: F811
    """What is wrong with the job is no matter for a file that nobody reads."""
    project.rows(3)
    project.provider()
    ended = project.rowmill("run", project.job, "--detach", "--model", "nobody:x")
    assert ended.code == 2
    assert "unknown provider" in ended.err
    assert logs(project) == []


def test_nothing_to_do_is_told_at_once(project: Project) -> None:  # noqa: F811
    """A run that is over before it can be reached tells its summary, with its exit code."""
    project.rows(3)
    project.provider()
    assert project.rowmill("run", project.job, "-q").code == 0
    ended = project.rowmill("run", project.job, "--detach", "--json")
    told = json.loads(ended.out)
    assert ended.code == 0
    assert told.get("skipped", 3) == 3
    if "pid" in told:  # it was caught while it still ran
        over(project, told["pid"])


def test_no_secret_of_an_address_is_among_its_arguments(slow: Project) -> None:
    """Who may look at the list of processes, or into the log, sees no address that is a secret."""
    told: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:  # nobody reads it
            return

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{hook.server_port}/hooks/5e1f7a"
    slow.rows(4)
    ended = slow.rowmill("run", slow.job, "--detach", "--json", "--webhook", url)
    assert ended.code == 0, ended.err
    begun = json.loads(ended.out)
    assert b"5e1f7a" not in Path(f"/proc/{begun['pid']}/cmdline").read_bytes()
    over(slow, begun["pid"])
    for _ in range(600):
        if told:
            break
        time.sleep(0.05)
    hook.shutdown()
    hook.server_close()
    assert told == ["/hooks/5e1f7a"]
    assert all("5e1f7a" not in log.read_text() for log in logs(slow))
