"""A task run as the task-run APIs tell it: their names, their nesting, their types.

The first fields of `TaskRunRecord` are those that Rightbrain's pages "Run Task" and "Fetch a Task Run" give,
in their order and with nothing added to any of them. What we know beyond stands after them. `agent_response`
is the same run as Webagent's page has it.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tasks_lib.domain.csv_text import csv_text
from tasks_lib.domain.fingerprint import JsonValue, canonical_json, content_hash
from tasks_lib.domain.output import Modality

CREDITS: Final = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class FileRecord(_Told):
    """A file that was sent with the run or that came of it."""

    original_filename: str = Field(description="The name that the input had, or the answer's own")
    stored_filename: str | None = Field(description="Of a file that came of the run: its name there")
    content_type: str = Field(description="MIME type, as its bytes show it")
    download_url: str | None = Field(
        description="Of a file that came of the run: where it is, relative to the ledger's folder"
    )
    size_bytes: int
    sha256: str


class ReportingGroupRecord(_Told):
    """The group that a run is charged to."""

    id: UUID
    name: str = Field(max_length=64)
    created: datetime


class ErrorRecord(_Told):
    """Why a run failed."""

    kind: str = Field(description="Such as rate_limited, timeout, invalid_output, bad_row")
    message: str


class AttemptRecord(_Told):
    """One call."""

    number: int
    lane: str = Field(description="primary or fallback")
    model: str
    answered_by: str | None
    http_status: int | None
    failure_kind: str | None
    error: str | None
    request_id: str | None
    started_at: datetime
    waited: float = Field(description="Seconds of backoff and gate before it")
    worked: float = Field(description="Seconds that it took")
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None = Field(description="Dollars; null: unknown")
    estimated_cost: Decimal | None = Field(
        description="Dollars, if it was billed though no answer came; below 0 it takes back what earlier "
        "attempts at the same hosted run have put down"
    )
    maybe_billed: bool
    remote_id: str | None = Field(description="The run's id at a hosted task")
    remote_run: dict[str, Any] | None = Field(description="What the hosted task told of that run")


class TaskRunRecord(_Told):
    """One row's run, whole."""

    task_id: UUID
    task_revision_id: UUID
    response: str | dict[str, Any] = Field(
        description="The answer: text, CSV text, or an object; of a file its description; empty if failed"
    )
    run_data: dict[str, Any] = Field(description="`submitted` has the inputs as they came")
    id: UUID
    created: datetime
    input_tokens: int = Field(description="Over all calls, as the next two; 0 where no call told any")
    output_tokens: int
    total_tokens: int
    input_processor_timing: float | None = Field(description="Seconds of input processors; null: none ran")
    llm_call_timing: float | None = Field(description="Seconds that calls took; null: there was none")
    charged_credits: str | None = Field(
        json_schema_extra={"pattern": CREDITS},  # whose look-ahead pydantic's own regular expressions lack
        description="The cost at the job's credits_per_dollar; null: no rate or cost",
    )
    files: list[FileRecord] | None
    is_error: bool | None = False
    llm_retries: int | None = Field(default=0, description="Calls beyond the first on each model")
    used_fallback_model: bool | None = False
    primary_failure_reason: str | None
    fallback_llm_model_id: UUID | None
    user_id: UUID | None = Field(description="Names who ran the batch; follows from `user`")
    reporting_group_id: UUID | None
    reference: str | None = Field(max_length=64)
    context_id: str | None = Field(max_length=64)
    reporting_group: ReportingGroupRecord | None

    status: str = Field(description="completed, failed or cancelled")
    error: ErrorRecord | None
    task_name: str | None
    output_modality: str | None
    revision_tag: str | None
    revision_chosen_by: str | None
    model_name: str | None = Field(description="That answered, as provider:name")
    fallback_llm_model: str | None = Field(description="As provider:name")
    fallback_trigger: str | None = Field(description="automatic or manual")
    batch_id: UUID
    job: str | None
    row_key: str | None
    row_number: int | None
    user: str | None
    metadata: dict[str, str] | None
    warnings: list[str] | None
    answered_by: UUID | None = Field(description="The run whose call answered this one, too")
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost: Decimal | None = Field(description="Dollars that are sure; null: unknown")
    possible_cost: Decimal | None = Field(description="Dollars on top, if calls without answer were billed")
    cost_source: str | None
    waited: float | None = Field(description="Seconds of backoff and gate")
    finished: datetime
    citations: list[dict[str, Any]] | None = Field(
        description="What fields of the answer rest on, where a hosted task tells: field, reasoning, "
        "confidence, url, title, excerpts"
    )
    history: list[dict[str, Any]] | None = Field(
        description="What a browser agent did: steps, each with a description and actions"
    )
    attempts: list[AttemptRecord]

    def as_json(self) -> dict[str, Any]:
        """The record as JSON has it: ids, times and money are text."""
        told = self.model_dump(mode="json")
        for money in (told, *told["attempts"]):
            for name in ("cost", "possible_cost", "estimated_cost"):
                if money.get(name) is not None:
                    money[name] = _plain(Decimal(money[name]))
        return told

    def agent_response(self) -> dict[str, Any]:
        """The run as Webagent's page "Run Task" answers; `history` is null where no browser was used."""
        is_successful = self.status == "completed"
        return {
            "task_id": str(self.task_id),
            "task_run_id": str(self.id),
            "history": self.history,
            "result": self.response if is_successful else None,
            "is_done": True,
            "is_successful": is_successful,
            "status": "success" if is_successful else "failure",
        }


def record_of(run: Mapping[str, Any]) -> TaskRunRecord:
    """The record of a run, of what `Ledger.show` gives."""
    group_id = run["reporting_group_id"]
    charged = run["charged_credits"]
    kind = run["error_kind"]
    return TaskRunRecord(
        task_id=run["task_id"],
        task_revision_id=run["task_revision_id"],
        response=_response(run),
        run_data=run["run_data"] or {},
        id=run["id"],
        created=run["created_at"],
        input_tokens=run["input_tokens"] or 0,
        output_tokens=run["output_tokens"] or 0,
        total_tokens=run["total_tokens"] or 0,
        input_processor_timing=run["input_processor_timing"],
        llm_call_timing=run["llm_call_timing"],
        charged_credits=None if charged is None else _plain(charged),
        files=[_file(file) for file in run["files"]],
        is_error=bool(run["is_error"]),
        llm_retries=run["llm_retries"] or 0,
        used_fallback_model=bool(run["used_fallback_model"]),
        primary_failure_reason=run["primary_failure_reason"],
        fallback_llm_model_id=_model_id(run["fallback_llm_model"]),
        user_id=_named(user=run["user_id"]),
        reporting_group_id=group_id,
        reference=run["reference"],
        context_id=run["context_id"],
        reporting_group=None
        if group_id is None
        else ReportingGroupRecord(
            id=group_id,
            name=run["reporting_group"],
            created=run["reporting_group_created_at"] or run["created_at"],
        ),
        status=run["status"],
        error=None if kind is None else ErrorRecord(kind=kind, message=run["error"] or ""),
        task_name=run["task"],
        output_modality=run["output_modality"],
        revision_tag=run["revision_tag"],
        revision_chosen_by=run["revision_chosen_by"],
        model_name=run["model"],
        fallback_llm_model=run["fallback_llm_model"],
        fallback_trigger=run["fallback_trigger"],
        batch_id=run["batch_id"],
        job=run["job"],
        row_key=run["row_key"],
        row_number=run["row_number"],
        user=run["user_id"],
        metadata=run["metadata"],
        warnings=run["warnings"],
        answered_by=run["joined_to"],
        cached_tokens=run["cached_tokens"],
        reasoning_tokens=run["reasoning_tokens"],
        cost=run["cost"],
        possible_cost=run["possible_cost"],
        cost_source=run["cost_source"],
        waited=run["waited"],
        finished=run["modified_at"],
        citations=run["citations"],
        history=_history(run["history"]),
        attempts=[_attempt(attempt) for attempt in run["attempts"]],
    )


def _response(run: Mapping[str, Any]) -> str | dict[str, Any]:
    """Text or an object, which is all that the pages know; other JSON is told as its text."""
    value: JsonValue = run["response"]
    if value is None:
        return "" if run["output_modality"] == Modality.TEXT.value else {}
    if isinstance(value, dict | str):
        return value
    if run["output_modality"] == Modality.CSV.value and isinstance(value, list):
        return csv_text([row for row in value if isinstance(row, dict)])
    return canonical_json(value).decode()


def _file(file: Mapping[str, Any]) -> FileRecord:
    is_ours = file["direction"] == "out"
    return FileRecord(
        original_filename=file["name"],
        stored_filename=file["name"] if is_ours else None,
        content_type=file["mime_type"],
        download_url=file["uri"] if is_ours else None,
        size_bytes=file["size"],
        sha256=file["sha256"],
    )


def _attempt(attempt: Mapping[str, Any]) -> AttemptRecord:
    return AttemptRecord(**{name: attempt[name] for name in AttemptRecord.model_fields})


def _history(steps: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """The steps as Webagent has them; what newer servers tell besides stands among an action's own."""
    if steps is None:
        return None
    return [
        {
            "description": step["description"],
            "actions": [
                {**(action["further"] or {}), **{name: action[name] for name in action if name != "further"}}
                for action in step["actions"]
            ],
        }
        for step in steps
    ]


def _model_id(name: str | None) -> UUID | None:
    """The id of a fallback model: that which a hosted task has told, else one that follows from its name."""
    if name is None:
        return None
    try:
        return UUID(name)
    except ValueError:
        return _named(model=name)


def _named(**what: str | None) -> UUID | None:
    """The id of something that has only a name: the same for the same name, everywhere."""
    return None if None in what.values() else UUID(content_hash(what))


def _plain(amount: Decimal) -> str:
    """An amount in full, without the zeros of its column."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def record_schema() -> dict[str, Any]:
    """The JSON Schema of a record as JSON."""
    schema = TaskRunRecord.model_json_schema(mode="serialization")
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **schema, "title": "A rowmill task run"}


def record_schema_text() -> str:
    """The same as JSON text, as docs/schemas/task_run.schema.json has it."""
    return json.dumps(record_schema(), indent=2, ensure_ascii=False) + "\n"
