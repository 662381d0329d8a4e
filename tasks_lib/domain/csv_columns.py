"""The columns that a CSV answer must have."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tasks_lib.domain.fingerprint import JsonValue

ROWS: Final = "rows"  # the one property of rows that are asked for as JSON


class ColumnType(Enum):
    """What a column's cells are."""

    STRING = "string"
    INTEGER = "integer"  # of 64 bits
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"  # in UTC where it names no offset


_IN_JSON: Final = {
    ColumnType.DATE: {"type": "string", "format": "date"},
    ColumnType.DATETIME: {"type": "string", "format": "date-time"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvColumn:
    """One column: what the header calls it, and what stands below."""

    name: str
    type: ColumnType = ColumnType.STRING
    nullable: bool = False  # whether a cell may be empty, which is null
    description: str | None = None  # for the model


def rows_schema(
    columns: Sequence[CsvColumn], *, min_rows: int = 0, max_rows: int | None = None
) -> dict[str, JsonValue]:
    """The JSON Schema of `{"rows": [{column: value}]}`: closed, all required, as strict modes want it."""
    rows: dict[str, JsonValue] = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {column.name: _in_json(column) for column in columns},
            "required": [column.name for column in columns],
            "additionalProperties": False,
        },
    }
    if min_rows:
        rows["minItems"] = min_rows
    if max_rows is not None:
        rows["maxItems"] = max_rows
    return {
        "type": "object",
        "properties": {ROWS: rows},
        "required": [ROWS],
        "additionalProperties": False,
    }


def _in_json(column: CsvColumn) -> dict[str, JsonValue]:
    schema: dict[str, JsonValue] = dict(_IN_JSON.get(column.type, {"type": column.type.value}))
    if column.nullable:
        schema["type"] = [schema["type"], "null"]
    if column.description is not None:
        schema["description"] = column.description
    return schema
