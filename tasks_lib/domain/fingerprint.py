"""Hashes that name content: of a row's inputs, of a revision, of a configuration."""

from collections.abc import Mapping
from hashlib import blake2b

import orjson

JsonValue = None | bool | int | float | str | list["JsonValue"] | Mapping[str, "JsonValue"]
"""What JSON can say."""

_CANONICAL = orjson.OPT_SORT_KEYS


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value: keys sorted, no spaces, UTF-8.

    Raises:
        TypeError: the value holds something that JSON cannot say.
    """
    return orjson.dumps(value, option=_CANONICAL)


def content_hash(value: object) -> str:
    """32 hexadecimal digits (128 bits) that name a JSON value."""
    return blake2b(orjson.dumps(value, option=_CANONICAL), digest_size=16).hexdigest()  # see `canonical_json`


def identity_of(row_key: str, input_hash: str, fingerprint: str) -> str:
    """32 hexadecimal digits for "this row, with these inputs, under this revision".

    A completed run with this identity makes a new call needless.
    """
    return blake2b(f"{fingerprint}\x1f{input_hash}\x1f{row_key}".encode(), digest_size=16).hexdigest()
