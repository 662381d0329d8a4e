"""What a commit is worth when the machine loses power: it is on the disk, and no damage goes unsaid."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks_lib.ledger import LedgerError, open_ledger
from tests.ledger.builders import begin, end, runs

_ROWS = 3  # a commit
_COMMITS = 4
COMMITTING = f"""
import os, sys
from pathlib import Path
from tasks_lib.ledger import open_ledger
from tests.ledger.builders import begin, runs
with open_ledger(Path(sys.argv[1])) as ledger:
    batch = begin(ledger)
    for first in range(1, {_ROWS * _COMMITS}, {_ROWS}):
        ledger.add(list(runs({_ROWS}, first=first)), batch_id=batch,
                   on_commit=lambda rows: os.write(1, b"durable\\n"))
"""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A ledger's file and log as they were after the last of some commits."""

    file: Path
    log: bytes
    begun: int  # bytes of the log before the first commit
    ends: tuple[int, ...]  # bytes of the log after each commit

    def rows(self, size: int) -> int:
        """The rows of all commits that so many bytes of the log hold whole."""
        return _ROWS * sum(end <= size for end in self.ends)

    def written(self, log: bytes) -> Path:
        """The file with another log."""
        path = self.file.with_name("copy.duckdb")
        shutil.copyfile(self.file, path)
        path.with_name("copy.duckdb.wal").write_bytes(log)
        return path


@pytest.fixture
def stopped(path: Path) -> Stopped:
    log = path.with_name(f"{path.name}.wal")
    file = path.with_name("as-it-was.duckdb")
    ends: list[int] = []
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        begun = log.stat().st_size
        for n in range(_COMMITS):
            ledger.add(
                list(runs(_ROWS, first=n * _ROWS + 1)),
                batch_id=batch,
                on_commit=lambda _: ends.append(log.stat().st_size),
            )
        shutil.copyfile(path, file)
        content = log.read_bytes()
    return Stopped(file, content, begun, tuple(ends))


def stored(path: Path, *, read_only: bool = False) -> int:
    """The runs of a ledger, each with its attempt."""
    with open_ledger(path, read_only=read_only) as ledger:
        (row,) = ledger.sql(
            "select count(*) as runs, count(a.task_run_id) as attempts"
            " from task_runs r full join attempts a on a.task_run_id = r.id"
        ).to_pylist()
    assert row["runs"] == row["attempts"]
    return int(row["runs"])


def test_a_commit_is_on_the_disk_when_it_is_told(tmp_path: Path) -> None:
    """Whatever a commit writes to the log is synced before anybody hears of it, as the system calls show."""
    strace, trace = shutil.which("strace"), tmp_path / "trace"
    if strace is None:
        pytest.skip("strace, which shows the system calls, is not installed")
    done = subprocess.run(
        [
            *(strace, "-f", "-y", "-o", trace, "-e", "trace=write,pwrite64,fsync,fdatasync"),
            *(sys.executable, "-c", COMMITTING, tmp_path / "ledger.duckdb"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if "ptrace" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("strace may not look at processes here")
    assert done.returncode == 0, done.stderr
    calls = [
        ("told" if '"durable' in line else "synced" if "sync(" in line else "wrote")
        for line in trace.read_text().splitlines()
        if '"durable' in line or re.search(r"(write|pwrite64|fsync|fdatasync)\(\d+<[^>]*\.wal>", line)
    ]
    told = [at for at, call in enumerate(calls) if call == "told"]
    assert len(told) == _COMMITS
    for before, at in zip([-1, *told], told, strict=False):
        since = calls[before + 1 : at]
        assert "wrote" in since
        assert since[-1] == "synced"


def test_a_log_that_ends_too_soon(stopped: Stopped) -> None:
    """The commits before a cut are there whole, at whatever byte it is, and nothing of the one in it."""
    near = {size for each in stopped.ends for size in (each - 1, each, each + 1)}
    for size in sorted(near | {stopped.begun, *range(stopped.begun, len(stopped.log), 2_297)}):
        assert stored(stopped.written(stopped.log[:size])) == stopped.rows(size), size


def zeroed(log: bytes, at: int) -> bytes:
    return log[:at] + bytes(len(log) - at)


def flipped(log: bytes, at: int) -> bytes:
    return log[:at] + bytes([log[at] ^ 1]) + log[at + 1 :]


@pytest.mark.parametrize("damage", [zeroed, flipped])
def test_a_torn_end(stopped: Stopped, damage: Callable[[bytes, int], bytes]) -> None:
    """What reached the disk of a last commit in parts is put aside; those before stand, and more follow."""
    at = stopped.ends[-2] + 2_000
    path = stopped.written(damage(stopped.log, at))
    with pytest.raises(LedgerError, match="the end of its log is torn"):
        open_ledger(path, read_only=True)
    assert stored(path) == stopped.rows(at)
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        ledger.add(list(runs(5)), batch_id=batch)
        end(ledger, batch, completed=5)
    assert stored(path, read_only=True) == stopped.rows(at) + 5
    (kept,) = path.parent.glob("copy.duckdb.wal.torn-at-*")
    assert 0 < kept.stat().st_size <= len(stopped.log) - stopped.ends[-2]


def test_damage_before_commits(stopped: Stopped) -> None:
    """Damage with commits behind it is no torn end: nothing is taken off, and the message says what to do."""
    at = stopped.ends[0] + 2_000
    damaged = flipped(stopped.log, at)
    path = stopped.written(damaged)
    for read_only in (True, False):
        with pytest.raises(LedgerError, match="damaged in its middle") as caught:
            open_ledger(path, read_only=read_only)
    log = path.with_name(f"{path.name}.wal")
    assert log.read_bytes() == damaged
    remedy = re.search(r"`truncate -s (\d+) (\S+)`", str(caught.value))
    assert remedy is not None
    assert remedy[2] == str(log)
    log.write_bytes(damaged[: int(remedy[1])])
    assert stored(path) == stopped.rows(at)
