"""What a request to run a task at Rightbrain holds, and what can be known to be wrong with it beforehand."""

from base64 import b64encode
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from tasks_lib.domain.fingerprint import JsonValue, content_hash
from tasks_lib.domain.labels import LONGEST_LABEL
from tasks_lib.domain.output import Output
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.uuids import parsed_id

PARAMETERS: Final = ("revision_id", "revision_tag", "use_fallback_model")
_MARK: Final = 16  # hexadecimal digits behind a reference, which make it one row's own


def problems(parameters: Mapping[str, JsonValue], output: Output) -> list[str]:  # noqa: ARG001  # as others
    """Why a task cannot be run with these parameters; what it answers is its own affair."""
    found = []
    for name in parameters:
        close = get_close_matches(name, PARAMETERS, n=1, cutoff=0.8)
        if name not in PARAMETERS and close:
            found.append(f"there is no parameter {name}. Did you mean {close[0]}?")
    pinned, tag = parameters.get("revision_id"), parameters.get("revision_tag")
    if pinned is not None and not (isinstance(pinned, str) and parsed_id(pinned)):
        found.append("revision_id must be the id of one of the task's revisions there, which is a UUID")
    if tag is not None and not (isinstance(tag, str) and tag.strip()):
        found.append("revision_tag must be the tag of one of the task's revisions there")
    if pinned is not None and tag is not None:
        found.append("revision_id and revision_tag exclude each other")
    if not isinstance(parameters.get("use_fallback_model", False), bool):
        found.append("use_fallback_model must be true or false")
    return found


def cautions(parameters: Mapping[str, JsonValue], output: Output) -> list[str]:  # noqa: ARG001  # as others
    """What is likely not meant, though it does no harm: parameters of language models, which the task has."""
    unsent = [name for name in parameters if name not in PARAMETERS]
    return [f"Rightbrain has no parameters {', '.join(unsent)}: they are not sent"] if unsent else []


def query_of(plan: Plan, choice: ModelChoice) -> str:
    """The query of the request that runs the task, with its question mark if there is anything to ask."""
    told = choice.parameters
    asked = {
        "revision_id": parsed_id(str(told["revision_id"])) if told.get("revision_id") else None,
        "revision_tag": told.get("revision_tag"),
        "reporting_group": plan.reporting_group,
        "use_fallback_model": "true" if told.get("use_fallback_model") else None,
    }
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return f"?{query}" if query else ""


def body_of(plan: Plan, reference: str) -> bytes:
    """The body of the request: values keep the types that JSON has."""
    body: dict[str, Any] = {"task_input": plan.submitted, "task_reference": reference}
    files = [file for message in plan.messages for file in message.files]
    if files:
        body["task_files"] = [
            {"filename": file.name, "content": b64encode(file.content).decode()} for file in files
        ]
    if plan.context_id is not None:
        body["context_id"] = plan.context_id
    return orjson.dumps(body)


def reference_of(plan: Plan, choice: ModelChoice, *, times_ended: int | None = None) -> str:
    """What a row's run is called there, by which it can be found again if its id is lost.

    It is the row's reference as it stands where that holds the row's key, and the row was never asked before:
    together with what was submitted it then names one run. Else it may name several (a label of many rows,
    revisions that are compared, a row that is asked again), and a mark follows it, or stands for its end:
    `order-17#5f0c9e1d22ab7734`.
    """
    times = plan.times_ended if times_ended is None else times_ended
    own = plan.reference if plan.reference is not None and plan.row_key in plan.reference else None
    is_plain = plan.chosen_by != "compare" and not any(choice.parameters.get(name) for name in PARAMETERS)
    if own is not None and is_plain and not times:
        return own
    mark = content_hash({"identity": plan.identity, "times_ended": times})[:_MARK]
    return f"{(plan.reference or plan.row_key)[: LONGEST_LABEL - _MARK - 1]}#{mark}"


def references_of(plan: Plan, choice: ModelChoice) -> tuple[str, ...]:
    """What a run of this row may be called whose id was lost.

    One that an earlier batch lost was begun before that batch's run of the row came to its end, if it did.
    """
    now = reference_of(plan, choice)
    if plan.remote is None or not plan.times_ended:
        return (now,)
    return (now, reference_of(plan, choice, times_ended=plan.times_ended - 1))


def is_of(record: Mapping[str, Any], plan: Plan, references: tuple[str, ...]) -> bool:
    """Whether a run there was made for this row: by its reference, and by what was submitted if that is told.

    A processor there puts what it made in a value's place, and the value beside it.
    """
    reference = record.get("reference")
    if reference not in references:
        return False
    data = record.get("run_data")
    told = data.get("submitted") if isinstance(data, dict) else None
    if reference != plan.reference or not isinstance(told, dict) or not isinstance(data, dict):
        return True  # a mark names what was submitted, too
    submitted: dict[str, JsonValue] = orjson.loads(orjson.dumps(plan.submitted))
    return all(
        data.get(f"{name}_preprocessed", told.get(name)) == value or told.get(name) == value
        for name, value in submitted.items()
    )
