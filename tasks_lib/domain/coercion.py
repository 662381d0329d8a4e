"""Values of the wrong type that can only mean one value of the right type.

| the schema wants | the answer has                                               | it is read as    |
|------------------|--------------------------------------------------------------|------------------|
| integer          | text that is a whole number of at most 18 digits             | the number       |
| integer          | a number such as 3.0 (under drafts that do not take it)      | 3                |
| number           | text that is a JSON number and loses nothing by becoming one | the number       |
| boolean          | text "true" or "false", in any case                          | the boolean      |
| null             | text "null"                                                  | null             |
| string           | a whole number or a boolean                                  | its JSON text    |
| array, object    | text that is the JSON of one                                 | what the text is |
| enum, const      | what differs from one member alone in case, in spaces at its | the member       |
|                  | ends, or in being text or a number                           |                  |

Nothing else is: 1 is no boolean, "" is no null, 1.10 is no text (its zero is lost by then), one value is no
list of one, and "1,000" is no number. Where a schema offers several types (a list of types, anyOf, oneOf), a
value is read only if one reading alone comes of it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

import orjson
from jsonschema_rs import ValidationError, ValidationErrorKind

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.schema_errors import first_error, place

_MOST_READ: Final = 20_000_000  # characters that are validated again and again: some tenths of a second
_TOLD: Final = 10  # readings that are told one by one
_SHOWN: Final = 60  # characters of a value in a warning
_DEEPEST: Final = 250  # levels that can be written again
_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_EXACT: Final = 2**53  # below it a float that is whole is that number and no other

_Path = tuple[str | int, ...]
_Readings = dict[_Path, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coerced:
    """A value that meets its schema, and what had to be read differently for it."""

    value: JsonValue
    warnings: tuple[str, ...]


def coerced(validator: Any, value: JsonValue, *, size: int) -> Coerced | None:  # noqa: ANN401  # as Output.validator
    """The value as its schema must have been meant; None if no reading makes it valid.

    `validator` is a compiled schema that the value does not meet, `size` the length of the value's text. The
    value itself is left as it is. One error after another is put right, and the first that cannot be ends it.
    """
    read: JsonValue = orjson.loads(orjson.dumps(value))
    told: dict[_Path, str] = {}
    while (error := first_error(validator, read)) is not None:
        readings = _repair(error)
        if not readings or readings.keys() & told.keys() or len(told) * size > _MOST_READ:
            return None
        for path, new in readings.items():
            read, old = _with(read, path, new)
            told[path] = f"{place(path)}: {_shown(old)} read as {_shown(new)}"
    return Coerced(value=read, warnings=_few(list(told.values())))


def _repair(error: ValidationError) -> _Readings | None:
    """The readings that would cure an error; None if there is no cure, or more than one."""
    path, value = tuple(error.instance_path), cast("JsonValue", error.instance)
    match error.kind:
        case ValidationErrorKind.Type(types=types):
            readings = [new for name in types for new in _as_type(name, value, depth=len(path))]
        case ValidationErrorKind.Enum(options=options):
            readings = list(_as_member(cast("list[JsonValue]", options), value))
        case ValidationErrorKind.Constant(expected_value=option):
            readings = list(_as_member([cast("JsonValue", option)], value))
        case (
            ValidationErrorKind.AnyOf(context=branches) | ValidationErrorKind.OneOfNotValid(context=branches)
        ):
            return _repair_of_one(branches)
        case _:
            return None
    return {path: readings[0]} if len(_distinct(readings)) == 1 else None


def _repair_of_one(branches: Sequence[Sequence[ValidationError]]) -> _Readings | None:
    """The readings that make the value fit a branch, if they are the same for all that can be made to fit."""
    cures: list[_Readings] = []
    for errors in branches:
        repairs = [_repair(error) for error in errors]
        if repairs and all(repair is not None for repair in repairs):
            cures.append({path: new for repair in repairs if repair for path, new in repair.items()})
    return cures[0] if cures and all(_same(cure, cures[0]) for cure in cures) else None


def _as_type(name: str, value: JsonValue, *, depth: int) -> Iterator[JsonValue]:
    match name, value:
        case "integer", str() if _WHOLE.fullmatch(value):
            yield int(value)
        case "integer", float() if value.is_integer() and abs(value) < _EXACT:
            yield int(value)
        case "number", str() if _NUMBER.fullmatch(value) and _survives(value):
            yield orjson.loads(value)
        case "boolean", str() if value.lower() in {"true", "false"}:
            yield value.lower() == "true"
        case "null", "null":
            yield None
        case "string", bool() | int():
            yield orjson.dumps(value).decode()
        case "array" | "object", str():
            yield from _json_in(value, list if name == "array" else dict, depth=depth)
        case _:
            return


def _survives(number: str) -> bool:
    """Whether a number in text has the same value once it is a float, or an integer of 64 bits."""
    try:
        return Decimal(number) == Decimal(repr(orjson.loads(number)))
    except orjson.JSONDecodeError:  # too large
        return False


def _json_in(text: str, kind: type, *, depth: int) -> Iterator[JsonValue]:
    if depth + text.count("[") + text.count("{") > _DEEPEST:
        return
    try:
        value: JsonValue = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    if isinstance(value, kind):
        yield value


def _as_member(options: Sequence[JsonValue], value: JsonValue) -> Iterator[JsonValue]:
    spelled = _spelled(value)
    if spelled is not None:
        yield from [option for option in options if _spelled(option) == spelled]


def _spelled(value: JsonValue) -> str | None:
    """How a scalar is spelled, whatever its case; None for what has more than one spelling."""
    if isinstance(value, str):
        return value.strip().casefold()
    if value is None or isinstance(value, bool | int):
        return orjson.dumps(value).decode()
    return None


def _distinct(values: Sequence[JsonValue]) -> set[bytes]:
    return {orjson.dumps(value) for value in values}  # as JSON: 1 and true are one to Python


def _same(one: _Readings, other: _Readings) -> bool:
    return one.keys() == other.keys() and all(
        orjson.dumps(new) == orjson.dumps(other[path]) for path, new in one.items()
    )


def _with(whole: JsonValue, path: _Path, new: JsonValue) -> tuple[JsonValue, JsonValue]:
    """The value with another one at a place, and the one that was there."""
    if not path:
        return new, whole
    holder: Any = whole
    for part in path[:-1]:
        holder = holder[part]
    old, holder[path[-1]] = holder[path[-1]], new
    return whole, old


def _shown(value: JsonValue) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _few(told: Sequence[str]) -> tuple[str, ...]:
    more = len(told) - _TOLD
    return (*told[:_TOLD], f"and {more} more such readings") if more > 0 else tuple(told)
