"""Rows as CSV text, by RFC 4180."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from tasks_lib.domain.csv_columns import CsvColumn
from tasks_lib.domain.fingerprint import JsonValue

LINE_END: Final = "\r\n"  # as RFC 4180 has it
_MUST_BE_QUOTED: Final = re.compile(r'[",\r\n]|^\s|\s$|^$')  # spaces at an end: some readers drop them


def csv_text(rows: Sequence[Mapping[str, JsonValue]], columns: Sequence[CsvColumn] = ()) -> str:
    """A CSV answer's value as a file: a header, a line for each row, CR LF after each.

    The header has the declared columns, or else the first row's; without either there is nothing to write.
    Null is an empty field, and an empty text is `""`.
    """
    header = [column.name for column in columns] or list(rows[0] if rows else ())
    if not header:
        return ""
    lines = [header_line(header), *(_line([row.get(name) for name in header]) for row in rows)]
    return LINE_END.join((*lines, ""))


def header_line(names: Sequence[str]) -> str:
    """The first line of a CSV file with these columns, without its end."""
    return _line(names)


def _line(cells: Sequence[JsonValue]) -> str:
    if len(cells) == 1 and cells[0] is None:
        return '""'  # an empty line would be no row at all
    return ",".join(_field(cell) for cell in cells)


def _field(cell: JsonValue) -> str:
    if cell is None:
        return ""
    text = cell if isinstance(cell, str) else orjson.dumps(cell).decode()
    if _MUST_BE_QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
