"""Records of a source: one of them, or successive ones by column."""

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsByColumn:
    """Successive records: where not each of them is wanted as a `Row`, columns are several times cheaper."""

    first: int  # the number of the first, from 1
    keys: Sequence[str]
    columns: Mapping[str, Sequence[JsonValue]]
    blobs: Mapping[str, Sequence[bytes | None]] = field(default_factory=dict)  # of columns that are files

    def rows(self) -> list[Row]:
        """The records one by one."""
        names = tuple(self.columns)
        values: list[dict[str, JsonValue]] = [
            dict(zip(names, each, strict=True)) for each in zip(*self.columns.values(), strict=True)
        ]
        if not names:
            values = [{} for _ in self.keys]
        rows = [
            Row(number=at, key=key, values=each)
            for at, (key, each) in enumerate(zip(self.keys, values, strict=True), start=self.first)
        ]
        for name, contents in self.blobs.items():
            for row, content in zip(rows, contents, strict=True):
                if content is not None:
                    row.blobs = {**row.blobs, name: content}
        return rows
