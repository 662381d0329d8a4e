"""Rows that bring forth an error of the program's own, when it is used as a library."""

import asyncio
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from tasks_lib.job import answers, enrich
from tests.job.pretend import ENVIRONMENT, Pretend, says, task


def breaks(text: str) -> httpx.Response:
    """An answer, or what nobody foresaw."""
    if "evil" in text:
        raise ZeroDivisionError("nobody foresaw this")
    return says(text)


TEXTS = ["good", "evil", "bad", "better"]


def test_a_row_that_breaks_a_stream_is_set_aside(tmp_path: Path) -> None:
    """A stream that breaks four times at one row comes to its end at the fifth, without a call for it."""
    pretend, ledger = Pretend(breaks), tmp_path / "ledger.duckdb"

    async def found() -> dict[str, str]:
        rows = ({"text": text} for text in TEXTS)
        async with answers(
            rows, task(), ledger=ledger, environment=ENVIRONMENT, transport=pretend.transport
        ) as stream:
            return {str(answer.row["text"]): answer.error or answer.status async for answer in stream}

    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            asyncio.run(found())
    ended = asyncio.run(found())
    assert ended.pop("evil").startswith("poisoned: the process died 4 times")
    assert ended == dict.fromkeys(("good", "bad", "better"), "completed")
    assert sum("evil" in asked for asked in pretend.asked) == 4


def test_a_row_that_breaks_a_table_is_set_aside(tmp_path: Path) -> None:
    """The other rows of the table are answered before that row is tried alone, and come with it."""
    pretend, ledger = Pretend(breaks), tmp_path / "ledger.duckdb"

    async def found() -> pa.Table:
        return await enrich(
            pa.table({"text": TEXTS}),
            task(),
            ledger=ledger,
            environment=ENVIRONMENT,
            transport=pretend.transport,
        )

    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            asyncio.run(found())
    assert {text for text in TEXTS if any(text in asked for asked in pretend.asked)} == set(TEXTS)
    assert statuses(asyncio.run(found())) == ["completed", "failed", "completed", "completed"]
    assert list(tmp_path.glob("*under-way*")) == []


def statuses(table: pa.Table) -> list[object]:
    return table["rowmill_status"].to_pylist()
