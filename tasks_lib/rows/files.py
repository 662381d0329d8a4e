"""Columns of bytes, each value of which is a file."""

from hashlib import sha256
from typing import Final

import pyarrow as pa

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.rows.values import Array, is_binary, is_text

FILE_CONTENT: Final = ("bytes", "content", "data")  # what the bytes of a file are called beside its name
FILE_NAME: Final = ("filename", "path", "name")


def is_file(of: pa.DataType) -> bool:
    """Whether each value of this type is a file: bytes, or bytes with a name, such as `{bytes, path}`."""
    if isinstance(of, pa.BaseExtensionType):
        return not isinstance(of, pa.UuidType) and is_file(of.storage_type)
    if pa.types.is_struct(of):
        return _content_field(of) is not None
    if pa.types.is_dictionary(of) or pa.types.is_run_end_encoded(of):
        return is_file(of.value_type)
    return is_binary(of) and not pa.types.is_nested(of)


def file_values(array: Array) -> list[tuple[bytes | None, str | None]]:
    """The files of a column, in order: bytes and name, each None where there is none."""
    of = array.type
    if isinstance(of, pa.BaseExtensionType):
        return file_values(array.storage)
    if not pa.types.is_struct(of):
        return [(content, None) for content in array.to_pylist()]
    content, name = _content_field(of), _name_field(of)
    assert content is not None  # noqa: S101  it is_file
    return [
        (None, None) if one is None else (one[content], one[name] if name is not None else None)
        for one in array.to_pylist()
    ]


def _content_field(of: pa.StructType) -> str | None:
    """The one field that holds bytes, if it is called like what a file holds."""
    binary = [of.field(at).name for at in range(of.num_fields) if is_binary(of.field(at).type)]
    if len(binary) != 1 or binary[0] not in FILE_CONTENT or not is_file(of.field(binary[0]).type):
        return None
    return binary[0]


def _name_field(of: pa.StructType) -> str | None:
    names = [of.field(at).name for at in range(of.num_fields) if is_text(of.field(at).type)]
    return next((name for name in FILE_NAME if name in names), None)


def told_of(content: bytes | None, name: str | None) -> JsonValue:
    """What stands in the place of a file's bytes where JSON is wanted: enough to tell it from any other.

    A name without bytes is a path, as those have it who write files of their own into a table.
    """
    if content is None:
        return name
    told: dict[str, JsonValue] = {"sha256": sha256(content).hexdigest(), "size": len(content)}
    return told | {"filename": name} if name else told
