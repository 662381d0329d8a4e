"""From rows to plans: which rows of a source need a call."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

import uuid_utils
from anyio import to_thread

from tasks_lib.domain.fingerprint import canonical_json
from tasks_lib.domain.plan import Plan, Stored
from tasks_lib.domain.planner import Charted, Planner
from tasks_lib.domain.row import Row
from tasks_lib.domain.stored_answers import StoredAnswers
from tasks_lib.engine.run import utc_now
from tasks_lib.engine.stop import Stop
from tasks_lib.job.books import Books
from tasks_lib.job.growth import Growth
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.taken_up import taking_up
from tasks_lib.job.tally import Tally
from tasks_lib.ledger import Ledger

# A look-up goes through all that the ledger has, however little it looks for: 25 ms of a million runs. So a
# job that is mostly answered is looked up in as long pieces as memory allows.
_MOST_AT_A_TIME = 8  # stretches that are looked up together; their rows are in memory at once
_MOST_TEXT = 16 << 20  # bytes of these rows as JSON; in memory they are several times that
_EVERY = 50  # of so many rows one is measured
_FEW = 4  # a look-up that leaves less than this part of its rows to be asked is followed by a longer one


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which rows of a job a batch is about."""

    limit: int | None = None  # the first so many rows
    force: bool = False  # ask again what was answered before
    retry_failed: bool = False  # only rows that failed before
    retry_poisoned: bool = False  # also those that were set aside since the process died of them
    adopt: frozenset[str] | None = None  # only rows whose hosted run is under way; with ids, only these runs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """A stretch of rows of which some are to be asked."""

    first_row: int
    last_row: int
    to_ask: Sequence[Charted]


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
        stored: StoredAnswers | None = None,
        take_up: bool = False,
        batch_id: str | None = None,
        growth: Growth | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Draw from an iterator of stretches, each of as many rows as a chunk has; suspects come last.

        With `count_runs`, plans tell how often their row's run came to its end before. Answers that are
        `stored` stand in for calls, unless all rows are to be asked again. With `take_up`, runs of hosted
        tasks that earlier batches began are seen to their end. A batch with a `batch_id` does not look
        through its own answers: each of its rows has an identity of its own. `growth` is told which rows are
        to be asked.
        """
        self._rows = rows
        self._planner = planner
        self._ledger = ledger
        self._options = options
        self._tally = tally
        self._books = books
        self._suspects = suspects if suspects is not None else Suspects(Stop())
        self._count_runs = count_runs
        self._stored = stored if not options.force else None
        self._take_up = take_up
        self._batch_id = batch_id
        self._growth = growth
        self._not_found = set(options.adopt or ())  # ids that were asked for
        self._now = now
        self._at_a_time = 1
        self._looked_up: deque[_Stretch] = deque()  # and not yet planned

    async def fetch(self) -> Sequence[Plan] | None:
        """The plans of the next stretch, perhaps none; None at the end of the source."""
        if not self._looked_up:
            skipped = await to_thread.run_sync(self._look_up)
            if skipped is None:
                self._tell_not_found()
                return self._suspects.held_back() or None
            self._tally.skipped += skipped
            if not self._looked_up:
                return ()
        stretch = self._looked_up.popleft()
        plans = await to_thread.run_sync(self._plans, stretch.to_ask)
        await self._books.opened(first_row=stretch.first_row, last_row=stretch.last_row, plans=plans)
        return self._suspects.sorted_out(plans)

    def _look_up(self) -> int | None:
        """Put the next runs that are to be had in line, and tell how many are not; None at the end."""
        drawn = self._draw()
        if not drawn:
            if self._growth is not None:
                self._growth.count()
            return None
        charted = [[one for row in rows for one in self._planner.charts(row)] for rows in drawn]
        to_ask = self._still_to_ask(charted)
        if self._growth is not None:
            self._growth.add([one for left in to_ask for one in left])
        self._looked_up.extend(
            _Stretch(first_row=rows[0].number, last_row=rows[-1].number, to_ask=left)
            for rows, left in zip(drawn, to_ask, strict=True)
            if left
        )
        runs, left = sum(map(len, charted)), sum(map(len, to_ask))
        self._at_a_time = min(self._at_a_time * 2, _MOST_AT_A_TIME) if left * _FEW < runs else 1
        return runs - left

    def _draw(self) -> list[list[Row]]:
        """The stretches that are looked up together: fewer where rows are long, and none at the end."""
        drawn, text = [], 0
        for rows in islice(self._rows, self._at_a_time):
            drawn.append(rows)
            measured = [len(canonical_json(row.values)) for row in rows[::_EVERY]]
            text += sum(len(blob) for row in rows if row.blobs for blob in row.blobs.values())
            text += sum(measured) * len(rows) // max(1, len(measured))
            if text > _MOST_TEXT:
                break
        return drawn

    def _plans(self, to_ask: Sequence[Charted]) -> list[Plan]:
        plans = [self._planner.plan(one, task_run_id=str(uuid_utils.uuid7())) for one in to_ask]
        if self._stored is not None:
            plans = self._with_stored(plans, self._stored)
        if self._take_up:
            plans = taking_up(plans, self._ledger)
        if self._options.adopt is not None:
            plans = [replace(plan, begins_runs=False) for plan in plans]
        if not self._count_runs:
            return plans
        times = self._ledger.times_ended([one.identity for one in to_ask])
        return [replace(plan, times_ended=times.get(plan.identity, 0)) for plan in plans]

    def _with_stored(self, plans: Sequence[Plan], stored: StoredAnswers) -> list[Plan]:
        """The plans, of which some have an answer by now."""
        not_before = self._now() - stored.max_age if stored.max_age is not None else None
        revision_ids = {
            plan.revision.fingerprint: self._planner.task.revision_id(plan.revision) for plan in plans
        }
        asked = [(revision_ids[plan.revision.fingerprint], plan.input_hash) for plan in plans]
        found = self._ledger.stored_answers(list(dict.fromkeys(asked)), not_before=not_before)
        return [
            replace(plan, stored=answer) if self._may_have(plan, answer) else plan
            for plan, answer in zip(plans, map(found.get, asked), strict=True)
        ]

    def _may_have(self, plan: Plan, stored: Stored | None) -> bool:
        if stored is None or plan.problem is not None:
            return False
        file = stored.answer.file
        return file is None or (self._ledger.path.parent / file.uri).is_file()

    def _still_to_ask(self, stretches: list[list[Charted]]) -> list[list[Charted]]:
        if self._options.force:
            return stretches
        identities = [one.identity for charted in stretches for one in charted]
        if self._options.retry_failed:
            failed = self._ledger.failed(identities)
            return [[one for one in charted if one.identity in failed] for charted in stretches]
        answered = self._ledger.answered(identities, but_of=self._batch_id)
        if not answered and self._options.adopt is None:
            return stretches
        if self._options.adopt is not None:
            adopted = self._adopted([one for one in identities if one not in answered])
            return [[one for one in charted if one.identity in adopted] for charted in stretches]
        return [[one for one in charted if one.identity not in answered] for charted in stretches]

    def _adopted(self, identities: Sequence[str]) -> set[str]:
        """Those whose hosted run is under way under a known id, and asked for."""
        wanted = self._options.adopt
        under_way = {
            identity: remote.remote_id
            for identity, remote in self._ledger.open_remote_runs(identities).items()
            if remote.remote_id is not None and (not wanted or remote.remote_id in wanted)
        }
        self._not_found.difference_update(under_way.values())
        return set(under_way)

    def _tell_not_found(self) -> None:
        if not self._not_found:
            return
        known = self._ledger.begun_under(sorted(self._not_found))
        for remote_id in sorted(self._not_found):
            why = (
                "is not under way for a row of this job: its end is known, or its row was answered or changed"
                if remote_id in known
                else "belongs to no row of this job: the ledger has no run under this id"
            )
            self._tally.warnings.append(f"run {remote_id} {why}")
        self._not_found.clear()
