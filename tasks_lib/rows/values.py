"""Arrow values as JSON values, and as the text that a prompt or a CSV shows.

What JSON cannot say is said so that nothing is lost or guessed:

- dates, times and timestamps are ISO 8601 text, timestamps with a zone in UTC (`2026-11-22T09:30:00Z`);
- a decimal with a fraction is text (`"12.50"`), since nearly everybody reads a JSON number as a float;
  one without a fraction is an integer;
- an integer beyond 64 bits is text;
- NaN is NULL, as it is to pandas; infinities are the text `Infinity` and `-Infinity`;
- a float of 32 or 16 bits is the shortest decimal that names it (0.1, not 0.10000000149011612);
- a UUID is text, binary is base64 (and only in content keys and outputs: see `is_binary`);
- a map is an object, its keys as text; a column of JSON text (arrow.json) is the value that it spells.

Arrays are converted column by column: plain types in C, nested ones child by child.
"""

import base64
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tasks_lib.domain.fingerprint import JsonValue

Array = Any  # an Arrow array; the published stubs know only some of the kinds there are
_WITHIN_64_BITS = range(-(2**63), 2**64)
_MAY_BE_TOO_LONG = re.compile(rb"\d{19}")  # an integer that orjson may have read as a float


def is_binary(of: pa.DataType) -> bool:
    """Whether values of this type hold bytes, which JSON cannot say and no prompt can show."""
    if isinstance(of, pa.UuidType):
        return False
    if isinstance(of, pa.BaseExtensionType):
        return is_binary(of.storage_type)
    if pa.types.is_dictionary(of) or pa.types.is_run_end_encoded(of):
        return is_binary(of.value_type)
    if pa.types.is_nested(of):
        return any(is_binary(of.field(at).type) for at in range(of.num_fields))
    return (
        pa.types.is_binary(of)
        or pa.types.is_large_binary(of)
        or pa.types.is_fixed_size_binary(of)
        or pa.types.is_binary_view(of)
    )


def is_text(of: pa.DataType) -> bool:
    """Whether values of this type are text."""
    return pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of)


def json_values(array: Array) -> list[JsonValue]:
    """The values of a column as JSON values, in order; NULL is None."""
    of = array.type
    if is_text(of) or pa.types.is_boolean(of) or pa.types.is_integer(of) or pa.types.is_null(of):
        return _plain(array)
    if pa.types.is_floating(of):
        return _floats(array)
    if pa.types.is_decimal(of):
        return [None if value is None else _decimal(value, of.scale) for value in array.to_pylist()]
    if pa.types.is_temporal(of):
        return _times(array)
    if pa.types.is_dictionary(of):
        return json_values(array.dictionary_decode())
    if pa.types.is_run_end_encoded(of):
        return json_values(pc.call_function("run_end_decode", [array]))
    if isinstance(of, pa.UuidType):
        return [None if value is None else str(value) for value in array.to_pylist()]
    if isinstance(of, pa.JsonType):
        return [None if text is None else _spelled(text) for text in array.storage.to_pylist()]
    if isinstance(of, pa.BaseExtensionType):
        return json_values(array.storage)
    if pa.types.is_struct(of):
        return _objects(array)
    if pa.types.is_map(of):
        return _maps(array)
    if _is_list(of):
        return _lists(array)
    return [_said(value) for value in array.to_pylist()]


def text_values(array: Array) -> Array:
    """The values of a column as the text that a template makes of them; NULL stays NULL.

    Its lengths are those of what is sent, so that limits can be checked on whole columns.
    """
    of = array.type
    if is_text(of) or pa.types.is_integer(of) or pa.types.is_boolean(of):
        return pc.cast(array, pa.string())
    if isinstance(of, pa.JsonType):
        return pc.cast(array.storage, pa.string())
    values = json_values(array)
    return pa.array([None if value is None else text_of(value) for value in values], pa.string())


def text_of(value: JsonValue) -> str:
    """The text of one value: itself if it is text, else its JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def parsed(text: bytes) -> JsonValue:
    """The value of a JSON text; an integer beyond 64 bits is its text.

    Raises:
        ValueError: it is not JSON.
    """
    value: JsonValue = orjson.loads(text)
    if _MAY_BE_TOO_LONG.search(text):
        value = json.loads(text, parse_int=lambda digits: _integer(int(digits)))
    return value


def _spelled(text: str) -> JsonValue:
    """The value of a column's JSON text; what is no JSON stays the text that it is."""
    try:
        return parsed(text.encode())
    except ValueError:
        return text


def _plain(array: Array) -> list[JsonValue]:
    values: list[JsonValue] = array.to_pylist()
    return values


def _floats(array: Array) -> list[JsonValue]:
    if array.type.bit_width < 64:
        wider = pc.cast(array, pa.float32())
        array = pc.cast(pc.cast(wider, pa.string()), pa.float64())
    values = _plain(array)
    if pc.all(pc.is_finite(array), min_count=0).as_py():
        return values
    return [_said(value) for value in values]


def _decimal(value: Decimal, scale: int) -> JsonValue:
    if scale > 0:
        return format(value, "f")
    return _integer(int(value))


def _integer(value: int) -> JsonValue:
    return value if value in _WITHIN_64_BITS else str(value)


def _times(array: Array) -> list[JsonValue]:
    of = array.type
    if pa.types.is_duration(of):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[of.unit]
        counts = array.cast(pa.int64()).to_pylist()
        return [None if count is None else f"PT{_quotient(count, per_second)}S" for count in counts]
    if pa.types.is_interval(of):
        return [None if value is None else _interval(*value) for value in array.to_pylist()]
    if pa.types.is_timestamp(of) and of.tz is not None:
        array = pc.cast(array, pa.timestamp(of.unit, "UTC"))  # the same instants, and no zone data needed
    texts = pc.cast(array, pa.string())
    if pa.types.is_date(of):
        return _plain(pc.utf8_slice_codeunits(texts, 0, 10))
    texts = pc.replace_substring(texts, " ", "T")
    texts = pc.replace_substring_regex(texts, r"\.(\d*?)0+(Z?)$", r".\1\2")
    return _plain(pc.replace_substring_regex(texts, r"\.(Z?)$", r"\1"))


def _quotient(count: int, unit: int) -> str:
    whole, part = divmod(abs(count), unit)
    fraction = f".{part:0{len(str(unit)) - 1}d}".rstrip("0") if part else ""
    return f"{'-' if count < 0 else ''}{whole}{fraction}"


def _interval(months: int, days: int, nanoseconds: int) -> str:
    return f"P{months}M{days}DT{_quotient(nanoseconds, 10**9)}S"


def _objects(array: Array) -> list[JsonValue]:
    names = [array.type.field(at).name for at in range(array.type.num_fields)]
    columns = [json_values(array.field(at)) for at in range(array.type.num_fields)]
    if not columns:
        return [{} if valid else None for valid in array.is_valid().to_pylist()]
    objects = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return _where_valid(array, objects)


def _maps(array: Array) -> list[JsonValue]:
    offsets = array.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    keys = [text_of(key) for key in json_values(array.keys.slice(first, last - first))]
    items = json_values(array.items.slice(first, last - first))
    objects = [
        dict(zip(keys[start - first : end - first], items[start - first : end - first], strict=True))
        for start, end in pairwise(offsets)
    ]
    return _where_valid(array, objects)


def _is_list(of: pa.DataType) -> bool:
    return (
        pa.types.is_list(of)
        or pa.types.is_large_list(of)
        or pa.types.is_fixed_size_list(of)
        or pa.types.is_list_view(of)
        or pa.types.is_large_list_view(of)
    )


def _lists(array: Array) -> list[JsonValue]:
    if not len(array):
        return []
    if pa.types.is_fixed_size_list(array.type):
        array = pc.cast(array, pa.large_list(array.type.value_type))
    if pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        values = json_values(array.values)
        parts = zip(array.offsets.to_pylist(), array.sizes.to_pylist(), strict=True)
        return _where_valid(array, [values[start : start + size] for start, size in parts])
    offsets = array.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    values = json_values(array.values.slice(first, last - first))
    lists = [values[start - first : end - first] for start, end in pairwise(offsets)]
    return _where_valid(array, lists)


def _where_valid(array: Array, values: Sequence[JsonValue]) -> list[JsonValue]:
    if not array.null_count:
        return list(values)
    validity = array.is_valid().to_pylist()
    return [value if valid else None for value, valid in zip(values, validity, strict=True)]


def _said(value: object) -> JsonValue:
    """Any Python value that Arrow gives, as JSON."""
    if isinstance(value, float):
        if value != value:  # noqa: PLR0124  NaN alone differs from itself
            return None
        return value if abs(value) != float("inf") else ("Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Sequence):
        return [_said(part) for part in value]
    if isinstance(value, dict):
        return {str(name): _said(part) for name, part in value.items()}
    return str(value)
