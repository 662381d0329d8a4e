"""The short way to say what a JSON answer holds: names and types, and from these a JSON Schema.

sentiment: {type: str, options: [good, bad]}
score: int
people: {type: list, item_type: object, nested_structure: {name: str, age: int}}
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tasks_lib.domain.fingerprint import JsonValue

_KEY: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_DEEPEST: Final = 10  # levels of objects; strict modes take no more
_TYPES: Final = {
    "str": "string",
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "number": "number",
    "float": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "list": "array",
    "array": "array",
    "object": "object",
}
_KEYS: Final = ("type", "description", "options", "item_type", "nested_structure")
_OF_PYTHON: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class FormatProblem:
    """What is wrong in an output format, and where: keys and positions from its root."""

    path: Path
    message: str


def format_problems(output_format: Mapping[str, JsonValue]) -> Iterator[FormatProblem]:
    """Everything that is wrong with an output format."""
    yield from _fields_problems(output_format, (), depth=1)


def schema_of_format(output_format: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """The JSON Schema of an output format: closed objects with every field required, as strict modes want it.

    A list without item_type is one of texts, or of objects where it has a nested_structure; an object
    without nested_structure may hold anything, and no strict mode takes it.

    Raises:
        ValueError: the format has problems; the first of them.
    """
    problem = next(format_problems(output_format), None)
    if problem is not None:
        raise ValueError(f"{'.'.join(map(str, problem.path)) or 'output_format'} {problem.message}")
    return _object(output_format)


def _object(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {
        "type": "object",
        "properties": {name: _schema(told) for name, told in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def _schema(told: JsonValue) -> dict[str, JsonValue]:
    field = told if isinstance(told, Mapping) else {"type": told}
    kind, nested = _TYPES[str(field["type"])], field.get("nested_structure")
    options = field.get("options")
    schema: dict[str, JsonValue]
    if kind == "array":
        item = _item_type(field)
        schema = {"type": "array", "items": _of_kind(item, nested, options)}
    else:
        schema = _of_kind(kind, nested, options)
    description = field.get("description")
    return schema if description is None else {**schema, "description": description}


def _of_kind(kind: str, nested: JsonValue, options: JsonValue) -> dict[str, JsonValue]:
    if isinstance(nested, Mapping):
        return _object(nested)
    return {"type": kind} if options is None else {"type": kind, "enum": options}


def _item_type(field: Mapping[str, JsonValue]) -> str:
    default = "object" if field.get("nested_structure") is not None else "string"
    return _TYPES.get(str(field.get("item_type") or default), "")


def _fields_problems(fields: JsonValue, path: Path, *, depth: int) -> Iterator[FormatProblem]:
    if not isinstance(fields, Mapping):
        yield FormatProblem(path, "must be a mapping of names to types")
        return
    if not fields:
        yield FormatProblem(path, "must have at least one field")
    if depth > _DEEPEST:
        yield FormatProblem(path, f"is more than {_DEEPEST} levels deep")
        return
    for name, told in fields.items():
        if not _KEY.fullmatch(name):
            yield FormatProblem(
                (*path, name), "must be named with 1 to 64 of a-z, A-Z, 0-9, '_', '.' and '-'"
            )
        yield from _field_problems(told, (*path, name), depth=depth)


def _field_problems(told: JsonValue, path: Path, *, depth: int) -> Iterator[FormatProblem]:
    if isinstance(told, str):
        if told not in _TYPES:
            yield FormatProblem(path, _unknown_type(told))
        return
    if not isinstance(told, Mapping):
        yield FormatProblem(path, "must be a type, or a mapping with one")
        return
    unknown = [name for name in told if name not in _KEYS]
    for name in unknown:
        yield FormatProblem((*path, name), f"is no key of a field, which has {', '.join(_KEYS)}")
    kind = told.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        where = (*path, "type") if "type" in told else path
        yield FormatProblem(where, "has no type" if kind is None else _unknown_type(kind))
        return
    if not isinstance(told.get("description", ""), str):
        yield FormatProblem((*path, "description"), "must be text")
    yield from _item_problems(told, path, kind=_TYPES[kind])
    yield from _nested_problems(told, path, kind=_TYPES[kind], depth=depth)
    yield from _options_problems(told, path, kind=_TYPES[kind])


def _item_problems(told: Mapping[str, JsonValue], path: Path, *, kind: str) -> Iterator[FormatProblem]:
    item = told.get("item_type")
    if item is None:
        return
    if kind != "array":
        yield FormatProblem((*path, "item_type"), "is for lists alone")
    elif not isinstance(item, str) or item not in _TYPES:
        yield FormatProblem((*path, "item_type"), _unknown_type(item))
    elif _TYPES[item] == "array":
        yield FormatProblem((*path, "item_type"), "cannot be a list: write a JSON Schema")


def _nested_problems(
    told: Mapping[str, JsonValue], path: Path, *, kind: str, depth: int
) -> Iterator[FormatProblem]:
    nested = told.get("nested_structure")
    if nested is None:
        return
    at = (*path, "nested_structure")
    if kind not in {"array", "object"} or (kind == "array" and _item_type(told) != "object"):
        yield FormatProblem(at, "is for objects and lists of objects alone")
        return
    yield from _fields_problems(nested, at, depth=depth + 1)


def _options_problems(told: Mapping[str, JsonValue], path: Path, *, kind: str) -> Iterator[FormatProblem]:
    options = told.get("options")
    if options is None:
        return
    at = (*path, "options")
    of = _item_type(told) if kind == "array" else kind
    if of not in _OF_PYTHON:
        yield FormatProblem(at, "are for texts, numbers and booleans, and lists of these")
        return
    if not isinstance(options, list) or not options:
        yield FormatProblem(at, "must be a list of at least one value")
        return
    for index, option in enumerate(options):
        is_of_type = isinstance(option, _OF_PYTHON[of]) and (of == "boolean" or not isinstance(option, bool))
        if not is_of_type:
            yield FormatProblem((*at, index), f"is not of type {of}")
        elif option in options[:index]:
            yield FormatProblem((*at, index), "stands there twice")


def _unknown_type(kind: JsonValue) -> str:
    return f"must be one of {', '.join(_TYPES)}, not {kind!r}"
