"""Rows that make their process die are found, and everybody else is answered."""

import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from bench.project import FIRST_ID, make_project

pytestmark = pytest.mark.crash

ROOT = Path(__file__).resolve().parents[2]
ROWS, IN_FLIGHT = 60, 8
STATUSES = "select row_key, status, error_kind, error from task_runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A process that was started again until it came to its end."""

    deaths: int
    summary: dict[str, object]


def lived(folder: Path, how: str, *rows: int, further: tuple[str, ...] = ()) -> Life:
    """Run the job in the folder until it ends, as a supervisor would."""
    deaths = 0
    while True:
        done = subprocess.run(
            [sys.executable, "-m", "tests.crash.killing", str(folder), how, *map(str, rows), *further],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return Life(deaths=deaths, summary=json.loads(done.stdout))
        assert done.returncode == (-signal.SIGKILL if how == "kill" else 1), done.stderr
        assert how == "kill" or "is too much" in done.stderr
        deaths += 1
        assert deaths < 20, "it never ends"


def counts(life: Life) -> tuple[object, ...]:
    return tuple(life.summary[name] for name in ("rows", "completed", "failed", "skipped", "cancelled"))


def calls(folder: Path) -> Counter[int]:
    return Counter(map(int, (folder / "calls").read_text().split()))


def found(folder: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "ledger.duckdb"), read_only=True) as ledger:
        return ledger.execute(query).fetchall()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_project(
        tmp_path, base_url="http://pretend.test/v1", rows=ROWS, in_flight=IN_FLIGHT, output="out.csv"
    )
    return tmp_path


def test_a_row_that_kills_is_set_aside_after_four_deaths(folder: Path) -> None:
    """All other rows are answered, that one has failed as poisoned, and little was paid for twice."""
    deadly = FIRST_ID + 20
    life = lived(folder, "kill", deadly)
    assert life.deaths == 4
    assert (life.summary["outcome"], life.summary["failures"]) == ("completed_with_failures", {"poisoned": 1})
    of = {key: (status, kind, error) for key, status, kind, error in found(folder, STATUSES)}
    assert len(of) == ROWS
    status, kind, error = of.pop(str(deadly))
    assert (status, kind) == ("failed", "poisoned")
    assert "the process died 4 times while this row was under way, 2 times of them while no" in str(error)
    assert {status for status, _, _ in of.values()} == {"completed"}
    asked = calls(folder)
    assert asked[deadly] == 4
    assert sum(asked.values()) <= ROWS + life.deaths * IN_FLIGHT
    assert not list(folder.glob("*under-way*"))


@pytest.mark.slow
def test_a_poisoned_row_is_not_asked_again_unless_it_is_wanted(folder: Path) -> None:
    """Later runs end alive without a call for it; with --retry-poisoned it is asked, and may be answered."""
    deadly = FIRST_ID + 3
    lived(folder, "kill", deadly)
    before = calls(folder)
    again = lived(folder, "kill", deadly)
    assert (again.deaths, counts(again)) == (0, (ROWS, 0, 1, ROWS - 1, 0))
    assert calls(folder) == before
    cured = lived(folder, "kill", further=("--retry-poisoned",))
    assert (cured.deaths, counts(cured)) == (0, (ROWS, 1, 0, ROWS - 1, 0))
    assert calls(folder)[deadly] == 5
    assert counts(lived(folder, "kill")) == (ROWS, 0, 0, ROWS, 0)


@pytest.mark.slow
def test_two_rows_that_kill_together(folder: Path) -> None:
    """Two that are under way together cost two deaths together, and two alone each."""
    life = lived(folder, "kill", FIRST_ID + 1, FIRST_ID + 2)
    assert (life.deaths, life.summary["failures"]) == (2 + 2 * 2, {"poisoned": 2})
    answered = "select count(distinct row_key) from task_runs where status = 'completed'"
    assert found(folder, answered) == [(ROWS - 2,)]


def test_a_row_that_breaks_the_program_is_the_only_one_suspected(folder: Path) -> None:
    """An error that nobody foresaw ends a run each time, and its row alone is written down for it."""
    deadly = FIRST_ID + 20
    life = lived(folder, "raise", deadly)
    assert (life.deaths, life.summary["failures"]) == (4, {"poisoned": 1})
    assert found(folder, "select distinct row_number from deaths") == [(21,)]
    assert found(folder, "select status, count(*) from batches group by 1 order by 1") == [
        ("completed_with_failures", 1),
        ("failed", 4),
    ]
