"""What a run of a Webagent task is begun with, and what can be known to be wrong before it is."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlsplit

import jsonschema_rs
import orjson

from tasks_lib.domain.answer_form import schema_asked
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue, content_hash
from tasks_lib.domain.output import Output
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.schema_errors import place
from tasks_lib.domain.task import ModelChoice

SELF_HOSTED: Final = "self_hosted"
CLOUD: Final = "cloud"
PROVIDERS: Final = ("openai", "deepseek", "anthropic", "google", "groq", "mistral", "together")
"""Whose models a self-hosted server can ask."""

_SHORTEST_PROMPT: Final = 3  # characters, by the API's reference
_DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
_FORMATS: Final = ("text", "json")
_OURS: Final = frozenset({"wait_for_completion", "marker"})  # not sent as they are
_OF_ONE_EDITION: Final = {
    "use_cached_workflow": SELF_HOSTED,
    "marker": SELF_HOSTED,  # the cloud tells no list of a task's runs to look for it in
    "auth_context_id": CLOUD,
    "initial_url": CLOUD,
    "session_timeout": CLOUD,
}
_OF_MODELS: Final = frozenset(
    [
        *("temperature", "top_p", "top_k", "min_p", "seed", "stop", "n", "user", "store", "metadata"),
        *("max_tokens", "max_completion_tokens", "maxOutputTokens", "max_output_tokens"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias", "logprobs"),
        *("reasoning", "reasoning_effort", "thinking", "thinkingConfig", "verbosity", "service_tier"),
        *("topP", "topK", "stopSequences", "stop_sequences", "generationConfig"),
    ]
)
"""Parameters of language models, which a job keeps when nothing but its model line is changed."""


def problems(
    parameters: Mapping[str, JsonValue],
    output: Output,
    *,
    edition: str = SELF_HOSTED,
) -> list[str]:
    """All that is wrong with what every run of a revision would be begun with, in words for its author."""
    wrong = [
        told
        for name, value in parameters.items()
        if value is not None and (told := _wrong_with(name, value, edition)) is not None
    ]
    schema = schema_asked(output)
    told = None if schema is None else _wrong_with_schema(schema)
    if told is not None:
        wrong.append(told)
    return wrong


def cautions(parameters: Mapping[str, JsonValue], output: Output) -> list[str]:
    """What is likely not meant, though the server takes it."""
    found = []
    unsent = [name for name in parameters if name in _OF_MODELS]
    if unsent:
        found.append(f"Webagent has no parameters {', '.join(unsent)}: they are not sent")
    if parameters.get("use_cached_workflow") is True and schema_asked(output) is not None:
        found.append("a cached workflow answers with a page's text, whatever output.schema says")
    return found


def waits(choice: ModelChoice) -> bool:
    """Whether a run is waited for within the request that begins it."""
    return choice.parameters.get("wait_for_completion") is True


def markers_of(plan: Plan, choice: ModelChoice) -> tuple[str, ...]:
    """What the prompt ends with so that the row's run is found again; nothing where the user wants none.

    It is the same for each try of a row, and another one once a run of the row has come to its end. A run
    that an earlier batch lost was begun before that batch's run of the row came to its end, if it did: so it
    may have the second of two.
    """
    if choice.parameters.get("marker") is not True or not _asks(plan):
        return ()
    was_lost = plan.remote is not None and plan.remote.remote_id is None and plan.times_ended > 0
    times = (plan.times_ended, plan.times_ended - 1) if was_lost else (plan.times_ended,)
    names = (content_hash({"identity": plan.identity, "times_ended": one}) for one in times)
    return tuple(f"[row {name[:8]}]" for name in names)


def body_of(plan: Plan, choice: ModelChoice) -> bytes | Failure:
    """The request that begins a run; it holds what the row overrides, and the task keeps what it says itself.

    A prompt of which nothing is left is a bad row: the task's own would be run in its place.
    """
    if any(message.files for message in plan.messages):
        return Failure(kind=FailureKind.REJECTED, message="Webagent takes no files")
    body: dict[str, Any] = {}
    if _asks(plan):
        prompt = "\n\n".join(message.text for message in plan.messages if message.text.strip())
        length = len(prompt.strip())
        if length < _SHORTEST_PROMPT:
            message = f"the prompt has {length} characters, and Webagent takes {_SHORTEST_PROMPT} at least"
            return Failure(kind=FailureKind.BAD_ROW, message=message)
        body["prompt"] = "\n\n".join((prompt, *markers_of(plan, choice)[:1]))
    body |= {
        name: value
        for name, value in choice.parameters.items()
        if name in _CHECKS and name not in _OURS and value is not None
    }
    schema = schema_asked(plan.output)
    if schema is not None:
        body["json_schema"] = schema
    body["wait_for_completion"] = waits(choice)  # self-hosted servers wait unless they are told not to
    return orjson.dumps(body)


def _asks(plan: Plan) -> bool:
    """Whether the revision says anything; a blank prompt leaves the task its own."""
    revision = plan.revision
    system = revision.system_prompt.source if revision.system_prompt is not None else ""
    return bool(revision.user_prompt.source.strip() or system.strip())


def _wrong_with(name: str, value: JsonValue, edition: str) -> str | None:
    if name == "json_schema":
        return "parameters.json_schema: the schema is what `output` says, and nothing else"
    if name == "prompt":
        return "parameters.prompt: the prompt is what `user_prompt` says, and nothing else"
    check = _CHECKS.get(name)
    if check is None:
        return None if name in _OF_MODELS else _unknown(name)
    known_to = _OF_ONE_EDITION.get(name, edition)
    if known_to != edition:
        return f"parameters.{name} is known to the edition {known_to} only, not to {edition}"
    if name == "provider" and edition == CLOUD:
        check = _some_text  # the cloud's reference lists none
    told = check(value)
    return None if told is None else f"parameters.{name} {told}"


def _unknown(name: str) -> str:
    close = get_close_matches(name, _CHECKS, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"It knows {', '.join(_CHECKS)}."
    return f"parameters.{name} is unknown to Webagent. {hint}"


def _some_text(value: JsonValue) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a text"


def _true_or_false(value: JsonValue) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _one_of(values: Sequence[str]) -> Callable[[JsonValue], str | None]:
    return lambda value: None if value in values else f"must be one of {', '.join(values)}"


def _address(value: JsonValue) -> str | None:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        is_one = parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_one = False
    return None if is_one else "must be an address such as https://example.com/done"


def _seconds(value: JsonValue) -> str | None:
    return None if type(value) is int and value > 0 else "must be a whole number of seconds above 0"


_CHECKS: Final[Mapping[str, Callable[[JsonValue], str | None]]] = {
    "model": _some_text,
    "provider": _one_of(PROVIDERS),
    "webhook_url": _address,
    "response_format": _one_of(_FORMATS),
    "use_cached_workflow": _true_or_false,
    "wait_for_completion": _true_or_false,
    "marker": _true_or_false,
    "auth_context_id": _some_text,
    "initial_url": _address,
    "session_timeout": _seconds,
}


PARAMETERS: Final = tuple(_CHECKS)
"""All that a revision may say."""


def _wrong_with_schema(schema: Mapping[str, JsonValue]) -> str | None:
    """What Draft 7, by which the server checks it, has against a schema of any draft."""
    try:
        jsonschema_rs.meta.validate({**schema, "$schema": _DRAFT_7})
    except jsonschema_rs.ValidationError as error:
        return f"output.schema is no JSON Schema of Draft 7 at {place(error.instance_path)}: {error.message}"
    return None
