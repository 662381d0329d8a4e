"""What an agent does with a run: its steps, its result, its end, or none."""

import asyncio
import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.llmserver import media
from tests.llmserver.instances import instance_of
from tests.rightbrainserver.control import Customer
from tests.rightbrainserver.creating import Attempt
from tests.webagentserver.settings import Settings

_VALUE: Final = re.compile(r"row[_-]?id\s*[:=]\s*(\S+)")
_PAGE: Final = "https://shop.example"


class Crashed(Exception):
    """The agent raised: nothing is written of its run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What an agent that came to an end leaves behind."""

    history: list[dict[str, Any]]
    result: str | None
    is_done: bool
    is_successful: bool | None


async def worked(prompt: str, schema: Any, attempt: Attempt, customer: Customer[Settings]) -> Ended:
    """What the agent makes of the prompt, after as long as it takes.

    Raises:
        Crashed: It did not come to an end.
    """
    own = customer.told.own
    if _befalls(customer, attempt, "never", own.never):
        await asyncio.Event().wait()
    await asyncio.sleep(attempt.seconds)
    if _befalls(customer, attempt, "crash", own.crash):
        raise Crashed
    if _befalls(customer, attempt, "failure", own.failure):
        last = action("done", {"text": "I could not."}, is_done=True, success=False, content="I could not.")
        return _ended(own, "I could not.", last, is_done=True, is_successful=False)
    if _befalls(customer, attempt, "unfinished", own.unfinished):
        last = action("click_element", {"xpath": "//a[9]"}, error="Element does not exist")
        return _ended(own, None, last, is_done=False, is_successful=None)
    result = _result(schema, attempt)
    last = action("done", {"text": result}, is_done=True, success=True, content=result)
    vague = _befalls(customer, attempt, "vague", own.vague)
    return _ended(own, result, last, is_done=True, is_successful=None if vague else True)


def _befalls(customer: Customer[Settings], attempt: Attempt, what: str, probability: float) -> bool:
    return customer.befalls(what, attempt.marker, attempt.number, probability)


def _result(schema: Any, attempt: Attempt) -> str:
    if attempt.fault == "e_badcontent":
        return "Here you are: {'row':"
    return f"row {attempt.marker}" if schema is None else json.dumps(instance_of(schema, attempt.marker))


def _ended(
    own: Settings, result: str | None, last: dict[str, Any], *, is_done: bool, is_successful: bool | None
) -> Ended:
    looks = [action("go_to_url", {"url": _PAGE}, content=f"Navigated to {_PAGE}")]
    history = [{"description": f"Look at page {n}", "actions": looks} for n in range(1, own.steps)]
    history.append({"description": "Tell the result", "actions": [last]})
    return Ended(history=history, result=result, is_done=is_done, is_successful=is_successful)


def action(
    name: str,
    params: Mapping[str, Any],
    *,
    is_done: bool = False,
    success: bool | None = None,
    content: str | None = None,
    error: str | None = None,
    redone: bool = False,
) -> dict[str, Any]:
    """An action as a history tells it."""
    return {
        "name": name,
        "params": params,
        "is_done": is_done,
        "success": success,
        "extracted_content": content,
        "error": error,
        "include_in_memory": True,
        "executed_by_ai": redone,
        "fallback_reason": "Element does not exist" if redone else None,
        "fallback_attempt": 1 if redone else None,
    }


def workflow_of(prompt: str, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The workflow that replays these steps; of the prompt its `row_id: VALUE` becomes a parameter."""
    found = _VALUE.search(prompt)
    if found is None:
        return {"parameters": [], "steps": list(steps)}
    about = {"name": "row_id", "description": "The row", "type": "string", "exampleValue": found[1]}
    fills = {"name": "input_text", "params": {"text": "{{ row_id }}", "xpath": "//input"}}
    return {
        "parameters": [about],
        "steps": [{"description": "Fill the form", "actions": [fills]}, *steps],
    }


async def replayed(
    prompt: str, workflow: Mapping[str, Any], attempt: Attempt, customer: Customer[Settings]
) -> Ended:
    """What the workflow gives for the prompt: always success, and the text of a page whatever the schema.

    Raises:
        Crashed: A value of the prompt has a quote or a backslash, which breaks the workflow's JSON.
    """
    await asyncio.sleep(attempt.seconds)
    found = _VALUE.search(prompt)
    plain = json.dumps(dict(workflow))
    try:
        filled = json.loads(re.sub(re.escape("{{ row_id }}"), found[1], plain) if found else plain)
    except (re.error, json.JSONDecodeError):
        raise Crashed from None
    redone = _befalls(customer, attempt, "redone", customer.told.own.redone)
    history = [
        {
            "description": step.get("description"),
            "actions": [
                action(one["name"], one["params"], success=True, redone=redone) for one in step["actions"]
            ],
        }
        for step in filled["steps"]
    ]
    return Ended(history=history, result=f"row {attempt.marker}", is_done=True, is_successful=True)


def rows_of(history: Sequence[Mapping[str, Any]], run_id: int | str, own: Settings) -> list[dict[str, Any]]:
    """The history as the database keeps it: steps and actions numbered from 1, without the newer fields."""
    kept = ("name", "params", "is_done", "success", "extracted_content", "error", "include_in_memory")
    picture = base64.b64encode(media.png(str(run_id))).decode() if own.screenshots else None
    return [
        {
            "task_run_id": run_id,
            "step_number": step_number,
            "description": step["description"],
            "screenshot": picture,
            "actions": [
                {
                    "id": 100 * step_number + number,
                    "task_run_id": run_id,
                    "step_number": step_number,
                    "action_number": number,
                    **{name: done[name] for name in kept},
                }
                for number, done in enumerate(step["actions"], 1)
            ],
        }
        for step_number, step in enumerate(history, 1)
    ]
