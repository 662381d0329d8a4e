"""What a run would do, told without doing it: everything is checked, nothing is spent."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal

from tasks_lib.domain.assignment import shares_of
from tasks_lib.domain.file_tokens import likely_tokens
from tasks_lib.domain.job import Job, Limits
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.pricing import MILLION, PriceList
from tasks_lib.domain.row import Row
from tasks_lib.domain.task import Model
from tasks_lib.engine.forecast import CHARACTERS_A_TOKEN
from tasks_lib.job.abilities import untold
from tasks_lib.job.accounts import limits_for
from tasks_lib.job.checks import check_before_rows, check_source, columns_of, planner_of
from tasks_lib.job.foreseen import presumed
from tasks_lib.job.hosted import doubts
from tasks_lib.job.hosted_runs import HostedForesight, PlannedRuns
from tasks_lib.job.misnamed import misnamed_revisions
from tasks_lib.job.row_inputs import file_columns
from tasks_lib.job.row_overrides import with_variants
from tasks_lib.job.setup import Setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.survey import survey
from tasks_lib.rows import OpenSource, open_source, output_names

_SAMPLE = 500  # rows from which the length of a prompt is estimated


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """A model that may be called; prices are dollars for a million tokens of a short prompt, or a call."""

    model: str
    input_price: Decimal | None
    cached_input_price: Decimal | None
    cache_write_price: Decimal | None  # None: as input
    output_price: Decimal | None
    request_price: Decimal | None
    price_source: str | None  # None: the price is unknown
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRevision:
    """A revision that rows may get."""

    tag: str
    id: str
    share: float | None  # of the runs, by weight, pin or comparison; None: rows name their revision
    fingerprint: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What a run would do."""

    job: str
    source: str
    dialect: str | None  # of a CSV
    columns: tuple[str, ...]
    rows: int  # of the source
    compared: tuple[str, ...]  # tags of the revisions that every row is run with
    runs: int  # rows, each once for every revision it is run with
    answered: int  # of these, by earlier batches; no call will be made for them
    to_run: int
    new: int  # of these, if the source has a key: whose key no batch of the job has run
    changed: int  # of these, if the source has a key: run before, but never with these inputs
    inputs: dict[str, str]  # placeholder -> column
    files: tuple[str, ...]  # columns that name files
    rows_without_file: int  # of those to run, that will fail for it and ask nobody
    hosts: tuple[str, ...]  # that will be asked for the rows' files and pages
    revisions: tuple[PlannedRevision, ...]
    models: tuple[PlannedModel, ...]
    output: str | None
    output_columns: tuple[str, ...]
    ledger: str
    limits: Limits
    estimated_input_tokens: int  # of the rows to run, by the length of their prompts
    estimated_input_cost: Decimal | None  # dollars, without answers, retries or fallbacks; None: unknown
    hosted_runs: tuple[PlannedRuns, ...]  # of those to run, that hosted tasks are asked for first
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """What `--json` prints; money is text, so that no digit is lost."""
        told: dict[str, object] = _plain(asdict(self))  # type: ignore[assignment]  # a dict stays one
        return told


def preflight(setup: Setup, *, options: Options | None = None) -> Preflight:
    """Check all that can be known before the first call, and tell what would follow.

    Raises:
        Mistake: the first thing that would keep the batch from being run.
    """
    found, _ = preflight_and_sample(setup, options=options or Options(), sample=0)
    return found


def preflight_and_sample(setup: Setup, *, options: Options, sample: int) -> tuple[Preflight, tuple[Row, ...]]:
    """The same, and so many of the rows that a run would ask, chosen by chance, in the source's order.

    Raises:
        Mistake: the first thing that would keep the batch from being run.
    """
    check_before_rows(setup)
    job = setup.job
    with open_source(job.source, folder=setup.folder) as source:
        rows = check_source(setup, source, limit=options.limit)
        setup = with_variants(setup, source, limit=options.limit)
        hosted = HostedForesight(setup)
        seen = survey(
            job,
            source,
            rows=rows,
            options=options,
            choose=sample,
            hosted=hosted if hosted.is_needed else None,
        )
        plans = _first_plans(job, source)
        names = output_names(
            source.columns,
            job.answers_alike,
            tell_revisions=job.tells_revisions,
            tell_citations=job.tells_citations,
        )
        prices = setup.price_lists()
        found = Preflight(
            job=job.name,
            source=source.description,
            dialect=str(source.dialect) if source.dialect is not None else None,
            columns=source.columns,
            rows=rows,
            compared=job.assignment.compare,
            runs=rows * job.assignment.runs_a_row,
            answered=seen.answered,
            to_run=seen.to_run,
            new=seen.new,
            changed=seen.changed,
            inputs=dict(job.inputs),
            files=file_columns(job),
            rows_without_file=seen.foreseen.rows_without_file,
            hosts=seen.foreseen.hosts,
            revisions=_revisions(job),
            models=tuple(_model(setup, model, price) for model, price in prices.items()),
            output=str(job.output.path) if job.output is not None else None,
            output_columns=names.all,
            ledger=str(job.ledger),
            limits=job.limits,
            estimated_input_tokens=round(_input_tokens(plans, of=plans) * seen.to_run),
            estimated_input_cost=_input_cost(plans, prices, runs=seen.to_run),
            hosted_runs=hosted.runs,
            warnings=(
                *([f"{source.description}: there is no row in it (yet)"] if rows == 0 else []),
                *misnamed_revisions(job, source, limit=options.limit),
                *untold(setup),
                *doubts(setup),
                *hosted.warnings,
                *_warnings(job, source, prices),
            ),
        )
    return found, seen.chosen


def _first_plans(job: Job, source: OpenSource) -> Sequence[Plan]:
    """The plans of the first rows, from which those of all are estimated."""
    first: Sequence[Row] = next(iter(source.rows(size=_SAMPLE, limit=_SAMPLE, columns=columns_of(job))), ())
    planner = planner_of(job)
    plans = (planner.plan(one, task_run_id="") for row in first for one in planner.charts(row))
    mode = job.task.file_input.mode
    return [replace(plan, messages=tuple(presumed(plan, mode))) for plan in plans]


def _input_tokens(plans: Sequence[Plan], *, of: Sequence[Plan]) -> float:
    """Tokens of these plans' prompts for each of the plans `of` which they are some."""
    characters = sum(len(message.text) for plan in plans for message in plan.messages)
    files = sum(likely_tokens(file) for plan in plans for message in plan.messages for file in message.files)
    return (characters / CHARACTERS_A_TOKEN + files) / max(1, len(of))


def _input_cost(
    plans: Sequence[Plan], prices: Mapping[Model, PriceList | None], *, runs: int
) -> Decimal | None:
    """Dollars for so many runs' prompts and calls, of which the first have these plans; None: unknown."""
    total = Decimal(0)
    by_model: dict[Model, list[Plan]] = {}
    for plan in plans:
        if plan.problem is None:
            by_model.setdefault(plan.models[plan.begin_at].model, []).append(plan)
    for model, some in by_model.items():
        price = prices.get(model)
        if price is None:
            return None
        tokens = _input_tokens(some, of=plans) * runs
        first = price.steps[0][1]
        total += Decimal(round(tokens)) * first.input / MILLION
        total += first.request * runs * len(some) / len(plans)
    return total.quantize(Decimal("0.000001"))


def _revisions(job: Job) -> tuple[PlannedRevision, ...]:
    shares = shares_of(job.task, job.assignment)
    return tuple(
        PlannedRevision(
            tag=one.tag,
            id=job.task.revision_id(one),
            share=shares[one.tag],
            fingerprint=one.fingerprint,
            models=tuple(str(choice.model) for choice in one.models),
        )
        for one in job.task.revisions
        if shares[one.tag] != 0 or (job.assignment.pin is None and not job.assignment.compare)
    )


def _model(setup: Setup, model: Model, prices: PriceList | None) -> PlannedModel:
    first = prices.steps[0][1] if prices is not None else None
    return PlannedModel(
        model=str(model),
        input_price=first.input if first else None,
        cached_input_price=first.cached_input if first else None,
        cache_write_price=first.cache_write if first else None,
        output_price=first.output if first else None,
        request_price=first.request if first else None,
        price_source=first.source if first else None,
        limits=limits_for(setup.provider(model), setup.job.limits),
    )


def _warnings(job: Job, source: OpenSource, prices: dict[Model, PriceList | None]) -> tuple[str, ...]:
    warnings = [
        f"the price of {model} is unknown, so its cost will be, too; prices.yaml can tell it"
        for model, price in prices.items()
        if price is None
    ]
    if job.source.key is None:
        warnings.append("no source.key: a row whose content changes is a new row, and is asked again")
    unused = [column for column in source.columns if column not in {*columns_of(job), job.source.key}]
    if unused:
        warnings.append(f"columns that are not sent: {', '.join(unused)}")
    return tuple(warnings)


def _plain(value: object) -> object:
    """The value as JSON has it, with money as text."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value
