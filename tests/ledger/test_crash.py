"""What is left after a kill -9, and after a disk was full."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks_lib.ledger import Ledger, LedgerError, open_ledger
from tests.ledger.builders import begin, end, plan, run, runs

WHOLE = """
select
    (select count(*) from task_runs)                                                   as runs,
    (select count(*) from attempts)                                                    as attempts,
    (select count(distinct id) from task_runs)                                         as different,
    (select count(*) from task_runs where id not in (select task_run_id from attempts)) as without_attempts,
    (select count(*) from attempts where task_run_id not in (select id from task_runs)) as without_run,
    (select count(*) from task_runs where reporting_group_id not in (select id from reporting_groups))
                                                                                       as without_group
"""


def whole_runs(ledger: Ledger) -> int:
    """The number of runs, none of which lacks a part of it."""
    (found,) = ledger.sql(WHOLE).to_pylist()
    assert found["attempts"] == 2 * found["runs"]
    assert found["different"] == found["runs"]
    assert (found["without_attempts"], found["without_run"], found["without_group"]) == (0, 0, 0)
    return int(found["runs"])


@contextmanager
def writing_child(path: Path, *, through: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*through, sys.executable, "-m", "tests.ledger.child", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def test_kill_between_commits(path: Path) -> None:
    """However often the writer is killed, no durable run is lost, and none is there without its attempts."""
    durable = 0
    for commits in (1, 2, 7, 3, 12):
        with writing_child(path) as child:
            assert child.stdout is not None
            assert child.stdout.readline().startswith("batch ")
            told = [int(child.stdout.readline()) for _ in range(commits)]
            os.kill(child.pid, signal.SIGKILL)
            told += [int(line) for line in child.stdout]
        with open_ledger(path, read_only=True) as ledger:
            found = whole_runs(ledger)
        assert found >= durable + told[-1]
        durable = found
    with open_ledger(path) as ledger:
        begin(ledger)
        statuses = ledger.sql("select status, reason, completed from batches order by status").to_pylist()
    assert [row["status"] for row in statuses] == ["interrupted"] * 5 + ["running"]
    assert sum(row["completed"] or 0 for row in statuses) == durable
    assert statuses[0]["reason"] == "its process (pid 1842 on engine) ended without closing it"


def small_disk(folder: Path, *, size: str) -> bool:
    """Mount a disk of so many bytes, if this process may."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or not small_disk(folder, size="6m"):
        pytest.skip("mounting a small disk is not permitted here; the limit on file sizes is tried instead")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(disk: Path) -> None:
    """A disk that fills ends the writing with one message; what was durable is there, and it can go on."""
    path = disk / "ledger.duckdb"
    with writing_child(path) as child:
        out, _ = child.communicate(timeout=60)
    *_, last, error = out.splitlines()
    assert error.startswith(f"error: no room left on the disk of {path}. What was committed is safe")
    with open_ledger(path, read_only=True) as ledger:
        assert whole_runs(ledger) == int(last)
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        ledger.add(
            [run(plan(key=one.plan.row_key), *one.attempts, *one.attempts) for one in runs(50)],
            batch_id=batch,
        )
        end(ledger, batch, completed=50)
    with open_ledger(path, read_only=True) as ledger:
        assert whole_runs(ledger) == int(last) + 50


def test_a_disk_that_is_full_from_the_start(disk: Path) -> None:
    """A ledger for which there is no room at all is told when it is opened, or at the first commit."""
    (disk / "filling").write_bytes(b"x" * (6 << 20))
    path = disk / "ledger.duckdb"
    with pytest.raises(LedgerError, match="no room left on the disk"), open_ledger(path) as ledger:
        ledger.add(list(runs(5_000)), batch_id=begin(ledger))


def test_a_limit_on_file_sizes(path: Path) -> None:
    """A file that may not grow is as a full disk: one message, nothing durable lost, and it can go on."""
    limited = ["bash", "-c", 'ulimit -S -f 4096 && exec "$@"', "limited"]  # KiB
    with writing_child(path, through=limited) as child:
        out, _ = child.communicate(timeout=60)
    *_, last, error = out.splitlines()
    assert error.startswith("error: no room left on the disk")
    with open_ledger(path) as ledger:
        assert whole_runs(ledger) == int(last)
        ledger.add(list(runs(50)), batch_id=begin(ledger))
        (row,) = ledger.sql("select count(*) as runs from task_runs").to_pylist()
        assert row["runs"] == int(last) + 50
