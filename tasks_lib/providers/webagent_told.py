"""What a Webagent server tells of a run: where it stands, what came of it, and what the browser agent did.

Three shapes tell the same: the answer of a request that waited (`history`), the row of a self-hosted server's
database (`steps`, numbered, no status), and the cloud's record (`id` and a status, no history). Screenshots
are not kept.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Reply
from tasks_lib.domain.remote import Action, RemoteRun, Step

_SHOWN: Final = 300  # characters of what an agent says
_KEPT: Final = 2_000  # characters of a result that is no answer
_MOST_STEPS: Final = 1_000  # beyond any agent's limit
_OF_ACTIONS: Final = frozenset(
    [
        *("name", "params", "is_done", "success", "extracted_content", "error", "include_in_memory"),
        *("id", "task_run_id", "step_number", "action_number"),  # the database's own
    ]
)
_BESIDE: Final = (
    *("model", "provider", "response_format"),
    *("webhook_result_success", "webhook_result_status_code", "webhook_result_message"),
)


class Ended(Enum):
    """How a run stands."""

    SUCCESS = "success"
    FAILURE = "failure"
    STOPPED = "stopped"  # the agent gave up without being done; its server calls that in_progress for ever
    NOT_YET = "not yet"


def run_id_of(told: Mapping[str, Any]) -> str | None:
    """The run's id as text; self-hosted servers have numbers, the cloud has texts."""
    value = told.get("task_run_id", told.get("id"))
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value).strip() or None


def how_it_stands(told: Mapping[str, Any], *, is_last: bool) -> Ended:
    """Whether the run is over. One of which no more will be told is, whatever it says of itself.

    Done and not known to have succeeded is a failure; so is what the cloud calls one.
    """
    if told.get("is_done") is True:
        return Ended.SUCCESS if told.get("is_successful") is True else Ended.FAILURE
    match told.get("status"):
        case "success":
            return Ended.SUCCESS if told.get("is_successful") is not False else Ended.FAILURE
        case "failure":
            return Ended.FAILURE
    return Ended.STOPPED if is_last else Ended.NOT_YET


def outcome_of(
    told: Mapping[str, Any],
    ended: Ended,
    *,
    remote_id: str,
    hidden: Callable[[str], str],
    warnings: tuple[str, ...] = (),
) -> Reply | Failure:
    """What came of a run that is over, with what its agent did; `hidden` takes secrets out of a failure."""
    steps = steps_of(told)
    remote = RemoteRun(
        remote_id=remote_id,
        status="success" if ended is Ended.SUCCESS else "failure",
        task_id=_text_of(told.get("task_id")),
        run_data={name: told[name] for name in _BESIDE if told.get(name) is not None} or None,
        warnings=warnings,
        steps=steps,
    )
    model, text = _model(told), _result(told)
    if ended is Ended.SUCCESS:
        return Reply(text=text, model=model, http_status=200, remote=remote)
    text = hidden(text)
    return Failure(
        kind=FailureKind.RUN_FAILED,
        message=_why(told, ended, steps, text, hidden=hidden),
        http_status=200,
        text=text[:_KEPT] or None,
        model=model,
        maybe_billed=True,  # what its model said is, by somebody
        remote=remote,
    )


def steps_of(told: Mapping[str, Any]) -> tuple[Step, ...]:
    """The agent's steps in their order; what is no step is left out."""
    listed = told.get("history")
    if not isinstance(listed, list):
        listed = _in_order(told.get("steps"), "step_number")
    return tuple(
        Step(
            description=_string(step.get("description")) or "",
            actions=tuple(
                _action(action)
                for action in _in_order(step.get("actions"), "action_number")
                if isinstance(action, dict)
            ),
        )
        for step in listed[:_MOST_STEPS]
        if isinstance(step, dict)
    )


def _in_order(listed: object, number: str) -> list[Any]:
    """A list by its members' numbers, where they have any: a database promises no order."""
    if not isinstance(listed, list):
        return []
    if all(isinstance(one, dict) and type(one.get(number)) is int for one in listed):
        return sorted(listed, key=lambda one: int(one[number]))
    return listed


def _action(told: Mapping[str, Any]) -> Action:
    params = told.get("params")
    return Action(
        name=_string(told.get("name")) or "unknown",
        params=params if isinstance(params, dict) else {},
        is_done=_flag(told.get("is_done")),
        success=_flag(told.get("success")),
        extracted_content=_text_of(told.get("extracted_content")),
        error=_text_of(told.get("error")),
        include_in_memory=_flag(told.get("include_in_memory")),
        further={
            name: value for name, value in told.items() if name not in _OF_ACTIONS and value is not None
        },
    )


def _why(
    told: Mapping[str, Any],
    ended: Ended,
    steps: tuple[Step, ...],
    text: str,
    *,
    hidden: Callable[[str], str],
) -> str:
    errors = [action.error for step in steps for action in step.actions if action.error]
    said = " ".join((hidden(errors[-1]) if errors else text).split())[:_SHOWN]
    if ended is Ended.STOPPED:
        why = "the agent stopped before it was done"
    elif told.get("is_successful") is False or told.get("is_done") is not True:
        why = "the agent did not succeed"
    else:
        why = "the agent ended and did not say that it succeeded"
    return f"{why}: {said}" if said else why


def _result(told: Mapping[str, Any]) -> str:
    """The result as text; a schema's is mostly JSON in a text already."""
    result: JsonValue = told.get("result")
    if result is None:
        return ""
    return result if isinstance(result, str) else orjson.dumps(result).decode()


def _model(told: Mapping[str, Any]) -> str | None:
    model, provider = _string(told.get("model")), _string(told.get("provider"))
    return f"{provider}/{model}" if model and provider else model


def _text_of(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
