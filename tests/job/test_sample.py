"""A sample that counts, and what it says of the other rows."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tasks_lib.domain.job import Limits
from tasks_lib.domain.retries import Retries
from tasks_lib.engine.stop import Stop
from tasks_lib.job import enrich
from tasks_lib.job.library import _setup
from tasks_lib.job.sample import Asked, Load, Sampling, outlook
from tasks_lib.job.setup import Setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.survey import survey
from tasks_lib.job.tally import Tally
from tasks_lib.rows import open_table
from tests.job.pretend import ENVIRONMENT, Pretend, completion, says, task

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
REVIEWS = pa.table({"id": [str(n) for n in range(200)], "text": [f"good {n}" for n in range(200)]})


def setup(ledger: Path | None = None, *, limits: Limits | None = None, content: int = 2) -> Setup:
    return _setup(
        task(),
        inputs=None,
        key="id",
        reporting_group=None,
        limits=limits,
        retries=Retries(transient=2, content=content, wait_initial=0.001, wait_max=0.002),
        ledger=ledger,
        environment=ENVIRONMENT,
    )


def asked(
    *,
    completed: bool = True,
    cost: str = "0.01",
    possible: str = "0",
    unknown: int = 0,
    calls: int = 1,
    tokens: tuple[int, int] = (100, 10),
    worked: float = 2.0,
) -> Asked:
    load = Load(calls=calls, input_tokens=tokens[0], output_tokens=tokens[1], worked=worked)
    return Asked(
        completed=completed,
        cost=Decimal(cost),
        possible_cost=Decimal(possible),
        calls_of_unknown_cost=unknown,
        loads={"openai": load},
        began=NOON,
        ended=NOON + timedelta(seconds=worked),
    )


def test_a_sample_counts_and_the_run_leaves_it_out(tmp_path: Path) -> None:
    """The sample's rows and no others are asked, and a run afterwards asks only those that are left."""
    ledger = tmp_path / "ledger.duckdb"
    one = setup(ledger, limits=Limits(in_flight=4))
    pretend = Pretend()
    with open_table(REVIEWS, key="id") as source:
        found = survey(one.job, source, rows=200, options=Options(), choose=30)
    sampling = Sampling(one, found.chosen, options=Options(limit=10), transport=pretend.transport)
    summary = asyncio.run(sampling.run(Tally(), Stop()))
    assert (summary.rows, summary.completed, summary.skipped) == (30, 30, 0)
    assert sorted(pretend.asked) == sorted(f"Review: {row.values['text']}" for row in found.chosen)
    assert {one.completed for one in sampling.asked} == {True}
    later = Pretend()
    asyncio.run(
        enrich(REVIEWS, task(), key="id", ledger=ledger, environment=ENVIRONMENT, transport=later.transport)
    )
    assert len(later.asked) == 170
    assert set(later.asked).isdisjoint(pretend.asked)


def test_retries_and_answers_asked_for_again_are_part_of_the_estimate(tmp_path: Path) -> None:
    """A row whose first answer was not usable costs two calls, and so do the rows that it stands for."""
    first: set[str] = set()

    def answer(text: str) -> httpx.Response:
        known = text.partition("\n")[0]
        if int(known.rsplit(" ", 1)[1]) % 2 and known not in first:
            first.add(known)
            return completion("no JSON")
        return says(known)

    one = setup(tmp_path / "ledger.duckdb", limits=Limits(in_flight=1))
    with open_table(REVIEWS, key="id") as source:
        rows = survey(one.job, source, rows=200, options=Options(), choose=40).chosen
    sampling = Sampling(one, rows, options=Options(), transport=Pretend(answer).transport)
    asyncio.run(sampling.run(Tally(), Stop()))
    odd = sum(int(row.key) % 2 for row in rows)
    seen = outlook(one, sampling.asked, chosen=40, rows=200)
    assert (seen.sampled, seen.failed, seen.left) == (40, 0, 160)
    assert seen.spent == Decimal("0.0000125") * (40 + odd)
    assert seen.calls.likely == pytest.approx(160 * (40 + odd) / 40)
    assert seen.cost is not None
    assert seen.cost.likely == pytest.approx(0.0000125 * 160 * (40 + odd) / 40)
    assert seen.cost.low is not None
    assert seen.cost.high is not None
    assert seen.cost.low < seen.cost.likely < seen.cost.high
    assert seen.input_tokens.likely == pytest.approx(10 * seen.calls.likely)


def test_what_a_sample_will_cost_is_known_beforehand(tmp_path: Path) -> None:
    """Its prompts by their length, and at most what the longest answers cost; nothing was asked for that."""
    one = setup(tmp_path / "ledger.duckdb")
    pretend = Pretend()
    with open_table(REVIEWS, key="id") as source:
        rows = survey(one.job, source, rows=200, options=Options(), choose=10).chosen
    before = Sampling(one, rows, options=Options(), transport=pretend.transport).beforehand()
    assert before.rows == 10
    assert before.input_cost is not None
    assert before.most is not None
    assert Decimal(0) < before.input_cost < before.most
    assert before.most > 10 * 50 * Decimal(2) / 1_000_000  # answers of 50 tokens at $2 a million
    assert pretend.asked == []


def test_failed_rows_are_asked_again_and_are_among_those_left() -> None:
    """A row that failed costs once more what it cost; and its like among the others are expected to fail."""
    sample = [asked()] * 45 + [asked(completed=False, cost="0.03", calls=3)] * 5
    seen = outlook(setup(), sample, chosen=50, rows=1_000)
    assert (seen.failed, seen.left) == (5, 955)
    assert seen.calls.likely == pytest.approx(950 * 60 / 50 + 15)
    assert seen.failures.likely == pytest.approx(0.1)
    assert seen.failures.low is not None
    assert 0.03 < seen.failures.low < 0.1


def test_possible_and_unknown_costs_stay_apart() -> None:
    """What may have been billed is not added to what was; a call of unknown cost is counted, not priced."""
    sample = [asked()] * 48 + [asked(possible="0.50"), asked(cost="0", unknown=1)]
    seen = outlook(setup(), sample, chosen=50, rows=5_050)
    assert seen.cost is not None
    assert seen.cost.likely == pytest.approx(5_000 * 0.49 / 50)
    assert seen.possible_cost.likely == pytest.approx(5_000 * 0.50 / 50)
    assert seen.calls_of_unknown_cost.likely == pytest.approx(100)


def test_no_price_is_an_unknown_cost_and_not_none() -> None:
    """Where no call had a price, there is no estimate of the cost."""
    seen = outlook(setup(), [asked(cost="0", unknown=1)] * 20, chosen=20, rows=100)
    assert seen.cost is None
    assert seen.as_json()["left"]["cost"] is None  # type: ignore[index]  # the object's shape is documented


@pytest.mark.parametrize(
    ("limits", "seconds", "paced_by"),
    [
        (Limits(in_flight=10), 200.0, "10 calls in flight at openai"),
        (Limits(in_flight=1000, requests_per_minute=60), 1_000.0, "60 requests a minute at openai"),
        (Limits(in_flight=1000, tokens_per_minute=110_000), 60.0, "110,000 tokens a minute at openai"),
        (
            Limits(in_flight=1000, input_tokens_per_minute=1_000),
            6_000,
            "1,000 input tokens a minute at openai",
        ),
        (
            Limits(in_flight=1000, output_tokens_per_minute=1_000),
            600,
            "1,000 output tokens a minute at openai",
        ),
        (Limits(in_flight=1000, requests_per_day=400), 2 * 86_400, "400 requests a day at openai"),
    ],
)
def test_the_time_follows_from_the_slowest_limit(limits: Limits, seconds: float, paced_by: str) -> None:
    """1,000 rows of one call, 2 s, 100 tokens in and 10 out: whichever limit takes longest says how long."""
    seen = outlook(setup(limits=limits), [asked()] * 50, chosen=50, rows=1_050)
    assert seen.seconds.likely == pytest.approx(seconds)
    assert seen.paced_by == paced_by


def test_where_calls_in_flight_have_no_limit_the_time_is_a_wide_range() -> None:
    """Between what the sample reached and what may be found out: nobody knows before it was tried."""
    one = setup()
    providers = {name: replace(of, limits=Limits()) for name, of in one.providers.items()}
    seen = outlook(replace(one, providers=providers), [asked()] * 50, chosen=50, rows=100_050)
    assert seen.seconds.high == pytest.approx(100_000 * 2 / 50)
    assert seen.seconds.low == pytest.approx(100_000 * 2 / 1_000)


def test_a_money_limit_that_the_rest_may_pass_is_told_with_the_remedy() -> None:
    """The upper bound counts: what may not fit is told before it stops a run at night."""
    costs = np.random.default_rng(1).lognormal(-5, 1, 50)
    sample = [asked(cost=f"{cost:.6f}") for cost in costs]

    def warned(most: str) -> list[str]:
        seen = outlook(setup(limits=Limits(max_cost=Decimal(most))), sample, chosen=50, rows=1_050)
        assert seen.cost is not None
        assert seen.cost.low is not None
        assert seen.cost.high is not None
        assert seen.cost.low < 10 < seen.cost.high < 100
        return [warning for warning in seen.warnings if "limits.max_cost" in warning]

    assert warned("100") == []
    (likely,) = warned("5")
    (perhaps,) = warned("14.5")
    assert "will likely cost more than limits.max_cost of $5" in likely
    assert "may cost more" in perhaps
    assert "resumed with more" in perhaps
    assert "--limit" in perhaps


def test_a_sample_that_was_cut_short_says_that_it_is_no_fair_one() -> None:
    """Rows that end first are not chosen by chance."""
    seen = outlook(setup(), [asked()] * 20, chosen=50, rows=1_000)
    assert any("20 of the 50 rows" in warning for warning in seen.warnings)
