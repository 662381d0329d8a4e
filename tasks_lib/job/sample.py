"""Asks a random sample of a job's rows, whose answers count, and tells what the others will come to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil

import httpx

from tasks_lib.domain.file_tokens import likely_tokens
from tasks_lib.domain.job import Limits
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.planner import Planner
from tasks_lib.domain.pricing import MILLION, PriceList
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.row import Row
from tasks_lib.domain.run import Status, TaskRun
from tasks_lib.domain.task import Model
from tasks_lib.domain.worst import worst_cost
from tasks_lib.engine.forecast import CHARACTERS_A_TOKEN
from tasks_lib.engine.stop import Stop
from tasks_lib.job.accounts import limits_for
from tasks_lib.job.batch import CHUNK_ROWS, Batch
from tasks_lib.job.checks import planner_of
from tasks_lib.job.foreseen import presumed
from tasks_lib.job.intervals import Estimate, rest_of, share_of
from tasks_lib.job.reach import reachable
from tasks_lib.job.setup import LOCAL, Setup
from tasks_lib.job.stretches import Options, Stretches
from tasks_lib.job.taken_up import asks_hosted_tasks
from tasks_lib.job.tally import Summary, Tally
from tasks_lib.ledger import open_ledger

_FEW = 10  # rows of a sample that tell little
_MOST_IN_FLIGHT = 1_000  # calls at the same time that are found out at most where no limit is told
_ROWS_A_SECOND = 2_000  # that this program gets through on one core, whatever the provider can do
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beforehand:
    """What a sample will cost, before it is asked; dollars, None where a price or a bound is unknown."""

    rows: int  # each once for every revision it is run with
    input_cost: Decimal | None  # by the length of the prompts
    most: Decimal | None  # if every answer is as long as allowed; without retries


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one row asked of one provider."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    worked: float = 0.0  # seconds that calls were in flight

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one row of a sample came to, retries and fallbacks included."""

    completed: bool
    cost: Decimal  # dollars that are sure
    possible_cost: Decimal  # dollars on top, if answers that never arrived were billed
    calls_of_unknown_cost: int
    loads: Mapping[str, Load]  # by the provider's name
    began: datetime | None  # of the first call
    ended: datetime | None  # of the last

    @classmethod
    def of(cls, task_run: TaskRun) -> "Asked":
        """What is to be kept of a run, so that its texts are not."""
        attempts = [attempt for attempt in task_run.attempts if attempt.is_call]
        loads: dict[str, Load] = {}
        for attempt in attempts:
            before = loads.get(attempt.model.provider, Load())
            usage = attempt.usage
            loads[attempt.model.provider] = Load(
                calls=before.calls + 1,
                input_tokens=before.input_tokens + (usage.input_tokens if usage else 0),
                output_tokens=before.output_tokens + (usage.output_tokens if usage else 0),
                worked=before.worked + attempt.worked,
            )
        return cls(
            completed=task_run.status is Status.COMPLETED,
            cost=sum((one.cost for one in attempts if one.cost is not None), Decimal(0)),
            possible_cost=task_run.data.possible_cost,
            calls_of_unknown_cost=sum(one.cost is None and one.estimated_cost is None for one in attempts),
            loads=loads,
            began=min((one.started_at for one in attempts), default=None),
            ended=max((one.started_at + timedelta(seconds=one.worked) for one in attempts), default=None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """No less time than this can the rest take, since something limits it."""

    seconds: Estimate
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the rows that are left will come to, by those of a sample; money in dollars, time in seconds.

    Rows of the sample that failed are asked again by the next run: they are among those left, and are
    expected to cost what they cost. An estimate of cost is None if no call had a price.
    """

    sampled: int
    failed: int  # of those
    left: int
    spent: Decimal  # on the sample
    calls: Estimate
    input_tokens: Estimate
    output_tokens: Estimate
    cost: Estimate | None
    possible_cost: Estimate
    calls_of_unknown_cost: Estimate
    failures: Estimate  # the share of rows that fail
    seconds: Estimate
    paced_by: str  # the limit that the time follows from
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """What `--json` prints; money as numbers with six digits, since it is no account but an estimate."""
        return {
            "rows_sampled": self.sampled,
            "rows_failed": self.failed,
            "rows_left": self.left,
            "cost_of_sample": str(self.spent),
            "left": {
                "calls": self.calls.as_json(),
                "input_tokens": self.input_tokens.as_json(),
                "output_tokens": self.output_tokens.as_json(),
                "cost": self.cost.as_json(digits=6) if self.cost is not None else None,
                "possible_cost": self.possible_cost.as_json(digits=6),
                "calls_of_unknown_cost": self.calls_of_unknown_cost.as_json(),
                "share_of_failed_rows": self.failures.as_json(digits=4),
                "seconds": self.seconds.as_json(digits=1),
                "paced_by": self.paced_by,
            },
            "confidence": 0.95,
            "warnings": list(self.warnings),
        }


class Sampling:
    """A batch over a sample's rows. Its answers are in the ledger like any others; no output is written."""

    def __init__(
        self,
        setup: Setup,
        rows: Sequence[Row],
        *,
        options: Options,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Nothing happens before `run`; the setup's money limit is the sample's."""
        self.asked: list[Asked] = []  # rows that came to their end, in the order in which they did
        self._setup = setup
        self._rows = rows
        self._options = options
        self._transport = transport

    @property
    def _runs(self) -> int:
        return len(self._rows) * self._setup.job.assignment.runs_a_row

    def beforehand(self) -> Beforehand:
        """What the sample will cost."""
        prices, planner = self._setup.price_lists(), planner_of(self._setup.job)
        input_cost: Decimal | None = Decimal(0)
        most: Decimal | None = Decimal(0)
        for row in self._rows:
            one_input, one_most = _cost_beforehand(row, planner, prices, self._setup.providers)
            input_cost = None if input_cost is None or one_input is None else input_cost + one_input
            most = None if most is None or one_most is None else most + one_most
        return Beforehand(rows=self._runs, input_cost=input_cost, most=most)

    async def run(self, tally: Tally, stop: Stop) -> Summary:
        """Ask the rows; those that somebody else had answered meanwhile are skipped."""
        with open_ledger(self._setup.job.ledger) as ledger:
            batch = Batch(
                self._setup,
                ledger=ledger,
                tally=tally,
                stop=stop,
                heard=self._hear,
                retry_poisoned=self._options.retry_poisoned,
            )
            stretches = Stretches(
                (list(rows) for rows in _in_chunks(self._rows)),
                planner=planner_of(self._setup.job),
                ledger=ledger,
                options=replace(self._options, limit=None),
                tally=batch.tally,
                books=batch.books,
                suspects=batch.suspects,
                count_runs=any(
                    self._setup.provider(model).idempotency_header for model in self._setup.models
                ),
                take_up=asks_hosted_tasks(self._setup),
            )
            async with reachable(
                batch.steering, ledger=ledger, batch_id=batch.id, warn=batch.tally.warnings.append
            ):
                return await batch.run(stretches.fetch, rows=self._runs, transport=self._transport)

    async def _hear(self, task_run: TaskRun) -> None:
        if task_run.status is not Status.CANCELLED:
            self.asked.append(Asked.of(task_run))


def _in_chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for begin in range(0, len(rows), CHUNK_ROWS):
        yield rows[begin : begin + CHUNK_ROWS]


def _cost_beforehand(
    row: Row,
    planner: Planner,
    prices: Mapping[Model, PriceList | None],
    providers: Mapping[str, Provider],
) -> tuple[Decimal | None, Decimal | None]:
    """Dollars for a row's prompts, and for its calls at most."""
    input_cost: Decimal | None = Decimal(0)
    most: Decimal | None = Decimal(0)
    for charted in planner.charts(row):
        plan = planner.plan(charted, task_run_id="")
        plan = replace(plan, messages=tuple(presumed(plan, planner.task.file_input.mode)))
        one_input, one_most = _cost_of(plan, prices, providers)
        input_cost = None if input_cost is None or one_input is None else input_cost + one_input
        most = None if most is None or one_most is None else most + one_most
    return input_cost, most


def _cost_of(
    plan: Plan, prices: Mapping[Model, PriceList | None], providers: Mapping[str, Provider]
) -> tuple[Decimal | None, Decimal | None]:
    if plan.problem is not None:
        return Decimal(0), Decimal(0)
    choice = plan.models[0]
    price = prices[choice.model]
    if price is None:
        return None, None
    characters = sum(len(message.text) for message in plan.messages)
    files = sum(likely_tokens(file) for message in plan.messages for file in message.files)
    tokens = Decimal(round(characters / CHARACTERS_A_TOKEN + files))
    most_output = providers[choice.model.provider].most_output_tokens(choice)
    most = worst_cost(plan.messages, choice, plan.output, price, most_output=most_output)
    first = price.steps[0][1]
    return tokens * first.input / MILLION + first.request, Decimal(0) if price.is_free else most


def outlook(setup: Setup, asked: Sequence[Asked], *, chosen: int, rows: int) -> Outlook:
    """What the rows left of `rows` will come to; `chosen` were to be asked, `asked` were.

    Args:
        setup: with the limits that the run of the others will have.
        asked: the rows of the sample that came to their end.
        chosen: the size of the sample.
        rows: that were still to be asked before the sample was.
    """
    failed = [one for one in asked if not one.completed]

    def left(values: Sequence[float]) -> Estimate:
        again = sum(value for one, value in zip(asked, values, strict=True) if not one.completed)
        return rest_of(values, rows=rows).plus(again)

    totals = [_total(one.loads.values()) for one in asked]
    unknown = sum(one.calls_of_unknown_cost for one in asked)
    none_priced = 0 < unknown == sum(total.calls for total in totals)
    cost = None if none_priced else left([float(one.cost) for one in asked])
    possible = left([float(one.possible_cost) for one in asked])
    left_rows = rows - len(asked) + len(failed)
    bounds = [_Bound(seconds=_exactly(left_rows / _ROWS_A_SECOND), name="what one core gets through")]
    for name in sorted({name for one in asked for name in one.loads}):
        loads = [one.loads.get(name, Load()) for one in asked]
        provider = setup.providers[name]
        bounds += _bounds(
            name,
            limits_for(provider, setup.job.limits),
            calls=left([load.calls for load in loads]),
            input_tokens=left([load.input_tokens for load in loads]),
            output_tokens=left([load.output_tokens for load in loads]),
            tokens=left([load.tokens for load in loads]),
            worked=left([load.worked for load in loads]),
            reached=_in_flight(asked),
            most=None if provider.protocol == LOCAL else _MOST_IN_FLIGHT,
        )
    slowest = max(bounds, key=lambda bound: bound.seconds.likely)
    return Outlook(
        sampled=len(asked),
        failed=len(failed),
        left=left_rows,
        spent=sum((one.cost for one in asked), Decimal(0)),
        calls=left([total.calls for total in totals]),
        input_tokens=left([total.input_tokens for total in totals]),
        output_tokens=left([total.output_tokens for total in totals]),
        cost=cost,
        possible_cost=possible,
        calls_of_unknown_cost=left([one.calls_of_unknown_cost for one in asked]),
        failures=share_of(len(asked), found=len(failed), rows=rows),
        seconds=Estimate(
            likely=slowest.seconds.likely,
            low=_largest([bound.seconds.low for bound in bounds]),
            high=_largest([bound.seconds.high for bound in bounds]),
        ),
        paced_by=slowest.name,
        warnings=tuple(_warnings(setup.job.limits, asked, chosen=chosen, cost=cost, possible=possible)),
    )


def _total(loads: Iterable[Load]) -> Load:
    """What a row asked of all providers."""
    total = Load()
    for load in loads:
        total = Load(
            calls=total.calls + load.calls,
            input_tokens=total.input_tokens + load.input_tokens,
            output_tokens=total.output_tokens + load.output_tokens,
            worked=total.worked + load.worked,
        )
    return total


def _bounds(
    name: str,
    limits: Limits,
    *,
    calls: Estimate,
    input_tokens: Estimate,
    output_tokens: Estimate,
    tokens: Estimate,
    worked: Estimate,
    reached: float,
    most: int | None,
) -> Iterator[_Bound]:
    """What each limit of an account makes of the calls that are left.

    Where calls in flight have no limit, they are between those that the sample reached and `most`; None is
    for a model on this machine, which a sample uses to the full.
    """
    by_the_minute = (
        (limits.requests_per_minute, calls, "requests a minute"),
        (limits.tokens_per_minute, tokens, "tokens a minute"),
        (limits.input_tokens_per_minute, input_tokens, "input tokens a minute"),
        (limits.output_tokens_per_minute, output_tokens, "output tokens a minute"),
    )
    for limit, needed, what in by_the_minute:
        if limit is not None:
            yield _Bound(seconds=needed.times(60 / limit), name=f"{limit:,} {what} at {name}")
    by_the_day = (
        (limits.requests_per_day, calls, "requests a day"),
        (limits.tokens_per_day, tokens, "tokens a day"),
    )
    for limit, needed, what in by_the_day:
        if limit is not None:
            yield _Bound(seconds=_days(needed.times(1 / limit)), name=f"{limit:,} {what} at {name}")
    if limits.in_flight is not None:
        yield _Bound(
            seconds=worked.times(1 / limits.in_flight), name=f"{limits.in_flight:,} calls in flight at {name}"
        )
        return
    seconds = worked.times(1 / reached)
    if most is not None and seconds.low is not None:
        seconds = replace(seconds, low=seconds.low * min(1.0, reached / most))
    yield _Bound(seconds=seconds, name=f"the {reached:.0f} calls in flight that the sample reached at {name}")


def _days(needed: Estimate) -> Estimate:
    """Seconds until the last day's share may be used; the first day is already there."""
    whole = [
        None if days is None else max(0, ceil(days) - 1) * _DAY
        for days in (needed.likely, needed.low, needed.high)
    ]
    return Estimate(likely=whole[0] or 0.0, low=whole[1], high=whole[2])


def _in_flight(asked: Sequence[Asked]) -> float:
    """Calls that were under way at the same time, on average."""
    began = min((one.began for one in asked if one.began is not None), default=None)
    ended = max((one.ended for one in asked if one.ended is not None), default=None)
    if began is None or ended is None or ended <= began:
        return 1.0
    worked = sum(load.worked for one in asked for load in one.loads.values())
    return max(1.0, worked / (ended - began).total_seconds())


def _exactly(value: float) -> Estimate:
    return Estimate(likely=value, low=value, high=value)


def _largest(values: Sequence[float | None]) -> float | None:
    """The largest; None if one of them is unknown."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _warnings(
    limits: Limits, asked: Sequence[Asked], *, chosen: int, cost: Estimate | None, possible: Estimate
) -> Iterator[str]:
    if len(asked) < chosen:
        yield (
            f"only {len(asked):,} of the {chosen:,} rows came to their end; those that end first "
            "are no fair choice, and the others may cost more and take longer"
        )
    if len(asked) < _FEW:
        yield f"{len(asked):,} rows tell little; --sample 50 tells much more"
    if cost is None:
        return
    high = cost.likely if cost.high is None else cost.high
    high += possible.likely if possible.high is None else possible.high
    for limit, key, until in (
        (limits.max_cost, "max_cost", "and can be resumed with more"),
        (limits.max_cost_per_day, "max_cost_per_day", "and goes on when it is run again the next day"),
    ):
        if limit is not None and high > limit:
            likely = "will likely" if cost.likely > limit else "may"
            yield (
                f"the rows left {likely} cost more than limits.{key} of ${limit}: up to "
                f"${high:,.{_decimals(high)}f}. A run stops there, keeps what was answered, {until}; "
                f"raise the limit, or take fewer rows with --limit N"
            )


def _decimals(amount: float) -> int:
    return 2 if amount >= 1 else 6
