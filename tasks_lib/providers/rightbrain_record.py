"""What Rightbrain's record of a task run says: a RemoteRun, the tokens, and how the run ended."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Reply
from tasks_lib.domain.remote import RemoteRun
from tasks_lib.domain.usage import Usage
from tasks_lib.domain.uuids import parsed_id

SUCCESS: Final = "success"
ERROR: Final = "error"
# The API's own words, by which its list of runs is filtered; a record has `is_error` in their place.

_DECIMAL: Final = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})")
_MOST_TOKENS: Final = 10**9  # beyond it a count is nonsense
_KEPT: Final = 2_000  # characters of what a failed run says
_SHOWN: Final = 300  # of them in its message
_FIELDS: Final = frozenset(
    [
        *("id", "task_id", "task_revision_id", "charged_credits", "llm_retries", "llm_call_timing"),
        *("input_processor_timing", "used_fallback_model", "primary_failure_reason"),
        *("fallback_llm_model_id", "run_data", "is_error"),
    ]
)
"""Those that a RemoteRun has a word of its own for; `response` is the answer, and kept as such."""
_KINDS: Final = tuple(
    (re.compile(words, re.IGNORECASE), kind)
    for words, kind in (
        (r"rate.?limit|too many requests|\b429\b|overloaded", FailureKind.RATE_LIMITED),
        (r"time.?out|timed out|deadline", FailureKind.TIMEOUT),
        (r"content.?(filter|policy)|safety|moderat|refus", FailureKind.REFUSED),
        (r"max.?(output.?)?tokens|context.?length|token limit|truncat", FailureKind.LENGTH),
        (r"invalid.?output|schema|output.?format|not valid json", FailureKind.INVALID_OUTPUT),
    )
)
"""What a reason tells; of any other, nothing is known but that the run was made and may be charged."""


def run_id_of(record: Mapping[str, Any]) -> str | None:
    """The run's id, if it is one: it becomes part of addresses."""
    told = record.get("id")
    return parsed_id(told) if isinstance(told, str) else None


def is_error(record: Mapping[str, Any]) -> bool:
    """Whether the run failed; null is as good as false."""
    return record.get("is_error") is True


def remote_of(record: Mapping[str, Any], *, run_id: str, status: str | None) -> RemoteRun:
    """Every field of the record but the answer itself; no status where its end is not yet to be had."""
    data = record.get("run_data")
    further = {name: value for name, value in record.items() if name not in _FIELDS and name != "response"}
    return RemoteRun(
        remote_id=run_id,
        status=status,
        task_id=_text(record.get("task_id")),
        task_revision_id=_text(record.get("task_revision_id")),
        charged_credits=decimal_of(record.get("charged_credits")),
        llm_retries=_count(record.get("llm_retries")) or 0,
        llm_call_timing=_seconds(record.get("llm_call_timing")),
        input_processor_timing=_seconds(record.get("input_processor_timing")),
        used_fallback_model=record.get("used_fallback_model") is True,
        primary_failure_reason=_text(record.get("primary_failure_reason")),
        fallback_llm_model_id=_text(record.get("fallback_llm_model_id")),
        run_data=data if isinstance(data, dict) else None,
        further=further,
    )


def text_of(response: JsonValue) -> str:
    """An answer as text: JSON, if it is no text."""
    return response if isinstance(response, str) else orjson.dumps(response).decode()


def reply_of(record: Mapping[str, Any], *, run_id: str, request_id: str | None) -> Reply:
    """The reply of a run that went well."""
    return Reply(
        text=text_of(record.get("response")),
        usage=usage_of(record),
        model=_text(record.get("model_name")),
        http_status=200,
        request_id=request_id,
        remote=remote_of(record, run_id=run_id, status=SUCCESS),
    )


def failure_of(
    record: Mapping[str, Any], *, run_id: str, request_id: str | None, hidden: Callable[[str], str]
) -> Failure:
    """The failure of a run that was made and ended in an error; `hidden` takes secrets out of its words.

    Its kind is what its reason tells, if that can be told, and else one that is not tried again: the run may
    have been charged, and nothing says that another would do better.
    """
    reason = hidden(_text(record.get("primary_failure_reason")) or "")
    response = record.get("response")
    said = "" if response is None else hidden(text_of(response))
    message = reason if reason and reason in said else " ".join(part for part in (reason, said) if part)
    kind = next((kind for told, kind in _KINDS if told.search(reason or said)), FailureKind.RUN_FAILED)
    return Failure(
        kind=kind,
        message=_cut(f"run {run_id} failed: {' '.join(message.split()) or 'no reason is told'}", _SHOWN),
        http_status=200,
        request_id=request_id,
        usage=usage_of(record),
        text=_cut(said, _KEPT) or None,
        model=_text(record.get("model_name")),
        remote=remote_of(record, run_id=run_id, status=ERROR),
    )


def usage_of(record: Mapping[str, Any]) -> Usage | None:
    """The tokens of the run; None if it tells none, or nonsense."""
    into, out = _count(record.get("input_tokens")), _count(record.get("output_tokens"))
    if into is None or out is None:
        return None
    return Usage(input_tokens=into, output_tokens=out)


def decimal_of(told: object) -> Decimal | None:
    """An exact decimal, told as text as the pages have it, or as a number; None if it is none."""
    if isinstance(told, bool) or not isinstance(told, str | int | float):
        return None
    text = told.strip() if isinstance(told, str) else repr(told)
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def _seconds(told: object) -> float | None:
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    return float(told) if 0 <= told < 1e9 else None


def _count(told: object) -> int | None:
    return told if type(told) is int and 0 <= told <= _MOST_TOKENS else None


def _text(told: object) -> str | None:
    return told if isinstance(told, str) and told else None


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
