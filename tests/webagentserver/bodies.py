"""Request bodies checked as the server's models check them; all that is wrong is told at once."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import jsonschema_rs
import orjson

from tests.webagentserver.refusals import Fault, Refused

PROVIDERS: Final = ("openai", "deepseek", "anthropic", "google", "groq", "mistral", "together")
_TRUE: Final = (True, 1, "true", "1", "yes", "on", "t", "y")
_FALSE: Final = (False, 0, "false", "0", "no", "off", "f", "n")
_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
Check = Callable[[str, Any], tuple[Any, Fault | None]]


def checked(content: bytes, checks: Mapping[str, Check], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a body that were sent and are known; null stays None.

    Raises:
        Refused: A 422 with everything that does not validate.
    """
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError as wrong:
        raise Refused(422, [Fault(("body", wrong.pos), "JSON decode error", "json_invalid")]) from None
    if not isinstance(told, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise Refused(422, [Fault(("body",), message, "model_attributes_type")])
    faults = [Fault(("body", name), "Field required", "missing") for name in required if name not in told]
    made: dict[str, Any] = {}
    for name, check in checks.items():
        if name in told:
            made[name], fault = check(name, told[name])
            if fault is not None:
                faults.append(fault)
    if faults:
        raise Refused(422, faults)
    return made


def text(name: str, value: Any) -> tuple[Any, Fault | None]:
    """A string."""
    if isinstance(value, str):
        return value, None
    return value, Fault(("body", name), "Input should be a valid string", "string_type")


def prompt(name: str, value: Any) -> tuple[Any, Fault | None]:
    """A string of at least three characters."""
    if isinstance(value, str) and len(value) < 3:
        return value, Fault(("body", name), "String should have at least 3 characters", "string_too_short")
    return text(name, value)


def provider(name: str, value: Any) -> tuple[Any, Fault | None]:
    """One of the seven."""
    if value in PROVIDERS:
        return value, None
    known = ", ".join(f"'{one}'" for one in PROVIDERS[:-1]) + f" or '{PROVIDERS[-1]}'"
    return value, Fault(("body", name), f"Input should be {known}", "enum")


def flag(name: str, value: Any) -> tuple[Any, Fault | None]:
    """A boolean, or what is read as one."""
    plain = value.lower() if isinstance(value, str) else value
    if isinstance(plain, bool | int | str) and plain in _TRUE + _FALSE:
        return plain in _TRUE, None
    return value, Fault(("body", name), "Input should be a valid boolean", "bool_parsing")


def number(name: str, value: Any) -> tuple[Any, Fault | None]:
    """An integer."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, None
    return value, Fault(("body", name), "Input should be a valid integer", "int_type")


def mapping(name: str, value: Any) -> tuple[Any, Fault | None]:
    """An object."""
    if isinstance(value, dict):
        return value, None
    return value, Fault(("body", name), "Input should be a valid dictionary", "dict_type")


def schema(name: str, value: Any) -> tuple[Any, Fault | None]:
    """A JSON Schema of Draft 7, as an object or as its text; given as the object."""
    where = ("body", name)
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as wrong:
            return value, Fault(where, f"Value error, Invalid JSON string: {wrong.msg}", "value_error")
    elif value is not None and not isinstance(value, dict):
        return value, Fault((*where, "str"), "Input should be a valid string", "string_type")
    try:
        jsonschema_rs.meta.validate({**value, "$schema": _DRAFT} if isinstance(value, dict) else value)
    except (jsonschema_rs.ValidationError, ValueError) as wrong:
        first = str(wrong).partition("\n")[0]
        return value, Fault(where, f"Value error, Invalid JSON Schema: {first}", "value_error")
    return value, None


def nullable(check: Check) -> Check:
    """The same, or null."""
    return lambda name, value: (None, None) if value is None else check(name, value)


OVERRIDES: Final[Mapping[str, Check]] = {
    "prompt": nullable(prompt),
    "model": nullable(text),
    "provider": nullable(provider),
    "wait_for_completion": nullable(flag),
    "webhook_url": nullable(text),
    "response_format": nullable(text),
    "json_schema": nullable(schema),
    "use_cached_workflow": nullable(flag),
}
"""A run of an existing task."""
NEW_RUN: Final[Mapping[str, Check]] = {
    **OVERRIDES,
    "prompt": prompt,
    "model": text,
    "provider": provider,
    "json_schema": schema,  # an explicit null is no schema here: the check runs on it
    "cached_workflow": nullable(mapping),
}
"""A new task and its first run."""
TASK: Final[Mapping[str, Check]] = {
    **OVERRIDES,
    "json_schema": nullable(text),
    "cached_workflow": nullable(mapping),
}
"""A change of a task; its schema is a string that nothing checks."""
CLOUD_RUN: Final[Mapping[str, Check]] = {
    "prompt": nullable(prompt),
    "model": nullable(text),
    "provider": nullable(text),
    "webhook_url": nullable(text),
    "response_format": nullable(text),
    "json_schema": nullable(schema),
    "auth_context_id": nullable(text),
    "initial_url": nullable(text),
    "session_timeout": nullable(number),
    "wait_for_completion": nullable(flag),
}
"""A run in the cloud, of an existing task or of a new one."""
