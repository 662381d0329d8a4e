"""Which chunks make up one Prefect task run."""

import asyncio
from itertools import pairwise

import pytest

from flows.spans import MOST_SPANS, Span, Spans
from tasks_lib.job.books import Chunk
from tasks_lib.job.tally import Tally

EACH = 10


def chunk(number: int, *, stretches: int = 1, first: int | None = None) -> Chunk:
    first = first if first is not None else (number - 1) * EACH + 1
    return Chunk(number=number, first_row=first, last_row=first + stretches * EACH - 1)


async def kept(rows: int) -> tuple[Spans, list[Span]]:
    begun: list[Span] = []
    return Spans(begun.append, tally=Tally(rows=rows), chunk_rows=EACH), begun


def test_chunks_overlap_and_end_in_any_order():
    """A chunk that is slow holds up no other: each span ends with its own rows."""

    async def story():
        spans, begun = await kept(30)
        for number in (1, 2, 3):
            await spans.started(chunk(number))
        await spans.ended(chunk(3), completed=10, failed=0)
        await spans.ended(chunk(1), completed=8, failed=2)
        assert [span.ended.done() for span in begun] == [True, False, True]
        assert [(span.first_row, span.last_row) for span in begun] == [(1, 10), (11, 20), (21, 30)]
        assert (begun[0].completed, begun[0].failed) == (8, 2)
        spans.close()
        assert [span.ended.result() for span in begun] == [True, False, True]

    asyncio.run(story())


@pytest.mark.parametrize("chunks", [1, MOST_SPANS, MOST_SPANS + 1, 7 * MOST_SPANS + 3])
def test_spans_are_bounded(chunks):
    """However many rows a batch has, its spans are a few hundred, cover all rows and do not overlap."""

    async def story():
        rows = chunks * EACH - 3
        spans, begun = await kept(rows)
        for number in range(1, chunks + 1):
            await spans.started(chunk(number))
            if number > 4:
                await spans.ended(chunk(number - 4), completed=EACH, failed=0)
        for number in range(max(1, chunks - 3), chunks + 1):
            await spans.ended(chunk(number), completed=EACH, failed=0)
        spans.close()
        assert len(begun) <= MOST_SPANS
        assert (begun[0].first_row, begun[-1].last_row) >= (1, rows)
        assert all(one.last_row + 1 == other.first_row for one, other in pairwise(begun))
        assert all(span.ended.result() for span in begun)
        assert sum(span.completed for span in begun) == chunks * EACH

    asyncio.run(story())


def test_a_span_of_several_chunks_waits_for_all_of_them():
    """A span is not over while another of its chunks may come, and is over once a later span has begun."""

    async def story():
        spans, begun = await kept(2 * MOST_SPANS * EACH)
        await spans.started(chunk(1))
        await spans.ended(chunk(1), completed=EACH, failed=0)
        assert not begun[0].ended.done()
        await spans.started(chunk(3))
        assert begun[0].ended.done()
        await spans.ended(chunk(3), completed=EACH, failed=0)
        assert not begun[1].ended.done()
        spans.close()
        assert begun[1].ended.result()

    asyncio.run(story())


def test_rows_that_were_answered_before_have_no_span():
    """A repeated job has spans for the new rows alone; a chunk may span many stretches."""

    async def story():
        spans, begun = await kept(1000)
        await spans.started(chunk(1, first=801, stretches=16))
        await spans.ended(chunk(1, first=801, stretches=16), completed=3, failed=0)
        assert [(span.first_row, span.last_row, span.ended.done()) for span in begun] == [(801, 960, True)]

    asyncio.run(story())


def test_spans_of_a_comparison_are_of_the_sources_rows():
    """R28: a row that is run with two revisions is one row to a span, which ends at the source's end."""

    async def story():
        begun: list[Span] = []
        spans = Spans(begun.append, tally=Tally(rows=30, runs_a_row=2), chunk_rows=EACH)
        await spans.started(chunk(1))
        await spans.started(Chunk(number=2, first_row=11, last_row=15))
        assert [(span.first_row, span.last_row) for span in begun] == [(1, 10), (11, 15)]

    asyncio.run(story())
