"""From rows to plans: which rows of a source need a call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import uuid_utils
from anyio import to_thread

from tasks_lib.domain.plan import Charted, Plan, Planner
from tasks_lib.domain.row import Row
from tasks_lib.engine.stop import Stop
from tasks_lib.job.books import Books
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.tally import Tally
from tasks_lib.ledger import Ledger

_MOST_AT_A_TIME = 4  # stretches that are looked up together; all their rows and plans are in memory at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which rows of a job a batch is about."""

    limit: int | None = None  # the first so many rows
    force: bool = False  # ask again what was answered before
    retry_failed: bool = False  # only rows that failed before
    retry_poisoned: bool = False  # also those that were set aside since the process died of them


class Stretches:
    """Draws rows from a source, leaves out those that were answered, and plans the others.

    Reading, looking up and planning happen in a thread, so that calls under way are not kept waiting.
    """

    def __init__(
        self,
        rows: Iterator[list[Row]],
        *,
        planner: Planner,
        ledger: Ledger,
        options: Options,
        tally: Tally,
        books: Books,
        suspects: Suspects | None = None,
        count_runs: bool = False,
    ) -> None:
        """Draw from an iterator of stretches, each of as many rows as a chunk has; suspects come last.

        With `count_runs`, plans tell how often their row's run came to its end before.
        """
        self._rows = rows
        self._planner = planner
        self._ledger = ledger
        self._options = options
        self._tally = tally
        self._books = books
        self._suspects = suspects if suspects is not None else Suspects(Stop())
        self._count_runs = count_runs
        self._at_a_time = 1

    async def fetch(self) -> Sequence[Plan] | None:
        """The plans of the next stretch, perhaps none; None at the end of the source."""
        stretch = await to_thread.run_sync(self._next)
        if stretch is None:
            return self._suspects.held_back() or None
        rows, plans = stretch
        self._tally.skipped += len(rows) - len(plans)
        if plans:
            await self._books.opened(first_row=rows[0].number, last_row=rows[-1].number, plans=plans)
        return self._suspects.sorted_out(plans)

    def _next(self) -> tuple[list[Row], list[Plan]] | None:
        rows = [row for stretch in islice(self._rows, self._at_a_time) for row in stretch]
        if not rows:
            return None
        charted = [self._planner.chart(row) for row in rows]
        to_ask = self._still_to_ask(charted)
        plans = [self._planner.plan(one, task_run_id=str(uuid_utils.uuid7())) for one in to_ask]
        if self._count_runs:
            times = self._ledger.times_ended([one.identity for one in to_ask])
            plans = [replace(plan, times_ended=times.get(plan.identity, 0)) for plan in plans]
        # a job that was run before is mostly answered: then long look-ups cost less than many
        self._at_a_time = 1 if plans else min(self._at_a_time * 2, _MOST_AT_A_TIME)
        return rows, plans

    def _still_to_ask(self, charted: Sequence[Charted]) -> Sequence[Charted]:
        if self._options.force:
            return charted
        identities = [one.identity for one in charted]
        if self._options.retry_failed:
            failed = self._ledger.failed(identities)
            return [one for one in charted if one.identity in failed]
        answered = self._ledger.answered(identities)
        return [one for one in charted if one.identity not in answered]
