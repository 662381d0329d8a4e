"""What a request to run a task asks for, checked as the API checks it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tests.rightbrainserver.produced import File, received
from tests.rightbrainserver.refusals import NotValid, Refused, malformed
from tests.rightbrainserver.runs import is_uuid
from tests.rightbrainserver.tasks import Revision, Task
from tests.rightbrainserver.wire import Request

_YES, _NO = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that the API would run."""

    revision: Revision
    task_input: Mapping[str, Any]
    files: tuple[File, ...]
    reference: str | None
    context_id: str | None
    group: str
    by_hand: bool
    """Whether the fallback model is asked for."""


def asked(request: Request, task: Task, drawn: float) -> Asked:
    """What it asks for; drawn, in 0..1, chooses the revision.

    Raises:
        Refused: The API would not run it.
    """
    query, body = request.query, _body(request.body)
    group = query.get("reporting_group", "")
    if len(group) > 64:
        raise NotValid(("query", "reporting_group"), "String should have at most 64 characters", _LONG)
    by_hand = _flag(query.get("use_fallback_model", "false"))
    pinned, tag = query.get("revision_id", ""), query.get("revision_tag", "")
    if pinned and not is_uuid(pinned):
        raise malformed("revision_id", pinned)
    if pinned and tag:
        raise Refused(422, "INVALID_COMBINATION", "revision_id and revision_tag exclude each other")
    if not task.enabled:
        raise Refused(422, "TASK_DISABLED", "The task is not enabled")
    revision = task.revision(pinned=pinned.lower(), tag=tag, drawn=drawn)
    if by_hand and revision.fallback_llm_model_id is None:
        raise Refused(422, "FALLBACK_MODEL_NOT_CONFIGURED", "The task has no fallback model")
    given = _input(body)
    missing = [name for name in revision.input_params if name not in given]
    if missing:
        raise Refused(
            422, "MISSING_TASK_INPUT", f"task_input lacks {', '.join(missing)}", {"missing": missing}
        )
    return Asked(
        revision=revision,
        task_input=given,
        files=received(body.get("task_files"), revision),
        reference=_short(body, "task_reference"),
        context_id=_short(body, "context_id"),
        group=group,
        by_hand=by_hand,
    )


_LONG = "string_too_long"


def _body(content: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError as wrong:
        raise NotValid(("body", wrong.pos), "JSON decode error", "json_invalid") from None
    if not isinstance(told, dict):
        raise NotValid(("body",), "Input should be a valid dictionary", "model_attributes_type")
    return told


def _input(body: Mapping[str, Any]) -> Mapping[str, Any]:
    if "input_params" in body and "task_input" in body:
        raise NotValid(("body", "input_params"), "Extra inputs are not permitted", "extra_forbidden")
    if "task_input" not in body:
        raise NotValid(("body", "task_input"), "Field required", "missing")
    given = body["task_input"]
    if not isinstance(given, dict):
        raise NotValid(("body", "task_input"), "Input should be a valid dictionary", "dict_type")
    return given


def _short(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise NotValid(("body", name), "Input should be a valid string", "string_type")
    if len(value) > 64:
        raise NotValid(("body", name), "String should have at most 64 characters", _LONG)
    return value


def _flag(text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise NotValid(("query", "use_fallback_model"), "Input should be a valid boolean", "bool_parsing")
    return text.lower() in _YES
