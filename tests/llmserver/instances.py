"""An instance of a JSON Schema that depends on nothing but the schema and the row."""

import math
import re
from collections.abc import Mapping
from typing import Any
from zlib import crc32

_DIGITS = re.compile(r"\^\[0-9\]\{(\d+)\}\$")
_DEEPEST = 16  # a schema that refers to itself ends somewhere


def instance_of(schema: object, row_id: str) -> Any:
    """An instance of the schema; every string named `row_id` is the row's own id."""
    return _made(schema, schema, row_id, "", 0)


def _made(schema: Any, root: Any, row_id: str, path: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][crc32(f"{row_id}{path}".encode()) % len(schema["enum"])]
    if "$ref" in schema:
        return _made(_referred(root, schema["$ref"]), root, row_id, path, depth + 1)
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _made(schema[choice][0], root, row_id, path, depth + 1)
    told = schema.get("type", "object" if "properties" in schema else "string")
    match told[0] if isinstance(told, list) else told:
        case "object":
            properties = schema.get("properties", {}).items()
            return {name: _made(of, root, row_id, f"{path}.{name}", depth + 1) for name, of in properties}
        case "array":
            items = schema.get("items", {"type": "string"})
            count = max(int(schema.get("minItems", 0)), min(1, int(schema.get("maxItems", 1))))
            return [_made(items, root, row_id, f"{path}.{n}", depth + 1) for n in range(count)]
        case "integer" | "number" as kind:
            return _number(schema, row_id, path, whole=kind == "integer")
        case "boolean":
            return crc32(f"{row_id}{path}".encode()) % 2 == 0
        case "null":
            return None
    return row_id if path.endswith(".row_id") else _text(schema, row_id)


def _text(schema: Mapping[str, Any], row_id: str) -> str:
    digits = _DIGITS.fullmatch(str(schema.get("pattern", "")))
    if digits is not None:  # of all patterns this one alone is understood
        return str(crc32(row_id.encode())).zfill(int(digits[1]))[-int(digits[1]) :]
    text = f"v-{row_id}".ljust(int(schema.get("minLength", 0)), "x")
    return text[: int(schema.get("maxLength", len(text)))]


def _number(schema: Mapping[str, Any], row_id: str, path: str, *, whole: bool) -> float | int:
    margin = 1 if whole else 0.5
    low = schema.get("minimum", schema["exclusiveMinimum"] + margin if "exclusiveMinimum" in schema else None)
    high = schema.get(
        "maximum", schema["exclusiveMaximum"] - margin if "exclusiveMaximum" in schema else None
    )
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100
    if high is None:
        high = low + 100
    drawn = crc32(f"{row_id}{path}".encode())
    if whole:
        lowest: int = math.ceil(low)
        count: int = math.floor(high) - lowest + 1
        return lowest + drawn % count
    return float(low + drawn % 1001 / 1000 * (high - low))


def _referred(root: Any, pointer: str) -> Any:
    found = root
    for part in pointer.lstrip("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
