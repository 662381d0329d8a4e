"""The columns that a task's answers have in a table, by modality, declared columns or JSON Schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from tasks_lib.domain.csv_columns import ROWS, rows_schema
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Modality, Output
from tasks_lib.rows.json_types import JSON, json_texts
from tasks_lib.rows.values import Array

RESPONSE: Final = "response"  # the column of an answer that has no fields
_INT64 = range(-(2**63), 2**63)
_SCALARS: Final[Mapping[str, pa.DataType]] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
_OF_PYTHON: Final[Mapping[type, pa.DataType]] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
}
_OF_A_FILE: Final[Mapping[str, pa.DataType]] = {  # what stands for it as an answer
    "file_name": pa.string(),
    "content_type": pa.string(),
    "size_bytes": pa.int64(),
    "download_url": pa.string(),
}
_Schema = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerColumn:
    """One column: a field of the answer, or (field None) the whole of it."""

    field: str | None
    type: pa.DataType


def answer_columns(output: Output) -> tuple[AnswerColumn, ...]:
    """The columns of a task's answers.

    Text is one column; so is, as JSON, an answer that no schema calls an object with properties. Otherwise
    each property is a column: scalars, and arrays and objects of these, in their types, all else as JSON.
    Fields that an answer has beyond the schema's are in the ledger alone. CSV is one column, too: a list of
    its rows, which a row of the input cannot be torn into. Of a file there are name, type, size and address.
    """
    if output.modality is Modality.TEXT:
        return (AnswerColumn(field=None, type=pa.string()),)
    if output.modality is Modality.CSV:
        return (AnswerColumn(field=None, type=_rows_type(output)),)
    if output.modality.is_file:
        return tuple(AnswerColumn(field=field, type=of) for field, of in _OF_A_FILE.items())
    root = output.schema or {}
    properties = _resolved(root, root, ()).get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return (AnswerColumn(field=None, type=JSON),)
    return tuple(
        AnswerColumn(field=name, type=_type_of(root, schema, ())) for name, schema in properties.items()
    )


def _rows_type(output: Output) -> pa.DataType:
    """A list of structs of the declared columns; dates and times are text, as in a JSON answer."""
    if not output.columns:
        return JSON
    root = rows_schema(output.columns)
    properties = root["properties"]
    return _type_of(root, properties[ROWS], ()) if isinstance(properties, Mapping) else JSON


def answer_array(values: Sequence[JsonValue], of: pa.DataType) -> tuple[Array, list[int]]:
    """Values of one column as an Arrow array, and the places of those that are not of its type.

    These are NULL: an integer beyond 64 bits, or an answer to an older schema, must not end an export.
    """
    if of == JSON:
        return json_texts(values), []
    if _are_plainly(of, values):
        try:
            return pa.array(values, of), []
        except (pa.ArrowException, OverflowError):
            pass  # at least one is too large
    fitted: list[JsonValue] = []
    misfits: list[int] = []
    for at, value in enumerate(values):
        try:
            fitted.append(_fitted(value, of))
        except _Misfit:
            fitted.append(None)
            misfits.append(at)
    return pa.array(fitted, of), misfits


class _Misfit(Exception):
    """A value is not of its column's type."""


_PLAIN_TYPES: Final[Mapping[pa.DataType, set[type]]] = {
    pa.string(): {str, type(None)},
    pa.int64(): {int, type(None)},
    pa.float64(): {float, int, type(None)},  # Arrow refuses an integer that no float is
    pa.bool_(): {bool, type(None)},
}


def _are_plainly(of: pa.DataType, values: Sequence[JsonValue]) -> bool:
    """Whether Arrow takes these values for what they are; it makes 1.5 the integer 1, and true 1.0."""
    plain = _PLAIN_TYPES.get(of)
    return plain is not None and set(map(type, values)) <= plain


def _fitted(value: JsonValue, of: pa.DataType) -> JsonValue:
    """The value as Arrow takes it exactly: 1.0 is an integer to JSON Schema, and 1 a number."""
    if value is None:
        return None
    if pa.types.is_list(of) and isinstance(value, list):
        return [_fitted(part, of.value_type) for part in value]
    if pa.types.is_struct(of) and isinstance(value, Mapping):
        return {field.name: _fitted(value.get(field.name), field.type) for field in of}
    if of == pa.bool_() and isinstance(value, bool):
        return value
    if of == pa.string() and isinstance(value, str):
        return value
    if isinstance(value, bool):
        raise _Misfit
    if of == pa.float64() and isinstance(value, int | float):
        return float(value)
    if of == pa.int64() and isinstance(value, int | float) and value == int(value) and int(value) in _INT64:
        return int(value)
    raise _Misfit


def _type_of(root: _Schema, schema: JsonValue, above: tuple[str, ...]) -> pa.DataType:
    """The Arrow type of values that meet a schema; `above` are the references that led here."""
    if not isinstance(schema, Mapping):
        return JSON
    found = _resolved(root, schema, above)
    above = (*above, *_reference(schema))
    if not found:
        return JSON
    choices = found.get("anyOf", found.get("oneOf", found.get("allOf")))
    if isinstance(choices, list):
        kinds = [choice for choice in choices if not _is_null(choice)]
        return _type_of(root, kinds[0], above) if len(kinds) == 1 else JSON  # one sort, or NULL
    if "enum" in found or "const" in found:
        values = found.get("enum", [found.get("const")])
        return _type_of_values(values) if isinstance(values, list) else JSON
    named = found.get("type")
    names = [name for name in (named if isinstance(named, list) else [named]) if name != "null"]
    if set(names) == {"integer", "number"}:
        return pa.float64()
    if len(names) != 1:
        return JSON
    match names[0]:
        case "array" if "prefixItems" not in found:
            inner = _type_of(root, found.get("items"), above)
            return JSON if inner == JSON else pa.list_(inner)
        case "object":
            return _struct(root, found.get("properties"), above)
        case name:
            return _SCALARS.get(str(name), JSON)


def _struct(root: _Schema, properties: JsonValue, above: tuple[str, ...]) -> pa.DataType:
    if not isinstance(properties, Mapping) or not properties:
        return JSON
    inners = {name: _type_of(root, schema, above) for name, schema in properties.items()}
    return JSON if JSON in inners.values() else pa.struct(list(inners.items()))


def _type_of_values(values: Sequence[JsonValue]) -> pa.DataType:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.float64()
    if len(kinds) != 1:
        return JSON
    return _OF_PYTHON.get(kinds.pop(), JSON)


def _is_null(schema: JsonValue) -> bool:
    return isinstance(schema, Mapping) and (schema.get("type") == "null" or schema.get("const", 0) is None)


def _reference(schema: _Schema) -> tuple[str, ...]:
    reference = schema.get("$ref")
    return (reference,) if isinstance(reference, str) else ()


def _resolved(root: _Schema, schema: _Schema, above: tuple[str, ...]) -> _Schema:
    """The schema, or the one in this document that it refers to; empty if that leads elsewhere or round."""
    while _reference(schema):
        (reference,) = _reference(schema)
        if reference in above or not reference.startswith("#/"):
            return {}
        above = (*above, reference)
        found: JsonValue = root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping):
            return {}
        schema = found
    return schema
