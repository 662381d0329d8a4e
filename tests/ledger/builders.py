"""Task runs for tests: whole and plausible, and odd where a test asks for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import uuid_utils

from tasks_lib.domain.assignment import Assignment
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue, content_hash, identity_of
from tasks_lib.domain.job import Job, Source
from tasks_lib.domain.output import Answer, Modality, Output
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.pricing import Prices, cost_of
from tasks_lib.domain.run import Attempt, TaskRun, conclude
from tasks_lib.domain.task import Model, ModelChoice, Revision, Task, fingerprint_of
from tasks_lib.domain.template import Template
from tasks_lib.domain.usage import Usage
from tasks_lib.ledger import Ledger

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PRIMARY = Model("openai", "gpt-5-mini")
FALLBACK = Model("anthropic", "claude-haiku-4-5")
PRICES = Prices(input=Decimal("0.25"), output=Decimal(2), cached_input=Decimal("0.025"), source="price_table")
SCHEMA: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {"sentiment": {"enum": ["positive", "negative"]}, "score": {"type": "number"}},
    "required": ["sentiment"],
}
USAGE = Usage(input_tokens=100, output_tokens=20)


def batch_id() -> str:
    return str(uuid4())


def task_run_id() -> str:
    return str(uuid_utils.uuid7())


def revision(
    tag: str = "v1",
    *,
    prompt: str = "Review: {{text}}",
    weight: float = 1.0,
    models: Sequence[Model] = (PRIMARY, FALLBACK),
    output: Output | None = None,
) -> Revision:
    choices = tuple(ModelChoice(model=model) for model in models)
    return Revision(
        tag=tag,
        user_prompt=Template.parse(prompt),
        models=choices,
        weight=weight,
        fingerprint=fingerprint_of(
            system_prompt=None, user_prompt=prompt, models=choices, output=output or Output()
        ),
    )


def task(
    name: str = "sentiment",
    *,
    schema: Mapping[str, JsonValue] | None = SCHEMA,
    modality: Modality = Modality.JSON,
    revisions: Sequence[Revision] | None = None,
) -> Task:
    output = Output.of(modality, schema)
    return Task(name=name, output=output, revisions=tuple(revisions or [revision(output=output)]))


def job(asked: Task | None = None, *, name: str = "reviews", revision_tag: str | None = None) -> Job:
    return Job(
        name=name,
        task=asked or task(),
        source=Source(path=Path("reviews.csv")),
        inputs={"text": "review"},
        ledger=Path("ledger.duckdb"),
        seed="seed",
        assignment=Assignment(revision_tag=Template.parse(revision_tag) if revision_tag else None),
        definition={"job": name},
    )


def begin(
    ledger: Ledger, asked: Job | None = None, *, id_: str | None = None, rows: int | None = None
) -> str:
    """Begin a batch and give its id."""
    begun = id_ or batch_id()
    ledger.begin_batch(
        asked or job(),
        batch_id=begun,
        rows=rows,
        started_at=NOON,
        user_id="ada",
        host="engine",
        pid=1842,
        version="0.1.0",
    )
    return begun


def end(ledger: Ledger, batch: str, *, status: str = "completed", rows: int = 0, completed: int = 0) -> None:
    ledger.end_batch(
        batch,
        status=status,
        reason=None,
        rows=rows,
        completed=completed,
        failed=0,
        skipped=0,
        cancelled=rows - completed,
        finished_at=NOON + timedelta(minutes=1),
    )


def plan(
    *,
    key: str = "1",
    number: int = 1,
    text: JsonValue = "good",
    asked: Revision | None = None,
    group: str | None = None,
    **labels: str,
) -> Plan:
    chosen = asked or task().revisions[0]
    submitted = {"text": text}
    input_hash = content_hash(submitted)
    return Plan(
        task_run_id=task_run_id(),
        row_key=key,
        row_number=number,
        submitted=submitted,
        input_hash=input_hash,
        identity=identity_of(key, input_hash, chosen.fingerprint),
        revision=chosen,
        chosen_by="only",
        models=chosen.models,
        messages=(),
        output=Output(),
        reporting_group=group,
        reference=labels.get("reference"),
        context_id=labels.get("context_id"),
    )


def answered(
    value: JsonValue = None,
    *,
    at: datetime = NOON,
    position: int = 0,
    usage: Usage | None = USAGE,
    prices: Prices | None = PRICES,
    worked: float = 1.25,
    waited: float = 0.5,
) -> Attempt:
    return Attempt(
        position=position,
        model=FALLBACK if position else PRIMARY,
        started_at=at,
        waited=waited,
        worked=worked,
        answer=Answer(value=value if value is not None else {"sentiment": "positive"}),
        usage=usage,
        prices=prices,
        cost=cost_of(usage, prices) if usage is not None and prices is not None else None,
        answered_by="gpt-5-mini-2026-08-07",
        http_status=200,
        request_id="req_1",
    )


def refused(
    kind: FailureKind = FailureKind.SERVER_ERROR,
    message: str = "the provider is ill",
    *,
    at: datetime = NOON,
    position: int = 0,
    cost: Decimal | None = Decimal(0),
    usage: Usage | None = None,
    maybe_billed: bool = False,
) -> Attempt:
    return Attempt(
        position=position,
        model=FALLBACK if position else PRIMARY,
        started_at=at,
        waited=0.0,
        worked=0.25,
        failure=Failure(kind=kind, message=message, text="sorry", retry_after=2.0, maybe_billed=maybe_billed),
        usage=usage,
        cost=cost,
        http_status=500,
    )


def run(asked: Plan | None = None, *attempts: Attempt, at: datetime = NOON) -> TaskRun:
    """A run with these attempts, by default one that answered."""
    return conclude(
        asked or plan(),
        attempts or (answered(at=at),),
        created_at=at,
        finished_at=at + timedelta(seconds=2),
    )


def runs(
    count: int, *, first: int = 1, group: str | None = None, asked: Revision | None = None
) -> Iterator[TaskRun]:
    """Answered runs of rows with keys and numbers from `first` on."""
    for number in range(first, first + count):
        yield run(plan(key=str(number), number=number, text=f"review {number}", group=group, asked=asked))


def with_problem(asked: Plan, message: str) -> TaskRun:
    """A run of a row that cannot be asked."""
    problem = Failure(kind=FailureKind.BAD_ROW, message=message)
    return conclude(replace(asked, problem=problem), (), created_at=NOON, finished_at=NOON)
