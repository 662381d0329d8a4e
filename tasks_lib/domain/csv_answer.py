"""The rows that a CSV answer holds."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import isfinite
from typing import Final

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.csv_text import header_line
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Output

_SHOWN: Final = 60  # characters of a cell that a message shows
_INT64: Final = range(-(2**63), 2**63)
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EXPECTED: Final = {
    ColumnType.STRING: "text",
    ColumnType.INTEGER: "a whole number of 64 bits",
    ColumnType.NUMBER: "a number",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.DATE: "a date as YYYY-MM-DD",
    ColumnType.DATETIME: "a time as YYYY-MM-DDTHH:MM:SSZ",
}

Row = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class NoRows:
    """Why an answer is not the CSV that was asked for, in words short enough to send back."""

    message: str


def csv_rows(text: str, output: Output) -> list[Row] | NoRows:
    """The rows of CSV text, each an object of typed cells in the declared order.

    The header names the declared columns in any order, and no others; with none declared, it may be any of
    unique names, and all cells are text. An empty cell is null where its column is nullable.
    """
    try:
        # strict: a quote where none may be, or none where one must be, is an error and not a guess
        records = [record for record in csv.reader(io.StringIO(text, newline=""), strict=True) if record]
    except csv.Error as error:
        return NoRows(f"the answer is not CSV ({error})")
    if not records:
        return NoRows("the answer is empty")
    header = [name.strip().removeprefix("\ufeff") for name in records[0]]
    problem = _header_problem(header, output.columns) or _width_problem(records)
    if problem is not None:
        return NoRows(problem)
    columns = output.columns or tuple(CsvColumn(name=name) for name in header)
    at = [header.index(column.name) for column in columns]
    rows: list[Row] = []
    for number, record in enumerate(records[1:], start=1):
        row = typed_row(
            {column.name: record[place] for column, place in zip(columns, at, strict=True)}, columns
        )
        if isinstance(row, NoRows):
            return NoRows(f"row {number}: {row.message}")
        rows.append(row)
    return _too_few_or_many(len(rows), output) or rows


def typed_row(cells: Mapping[str, JsonValue], columns: Sequence[CsvColumn]) -> Row | NoRows:
    """A row's cells in the order and of the types of their columns; cells may be text or typed already."""
    row: Row = {}
    for column in columns:
        cell = cells[column.name]
        try:
            row[column.name] = _typed(cell, column) if isinstance(cell, str) else cell
        except ValueError:
            shown = cell if len(str(cell)) <= _SHOWN else f"{str(cell)[: _SHOWN - 1]}…"
            return NoRows(f"{column.name} must be {_EXPECTED[column.type]}, and is {shown!r}")
    return row


def _header_problem(header: Sequence[str], columns: Sequence[CsvColumn]) -> str | None:
    if not all(header):
        return "a column of the header has no name"
    if len(set(header)) < len(header):
        return "two columns of the header have one name"
    if columns and set(header) != {column.name for column in columns}:
        return f"the header must be {header_line([column.name for column in columns])}"
    return None


def _width_problem(records: Sequence[Sequence[str]]) -> str | None:
    width = len(records[0])
    for number, record in enumerate(records[1:], start=1):
        if len(record) != width:
            return f"row {number} has {len(record)} fields, and the header {width}"
    return None


def _too_few_or_many(count: int, output: Output) -> NoRows | None:
    if count < output.min_rows:
        return NoRows(f"{count} rows, and at least {output.min_rows} are wanted")
    if output.max_rows is not None and count > output.max_rows:
        return NoRows(f"{count} rows, and at most {output.max_rows} are wanted")
    return None


def _typed(text: str, column: CsvColumn) -> JsonValue:
    """A cell's value.

    Raises:
        ValueError: it is not of the column's type.
    """
    if column.type is ColumnType.STRING:
        return None if column.nullable and not text else text
    text = text.strip()
    if column.nullable and not text:
        return None
    match column.type:
        case ColumnType.INTEGER if _WHOLE.fullmatch(text) and int(text) in _INT64:
            return int(text)
        case ColumnType.NUMBER if _NUMBER.fullmatch(text):
            return _number(text)
        case ColumnType.BOOLEAN if text.lower() in {"true", "false"}:
            return text.lower() == "true"
        case ColumnType.DATE if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
        case ColumnType.DATETIME if _DATE.match(text) and len(text) > len("YYYY-MM-DD"):
            return _with_offset(datetime.fromisoformat(text)).isoformat()
        case _:
            raise ValueError(text)


def _number(text: str) -> int | float:
    if text.lstrip("+-").isdecimal() and int(text) in _INT64:
        return int(text)
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _with_offset(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
