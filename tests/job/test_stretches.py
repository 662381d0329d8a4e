"""Which rows of a source need a call."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from tasks_lib.domain.row import Row
from tasks_lib.engine.stop import Stop
from tasks_lib.job import enrich
from tasks_lib.job.books import Books
from tasks_lib.job.checks import planner_of
from tasks_lib.job.library import _setup
from tasks_lib.job.stretches import Options, Stretches
from tasks_lib.job.tally import Tally
from tasks_lib.ledger import open_ledger
from tasks_lib.rows import open_table
from tests.job.pretend import ENVIRONMENT, Pretend, task

_AT_A_TIME = 2  # rows of a stretch


class Drawn:
    """Stretches of rows, and how many of them were drawn."""

    def __init__(self, stretches: Iterator[list[Row]]) -> None:
        self.count = 0
        self._stretches = stretches

    def __iter__(self) -> Iterator[list[Row]]:
        for stretch in self._stretches:
            self.count += 1
            yield stretch


def fetched(
    ledger: Path, texts: Sequence[str], *, answered: Sequence[str]
) -> tuple[list[tuple[int, int]], Tally]:
    """Of each fetch: how many stretches it drew from the source, and how many plans it gave."""
    known = pa.table({"text": list(answered)})
    asyncio.run(enrich(known, task(), ledger=ledger, environment=ENVIRONMENT, transport=Pretend().transport))
    setup = _setup(
        task(),
        inputs=None,
        key=None,
        reporting_group=None,
        limits=None,
        retries=None,
        ledger=ledger,
        environment=ENVIRONMENT,
    )
    tally = Tally()

    async def fetch_all() -> list[tuple[int, int]]:
        found = []
        with open_table(pa.table({"text": list(texts)}), key=None) as source, open_ledger(ledger) as open_one:
            drawn = Drawn(source.rows(size=_AT_A_TIME))
            stretches = Stretches(
                iter(drawn),
                planner=planner_of(setup.job),
                ledger=open_one,
                options=Options(),
                tally=tally,
                books=Books(tally, Stop()),
            )
            before = 0
            while (plans := await stretches.fetch()) is not None:
                found.append((drawn.count - before, len(plans)))
                before = drawn.count
        return found

    return asyncio.run(fetch_all()), tally


def test_a_long_answered_beginning_does_not_plan_a_long_rest_at_once(tmp_path: Path) -> None:
    """Look-ups grow to eight stretches while nothing is left to do, but never more than one is planned."""
    texts = [f"good {number}" for number in range(160)]
    found, tally = fetched(tmp_path / "ledger.duckdb", texts, answered=texts[:100])
    assert (sum(plans for _, plans in found), tally.skipped) == (60, 100)
    assert [drawn for drawn, _ in found][:6] == [1, 2, 4, 8, 8, 8]
    assert max(drawn for drawn, _ in found) == 8
    assert max(plans for _, plans in found) == _AT_A_TIME
    first = next(at for at, (_, plans) in enumerate(found) if plans)
    rest = [drawn for drawn, _ in found[first:]]
    assert set(rest[1:]) <= {0, 1}  # what was drawn with the first is planned in turn, then one at a time


def test_a_run_with_rows_to_ask_looks_up_no_more_than_it_asks(tmp_path: Path) -> None:
    """Where nothing was answered, each stretch is planned before the next one is drawn."""
    texts = [f"good {number}" for number in range(20)]
    found, tally = fetched(tmp_path / "ledger.duckdb", texts, answered=["another"])
    assert found == [(1, _AT_A_TIME)] * 10
    assert tally.skipped == 0


def test_a_few_unanswered_rows_among_many_do_not_shorten_look_ups(tmp_path: Path) -> None:
    """One row in sixteen is found by as long look-ups as none."""
    texts = [f"good {number}" for number in range(160)]
    answered = [text for number, text in enumerate(texts) if number % 16 != 15]
    found, tally = fetched(tmp_path / "ledger.duckdb", texts, answered=answered)
    assert (sum(plans for _, plans in found), tally.skipped) == (10, 150)
    assert sum(drawn > 0 for drawn, _ in found) == 13  # of 1, 2 and 4 stretches, then of 8, the last of 1


def test_long_rows_are_looked_up_a_few_at_a_time(tmp_path: Path) -> None:
    """Rows of megabytes do not fill memory only because they were answered."""
    texts = [f"good {number} " + "x" * 3_000_000 for number in range(16)]
    found, tally = fetched(tmp_path / "ledger.duckdb", texts, answered=texts)
    assert tally.skipped == 16
    assert [drawn for drawn, _ in found if drawn] == [1, 2, 3, 2]  # three are more than 16 MB
