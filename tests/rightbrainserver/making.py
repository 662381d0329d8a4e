"""One run from its start to its record: how long it takes, what it answers, what it is charged."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tests.llmserver.instances import instance_of
from tests.rightbrainserver import produced
from tests.rightbrainserver.asking import Asked
from tests.rightbrainserver.control import Customer
from tests.rightbrainserver.creating import Attempt
from tests.rightbrainserver.runs import TaskRun, with_nulls
from tests.rightbrainserver.settings import Settings
from tests.rightbrainserver.tasks import ORG, PROJECT, Task, made_id, schema_of

USER: Final = made_id("user/pretend")
_NEWER: Final = (
    "rag_retrieval_timing",
    "rag_query_rewrite_input_tokens",
    "rag_query_rewrite_output_tokens",
    "rag_query_rewrite_total_tokens",
    "mcp_tool_timing",
    "input_processor_charged_credits",
    "event_trigger_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Luck:
    """What befell the models of a run."""

    reason: str | None
    """Why the primary model failed."""
    is_error: bool
    used_fallback: bool


def made(
    task: Task, asked: Asked, attempt: Attempt, customer: Customer[Settings], group: Mapping[str, Any] | None,
    *, began: datetime,
) -> TaskRun:  # fmt: skip  # what a run follows from
    """The record of the run, which ends now."""
    own, luck = customer.told.own, _luck(asked, attempt, customer)
    run_id = str(uuid.uuid4())
    base = f"/org/{ORG}/project/{PROJECT}/task/{task.id}/run/{run_id}"
    response, files = _response(task, asked, attempt, customer, luck, base=base)
    prompt = asked.revision.prompt(asked.task_input)
    tokens_in = own.tokens_in or len(prompt) // 4 + 1
    tokens_out = len(str(response)) // 4 + 1
    run_data, timing = _run_data(asked)
    told: dict[str, Any] = {
        "task_id": task.id,
        "task_revision_id": asked.revision.id,
        "response": response,
        "run_data": run_data,
        "id": run_id,
        "created": began.replace(tzinfo=None).isoformat(timespec="microseconds"),
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "input_processor_timing": timing,
        "llm_call_timing": round((datetime.now(UTC) - began).total_seconds() + 0.001, 6),
        "charged_credits": own.credits or None,
        "files": [file.told(base) for file in files],
        "is_error": luck.is_error,
        "llm_retries": own.llm_retries,
        "used_fallback_model": luck.used_fallback,
        "primary_failure_reason": luck.reason,
        "fallback_llm_model_id": asked.revision.fallback_llm_model_id if luck.used_fallback else None,
        "user_id": USER,
        "reporting_group_id": group["id"] if group else None,
        "reference": asked.reference,
        "context_id": asked.context_id,
        "reporting_group": group,
    }
    if own.modern:
        told |= dict.fromkeys(_NEWER)
        told |= {
            "model_name": asked.revision.model_name,
            "task_name": task.name,
            "output_modality": task.output_modality,
        }
    listed_from = time.monotonic() + own.list_lag
    return TaskRun(
        told=with_nulls(told) if own.nulls else told,
        files=files,
        made=began,
        marker=attempt.marker,
        listed_from=listed_from,
    )


def _luck(asked: Asked, attempt: Attempt, customer: Customer[Settings]) -> _Luck:
    own, marker, number = customer.told.own, attempt.marker, attempt.number
    is_error = customer.befalls("is_error", marker, number, own.is_error)
    if asked.by_hand:
        return _Luck(reason=None, is_error=is_error, used_fallback=True)
    if not customer.befalls("primary", marker, number, own.primary_fails):
        return _Luck(reason=None, is_error=is_error, used_fallback=False)
    has_fallback = asked.revision.fallback_llm_model_id is not None
    reason = "rate_limit: the primary model is overloaded"
    return _Luck(reason=reason, is_error=is_error or not has_fallback, used_fallback=has_fallback)


def _run_data(asked: Asked) -> tuple[dict[str, Any], float | None]:
    """What was submitted, as processors left it, and the seconds that these took."""
    if not asked.revision.input_processors:
        return {"submitted": asked.task_input}, None
    submitted, before = dict(asked.task_input), dict[str, Any]()
    for processor in asked.revision.input_processors:
        name = processor["param_name"]
        before[f"{name}_preprocessed"] = submitted[name]
        submitted[name] = f"{processor['input_processor']} of {submitted[name]}"
    return {"submitted": submitted, **before}, 0.00015282


def _response(
    task: Task, asked: Asked, attempt: Attempt, customer: Customer[Settings], luck: _Luck, *, base: str
) -> tuple[str | dict[str, Any], tuple[produced.File, ...]]:
    """The answer and all files of the run, those that came and the one that was made."""
    own, row = customer.told.own, str(asked.task_input.get("row_id", attempt.marker))
    if luck.is_error:
        return f"Task execution failed: {luck.reason or 'the model did not answer'}", asked.files
    is_bad = attempt.fault == "e_badcontent"
    match task.output_modality:
        case "json" if is_bad:
            return {"unasked": f"row {row}"}, asked.files
        case "json":
            answer: dict[str, Any] = instance_of(schema_of(asked.revision.output_format), row)
            return answer, asked.files
        case "text":
            return "" if is_bad else f"row {row}", asked.files
        case "csv" if own.csv_as == "text":
            return produced.csv(row), asked.files
    spoiled = is_bad or customer.befalls("file", attempt.marker, attempt.number, own.bad_file)
    file = produced.produced(task.output_modality, row, spoiled=spoiled)
    told = file.told(base)
    response = {
        f"{task.output_modality}_name": file.stored,
        "content_type": file.kind,
        "download_url": told["download_url"],
    }
    return response, (*asked.files, file)
