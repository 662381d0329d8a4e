"""Which rows are still to be asked, and a fair choice of them."""

import asyncio
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tasks_lib.domain.job import Job
from tasks_lib.domain.row import Row
from tasks_lib.job import enrich
from tasks_lib.job.library import _setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.survey import Survey, _chosen, survey
from tasks_lib.rows import open_table
from tests.job.pretend import ENVIRONMENT, Pretend, task


def job_at(ledger: Path) -> Job:
    setup = _setup(
        task(),
        inputs=None,
        key="id",
        reporting_group=None,
        limits=None,
        retries=None,
        ledger=ledger,
        environment=ENVIRONMENT,
    )
    return setup.job


def reviews(rows: range) -> pa.Table:
    return pa.table({"id": [str(n) for n in rows], "text": [f"good {n}" for n in rows]})


def surveyed(ledger: Path, rows: range, *, choose: int, options: Options | None = None) -> Survey:
    with open_table(reviews(rows), key="id") as source:
        return survey(job_at(ledger), source, rows=len(rows), options=options or Options(), choose=choose)


async def answered(ledger: Path, rows: range) -> None:
    await enrich(
        reviews(rows),
        task(),
        key="id",
        ledger=ledger,
        environment=ENVIRONMENT,
        transport=Pretend().transport,
    )


def test_the_same_rows_are_chosen_each_time_in_their_order(tmp_path: Path) -> None:
    """A choice can be repeated, and is none of the file's order: the first rows are not preferred."""
    ledger = tmp_path / "none.duckdb"
    one, two = (surveyed(ledger, range(2_000), choose=40) for _ in range(2))
    numbers = [row.number for row in one.chosen]
    assert one == two
    assert len(set(numbers)) == 40
    assert numbers == sorted(numbers)
    assert sum(number <= 1_000 for number in numbers) in range(8, 33)
    assert (one.answered, one.to_run) == (0, 2_000)


def test_every_row_has_the_same_chance(tmp_path: Path) -> None:
    """Over 200 seeds each quarter of the rows gives its quarter of the choices."""
    job = job_at(tmp_path / "none.duckdb")
    quarters = [0, 0, 0, 0]
    for seed in range(200):
        for row in _chosen(numbered(400), replace(job, seed=str(seed)), 20):
            quarters[(row.number - 1) // 100] += 1
    assert sum(quarters) == 4_000
    assert all(abs(quarter - 1_000) < 120 for quarter in quarters)  # 4.4 standard deviations


@pytest.mark.parametrize("choose", [0, 10])
def test_rows_that_were_answered_are_counted_and_not_chosen(tmp_path: Path, choose: int) -> None:
    """The choice is among the rows that a run would ask; with --force that is all of them."""
    ledger = tmp_path / "ledger.duckdb"
    asyncio.run(answered(ledger, range(150)))
    found = surveyed(ledger, range(160), choose=choose)
    assert (found.answered, found.to_run) == (150, 10)
    assert [row.key for row in found.chosen] == [str(n) for n in range(150, 160)][:choose]
    forced = surveyed(ledger, range(160), choose=choose, options=Options(force=True))
    assert (forced.to_run, len(forced.chosen)) == (160, choose)


def numbered(rows: int) -> Iterator[Row]:
    return (Row(number=n, key=f"key {n}", values={"text": "x" * 100}) for n in range(1, rows + 1))


def test_a_choice_among_many_rows_takes_no_more_memory_than_one_among_few(tmp_path: Path) -> None:
    """Of a hundred times as many rows no more are in memory: those chosen, and the one that is looked at."""
    job = job_at(tmp_path / "none.duckdb")

    def peak(rows: int) -> int:
        tracemalloc.start()
        try:
            assert len(_chosen(numbered(rows), job, 50)) == 50
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(500)  # what is made once and for all
    assert peak(50_000) < 2 * peak(500)
