"""Which JSON Schemas OpenAI's strict mode takes."""

from collections.abc import Mapping

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.providers.schema_subset import Subset, convert

_STRICT = Subset(
    keywords=frozenset(
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
    ),
    formats=frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]),
    unknown_in_patterns=("(?",),
    closed_objects=True,
    all_required=True,
    typed=True,
    object_root=True,
)


def fits_strict_mode(schema: Mapping[str, JsonValue]) -> bool:
    """Whether OpenAI's strict mode takes a schema, which otherwise answers 400 to every row.

    The root is an object; objects are closed, with every property required; every part has a type, is one of
    several or refers to another; and no keyword is used beyond those that the documentation lists.
    """
    return convert(schema, _STRICT).schema == schema
