"""rowmill from Python: a job, a table, rows as they come, or one row."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import anyio
import httpx
import orjson
import pandas as pd
import pyarrow as pa
import uuid_utils
from anyio import to_thread
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from tasks_lib.configs import Environment, load_task
from tasks_lib.domain.assignment import Assigner, Assignment, compared
from tasks_lib.domain.fingerprint import JsonValue, content_hash
from tasks_lib.domain.inputs import FileSources
from tasks_lib.domain.job import Job, Limits, Source
from tasks_lib.domain.labels import Labels
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.planner import Charted
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.row import Row
from tasks_lib.domain.run import TaskRun
from tasks_lib.domain.task import Task
from tasks_lib.domain.template import Template
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.inputs.processors import InputProcessor
from tasks_lib.job.batch import Batch, run_batch
from tasks_lib.job.causes import sole_cause
from tasks_lib.job.checks import check_before_rows, check_source, columns_of, planner_of
from tasks_lib.job.export import enriched_batches
from tasks_lib.job.kept_files import check_kept_somewhere
from tasks_lib.job.row_inputs import columns_named, plain_values
from tasks_lib.job.setup import Setup, load_setup, setup_of
from tasks_lib.job.stretches import Options, Stretches
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.taken_up import asks_hosted_tasks, taking_up
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import Ledger, StoredResult, open_ledger
from tasks_lib.rows import Enrichment, open_table

IN_MEMORY = Path(":memory:")  # a ledger that is forgotten at the end

_CHUNK_ROWS = 2_500
_Table = TypeVar("_Table", pd.DataFrame, pa.Table)
Rows = AsyncIterable[Mapping[str, JsonValue]] | Iterable[Mapping[str, JsonValue]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAnswer:
    """What came of one row."""

    row: Mapping[str, JsonValue]
    key: str
    status: str  # completed, failed or cancelled
    response: JsonValue  # None of a row that was not answered
    error: str | None
    cost: Decimal | None  # dollars; None: unknown
    input_tokens: int
    output_tokens: int
    model: str | None
    task_run_id: str
    revision_tag: str  # of the revision that was asked
    file: Path | None = None  # of an answer that is one, beside the ledger
    content: bytes | None = None  # the same without a ledger, where nobody else has it


async def run_job(
    path: Path | str,
    *,
    overrides: Mapping[str, object] | None = None,
    options: Options | None = None,
    environment: Environment | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Summary:
    """Run the job of a YAML file, as `rowmill run` does.

    Raises:
        Mistake: something was found wrong before the first call.
    """
    setup = load_setup(Path(path), environment=environment or Environment.from_os(), overrides=overrides)
    return await run_batch(setup, options=options, transport=transport)


async def enrich(
    table: _Table,
    task: Task | Path | str,
    *,
    inputs: Mapping[str, str] | None = None,
    key: str | None = None,
    reporting_group: str | None = None,
    revision_tag: str | None = None,
    compare: Sequence[str] = (),
    files: FileSources | Sequence[str] = (),
    processors: Mapping[str, InputProcessor] | None = None,
    limits: Limits | None = None,
    retries: Retries | None = None,
    ledger: Path | str | None = None,
    environment: Environment | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> _Table:
    """The table with the answers' fields and the runs' data as further columns, its rows in their order.

    Args:
        table: a pandas DataFrame or a pyarrow Table; the same comes back.
        task: a task, or the path of its file.
        inputs: placeholder -> column; a placeholder that is not named takes the column of its name.
        key: the column that names a row; without it the row's content does.
        reporting_group: a constant, or a template over the columns such as `{{customer}}`.
        revision_tag: the revision to use: a constant, or a template over the columns; by default weights
            decide.
        compare: tags or ids of revisions, or `all`: every row is run with each of them.
        files: the columns that name a row's files (bytes, data: URIs, `{filename, content}`), or these with
            the folders and hosts that paths and URLs may lead to.
        processors: input processors of your own, by the names that the task's `input_processors` use.
        limits: what must never be passed.
        retries: how often failed calls are had again.
        ledger: a DuckDB file in which every run is kept, and from which answered rows are taken without a
            call; None keeps nothing.
        environment: keys of the providers; by default those of this process.
        transport: stands for every network.

    Raises:
        Mistake: something was found wrong before the first call, or the provider refused us.
    """
    setup = _setup(
        task,
        inputs=inputs,
        key=key,
        reporting_group=reporting_group,
        revision_tag=revision_tag,
        compare=compare,
        files=files,
        processors=processors,
        limits=limits,
        retries=retries,
        ledger=ledger,
        environment=environment,
    )
    job = setup.job
    check_kept_somewhere(setup)
    check_before_rows(setup)
    with open_table(table, key=key) as source, open_ledger(job.ledger) as open_one:
        rows = check_source(setup, source, limit=None)
        batch = Batch(setup, ledger=open_one)
        stretches = Stretches(
            source.rows(size=_CHUNK_ROWS, limit=None, columns=columns_of(job)),
            planner=planner_of(job),
            ledger=open_one,
            options=Options(),
            tally=batch.tally,
            books=batch.books,
            suspects=batch.suspects,
            take_up=asks_hosted_tasks(setup),
        )
        summary = await batch.run(stretches.fetch, rows=rows * job.assignment.runs_a_row, transport=transport)
        if not summary.outcome.is_whole:
            raise Mistake(f"{summary.cancelled} of {summary.rows} rows were not run: {summary.reason}")
        enrichment = Enrichment(
            source.schema,
            job.answers_alike,
            tell_revisions=job.tells_revisions,
            tell_citations=job.tells_citations,
        )
        batches = await to_thread.run_sync(
            lambda: list(enriched_batches(job, enrichment, source=source, ledger=open_one, limit=None))
        )
        enriched = pa.Table.from_batches(batches, schema=enrichment.schema)
    return enriched.to_pandas() if isinstance(table, pd.DataFrame) else enriched


async def ask(
    row: Mapping[str, JsonValue],
    task: Task | Path | str,
    *,
    environment: Environment | None = None,
    ledger: Path | str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> RowAnswer:
    """What comes of one row; see `answers`."""
    async with answers([row], task, environment=environment, ledger=ledger, transport=transport) as stream:
        return await stream.receive()


@asynccontextmanager
async def answers(
    rows: Rows,
    task: Task | Path | str,
    *,
    inputs: Mapping[str, str] | None = None,
    key: str | None = None,
    reporting_group: str | None = None,
    revision_tag: str | None = None,
    compare: Sequence[str] = (),
    files: FileSources | Sequence[str] = (),
    processors: Mapping[str, InputProcessor] | None = None,
    limits: Limits | None = None,
    retries: Retries | None = None,
    ledger: Path | str | None = None,
    environment: Environment | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[ObjectReceiveStream[RowAnswer]]:
    """A stream of what comes of each row, in the order in which they end; for parameters see `enrich`.

    Rows are drawn as fast as they are run, and answers wait for whoever reads them. Leaving early ends the
    batch in order: no new call is made, and those under way are dropped and recorded as such.

        async with answers(rows, "sentiment.yaml", key="id") as stream:
            async for answer in stream:
                ...

    Raises:
        Mistake: something was found wrong before the first call, or a key came twice.
    """
    setup = _setup(
        task,
        inputs=inputs,
        key=key,
        reporting_group=reporting_group,
        revision_tag=revision_tag,
        compare=compare,
        files=files,
        processors=processors,
        limits=limits,
        retries=retries,
        ledger=ledger,
        environment=environment,
    )
    check_before_rows(setup)
    send, receive = anyio.create_memory_object_stream[RowAnswer](0)
    stop = Stop()
    with open_ledger(setup.job.ledger) as open_one:
        stream = _Stream(setup, rows=_one_by_one(rows), ledger=open_one, send=send)
        try:
            async with anyio.create_task_group() as tasks, receive:
                tasks.start_soon(stream.run, stop, transport)
                try:
                    yield receive
                finally:
                    stop.call(Why.INTERRUPTED, "the reader left")
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise sole_cause(group) from None


class _Stream:
    """Runs rows as they come and sends what came of each."""

    def __init__(
        self,
        setup: Setup,
        *,
        rows: AsyncIterator[Mapping[str, JsonValue]],
        ledger: Ledger,
        send: ObjectSendStream[RowAnswer],
    ) -> None:
        self._setup = setup
        self._rows = rows
        self._ledger = ledger
        self._send = send
        self._planner = planner_of(setup.job)
        self._take_up = asks_hosted_tasks(setup)
        self._suspects: Suspects
        self._number = 0
        self._keys: dict[str, int] = {}  # and how often each came
        self._values: dict[str, Mapping[str, JsonValue]] = {}  # of the rows under way, by task run id

    async def run(self, stop: Stop, transport: httpx.AsyncBaseTransport | None) -> None:
        async with self._send:
            batch = Batch(self._setup, ledger=self._ledger, stop=stop, heard=self._heard)
            self._suspects = batch.suspects
            summary = await batch.run(self._fetch, rows=None, transport=transport)
            if stop.why is not None and stop.why is not Why.INTERRUPTED:
                raise Mistake(f"the batch was ended: {summary.reason}")

    async def _fetch(self) -> list[Plan] | None:
        """The plans of the next row that needs a call; what was answered before is sent at once."""
        async for values in self._rows:
            row = self._row(values)
            charts = self._planner.charts(row)
            stored = await to_thread.run_sync(self._ledger.results, [one.identity for one in charts])
            plans = []
            for charted in charts:
                known = stored.get(charted.identity)
                if known is None or known.status != "completed":
                    plan = self._planner.plan(charted, task_run_id=str(uuid_utils.uuid7()))
                    self._values[plan.task_run_id] = values
                    plans.append(self._suspects.judged(plan))
                else:
                    file = await to_thread.run_sync(self._file_of, known.task_run_id)
                    await self._send.send(_known_answer(charted, known, file=file))
            if plans and self._take_up:
                plans = await to_thread.run_sync(taking_up, plans, self._ledger)
            if plans:
                return plans
        return None

    def _row(self, values: Mapping[str, JsonValue]) -> Row:
        self._number += 1
        missing = [column for column in columns_of(self._setup.job) if column not in values]
        if missing:
            raise Mistake(f"row {self._number} has no {', '.join(map(repr, missing))}")
        plain, blobs = plain_values(values)
        named = self._setup.job.source.key
        if named is None:
            name = content_hash(plain)
        elif values.get(named) in (None, ""):
            raise Mistake(f"row {self._number} has no key: {named!r} is empty")
        else:
            name = str(values[named])
        times = self._keys[name] = self._keys.get(name, 0) + 1
        if times > 1 and named is not None:
            raise Mistake(f"row {self._number} has the key {name!r}, which an earlier row has, too")
        own = name if times == 1 else f"{name}-{times}"
        return Row(number=self._number, key=own, values=plain, blobs=blobs)

    async def _heard(self, task_run: TaskRun) -> None:
        data, made = task_run.data, task_run.answer
        answer = RowAnswer(
            row=self._values.pop(task_run.plan.task_run_id),
            key=task_run.plan.row_key,
            status=task_run.status.value,
            response=task_run.response,
            error=task_run.failure.reason if task_run.failure else None,
            cost=data.cost,
            input_tokens=data.input_tokens,
            output_tokens=data.output_tokens,
            model=str(task_run.attempts[-1].model) if task_run.attempts else None,
            task_run_id=task_run.plan.task_run_id,
            revision_tag=task_run.plan.revision.tag,
            file=self._place_of(made.file.uri) if made is not None and made.file is not None else None,
            content=made.media.content if made is not None and made.media is not None else None,
        )
        with suppress(anyio.BrokenResourceError):  # the reader left; the ledger has it
            await self._send.send(answer)

    def _file_of(self, task_run_id: str) -> Path | None:
        """The file that an earlier run has made."""
        if not self._setup.job.task.output.modality.is_file:
            return None
        found = self._ledger.files_of([task_run_id]).to_pylist()
        return self._place_of(found[0]["uri"]) if found else None

    def _place_of(self, uri: str) -> Path:
        return self._setup.job.ledger.resolve().parent / uri


def _known_answer(charted: Charted, known: StoredResult, *, file: Path | None) -> RowAnswer:
    """What came of a row that an earlier batch has run."""
    return RowAnswer(
        row=charted.row.values,
        key=charted.row.key,
        status=known.status,
        response=orjson.loads(known.response) if known.response else None,
        error=None,
        cost=known.cost,
        input_tokens=known.input_tokens or 0,
        output_tokens=known.output_tokens or 0,
        model=known.model,
        task_run_id=known.task_run_id,
        revision_tag=charted.revision.tag,
        file=file,
    )


async def _one_by_one(rows: Rows) -> AsyncIterator[Mapping[str, JsonValue]]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row


def _setup(
    task: Task | Path | str,
    *,
    inputs: Mapping[str, str] | None,
    key: str | None,
    reporting_group: str | None,
    revision_tag: str | None = None,
    compare: Sequence[str] = (),
    files: FileSources | Sequence[str] = (),
    processors: Mapping[str, InputProcessor] | None = None,
    limits: Limits | None,
    retries: Retries | None,
    ledger: Path | str | None,
    environment: Environment | None,
) -> Setup:
    path = None if isinstance(task, Task) else Path(task)
    pinned = Template.parse(revision_tag) if revision_tag else None
    settled = bool(compare) or (pinned is not None and pinned.is_constant)
    loaded = (
        task
        if isinstance(task, Task)
        else load_task(
            Path(task), weights="not_needed" if settled else "needed", processors=tuple(processors or ())
        )
    )
    given = inputs or {}
    job = Job(
        name=loaded.name,
        task=loaded,
        source=Source(key=key),
        inputs={name: given.get(name, name) for name in loaded.names},
        files=files if isinstance(files, FileSources) else FileSources(columns=columns_named(files)),
        labels=Labels(reporting_group=Template.parse(reporting_group) if reporting_group else None),
        limits=limits or Limits(),
        retries=retries or Retries(),
        assignment=_assignment(loaded, pinned=pinned, compare=compare),
        ledger=IN_MEMORY if ledger is None else Path(ledger),
        seed=loaded.name,
    )
    return setup_of(job, near=path, environment=environment or Environment.from_os(), processors=processors)


def _assignment(task: Task, *, pinned: Template | None, compare: Sequence[str]) -> Assignment:
    if pinned is not None and compare:
        raise Mistake("revision_tag and compare both say which revisions rows get; give one of them")
    try:
        assignment = Assignment(
            revision_tag=pinned, compare=compared(task, [compare] if isinstance(compare, str) else compare)
        )
        Assigner(task, assignment, seed="")
    except ValueError as error:
        raise Mistake(str(error)) from None
    return assignment
