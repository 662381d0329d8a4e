"""The Arrow types that columns of JSON values have together."""

from collections.abc import Sequence
from typing import Any, Final, cast

import orjson
import pyarrow as pa

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.rows.values import Array

JSON: Final = pa.json_(pa.string())  # for values that have no other type in common


def type_of(values: Sequence[JsonValue]) -> pa.DataType:
    """The narrowest type that holds these values exactly; JSON if there is no other."""
    try:
        array: Array = pa.array(cast("Any", values))  # the stubs list what may be inferred, and nested is not
    except (pa.ArrowException, OverflowError):
        return JSON
    return cast("pa.DataType", array.type)


def common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The narrowest type that holds the values of both; JSON if there is no other.

    Integers and floats go together as floats, although an integer beyond 2^53 is none: `holds` tells.
    """
    if one.equals(other) or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_list(one) and pa.types.is_list(other):
        inner = common(one.value_type, other.value_type)
        return JSON if inner == JSON else pa.list_(inner)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            fields[field.name] = common(fields.get(field.name, pa.null()), field.type)
        return JSON if JSON in fields.values() else pa.struct(list(fields.items()))
    return JSON


def settled(of: pa.DataType) -> pa.DataType:
    """The type with text where there were only NULLs, and JSON where a file could not hold it."""
    if pa.types.is_null(of):
        return pa.string()
    if pa.types.is_list(of):
        inner = settled(of.value_type)
        return JSON if inner == JSON else pa.list_(inner)
    if pa.types.is_struct(of):
        inners = [(field.name, settled(field.type)) for field in of]
        return JSON if not inners or any(inner == JSON for _, inner in inners) else pa.struct(inners)
    return of


def holds(of: pa.DataType, values: Sequence[JsonValue]) -> bool:
    """Whether values whose common type this is can all be exactly that."""
    try:
        pa.array(values, of)
    except (pa.ArrowException, OverflowError):
        return False
    return True


def json_array(of: pa.DataType, values: Sequence[JsonValue]) -> Array:
    """Values whose settled type this is as an Arrow array."""
    if of == JSON:
        return json_texts(values)
    return pa.array(values, of)


def json_texts(values: Sequence[JsonValue]) -> Array:
    """Any values as their JSON texts; None as NULL."""
    texts = [None if value is None else orjson.dumps(value).decode() for value in values]
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.string()))
