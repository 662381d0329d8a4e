"""Which JSON Schemas OpenAI's strict mode takes."""

from collections.abc import Mapping

from tasks_lib.domain.fingerprint import JsonValue

_STRICT_KEYWORDS = frozenset(
    [
        "$schema",
        "title",
        "description",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "enum",
        "const",
        "$ref",
        "$defs",
        "definitions",
        "pattern",
        "format",
        "multipleOf",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
    ]
)
_STRICT_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
)


def fits_strict_mode(schema: Mapping[str, JsonValue]) -> bool:
    """Whether OpenAI's strict mode takes a schema, which otherwise answers 400 to every row.

    The root is an object; objects are closed, with every property required; every part has a type, is one of
    several or refers to another; and no keyword is used beyond those that the documentation lists.
    """
    return schema.get("type") == "object" and "anyOf" not in schema and _is_strict(schema)


def _is_strict(schema: object) -> bool:
    if not isinstance(schema, Mapping) or not _STRICT_KEYWORDS.issuperset(schema):
        return False
    if not ("type" in schema or "anyOf" in schema or "$ref" in schema):
        return False
    if schema.get("format", "date") not in _STRICT_FORMATS or "(?" in schema.get("pattern", ""):
        return False
    properties = schema.get("properties", {})
    if "object" in _as_list(schema.get("type")) or properties:
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(properties):
            return False
    parts = [
        *properties.values(),
        *schema.get("$defs", {}).values(),
        *schema.get("definitions", {}).values(),
        *schema.get("anyOf", ()),
        *([schema["items"]] if "items" in schema else ()),
    ]
    return all(_is_strict(part) for part in parts)


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
