"""Which rows of a job are still to be asked: counted, and some of them chosen by chance."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappush, heappushpop

from tasks_lib.domain.chance import fraction
from tasks_lib.domain.job import Job
from tasks_lib.domain.planner import Charted
from tasks_lib.domain.row import Row
from tasks_lib.job.checks import columns_of, planner_of
from tasks_lib.job.foreseen import Foreseen, Foresight
from tasks_lib.job.growth import Growth
from tasks_lib.job.hosted_runs import HostedForesight
from tasks_lib.job.stretches import Options
from tasks_lib.ledger import Ledger, open_ledger
from tasks_lib.rows import OpenSource

_LOOK_UP = 10_000  # rows that are looked up in the ledger together


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a run would ask, and a random choice of its rows in the source's order.

    Where revisions are compared, each row counts once for each of them.
    """

    answered: int  # by earlier batches
    to_run: int
    chosen: tuple[Row, ...]
    foreseen: Foreseen = field(default_factory=Foreseen)  # of the rows that it would ask
    new: int = 0  # of those to run, if the source has a key: whose key no batch of the job has run
    changed: int = 0  # of those to run, if the source has a key: run before, but never with these inputs


def survey(
    job: Job,
    source: OpenSource,
    *,
    rows: int,
    options: Options,
    choose: int = 0,
    hosted: HostedForesight | None = None,
) -> Survey:
    """Read the source once beside the ledger; in memory are the chosen rows and no others.

    `hosted` is shown every run that would be begun.

    The same rows are chosen each time, as long as the same rows are without an answer: each row has a
    number that hangs on its key and the job's seed, and the smallest are taken.
    """
    if not job.ledger.exists():
        to_run = 0 if options.retry_failed and not options.force else rows * job.assignment.runs_a_row
        foresight = Foresight(job)
        is_read = to_run and (choose or foresight.is_needed or hosted is not None)
        found = _unanswered(job, source, options, foresight, hosted)
        chosen = _chosen(found, job, choose) if is_read else ()
        new = to_run if job.source.key is not None else 0
        return Survey(answered=0, to_run=to_run, chosen=chosen, foreseen=foresight.seen, new=new)
    with open_ledger(job.ledger, read_only=True) as ledger:
        looking = _Looking(job, source, ledger, options, hosted)
        chosen = _chosen(looking.rows(), job, choose)
        if looking.growth is not None:
            looking.growth.count()
        return Survey(
            answered=looking.answered,
            to_run=looking.to_run,
            chosen=chosen,
            foreseen=looking.foresight.seen,
            new=looking.growth.new if looking.growth is not None else 0,
            changed=looking.growth.changed if looking.growth is not None else 0,
        )


def _unanswered(
    job: Job, source: OpenSource, options: Options, foresight: Foresight, hosted: HostedForesight | None
) -> Iterator[Row]:
    """All rows, where nothing was answered yet."""
    planner = planner_of(job) if foresight.is_needed or hosted is not None else None
    for stretch in source.rows(size=_LOOK_UP, limit=options.limit, columns=columns_of(job)):
        for row in stretch:
            if planner is not None:
                charted = planner.charts(row)
                foresight.look_at(charted[0])
                if hosted is not None:
                    for one in charted:
                        hosted.look_at(one)
            yield row


class _Looking:
    """Looks rows up in the ledger, and counts them on the way."""

    def __init__(
        self,
        job: Job,
        source: OpenSource,
        ledger: Ledger,
        options: Options,
        hosted: HostedForesight | None,
    ) -> None:
        self.answered = 0
        self.to_run = 0
        self.foresight = Foresight(job)
        self.growth = Growth(ledger, job=job.name) if job.source.key is not None else None
        self._job = job
        self._source = source
        self._ledger = ledger
        self._options = options
        self._hosted = hosted

    def rows(self) -> Iterator[Row]:
        """Those that a run would ask."""
        planner = planner_of(self._job)
        columns = columns_of(self._job)
        for stretch in self._source.rows(size=_LOOK_UP, limit=self._options.limit, columns=columns):
            before = 0  # rows are numbered from 1
            to_ask = self._still_to_ask([one for row in stretch for one in planner.charts(row)])
            if self.growth is not None:
                self.growth.add(to_ask)
            for one in to_ask:
                self.to_run += 1
                if self._hosted is not None:
                    self._hosted.look_at(one)
                if one.row.number != before:
                    before = one.row.number
                    if self.foresight.is_needed:
                        self.foresight.look_at(one)
                    yield one.row

    def _still_to_ask(self, charted: list[Charted]) -> list[Charted]:
        identities = [one.identity for one in charted]
        answered = self._ledger.answered(identities)
        self.answered += len(answered)
        if self._options.force:
            return charted
        if self._options.retry_failed:
            failed = self._ledger.failed(identities)
            return [one for one in charted if one.identity in failed]
        return [one for one in charted if one.identity not in answered]


def _chosen(rows: Iterator[Row], job: Job, choose: int) -> tuple[Row, ...]:
    """The rows with the smallest numbers of chance; all rows are drawn from the iterator in any case."""
    kept: list[tuple[float, int, Row]] = []  # the largest on top, so that it is the first to give way
    for row in rows:
        if not choose:
            continue
        place = (-fraction(job.seed, "sample", row.key), row.number, row)
        if len(kept) < choose:
            heappush(kept, place)
        else:
            heappushpop(kept, place)
    return tuple(sorted((row for _, _, row in kept), key=lambda row: row.number))
