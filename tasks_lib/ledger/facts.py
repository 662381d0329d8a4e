"""Task runs as columns: what DuckDB takes in, from what the domain knows.

A group of rows goes in as an Arrow stream (see `arrivals`): a row of 1 KB with one attempt takes some 40
microseconds of CPU in commits of 100 rows, 28 in commits of 250 and 18 in commits of 1,000. As one JSON
parameter with `from_json` it took 90, with `executemany` 1,090; Python has no appender but for pandas. Ids
are cast from hexadecimal text to UUID in SQL.

DuckDB and JSON are UTF-8, which has no lone surrogates: those are stored as U+FFFD. NUL is stored as it is.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tasks_lib.domain.assignment import NO_REVISION
from tasks_lib.domain.files import FileFact
from tasks_lib.domain.fingerprint import content_hash
from tasks_lib.domain.labels import LONGEST_LABEL
from tasks_lib.domain.output import Answer
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.remote import Action, RemoteRun
from tasks_lib.domain.run import Attempt, Status, TaskRun
from tasks_lib.domain.task import Revision

_TEXT, _WHOLE, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_COST, _PRICE, _TIME = pa.decimal128(24, 12), pa.decimal128(18, 6), pa.timestamp("us", tz="UTC")

_TASK_RUN_TYPES: dict[str, pa.DataType] = {
    "id": _TEXT,
    "task_revision_id": _TEXT,
    "revision_tag": _TEXT,
    "revision_chosen_by": _TEXT,
    "row_key": _TEXT,
    "row_number": _WHOLE,
    "input_hash": _TEXT,
    "identity": _TEXT,
    "status": _TEXT,
    "response": _TEXT,
    "response_hash": _TEXT,
    "error_kind": _TEXT,
    "error": _TEXT,
    "run_data": _TEXT,
    "input_tokens": _WHOLE,
    "output_tokens": _WHOLE,
    "cached_tokens": _WHOLE,
    "reasoning_tokens": _WHOLE,
    "total_tokens": _WHOLE,
    "input_processor_timing": _REAL,
    "llm_call_timing": _REAL,
    "waited": _REAL,
    "cost": _COST,
    "possible_cost": _COST,
    "cost_source": _TEXT,
    "charged_credits": _COST,
    "is_error": _FLAG,
    "llm_retries": _WHOLE,
    "used_fallback_model": _FLAG,
    "fallback_trigger": _TEXT,
    "primary_failure_reason": _TEXT,
    "fallback_llm_model": _TEXT,
    "model": _TEXT,
    "reporting_group_id": _TEXT,
    "reporting_group": _TEXT,
    "reference": _TEXT,
    "context_id": _TEXT,
    "joined_to": _TEXT,
    "metadata": _TEXT,
    "warnings": _TEXT,
    "created_at": _TIME,
    "modified_at": _TIME,
}
_ATTEMPT_TYPES: dict[str, pa.DataType] = {
    "task_run_id": _TEXT,
    "number": _WHOLE,
    "position": _WHOLE,
    "lane": _TEXT,
    "provider": _TEXT,
    "model": _TEXT,
    "answered_by": _TEXT,
    "http_status": _WHOLE,
    "failure_kind": _TEXT,
    "error": _TEXT,
    "retry_after": _REAL,
    "rejected_text": _TEXT,
    "request_id": _TEXT,
    "started_at": _TIME,
    "waited": _REAL,
    "worked": _REAL,
    "input_tokens": _WHOLE,
    "output_tokens": _WHOLE,
    "cached_tokens": _WHOLE,
    "reasoning_tokens": _WHOLE,
    "cache_write_tokens": _WHOLE,
    "input_price_per_million": _PRICE,
    "output_price_per_million": _PRICE,
    "cached_input_price_per_million": _PRICE,
    "cache_write_price_per_million": _PRICE,
    "request_price": _PRICE,
    "price_source": _TEXT,
    "cost": _COST,
    "estimated_cost": _COST,
    "maybe_billed": _FLAG,
    "remote_id": _TEXT,
    "remote_run": _TEXT,
}
_FILE_TYPES: dict[str, pa.DataType] = {
    "id": _TEXT,
    "task_run_id": _TEXT,
    "direction": _TEXT,
    "name": _TEXT,
    "mime_type": _TEXT,
    "size": _WHOLE,
    "sha256": _TEXT,
    "uri": _TEXT,
    "created_at": _TIME,
}
TASK_RUNS, ATTEMPTS, FILES = pa.schema(_TASK_RUN_TYPES), pa.schema(_ATTEMPT_TYPES), pa.schema(_FILE_TYPES)
_CITATION_TYPES: dict[str, pa.DataType] = {
    "task_run_id": _TEXT,
    "number": _WHOLE,
    "field": _TEXT,
    "reasoning": _TEXT,
    "confidence": _TEXT,
    "url": _TEXT,
    "title": _TEXT,
    "excerpts": _TEXT,
}
_STEP_TYPES: dict[str, pa.DataType] = {"task_run_id": _TEXT, "number": _WHOLE, "description": _TEXT}
_ACTION_TYPES: dict[str, pa.DataType] = {
    "task_run_id": _TEXT,
    "step": _WHOLE,
    "number": _WHOLE,
    "name": _TEXT,
    "params": _TEXT,
    "is_done": _FLAG,
    "success": _FLAG,
    "extracted_content": _TEXT,
    "error": _TEXT,
    "include_in_memory": _FLAG,
    "further": _TEXT,
}
CITATIONS, STEPS = pa.schema(_CITATION_TYPES), pa.schema(_STEP_TYPES)
ACTIONS = pa.schema(_ACTION_TYPES)
SCHEMAS: Mapping[str, pa.Schema] = {
    "task_runs": TASK_RUNS,
    "attempts": ATTEMPTS,
    "files": FILES,
    "citations": CITATIONS,
    "steps": STEPS,
    "actions": ACTIONS,
}
_NONE = {  # without a list to make an array of, for which pyarrow would import pandas
    name: pa.Table.from_batches([], schema=schema) for name, schema in SCHEMAS.items()
}
_FIVE_UNKNOWN = (None, None, None, None, None)
_FOUR_UNKNOWN = (None, None, None, None)
_SIX_UNKNOWN = (None, None, None, None, None, None)
_LONG_TEXTS = ("row_key", "response", "error", "run_data", "primary_failure_reason", "metadata")
_IN_TABLES = frozenset({"citations", "steps"})
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the ledger takes in of some task runs; it can be sent from process to process."""

    task_runs: pa.Table
    attempts: pa.Table
    files: pa.Table
    groups: Mapping[str, datetime]  # reporting groups, and when a run was first charged to each
    citations: pa.Table = field(
        default_factory=lambda: _NONE["citations"]
    )  # this and the next two: hosted runs
    steps: pa.Table = field(default_factory=lambda: _NONE["steps"])
    actions: pa.Table = field(default_factory=lambda: _NONE["actions"])

    @property
    def told_by_hosts(self) -> Mapping[str, pa.Table]:
        """What hosted tasks tell of their runs beside the answers, by the ledger's table."""
        return {"citations": self.citations, "steps": self.steps, "actions": self.actions}

    @property
    def nbytes(self) -> int:
        """Bytes of all tables."""
        told = sum(table.nbytes for table in self.told_by_hosts.values())
        return self.task_runs.nbytes + self.attempts.nbytes + self.files.nbytes + told

    def messages(self) -> tuple[bytes, ...]:
        """Arrow's own messages of the tables, in the order of `SCHEMAS`; nothing, of one without rows."""
        return tuple(_message(getattr(self, name)) for name in SCHEMAS)

    @classmethod
    def of_messages(cls, messages: Sequence[bytes], groups: Mapping[str, datetime]) -> "Facts":
        """What another process, or this one, made such messages of."""
        tables = {
            name: pa.Table.from_batches([pa.ipc.read_record_batch(pa.py_buffer(message), schema)])
            if message
            else _NONE[name]
            for message, (name, schema) in zip(messages, SCHEMAS.items(), strict=True)
        }
        return cls(groups=groups, **tables)

    def __reduce__(self) -> tuple[Any, ...]:
        """As Arrow's own messages, which take a thirtieth of the time of a hundred pickled columns."""
        return Facts.of_messages, (self.messages(), dict(self.groups))


def _message(table: pa.Table) -> bytes:
    """The rows of a table without its schema, which both ends know; nothing, of no rows."""
    batches = table.combine_chunks().to_batches() if table.num_rows else ()
    return b"".join(batch.serialize().to_pybytes() for batch in batches)


def facts_of(task_runs: Sequence[TaskRun], *, revision_ids: Mapping[str, str]) -> Facts:
    """The facts of task runs; `revision_ids` are by fingerprint."""
    groups: dict[str, datetime] = {}
    for run in task_runs:
        group = reporting_group_of(run)
        if group is not None:
            groups.setdefault(group, run.created_at)
    return Facts(
        task_runs=task_run_columns(task_runs, revision_ids=revision_ids),
        attempts=attempt_columns(task_runs),
        files=file_columns(task_runs),
        groups=groups,
        **_told_by_hosts(task_runs),
    )


def _told_by_hosts(task_runs: Sequence[TaskRun]) -> Mapping[str, pa.Table]:
    """Citations, steps and actions of hosted runs, each of the run whose end was seen last."""
    told = [(run.plan.task_run_id, remote) for run in task_runs if (remote := remote_of(run)) is not None]
    if not told:  # as it mostly is
        return {}
    return {
        "citations": _table(
            [
                (
                    id_,
                    number,
                    one.field,
                    one.reasoning,
                    one.confidence,
                    one.url,
                    one.title,
                    as_json(one.excerpts),
                )
                for id_, remote in told
                for number, one in enumerate(remote.citations, start=1)
            ],
            CITATIONS,
        ),
        "steps": _table(
            [
                (id_, number, one.description)
                for id_, remote in told
                for number, one in enumerate(remote.steps, start=1)
            ],
            STEPS,
        ),
        "actions": _table(
            [
                _action(id_, step, number, action)
                for id_, remote in told
                for step, one in enumerate(remote.steps, start=1)
                for number, action in enumerate(one.actions, start=1)
            ],
            ACTIONS,
        ),
    }


def _action(task_run_id: str, step: int, number: int, action: Action) -> tuple[object, ...]:
    return (
        task_run_id,
        step,
        number,
        action.name,
        as_json(action.params),
        action.is_done,
        action.success,
        action.extracted_content,
        action.error,
        action.include_in_memory,
        as_json(action.further) if action.further else None,
    )


def remote_of(run: TaskRun) -> RemoteRun | None:
    """What was told last of a run's hosted runs; None if it had none."""
    return next((one.remote for one in reversed(run.attempts) if one.remote is not None), None)


def together(facts: Sequence[Facts]) -> Facts:
    """Several as one, in their order."""
    if len(facts) == 1:
        return facts[0]
    groups: dict[str, datetime] = {}
    for one in reversed(facts):
        groups |= one.groups
    tables = {name: [getattr(one, name) for one in facts] for name in SCHEMAS}
    return Facts(
        groups=groups,
        **{
            name: pa.concat_tables(some) if any(one.num_rows for one in some) else _NONE[name]
            for name, some in tables.items()
        },
    )


def task_run_columns(task_runs: Sequence[TaskRun], *, revision_ids: Mapping[str, str]) -> pa.Table:
    """One row for each task run; `revision_ids` are by fingerprint."""
    return _table(
        [_task_run(run, _revision_id(run.plan.revision, revision_ids)) for run in task_runs], TASK_RUNS
    )


def _revision_id(revision: Revision, revision_ids: Mapping[str, str]) -> str:
    """The id of a run's revision; that of no revision, where its row named one that there is not."""
    return NO_REVISION if revision.fingerprint == NO_REVISION else revision_ids[revision.fingerprint]


def attempt_columns(task_runs: Sequence[TaskRun]) -> pa.Table:
    """One row for each attempt of the task runs, in their order."""
    return _table(
        [
            _attempt(run.plan.task_run_id, number, attempt)
            for run in task_runs
            for number, attempt in enumerate(run.attempts, start=1)
        ],
        ATTEMPTS,
    )


def file_columns(task_runs: Sequence[TaskRun]) -> pa.Table:
    """One row for each file of the task runs, in their order."""
    rows = [
        _file(run, number, file)
        for run in task_runs
        if run.plan.files or (run.answer is not None and run.answer.file is not None)
        for number, file in enumerate(run.files, start=1)
    ]
    return _table(rows, FILES) if rows else _NONE["files"]


def longest_text(task_runs: pa.Table) -> int:
    """The bytes of the longest text of these runs."""
    return max(pc.max(pc.binary_length(task_runs.column(name))).as_py() or 0 for name in _LONG_TEXTS)


def reporting_group_of(task_run: TaskRun) -> str | None:
    """The group that a run is charged to; a name that is too long is none, and the run has failed for it."""
    group = task_run.plan.reporting_group
    return storable(group) if group is not None and len(group) <= LONGEST_LABEL else None


@lru_cache(maxsize=10_000)
def reporting_group_id(name: str) -> str:
    """32 hexadecimal digits that follow from a group's name."""
    return content_hash({"reporting_group": name})


def storable(text: str) -> str:
    """A text as DuckDB can hold it."""
    return _SURROGATE.sub("\ufffd", text)


def as_json(value: object) -> str:
    """The JSON text of a value, whatever it holds."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a lone surrogate, a whole number beyond 64 bits, a mapping that is no dict
        return json.dumps(_mended(value), ensure_ascii=False)


def _task_run(run: TaskRun, revision_id: str) -> tuple[object, ...]:
    plan, data, answer, failure = run.plan, run.data, run.answer, run.failure
    group = reporting_group_of(run)
    # the sums of a run none of whose calls told its usage are unknown, not zero
    calls = [attempt for attempt in run.attempts if attempt.is_call]
    told = not calls or any(attempt.usage is not None for attempt in calls)
    remote = remote_of(run)
    processing = plan.input_processor_timing
    if processing is None and remote is not None:
        processing = remote.input_processor_timing
    warnings = (*(answer.warnings if answer is not None else ()), *(remote.warnings if remote else ()))
    return (
        plan.task_run_id,
        revision_id,
        plan.revision.tag,
        plan.chosen_by,
        plan.row_key,
        plan.row_number,
        plan.input_hash,
        plan.identity,
        run.status.value,
        as_json(answer.value) if answer is not None else None,
        _hash_of(answer) if answer is not None else None,
        failure.kind.value if failure is not None else None,
        failure.message if failure is not None else None,
        as_json(_run_data(plan, remote)),
        *(
            (
                data.input_tokens,
                data.output_tokens,
                data.cached_tokens,
                data.reasoning_tokens,
                data.total_tokens,
            )
            if told
            else _FIVE_UNKNOWN
        ),
        processing,
        data.llm_call_timing,
        data.waited,
        data.cost,
        data.possible_cost,
        data.cost_source,
        data.charged_credits,
        data.is_error,
        data.llm_retries,
        data.used_fallback_model,
        data.fallback_trigger,
        data.primary_failure_reason,
        data.fallback_llm_model,
        _model(run),
        reporting_group_id(group) if group is not None else None,
        group,
        plan.reference,
        plan.context_id,
        run.joined_to,
        as_json(plan.metadata) if plan.metadata else None,
        as_json(warnings) if warnings else None,
        run.created_at,
        run.finished_at,
    )


def _model(run: TaskRun) -> str | None:
    """The model that answered, be it at another time."""
    if run.status is not Status.COMPLETED:
        return None
    if run.attempts:
        return str(run.attempts[-1].model)
    return run.plan.stored.model if run.plan.stored is not None else None


def _hash_of(answer: Answer) -> str:
    """32 hexadecimal digits that equal answers share, whatever the order of their keys."""
    value = answer.file.sha256 if answer.file is not None else answer.value
    try:
        return content_hash(value)
    except TypeError:  # see `as_json`
        return content_hash(as_json(value))


def _run_data(plan: Plan, remote: RemoteRun | None) -> dict[str, object]:
    """What was submitted, as it came; what processors made of it, here or there, stands beside it."""
    there = {} if remote is None or remote.run_data is None else remote.run_data
    if not (plan.processed or there):
        return {"submitted": plan.submitted}
    here = {f"{name}_processed": value for name, value in plan.processed.items()}
    return {**there, "submitted": plan.submitted, **here}


def _remote_run(remote: RemoteRun) -> str:
    """What a hosted task told of a run, as JSON: all that it knew, but for what has tables of its own."""
    told = {
        one.name: value
        for one in fields(remote)
        if one.name not in _IN_TABLES and (value := getattr(remote, one.name)) is not None
    }
    if remote.charged_credits is not None:
        told["charged_credits"] = str(remote.charged_credits)
    return as_json({**told, "is_over": remote.is_over})


def _file(run: TaskRun, number: int, file: FileFact) -> tuple[object, ...]:
    return (
        content_hash({"task_run": run.plan.task_run_id, "file": number}),
        run.plan.task_run_id,
        file.direction.value,
        file.name,
        file.mime_type,
        file.size,
        file.sha256,
        file.uri,
        run.finished_at,
    )


def _attempt(task_run_id: str, number: int, attempt: Attempt) -> tuple[object, ...]:
    failure, usage, prices = attempt.failure, attempt.usage, attempt.prices
    return (
        task_run_id,
        number,
        attempt.position,
        "fallback" if attempt.position else "primary",
        attempt.model.provider,
        str(attempt.model),
        attempt.answered_by,
        attempt.http_status,
        *(
            (failure.kind.value, failure.message, failure.retry_after, failure.text)
            if failure is not None
            else _FOUR_UNKNOWN
        ),
        attempt.request_id,
        attempt.started_at,
        attempt.waited,
        attempt.worked,
        *(
            (
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_tokens,
                usage.reasoning_tokens,
                usage.cache_write_tokens,
            )
            if usage is not None
            else _FIVE_UNKNOWN
        ),
        *(
            (
                prices.input,
                prices.output,
                prices.cached_input,
                prices.cache_write,
                prices.request,
                prices.source,
            )
            if prices is not None
            else _SIX_UNKNOWN
        ),
        attempt.cost,
        attempt.estimated_cost,
        failure is not None and failure.maybe_billed,
        attempt.remote_id,
        _remote_run(attempt.remote) if attempt.remote is not None else None,
    )


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    if not rows:
        return schema.empty_table()
    columns = zip(*rows, strict=True)
    return pa.Table.from_arrays(
        [_array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )


def _array(values: Sequence[Any], kind: pa.DataType) -> "pa.Array[Any]":  # only the stubs have it generic
    try:
        return pa.array(values, type=kind)
    except UnicodeEncodeError:
        return pa.array([None if text is None else storable(text) for text in values], type=kind)
    except pa.ArrowInvalid:
        if not pa.types.is_decimal(kind):
            raise
        step = Decimal(1).scaleb(-kind.scale)  # a provider's own figure may have more digits than we keep
        return pa.array([None if value is None else value.quantize(step) for value in values], type=kind)


def _mended(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): _mended(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(inner) for inner in value]
    if isinstance(value, float):
        return value if isfinite(value) else None  # as orjson has it
    if value is None or isinstance(value, int):
        return value
    return storable(str(value))
