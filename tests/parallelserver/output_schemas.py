"""The documented rules for output schemas: what is refused, and what is only warned of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jsonschema_rs

from tests.parallelserver.refusals import invalid
from tests.parallelserver.settings import Settings

UNSUPPORTED: Final = frozenset(
    {
        "contains",
        "format",
        "maxContains",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minContains",
        "minItems",
        "minLength",
        "minimum",
        "minProperties",
        "multipleOf",
        "pattern",
        "patternProperties",
        "propertyNames",
        "uniqueItems",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
GIVEN_ANYWAY: Final = frozenset(
    {"citations", "confidence", "evidence", "reasoning", "source", "sources", "source_urls"}
)
_PROPERTIES_MAX: Final = 100
_ENUM_VALUES_MAX: Final = 500
_ENUM_VALUES_LARGE: Final = 250
_ENUM_CHARACTERS_MAX: Final = 7_500
_DEPTH_ADVISED: Final = 3
_WHERE: Final = "task_spec.output_schema.json_schema"


@dataclass(slots=True)
class _Seen:
    """What a walk through a schema has found."""

    depth: int = 0
    properties: int = 0
    enum_values: int = 0
    keywords: set[str] = field(default_factory=set)
    optional: bool = False
    open_objects: bool = False
    given_anyway: set[str] = field(default_factory=set)


def warnings_of(schema: dict[str, Any], settings: Settings) -> list[str]:
    """What the documentation only warns of.

    Raises:
        Refused: 422, what it calls an error.
    """
    if not jsonschema_rs.meta.is_valid(schema):
        raise invalid(_WHERE, "Invalid JSON schema")
    if schema.get("type") != "object":
        raise invalid(_WHERE, "Root type must be object")
    if not isinstance(schema.get("properties"), Mapping):
        raise invalid(_WHERE, "Root must have properties")
    if "anyOf" in schema:
        raise invalid(_WHERE, "Root cannot use anyOf")
    seen = _Seen()
    try:
        _walk(schema, schema, 1, seen, settings.depth_max)
    except RecursionError:
        raise invalid(_WHERE, "The schema refers to itself without end") from None
    return list(_judged(seen, settings))


def _judged(seen: _Seen, settings: Settings) -> Iterator[str]:
    if seen.properties > _PROPERTIES_MAX:
        raise invalid(_WHERE, f"Too many properties: {seen.properties} of at most {_PROPERTIES_MAX}")
    if seen.enum_values > _ENUM_VALUES_MAX:
        raise invalid(_WHERE, f"Too many enum values: {seen.enum_values} of at most {_ENUM_VALUES_MAX}")
    if seen.keywords:
        told = f"Unsupported keywords: {', '.join(sorted(seen.keywords))}"
        if settings.keywords == "error":
            raise invalid(_WHERE, told)
        yield told
    if seen.depth > _DEPTH_ADVISED:
        yield f"Nested {seen.depth} levels deep; {_DEPTH_ADVISED} or fewer are advised"
    if seen.optional:
        yield "All properties should be listed in required"
    if seen.open_objects:
        yield "All objects should set additionalProperties to false"
    if seen.given_anyway:
        yield f"The basis gives these anyway: {', '.join(sorted(seen.given_anyway))}"


def _walk(node: Any, root: Mapping[str, Any], depth: int, seen: _Seen, depth_max: int) -> None:
    """Depth counts the objects and arrays down to here, this node among them if it is one."""
    if not isinstance(node, Mapping):
        return
    if "$ref" in node:
        _walk(_referred(root, node["$ref"]), root, depth, seen, depth_max)
        return
    seen.keywords |= UNSUPPORTED & node.keys()
    _count_enum(node, seen)
    properties = node.get("properties")
    is_array = "items" in node or node.get("type") == "array"
    if isinstance(properties, Mapping) or node.get("type") == "object" or is_array:
        seen.depth = max(seen.depth, depth)
        if depth > depth_max:
            raise invalid(_WHERE, f"Nested deeper than {depth_max} levels")
        depth += 1
    if isinstance(properties, Mapping):
        seen.properties += len(properties)
        seen.given_anyway |= GIVEN_ANYWAY & properties.keys()
        seen.optional |= not properties.keys() <= set(node.get("required", ()))
        for of in properties.values():
            _refuse_null(of)
            _walk(of, root, depth, seen, depth_max)
    if isinstance(properties, Mapping) or node.get("type") == "object":
        seen.open_objects |= node.get("additionalProperties") is not False
    if is_array:
        _refuse_null(node.get("items"))
        _walk(node.get("items"), root, depth, seen, depth_max)
    for union in ("anyOf", "oneOf", "allOf"):
        for of in node.get(union, ()):
            _walk(of, root, depth, seen, depth_max)


def _refuse_null(node: Any) -> None:
    if isinstance(node, Mapping) and node.get("type") in ("null", ["null"]):
        raise invalid(_WHERE, "The null type is allowed only in unions")


def _count_enum(node: Mapping[str, Any], seen: _Seen) -> None:
    values = node.get("enum", ())
    seen.enum_values += len(values)
    characters = sum(len(str(value)) for value in values)
    if len(values) > _ENUM_VALUES_LARGE and characters > _ENUM_CHARACTERS_MAX:
        raise invalid(_WHERE, f"A large enum may have {_ENUM_CHARACTERS_MAX} characters, not {characters}")


def _referred(root: Any, pointer: str) -> Any:
    found = root
    for part in pointer.lstrip("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
