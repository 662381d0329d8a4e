"""rowmill as a library."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path

import duckdb
import httpx
import pandas as pd
import pyarrow as pa
import pytest

from tasks_lib.domain.job import Limits
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job import answers, ask, enrich
from tests.job.pretend import ENVIRONMENT, Pretend, completion, task

COST = Decimal("0.0000125")  # 10 tokens at $0.25 and 5 at $2 a million


def test_a_dataframe_comes_back_with_typed_columns_in_its_order() -> None:
    """A DataFrame in, a DataFrame out: same rows, same order, the answers and the run's data beside."""
    reviews = pd.DataFrame({"id": ["b", "a", "c"], "text": ["good", "bad", None], "stars": [5, 1, 3]})
    pretend = Pretend()
    enriched = asyncio.run(
        enrich(reviews, task(), key="id", environment=ENVIRONMENT, transport=pretend.transport)
    )
    assert list(enriched["id"]) == ["b", "a", "c"]
    assert list(enriched["stars"]) == [5, 1, 3]
    assert list(enriched["sentiment"]) == ["positive", "negative", "negative"]
    assert [len("Review: good"), len("Review: bad"), len("Review: ")] == list(enriched["length"])
    assert list(enriched["rowmill_status"]) == ["completed"] * 3
    assert list(enriched["rowmill_cost"]) == [COST] * 3


def test_a_table_comes_back_as_a_table_and_a_ledger_saves_the_second_call(tmp_path: Path) -> None:
    """With a ledger, the same table again makes no call and has the same answers."""
    table = pa.table({"text": ["good", "bad", "good"]})
    pretend = Pretend()
    ledger = tmp_path / "ledger.duckdb"

    async def enriched() -> pa.Table:
        return await enrich(
            table, task(), ledger=ledger, environment=ENVIRONMENT, transport=pretend.transport
        )

    first, second = asyncio.run(enriched()), asyncio.run(enriched())
    assert len(pretend.asked) == 2  # the third row asks what the first one does
    assert first.equals(second)
    with duckdb.connect(str(ledger), read_only=True) as connection:
        assert connection.execute("select status, skipped from batches order by started_at").fetchall() == [
            ("completed", 0),
            ("completed", 3),
        ]


def test_a_refusal_of_the_provider_is_a_mistake_that_says_so() -> None:
    """A key that is refused ends the batch with the provider's reason, not with a table of nothing."""
    refuse = Pretend(lambda _: httpx.Response(401, json={"error": {"message": "Incorrect API key"}}))
    table = pa.table({"text": ["good"] * 50})
    with pytest.raises(Mistake, match="Incorrect API key"):
        asyncio.run(
            enrich(
                table,
                task(),
                limits=Limits(in_flight=2),
                environment=ENVIRONMENT,
                transport=refuse.transport,
            )
        )
    assert len(refuse.asked) <= 2


def test_one_row_is_asked() -> None:
    """One row in, one answer out, with what it cost."""
    pretend = Pretend()
    answer = asyncio.run(ask({"text": "good"}, task(), environment=ENVIRONMENT, transport=pretend.transport))
    assert answer.response == {"sentiment": "positive", "length": 12}
    assert answer.cost == COST
    assert answer.status == "completed"
    assert answer.model == "openai:gpt-5-mini"


def test_rows_as_they_come_are_answered_as_they_end() -> None:
    """An async iterator of rows is drawn no faster than it is run, and each row gets its answer."""
    drawn = 0

    async def rows() -> AsyncIterator[Mapping[str, str]]:
        nonlocal drawn
        for number in range(200):
            drawn += 1
            yield {"id": str(number), "text": "good" if number % 2 else "bad"}

    pretend = Pretend(latency=0.001)

    async def story() -> dict[str, object]:
        found = {}
        async with answers(
            rows(),
            task(),
            key="id",
            limits=Limits(in_flight=4),
            environment=ENVIRONMENT,
            transport=pretend.transport,
        ) as stream:
            first = await stream.receive()
            assert drawn < 30  # in flight, ahead in the feed, and waiting to be read
            found[first.key] = first.response
            async for answer in stream:
                found[answer.key] = answer.response
        return found

    found = asyncio.run(story())
    assert {str(number) for number in range(200)} == set(found)
    assert found["7"] == {"sentiment": "positive", "length": 12}
    assert pretend.most_at_once <= 4


def test_leaving_a_stream_early_ends_the_batch_and_leaves_nothing_running(tmp_path: Path) -> None:
    """Who leaves after the first answer pays for no more than what was under way, and the ledger says so."""
    pretend = Pretend(latency=0.01)
    ledger = tmp_path / "ledger.duckdb"

    async def story() -> int:
        async with answers(
            ({"text": f"good {number}"} for number in range(1000)),
            task(),
            limits=Limits(in_flight=3),
            ledger=ledger,
            environment=ENVIRONMENT,
            transport=pretend.transport,
        ) as stream:
            await stream.receive()
        return len(asyncio.all_tasks())

    assert asyncio.run(story()) == 1
    assert len(pretend.asked) < 20
    with duckdb.connect(str(ledger), read_only=True) as connection:
        assert connection.execute("select status from batches").fetchall() == [("interrupted",)]
        answered = connection.execute("select count(*) from attempts").fetchone()
    assert answered == (len(pretend.asked),)


def test_what_the_ledger_knows_is_streamed_without_a_call(tmp_path: Path) -> None:
    """A row that was answered before comes from the ledger, and a new one is asked."""
    pretend = Pretend()
    ledger = tmp_path / "ledger.duckdb"

    async def keys(*texts: str) -> list[tuple[str, object]]:
        async with answers(
            [{"id": text, "text": text} for text in texts],
            task(),
            key="id",
            ledger=ledger,
            environment=ENVIRONMENT,
            transport=pretend.transport,
        ) as stream:
            return sorted([(answer.key, answer.response) async for answer in stream])

    first = asyncio.run(keys("good", "bad"))
    second = asyncio.run(keys("good", "bad", "ugly"))
    assert first == [one for one in second if one[0] != "ugly"]
    assert sorted(pretend.asked) == ["Review: bad", "Review: good", "Review: ugly"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"id": "1", "text": "a"}, {"id": "1", "text": "b"}], "row 2 has the key '1'"),
        ([{"id": None, "text": "a"}], "row 1 has no key"),
        ([{"id": "1"}], "row 1 has no 'text'"),
    ],
)
def test_a_row_that_cannot_be_named_or_asked_ends_the_stream(rows: list[dict[str, str]], told: str) -> None:
    """A duplicate key, a missing key and a missing column are told with the row's number."""

    async def story() -> None:
        async with answers(
            rows, task(), key="id", environment=ENVIRONMENT, transport=Pretend().transport
        ) as stream:
            async for _ in stream:
                pass

    with pytest.raises(Mistake, match=told):
        asyncio.run(story())


def test_an_answer_that_never_fits_is_a_failed_row_and_not_a_failed_batch() -> None:
    """Two further tries with the error told, then a failed row beside the others."""
    pretend = Pretend(
        lambda text: (
            completion("no JSON") if "odd" in text else completion('{"sentiment": "positive", "length": 1}')
        )
    )
    table = pa.table({"text": ["fine", "odd"]})
    enriched = asyncio.run(enrich(table, task(), environment=ENVIRONMENT, transport=pretend.transport))
    assert enriched.column("rowmill_status").to_pylist() == ["completed", "failed"]
    assert "invalid_output" in enriched.column("rowmill_error").to_pylist()[1]
    assert [
        sum("fine" in text for text in pretend.asked),
        sum("odd" in text for text in pretend.asked),
    ] == [1, 3]
    assert "not JSON" in pretend.asked[-1]
