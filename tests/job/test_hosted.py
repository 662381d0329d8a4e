"""Batches of hosted tasks, one after the other: nothing is begun twice, and every row is answered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from tasks_lib.domain.mistake import Mistake
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome
from tasks_lib.ledger import open_ledger
from tests.hostedtask.running import JOB, ran, written
from tests.hostedtask.serving import Served, served

pytestmark = pytest.mark.anyio
SUMS = "select sum(cost), sum(estimated_cost) from attempts"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def host() -> Iterator[Served]:
    with served(seconds=0.2) as one:
        yield one


def found(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with open_ledger(folder / "ledger.duckdb", read_only=True) as ledger:
        return ledger.cursor().execute(query).fetchall()


async def stopped_when_begun(folder: Path, host: Served, runs: int) -> Any:
    """A batch that is stopped when so many runs were begun and looked at."""
    stop = Stop()
    async with anyio.create_task_group() as beside:

        async def stops() -> None:
            # the host lives in other threads, which know of no event
            while host.host.requests["begun"] < runs or host.host.requests["looked at"] < runs:  # noqa: ASYNC110
                await anyio.sleep(0.01)
            stop.call(Why.INTERRUPTED, "enough")

        beside.start_soon(stops)
        summary = await ran(folder, stop=stop)
        beside.cancel_scope.cancel()
    return summary


async def test_runs_that_a_stop_let_go_are_taken_up(tmp_path: Path, host: Served) -> None:
    """Runs that one batch lets go are seen to their end by the next one: begun once, and paid once in SQL."""
    written(tmp_path, host.url, rows=8)
    host.host.seconds = 600.0
    first = await stopped_when_begun(tmp_path, host, 8)
    assert (first.outcome, first.going_on) == (Outcome.INTERRUPTED, {"parallel": 8})
    assert float(first.possible_cost) == pytest.approx(8 * 0.025)
    assert float(found(tmp_path, "select sum(estimated_cost) from attempts")[0][0]) == pytest.approx(0.2)
    for run in host.host.runs.values():
        run.seconds = 0.0
    second = await ran(tmp_path)
    assert (second.outcome, second.completed, second.going_on) == (Outcome.COMPLETED, 8, {})
    assert host.host.requests["begun"] == 8
    assert host.host.requests["looked for"] == 0
    cost, possible = found(tmp_path, SUMS)[0]
    assert (float(cost), float(possible)) == (pytest.approx(0.2), 0.0)
    ((total, on_top),) = found(tmp_path, "select sum(cost), sum(possible_cost) from cost_by_reporting_group")
    assert (float(total), float(on_top)) == (pytest.approx(0.2), 0.0)
    third = await ran(tmp_path)
    assert (third.skipped, third.calls) == (8, 0)


async def test_runs_that_were_given_up_are_taken_up(tmp_path: Path, host: Served) -> None:
    """A run that took too long failed its row; the next batch has its answer without beginning another."""
    written(tmp_path, host.url, rows=3, run=0.3)
    host.host.seconds = 600.0
    first = await ran(tmp_path)
    assert (first.failures, first.going_on) == ({"given_up": 3}, {"parallel": 3})
    host.host.runs["run_1"].seconds = 0.0
    second = await ran(tmp_path)
    assert (second.completed, second.failed) == (1, 2)
    assert host.host.requests["begun"] == 3
    for run in host.host.runs.values():
        run.seconds = 0.0
    await ran(tmp_path)
    cost, possible = found(tmp_path, SUMS)[0]
    assert (float(cost), float(possible), host.host.requests["begun"]) == (pytest.approx(0.075), 0.0, 3)


async def test_a_run_that_failed_is_not_taken_up(tmp_path: Path, host: Served) -> None:
    """A run that failed there has its end in the ledger, so that the next batch begins another."""
    written(tmp_path, host.url, rows=1, job=JOB.replace("wait_initial", "transient: 0, wait_initial"))
    host.host.ends = lambda text: {"status": "failed", "error": "no"}
    first = await ran(tmp_path)
    assert (first.failed, first.going_on) == (1, {})
    host.host.ends = lambda text: {}
    second = await ran(tmp_path)
    assert (second.completed, host.host.requests["begun"]) == (1, 2)


async def test_force_asks_anew(tmp_path: Path, host: Served) -> None:
    """--force begins new runs for rows whose runs have ended."""
    written(tmp_path, host.url, rows=2)
    await ran(tmp_path)
    await ran(tmp_path, options=Options(force=True))
    assert host.host.requests["begun"] == 4


async def test_adopting_begins_nothing(tmp_path: Path, host: Served) -> None:
    """`adopt` sees runs that go on to their end and begins none; an id of no row is told."""
    written(tmp_path, host.url, rows=4)
    host.host.seconds = 600.0
    await stopped_when_begun(tmp_path, host, 4)
    written(tmp_path, host.url, rows=6)
    for run in host.host.runs.values():
        run.seconds = 0.0
    one = await ran(tmp_path, options=Options(adopt=frozenset({"run_2", "run_99"})))
    assert (one.completed, one.failed, one.skipped) == (1, 0, 5)
    assert [warning for warning in one.warnings if "run_99" in warning]
    rest = await ran(tmp_path, options=Options(adopt=frozenset()))
    assert (rest.completed, rest.skipped) == (3, 3)
    again = await ran(tmp_path, options=Options(adopt=frozenset({"run_2"})))
    assert ["end is known" in warning for warning in again.warnings] == [True]
    assert (again.calls, host.host.requests["begun"]) == (0, 4)
    host.host.seconds = 0.0
    whole = await ran(tmp_path)
    assert (whole.completed, host.host.requests["begun"]) == (2, 6)


async def test_adopting_does_not_begin_a_run_for_one_that_failed(tmp_path: Path, host: Served) -> None:
    """A run that is adopted and turns out to have failed fails its row, and is not begun anew."""
    written(tmp_path, host.url, rows=1)
    host.host.seconds = 600.0
    await stopped_when_begun(tmp_path, host, 1)
    host.host.runs["run_1"].seconds = 0.0
    host.host.runs["run_1"].end = {"status": "failed", "error": "no"}
    told = await ran(tmp_path, options=Options(adopt=frozenset()))
    assert (told.failed, host.host.requests["begun"]) == (1, 1)


async def test_several_processes_are_refused(tmp_path: Path, host: Served) -> None:
    """workers: 2 with a hosted task is refused before the first call, with the remedy."""
    written(tmp_path, host.url, job=JOB + "workers: 2\n")
    with pytest.raises(Mistake, match=r"parallel:core, are waited for and need no second core\. Leave"):
        await ran(tmp_path)
    assert not host.host.requests


async def test_what_a_task_tells_is_in_the_ledger(tmp_path: Path, host: Served) -> None:
    """W14, R42: credits, retries, fallback, warnings, citations and steps are as the task tells them."""
    written(tmp_path, host.url, rows=1)
    host.host.ends = lambda text: {
        "credits": "1.25",
        "llm_retries": 2,
        "used_fallback_model": True,
        "primary_failure_reason": "overloaded",
        "fallback_llm_model_id": "7e2c1d3a-9f40-4c5b-8a61-0d9e5b7f2c18",
        "llm_call_timing": 3.5,
        "input_processor_timing": 0.5,
        "warnings": ["the input was cut"],
        "citations": [
            {"field": "ceo", "url": "https://a.test", "excerpts": ["is the CEO"], "confidence": "high"}
        ],
        "steps": [
            {
                "description": "open the page",
                "actions": [{"name": "go", "params": {"url": "https://a.test"}, "is_done": True}],
            }
        ],
    }
    await ran(tmp_path)
    row = found(
        tmp_path,
        "select charged_credits, llm_retries, used_fallback_model, primary_failure_reason, "
        "fallback_llm_model, llm_call_timing, input_processor_timing, warnings::varchar from task_runs",
    )
    assert [(float(row[0][0]), *row[0][1:])] == [
        (
            1.25,
            2,
            True,
            "overloaded",
            "7e2c1d3a-9f40-4c5b-8a61-0d9e5b7f2c18",
            3.5,
            0.5,
            '["the input was cut"]',
        )
    ]
    assert found(tmp_path, "select field, url, excerpts::varchar, confidence from citations") == [
        ("ceo", "https://a.test", '["is the CEO"]', "high")
    ]
    assert found(tmp_path, "select description from steps") == [("open the page",)]
    assert found(tmp_path, "select step, number, name, params::varchar, is_done from actions") == [
        (1, 1, "go", '{"url":"https://a.test"}', True)
    ]
    told = found(
        tmp_path, "select remote_id, remote_run ->> 'status', remote_run ->> 'charged_credits' from attempts"
    )
    assert told == [("run_1", "completed", "1.25")]
