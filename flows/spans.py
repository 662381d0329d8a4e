"""Which chunks of a batch make up one Prefect task run, and when it is over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from tasks_lib.job.books import Chunk
from tasks_lib.job.tally import Tally

MOST_SPANS: Final = 200  # of one batch, however many rows it has


@dataclass(slots=True, kw_only=True)
class Span:
    """A stretch of rows that one task run stands for; row numbers are from 1, ends included."""

    number: int
    first_row: int
    last_row: int
    ended: "asyncio.Future[bool]"  # its value: whether all of its rows were asked
    open: set[int] = field(default_factory=set)  # chunks that have begun and not ended
    completed: int = 0
    failed: int = 0


class Spans:
    """Watches the chunks of a batch: one span for each, or for several of them if there are very many."""

    def __init__(self, begin: Callable[[Span], None], *, tally: Tally, chunk_rows: int) -> None:
        """Call `begin` with each span as its first rows are about to be asked."""
        self._begin = begin
        self._tally = tally
        self._chunk_rows = chunk_rows
        self._spans: dict[int, Span] = {}
        self._rows_each: int | None = None

    async def started(self, chunk: Chunk) -> None:
        """The rows of a chunk are about to be asked."""
        number = self._number(chunk)
        if number not in self._spans:
            self._open(number, chunk)
        self._spans[number].open.add(chunk.number)

    async def ended(self, chunk: Chunk, *, completed: int, failed: int) -> None:
        """Nothing more is to be done for a chunk."""
        number = self._number(chunk)
        span = self._spans[number]
        span.open.discard(chunk.number)
        span.completed += completed
        span.failed += failed
        if self._each == self._chunk_rows or number < max(self._spans):  # else more of its chunks may come
            _end_if_done(span)

    def close(self) -> None:
        """Nothing more will be done: end what is open."""
        for span in self._spans.values():
            if not span.ended.done():
                span.ended.set_result(not span.open)

    @property
    def _each(self) -> int:
        """The rows of a span: as many as keep the number of spans bounded, once the rows are counted."""
        if self._rows_each is None:
            chunks = ceil(self._tally.source_rows / self._chunk_rows)
            self._rows_each = self._chunk_rows * max(1, ceil(chunks / MOST_SPANS))
        return self._rows_each

    def _number(self, chunk: Chunk) -> int:
        return (chunk.first_row - 1) // self._each + 1

    def _open(self, number: int, chunk: Chunk) -> None:
        for earlier in self._spans.values():  # chunks begin in the order of their rows
            _end_if_done(earlier)
        span = self._spans[number] = Span(
            number=number,
            first_row=chunk.first_row,
            last_row=max(chunk.last_row, min(number * self._each, self._tally.source_rows)),
            ended=asyncio.get_running_loop().create_future(),
        )
        self._begin(span)


def _end_if_done(span: Span) -> None:
    if not span.open and not span.ended.done():
        span.ended.set_result(True)
