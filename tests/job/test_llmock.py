"""A few rows in each protocol against a server that others wrote."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.ledger import open_ledger
from tests.verdict.server import SPOKEN, Judge, job, llmock


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with llmock() as running:
        yield running


@pytest.mark.parametrize("protocol", SPOKEN)
def test_each_protocol_is_understood_by_a_server_of_others(
    judge: Judge, tmp_path: Path, protocol: str
) -> None:
    """Every row is answered at the first try, with its tokens."""
    path = job(tmp_path, judge, protocol, rows=5)
    summary = anyio.run(lambda: run_batch(load_setup(path, environment=Environment.of({}))))
    assert (summary.completed, summary.failed) == (5, 0)
    with open_ledger(tmp_path / "ledger.duckdb", read_only=True) as ledger:
        told = ledger.sql(
            "select count(*), min(http_status), min(input_tokens) > 0, min(output_tokens) > 0 from attempts"
        )
    assert [tuple(row.values()) for row in told.to_pylist()] == [(5, 200, True, True)]
