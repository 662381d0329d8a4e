"""Processes that are killed while hosted tasks have rows run: nothing is begun twice, no row is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hostedtask.running import written
from tests.hostedtask.serving import served

pytestmark = pytest.mark.crash
ROWS = 6
ROOT = Path(__file__).resolve().parents[2]


def started(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hostedtask.running", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Killer:
    """Kills the process at the n-th request that is told, and no second time."""

    def __init__(self, which: Callable[[str, str], bool], *, at: int) -> None:
        self.which = which
        self.at = at
        self.seen = 0
        self.pid: int | None = None
        self.lock = threading.Lock()

    def __call__(self, method: str, path: str) -> None:
        with self.lock:
            self.seen += self.which(method, path)
            if self.pid is None or self.seen < self.at:
                return
            pid, self.pid = self.pid, None
        os.kill(pid, signal.SIGKILL)


def is_start(method: str, path: str) -> bool:
    return method == "POST"


def is_look(method: str, path: str) -> bool:
    return method == "GET"


def killed(folder: Path, killer: Killer) -> None:
    """A batch that is killed where the killer says."""
    process = started(folder)
    killer.pid = process.pid
    _, told = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, told


def completed(folder: Path) -> dict[str, Any]:
    """The summary of a batch that nobody disturbs."""
    process = started(folder)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    summary: dict[str, Any] = json.loads(out)
    return summary


@pytest.mark.parametrize(
    ("moment", "which", "at"),
    [
        ("before", is_start, 3),  # the request has come, nothing is begun: only the intent is durable
        ("after", is_start, 1),  # it is begun, and the process never hears its id
        ("after", is_start, ROWS),
        ("before", is_look, 1),  # an id is durable, others may not be
        ("before", is_look, 5 * ROWS),  # all wait for the end
    ],
    ids=["before it is begun", "begun, first", "begun, last", "id durable", "waiting"],
)
def test_a_batch_that_is_killed(tmp_path: Path, moment: str, which: Any, at: int) -> None:
    """P10: a process killed before, between and after begin and id: the next one begins no run twice."""
    with served(seconds=1.5) as host:
        written(tmp_path, host.url, rows=ROWS)
        killer = Killer(which, at=at)
        setattr(host, moment, killer)
        killed(tmp_path, killer)
        summary = completed(tmp_path)
        assert (summary["rows"], summary["completed"] + summary["skipped"], summary["failed"]) == (
            ROWS,
            ROWS,
            0,
        )
        begun = sorted(run.identity for run in host.host.runs.values())
        assert len(begun) == len(set(begun)) == ROWS
