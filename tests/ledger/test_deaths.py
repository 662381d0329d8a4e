"""Rows that were under way when a process died."""

from pathlib import Path

from tasks_lib.ledger import Death, Ledger, open_ledger
from tasks_lib.ledger.under_way import companies_at_deaths
from tests.ledger.builders import NOON, batch_id, plan


def death(key: str | None = "1") -> Death:
    asked = plan(key=key or "")
    return Death(
        batch_id=batch_id(),
        task_run_id=asked.task_run_id,
        identity=asked.identity,
        row_key=key,
        row_number=asked.row_number,
    )


def deaths_in(ledger: Ledger) -> dict[str, int]:
    """How many processes died while a row of each identity was under way."""
    return {identity: len(companies) for identity, companies in companies_at_deaths(ledger).items()}


def test_deaths_are_counted_by_identity(path: Path) -> None:
    """Each death of a row counts, whatever batch it was in, and they are there for the next process."""
    first, again, other, odd = death("1"), death("1"), death("2"), death("\0'; --")
    with open_ledger(path) as ledger:
        ledger.add_deaths([first, other, odd], found_at=NOON)
        ledger.add_deaths([again], found_at=NOON)
    with open_ledger(path, read_only=True) as ledger:
        assert deaths_in(ledger) == {first.identity: 2, other.identity: 1, odd.identity: 1}


def test_a_death_that_is_found_twice_counts_once(ledger: Ledger) -> None:
    """A process that dies before it has put away what it found leaves it to be found again."""
    found = death()
    for _ in range(2):
        ledger.add_deaths([found], found_at=NOON)
    assert deaths_in(ledger) == {found.identity: 1}


def test_nothing_died(ledger: Ledger) -> None:
    """No deaths are no row."""
    ledger.add_deaths([], found_at=NOON)
    assert deaths_in(ledger) == {}
