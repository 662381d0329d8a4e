"""One record of a source."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks_lib.domain.fingerprint import JsonValue

_NO_BLOBS: Mapping[str, bytes] = {}  # of all rows that have none


@dataclass(slots=True, kw_only=True)  # not frozen: making a frozen one takes twice as long
class Row:
    """One record: its number (from 1, in the source's order), its key and its columns as JSON values."""

    number: int
    key: str
    values: Mapping[str, JsonValue]
    blobs: Mapping[str, bytes] = field(default_factory=lambda: _NO_BLOBS)  # columns of bytes, which are files
