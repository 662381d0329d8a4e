"""A document as the file it should be, or what is wrong with it in plain words and with places."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tasks_lib.configs.document import Document, Json, Trail
from tasks_lib.configs.problems import (
    ConfigError,
    Problem,
    did_you_mean,
    looks_like_a_secret,
    nearest,
    quoted,
)

_File = TypeVar("_File", bound=BaseModel)


def validated(document: Document, file: type[_File]) -> _File:
    """The file that a document is.

    A number or truth value where text is expected counts as the text it was written as.

    Raises:
        ConfigError: everything that the file may not say, in the order of the lines.
    """
    try:
        return file.model_validate(document.value)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    texts = {trail for problem in problems if (trail := _text_trail(document, problem)) is not None}
    if texts:
        try:
            return file.model_validate(document.as_written(texts).value)
        except ValidationError as error:
            problems = error.errors(include_url=False)
    told = [
        _told(document, problem, file)
        for problem in problems
        if not _is_misspelt(document, problem, problems)
    ]
    raise ConfigError(sorted(told, key=lambda problem: (problem.line or 0, problem.column or 0))) from None


def name_of(trail: Trail) -> str:
    """A place as people write it: revisions[0].model."""
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{'***' if looks_like_a_secret(part) else part}"
        for part in trail
    ).removeprefix(".")


def _text_trail(document: Document, problem: ErrorDetails) -> Trail | None:
    if problem["type"] not in ("string_type", "literal_error"):
        return None
    trail, _ = _trail(document.value, problem["loc"])
    return trail if trail in document.written else None


def _trail(value: Json, loc: tuple[str | int, ...]) -> tuple[Trail, str | None]:
    """Where in the document an error is, and the key that is missing there.

    Pydantic's path names choices between kinds of value too, which the document knows nothing of.
    """
    trail: Trail = ()
    missing: str | None = None
    for part in loc:
        is_there = (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        )
        if is_there:
            value = value[part]
            trail = (*trail, part)
        elif isinstance(part, str) and not part.startswith(("<", "[")):
            missing = part
    return trail, missing


def _told(document: Document, problem: ErrorDetails, file: type[BaseModel]) -> Problem:
    trail, missing = _trail(document.value, problem["loc"])
    where = name_of(trail)
    if problem["type"] == "extra_forbidden":
        return _unknown_key(document, trail, file)
    if problem["type"] == "missing":
        if missing is None:
            return document.key_problem(trail, f"{where} has no value")
        within = f" in {where}" if where else ""
        return document.problem(trail, f"{missing!r} is missing{within}")
    found = _found(_at(document.value, trail))
    said, remedy = _words(problem, found)
    subject = where or "the file"
    if "[key]" in problem["loc"]:
        return document.key_problem(trail, f"{_key_name(trail)} {said}", remedy)
    return document.problem(trail, f"{subject} {said}", remedy)


def _is_misspelt(document: Document, problem: ErrorDetails, others: list[ErrorDetails]) -> bool:
    """Whether a key is missing because it stands there misspelt, which is told of the key that does."""
    trail, missing = _trail(document.value, problem["loc"])
    if problem["type"] != "missing" or missing is None:
        return False
    beside = [
        str(other["loc"][-1])
        for other in others
        if other["type"] == "extra_forbidden" and _trail(document.value, other["loc"])[0][:-1] == trail
    ]
    return any(nearest(key, [missing]) for key in beside)


def _key_name(trail: Trail) -> str:
    return f"the name {quoted(str(trail[-1]))}" if trail else "a name"


def _unknown_key(document: Document, trail: Trail, file: type[BaseModel]) -> Problem:
    key = str(trail[-1])
    within = f" in {name_of(trail[:-1])}" if len(trail) > 1 else ""
    remedy = did_you_mean(key, _keys_at(_schema(file), trail[:-1]), plural="keys")
    return document.key_problem(trail, f"unknown key {quoted(key)}{within}", remedy)


_MUST_BE: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "decimal_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "list_type": "a list",
    "finite_number": "a finite number",
}

_BOUNDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "greater_than_equal": lambda ctx: f"at least {ctx['ge']:g}",
    "greater_than": lambda ctx: f"more than {ctx['gt']:g}",
    "less_than_equal": lambda ctx: f"at most {ctx['le']:g}",
    "literal_error": lambda ctx: str(ctx["expected"]).replace("'", ""),
}


def _words(problem: ErrorDetails, found: str) -> tuple[str, str | None]:
    """What is wrong with a value, as the rest of a sentence that begins with its name, and a remedy."""
    kind = problem["type"]
    ctx = problem.get("ctx", {})
    if kind in _MUST_BE:
        return f"must be {_MUST_BE[kind]}, not {found}", None
    if kind in _BOUNDS:
        return f"must be {_BOUNDS[kind](ctx)}, not {found}", None
    if kind in ("string_too_short", "too_short"):
        return "must not be empty", None
    if kind in ("string_too_long", "too_long"):
        return f"must have at most {ctx['max_length']} characters or entries", None
    message, _, remedy = problem["msg"].partition(". ")
    return message, remedy or None


def _found(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def _at(value: Json, trail: Trail) -> Json:
    for part in trail:
        value = value[part]
    return value


@cache
def _schema(file: type[BaseModel]) -> Mapping[str, Any]:
    return file.model_json_schema()


def _keys_at(schema: Mapping[str, Any], trail: Trail) -> list[str]:
    """The keys that a mapping at a place may have, as the file's JSON Schema has them."""
    places: list[Mapping[str, Any]] = list(_forms(schema, schema))
    for part in trail:
        below: list[Mapping[str, Any]] = []
        for place in places:
            if isinstance(part, int):
                child = place.get("items")
            else:
                child = place.get("properties", {}).get(part) or _of_any_name(place)
            if isinstance(child, dict):
                below.extend(_forms(child, schema))
        places = below
    return [key for place in places for key in place.get("properties", {})]


def _of_any_name(schema: Mapping[str, Any]) -> Json:
    """What a mapping whose keys are names holds beneath each."""
    return next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))


def _forms(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema and all that it may stand for."""
    yield schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        yield from _forms(root["$defs"][reference.rpartition("/")[2]], root)
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _forms(choice, root)
