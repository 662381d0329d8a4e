"""Which rows are under way, written down so that it outlives the process."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tasks_lib.domain.plan import Plan
from tasks_lib.ledger import open_ledger
from tasks_lib.ledger.under_way import (
    UnderWay,
    companies_at_deaths,
    find_deaths,
    forget_under_way,
    rows_under_way,
)
from tests.ledger.builders import NOON, batch_id, begin, plan, run

KILLED = """
import os, signal, sys
from pathlib import Path
from tasks_lib.ledger.under_way import UnderWay
from tests.ledger.builders import batch_id, plan
under_way = UnderWay(Path(sys.argv[1]), batch_id=batch_id())
plans = [plan(key=str(number), number=number) for number in range(1, int(sys.argv[2]) + 1)]
for one in plans:
    under_way.began(one)
for one in plans[int(sys.argv[3]):]:
    under_way.ended(one)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_with(ledger: Path, *, began: int, left: int) -> None:
    """A process that began so many rows, ended all but some, and was killed."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(ledger), str(began), str(left)],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


def beside(ledger: Path) -> list[str]:
    return sorted(path.name for path in ledger.parent.iterdir() if "under-way" in path.name)


def keys(number: int) -> str:
    return plan(key=str(number), number=number).identity


def test_what_a_killed_process_had_under_way_is_found_once(path: Path) -> None:
    """The rows that were begun and not ended are deaths of their batch; the file is gone then."""
    killed_with(path, began=1_000, left=700)  # more than the file had slots for at first
    assert len(beside(path)) == 1
    with open_ledger(path) as ledger:
        assert find_deaths(ledger, found_at=NOON) == 700
        assert find_deaths(ledger, found_at=NOON) == 0
        companies = companies_at_deaths(ledger)
        (row,) = ledger.sql("select count(*) as n, sum(row_number) as total from deaths").to_pylist()
    assert companies == {keys(number): (700,) for number in range(1, 701)}
    assert (row["n"], row["total"]) == (700, sum(range(1, 701)))
    assert beside(path) == []


def test_an_answer_clears_a_row(path: Path) -> None:
    """Deaths before a row's latest answer count no more; later ones do."""
    killed_with(path, began=2, left=2)
    with open_ledger(path) as ledger:
        find_deaths(ledger, found_at=NOON)
        later = run(plan(key="1", number=1), at=NOON.replace(year=NOON.year + 1))
        ledger.add([later], batch_id=begin(ledger))
        assert companies_at_deaths(ledger) == {keys(2): (2,)}


def test_an_orderly_end_leaves_nothing(path: Path) -> None:
    """However a batch is left but by death, no row was under way; not even where it ends by an error."""
    with (
        suppress(ZeroDivisionError),
        open_ledger(path) as ledger,
        rows_under_way(ledger, batch_id=batch_id()) as under_way,
    ):
        under_way.began(plan())
        assert len(beside(path)) == 1
        raise ZeroDivisionError
    assert beside(path) == []


def test_a_row_that_is_blamed_stays(path: Path) -> None:
    """An error that came of one row is a death of that row alone, whatever else was under way."""
    guilty, other = plan(key="1"), plan(key="2")
    with open_ledger(path) as ledger:
        with rows_under_way(ledger, batch_id=batch_id()) as under_way:
            for one in (guilty, other):
                under_way.began(one)
            under_way.blame(guilty)
            under_way.ended(guilty)
        assert find_deaths(ledger, found_at=NOON) == 1
        assert companies_at_deaths(ledger) == {guilty.identity: (1,)}


def test_rows_of_a_batch_of_this_process_are_not_dead(path: Path) -> None:
    """Two batches of one process in one ledger do not take each other's rows for those of a dead one."""
    with open_ledger(path) as ledger, rows_under_way(ledger, batch_id=batch_id()) as under_way:
        under_way.began(plan())
        assert find_deaths(ledger, found_at=NOON) == 0
        with rows_under_way(ledger, batch_id=batch_id()):
            assert len(beside(path)) == 2


def test_who_ends_the_process_is_no_row(path: Path) -> None:
    """Before a process is left in the middle by whoever runs it, its rows are forgotten."""
    under_way = UnderWay(path, batch_id=batch_id())
    under_way.began(plan())
    forget_under_way()
    assert beside(path) == []
    under_way.close()


@pytest.mark.parametrize("damage", [b"", b"rowmill1", b"\xff" * 4_096, b"\0" * 4_096])
def test_a_file_that_is_not_whole_tells_nothing(path: Path, damage: bytes) -> None:
    """What a loss of power made of the file is put away without a word."""
    path.with_name(f"{path.name}.under-way-x").write_bytes(damage)
    with open_ledger(path) as ledger:
        assert find_deaths(ledger, found_at=NOON) == 0
    assert beside(path) == []


def test_no_room_for_the_file(path: Path) -> None:
    """Where no file can be made the batch runs as ever, and nothing is remembered."""
    nowhere = path.parent / "none" / "ledger.duckdb"
    under_way = UnderWay(nowhere, batch_id=batch_id())
    asked: list[Plan] = [plan(key=str(number)) for number in range(600)]
    for one in asked:
        under_way.began(one)
    for one in asked:
        under_way.ended(one)
    under_way.close()
    assert list(path.parent.iterdir()) == []


def test_no_room_to_grow(path: Path) -> None:
    """A file that may not grow is put away, since half of the rows would tell of a company that was not."""
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
{KILLED}"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), "1000", "1000"], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == -signal.SIGKILL, "by itself at the end, and not by the system before"
    assert beside(path) == []


def test_a_ledger_in_memory_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten at the end leaves nothing in the folder that the program was started in."""
    monkeypatch.chdir(tmp_path)
    with open_ledger(Path(":memory:")) as ledger, rows_under_way(ledger, batch_id=batch_id()) as under_way:
        under_way.began(plan())
        assert find_deaths(ledger, found_at=NOON) == 0
        assert list(tmp_path.iterdir()) == []
