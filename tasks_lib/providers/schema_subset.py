"""A JSON Schema as an API takes it that knows only a part of JSON Schema, and what it could not be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson

from tasks_lib.domain.fingerprint import JsonValue

_LONGEST_SAID = 200  # characters of a constraint that is said in a description instead
_SILENT = frozenset(  # what they say binds no answer, so that nothing is lost with them
    [
        "$schema",
        "$id",
        "$anchor",
        "$comment",
        "$vocabulary",
        "title",
        "description",
        "default",
        "examples",
        "example",
        "deprecated",
        "readOnly",
        "writeOnly",
        "contentMediaType",
        "contentEncoding",
        "contentSchema",
    ]
)
_DEFINITIONS = ("$defs", "definitions")
_HANDLED = frozenset(["additionalProperties", "oneOf", "allOf", "const", *_DEFINITIONS])
_TYPES: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    dict: "object",
    list: "array",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """What of JSON Schema an API understands."""

    keywords: frozenset[str]  # that may stand in a schema; $ref among them: so may $defs and definitions
    formats: frozenset[str] | None = None  # None: whatever stands under `format`
    enum_of: tuple[type, ...] = (str, int, float, bool, type(None), dict, list)
    unknown_in_patterns: tuple[str, ...] = ()  # parts of regular expressions, such as lookaheads' (?=
    least_items: frozenset[int] | None = None  # values that `minItems` may have; None: all
    closed_objects: bool = False  # every object has additionalProperties: false
    all_required: bool = False  # every property is required
    typed: bool = False  # every part has a type, is one of several or refers to another
    object_root: bool = False  # the root is an object, and not one of several
    recursive: bool = True  # a part may refer to what it is part of
    most_levels: int | None = None  # of objects and arrays within one another
    most_optional: int | None = None  # properties that are not required, in all
    most_unions: int | None = None  # parts of several types, in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A schema for an API, which holds no answer that the whole one refuses for its structure.

    Where it says less than the whole schema, answers are to be checked against that one all the same.
    """

    schema: Mapping[str, JsonValue] | None  # None: it cannot be told so at all, only in words
    lost: tuple[str, ...] = ()  # what it does not say, in words


def convert(schema: Mapping[str, JsonValue], subset: Subset) -> Converted:
    """The schema that an API with this subset takes, and what is lost.

    Constraints that it has no word for are said in the descriptions. References are followed where it knows
    none. A schema whose very structure is beyond it, such as objects with properties of any name where all
    must be closed, is not told at all: half a structure would forbid right answers.
    """
    work = _Work(schema, subset)
    try:
        converted = work.whole()
    except _NotTold as reason:
        return Converted(schema=None, lost=(f"all of it: {reason}",))
    return Converted(schema=converted, lost=tuple(work.lost))


class _NotTold(Exception):
    """The subset has no words for a structure."""


class _Work:
    """One conversion under way."""

    def __init__(self, root: Mapping[str, Any], subset: Subset) -> None:
        self.lost: list[str] = []
        self._root = root
        self._subset = subset
        self._definitions: dict[str, dict[str, Any]] = {}  # $defs or definitions -> name -> converted
        self._optional = 0
        self._unions = 0

    def whole(self) -> dict[str, Any]:
        """The root, with the definitions that are referred to.

        Raises:
            _NotTold: it cannot be said.
        """
        subset = self._subset
        if subset.object_root and (self._root.get("type") != "object" or "anyOf" in self._root):
            raise _NotTold("its root is no object")
        converted = self._part(self._root, "$", within=("#",), level=1)
        for most, count, what in (
            (subset.most_optional, self._optional, "properties that may be left out"),
            (subset.most_unions, self._unions, "parts of several types"),
        ):
            if most is not None and count > most:
                raise _NotTold(f"it has {count} {what}, and {most} may be told")
        return {**converted, **self._definitions}

    def _part(self, part: object, place: str, *, within: tuple[str, ...], level: int) -> dict[str, Any]:
        if not isinstance(part, Mapping):
            if part is True and not self._subset.typed:
                return {}
            raise _NotTold(f"{place} may be {'anything' if part is True else 'nothing'}")
        if self._subset.most_levels is not None and level > self._subset.most_levels:
            raise _NotTold(f"{place} is more than {self._subset.most_levels} levels deep")
        schema = _merged(part, place)
        if "$ref" in schema:
            return self._referred(schema, place, within=within, level=level)
        told: dict[str, Any] = {}
        said: list[str] = []  # in the description, since there is no word for it
        for keyword, value in schema.items():
            if keyword in _HANDLED:
                continue
            if self._takes(keyword, value):
                told[keyword] = self._value(keyword, value, place, within=within, level=level)
            elif keyword not in _SILENT:
                self._lose(keyword, value, place, said)
        self._tell_one_of(schema, told, place, said, within=within, level=level)
        self._tell_const(schema, told, place, said)
        self._tell_type(schema, told, place)
        if "object" in _as_list(schema.get("type")) or "properties" in schema:
            self._tell_object(schema, told, place, said, within=within, level=level)
        if "anyOf" in told or "oneOf" in told or isinstance(told.get("type"), list):
            self._unions += 1
        if said and "description" in self._subset.keywords:
            described = told.get("description")
            told["description"] = f"{described} ({', '.join(said)})" if described else ", ".join(said)
        return told

    def _takes(self, keyword: str, value: object) -> bool:
        """Whether a keyword can be told with this value."""
        subset = self._subset
        if keyword not in subset.keywords:
            return False
        if keyword == "format":
            return subset.formats is None or value in subset.formats
        if keyword == "pattern":
            return not any(unknown in str(value) for unknown in subset.unknown_in_patterns)
        if keyword == "enum":
            return isinstance(value, list) and all(type(one) in subset.enum_of for one in value)
        if keyword == "minItems":
            return subset.least_items is None or value in subset.least_items
        if keyword == "items":
            return isinstance(value, Mapping) or (value is True and not subset.typed)
        return True

    def _value(
        self, keyword: str, value: object, place: str, *, within: tuple[str, ...], level: int
    ) -> JsonValue:
        """What stands under a keyword, converted if schemas do."""
        if keyword == "properties" and isinstance(value, Mapping):
            return {
                name: self._part(part, f"{place}.{name}", within=within, level=level + 1)
                for name, part in value.items()
            }
        if keyword == "items":
            return self._part(value, f"{place}[]", within=within, level=level + 1)
        if keyword == "prefixItems" and isinstance(value, list):
            return [
                self._part(part, f"{place}[{number}]", within=within, level=level + 1)
                for number, part in enumerate(value)
            ]
        if keyword == "anyOf" and isinstance(value, list):
            return [self._part(part, place, within=within, level=level) for part in value]
        return cast("JsonValue", value)

    def _referred(
        self, schema: Mapping[str, Any], place: str, *, within: tuple[str, ...], level: int
    ) -> dict[str, Any]:
        """A reference, if the API knows such, or else what it refers to."""
        subset, pointer = self._subset, schema["$ref"]
        for keyword in schema:
            if keyword not in _SILENT and keyword not in ("$ref", *_DEFINITIONS):
                self.lost.append(f"{keyword} of {place}")
        if pointer in within and not (subset.recursive and "$ref" in subset.keywords):
            raise _NotTold(f"{place} refers to what it is part of")
        beside = {"$ref": pointer}
        if pointer == "#" and "$ref" in subset.keywords:
            return beside
        target = self._found(pointer, place)
        steps = str(pointer).split("/")
        if "$ref" not in subset.keywords or len(steps) != 3 or steps[1] not in _DEFINITIONS:
            if pointer in within:
                raise _NotTold(f"{place} refers to what it is part of")
            return self._part(target, place, within=(*within, pointer), level=level)
        definitions = self._definitions.setdefault(steps[1], {})
        name = _unescaped(steps[2])
        if name not in definitions:
            definitions[name] = {}  # its place, so that what it refers to does not begin again
            definitions[name] = self._part(target, place, within=(*within, pointer), level=level)
        return beside

    def _found(self, pointer: object, place: str) -> object:
        """What a reference within the schema points to."""
        found: Any = self._root if str(pointer).startswith("#") else None
        try:
            for step in str(pointer).split("/")[1:]:
                found = found[int(step)] if isinstance(found, list) else found[_unescaped(step)]
        except (KeyError, IndexError, ValueError, TypeError):
            found = None
        if found is None:
            raise _NotTold(f"{place} refers to {pointer}, which is not in it")
        return found

    def _tell_one_of(
        self,
        schema: Mapping[str, Any],
        told: dict[str, Any],
        place: str,
        said: list[str],
        *,
        within: tuple[str, ...],
        level: int,
    ) -> None:
        """`oneOf`, or `anyOf` in its stead: each answer that it takes, that takes, too."""
        if "oneOf" not in schema:
            return
        parts = [self._part(part, place, within=within, level=level) for part in schema["oneOf"]]
        if "oneOf" in self._subset.keywords:
            told["oneOf"] = parts
        elif "anyOf" in self._subset.keywords and "anyOf" not in schema:
            told["anyOf"] = parts
            self.lost.append(f"oneOf of {place}, which is told as anyOf")
        else:
            self._lose("oneOf", schema["oneOf"], place, said)

    def _tell_const(
        self, schema: Mapping[str, Any], told: dict[str, Any], place: str, said: list[str]
    ) -> None:
        if "const" not in schema:
            return
        value = schema["const"]
        if type(value) in self._subset.enum_of and "const" in self._subset.keywords:
            told["const"] = value
        elif type(value) in self._subset.enum_of and "enum" in self._subset.keywords:
            told["enum"] = [value]
        else:
            self._lose("const", value, place, said)

    def _tell_type(self, schema: Mapping[str, Any], told: dict[str, Any], place: str) -> None:
        """A type, where one must be told, by what else is said."""
        if not self._subset.typed or "type" in told or "anyOf" in told or "oneOf" in told:
            return
        if "properties" in schema:
            told["type"] = "object"
        elif "items" in schema or "prefixItems" in schema:
            told["type"] = "array"
        elif "enum" in schema or "const" in schema:
            values = schema["enum"] if "enum" in schema else [schema["const"]]
            types = list(dict.fromkeys(_TYPES[type(value)] for value in values))
            told["type"] = types[0] if len(types) == 1 else types
        else:
            raise _NotTold(f"{place} may be anything")

    def _tell_object(
        self,
        schema: Mapping[str, Any],
        told: dict[str, Any],
        place: str,
        said: list[str],
        *,
        within: tuple[str, ...],
        level: int,
    ) -> None:
        """What an object may hold beside its properties, and which of these it must."""
        properties, required = schema.get("properties", {}), set(schema.get("required", ()))
        self._optional += len(set(properties) - required)
        if self._subset.all_required and set(properties) != required:
            raise _NotTold(f"{place} has properties that may be left out")
        further = schema.get("additionalProperties", True)
        if self._subset.closed_objects:
            if "patternProperties" in schema or (not properties and further is not False):
                raise _NotTold(f"{place} has properties of any name")
            if not required <= set(properties):
                raise _NotTold(f"{place} requires properties that it does not describe")
            if further is not False and "additionalProperties" in schema:
                self.lost.append(f"that {place} may have further properties")
            told["additionalProperties"] = False
        elif "additionalProperties" not in schema:
            return
        elif "additionalProperties" not in self._subset.keywords:
            if further is not True:
                self._lose("additionalProperties", further, place, said)
        elif isinstance(further, bool):
            told["additionalProperties"] = further
        else:
            told["additionalProperties"] = self._part(further, f"{place}.*", within=within, level=level + 1)

    def _lose(self, keyword: str, value: object, place: str, said: list[str]) -> None:
        self.lost.append(f"{keyword} of {place}")
        text = orjson.dumps(value).decode()
        if len(text) <= _LONGEST_SAID:
            said.append(f"{keyword}: {text}")


def _merged(part: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The part with what its `allOf` says in it, as generators write a reference with a description.

    Raises:
        _NotTold: it says several things, which may contradict one another once objects are closed.
    """
    if "allOf" not in part:
        return part
    rest = {keyword: value for keyword, value in part.items() if keyword != "allOf"}
    inner = part["allOf"]
    if len(inner) == 1 and isinstance(inner[0], Mapping):
        both = (rest.keys() & inner[0].keys()) - _SILENT
        if not both:
            return _merged({**inner[0], **rest}, place)
    raise _NotTold(f"{place} must meet several schemas at once (allOf)")


def _unescaped(step: str) -> str:
    """A step of a JSON pointer, as RFC 6901 has it."""
    return step.replace("~1", "/").replace("~0", "~")


def _as_list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]
