"""What a loss of power may make of the end of the log: each commit is there whole, or not at all.

A commit is synced before it is told to be durable, so that only what was being written can be torn.
"""

import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks_lib.ledger import open_ledger
from tests.ledger.builders import begin, plan, refused, run
from tests.ledger.test_crash import whole_runs, writing_child


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What a killed writer has left: file, log, and after each commit its runs and the log's length."""

    file: bytes
    log: bytes
    commits: tuple[tuple[int, int], ...]

    def durable(self, length: int) -> int:
        """How many runs the log holds whole in so many bytes."""
        return max((runs for runs, end in self.commits if end <= length), default=0)


def log_of(path: Path) -> Path:
    return Path(f"{path}.wal")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    path = tmp_path_factory.mktemp("killed") / "ledger.duckdb"
    commits = []
    with writing_child(path) as child:
        assert child.stdout is not None
        child.stdout.readline()
        for _ in range(6):
            runs = int(child.stdout.readline())
            os.kill(child.pid, signal.SIGSTOP)  # so that the length is that of this commit
            commits.append((runs, log_of(path).stat().st_size))
            os.kill(child.pid, signal.SIGCONT)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        return Killed(file=path.read_bytes(), log=log_of(path).read_bytes(), commits=tuple(commits))


def found(killed: Killed, log: bytes, path: Path) -> int:
    """How many whole runs a ledger with this log has; and that it takes more."""
    path.write_bytes(killed.file)
    log_of(path).write_bytes(log)
    with open_ledger(path) as ledger:
        runs = whole_runs(ledger)
        ledger.add([run(plan(group="a"), refused(), refused())], batch_id=begin(ledger))
    with open_ledger(path, read_only=True) as ledger:
        assert whole_runs(ledger) == runs + 1
    return runs


def test_a_log_that_is_cut_short(killed: Killed, path: Path) -> None:
    """Wherever the log ends, all commits before are there, and of the one that is cut nothing."""
    draw = random.Random(7)  # noqa: S311  # places, not secrets
    for _ in range(8):
        length = draw.randrange(len(killed.log))
        assert found(killed, killed.log[:length], path) >= killed.durable(length)
    assert found(killed, killed.log, path) >= killed.durable(len(killed.log)) > 0


TORN: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda commit: bytes(len(commit)),
    "zeros at its end": lambda commit: commit[:-1_000] + bytes(1_000),
    "a page that was not written": lambda commit: commit[:4_096] + bytes(4_096) + commit[8_192:],
    "what was on the disk before": lambda commit: random.Random(7).randbytes(len(commit)),  # noqa: S311  # as above
    "more zeros after it": lambda commit: commit + bytes(8_192),
}


@pytest.mark.parametrize("how", TORN)
def test_a_last_commit_that_is_torn(killed: Killed, path: Path, how: str) -> None:
    """Whatever stands in place of the last commit, those before it are there, and the ledger takes more."""
    (durable, at), (_, end) = killed.commits[-2:]
    torn = killed.log[:at] + TORN[how](killed.log[at:end])
    assert durable <= found(killed, torn, path) <= found(killed, killed.log[:end], path)
