"""Where a value does not meet its schema, found without looking for all the places where it does not."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from jsonschema_rs import ValidationError

from tasks_lib.domain.fingerprint import JsonValue

_EXPLAINED: Final = 8  # levels within which choices within choices are few


def first_error(validator: Any, value: JsonValue) -> ValidationError | None:  # noqa: ANN401  # as Output.validator
    """The first thing about a value that its compiled schema does not take; None if it takes it.

    `iter_errors` would make all of them before it gives one: seconds for a long list of the wrong type.
    """
    try:
        validator.validate(value)
    except ValidationError as error:
        return error
    return None


def can_be_explained(schema: Mapping[str, JsonValue], value: JsonValue) -> bool:
    """Whether telling an error takes no longer than is worth it.

    An error of anyOf or oneOf holds those of each choice. Where a choice leads back to itself, they double
    with each level of the value: 13 levels took 4 s and 18 took minutes, while whether a value is valid takes
    microseconds at any depth.
    """
    text = orjson.dumps(schema)
    has_choices = b'"anyOf"' in text or b'"oneOf"' in text
    can_recur = b'ef":' in text  # $ref, $dynamicRef, $recursiveRef
    return not (has_choices and can_recur and _is_deeper(value, levels=_EXPLAINED))


def place(path: Iterable[str | int]) -> str:
    """Where in an answer something is, such as $.people[2].name."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _is_deeper(value: JsonValue, *, levels: int) -> bool:
    """Whether a value has more levels than that, at most."""
    here: list[Any] = [value]
    for _ in range(levels):
        here = [
            inner
            for outer in here
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(inner, list | dict) for inner in here)
