"""How a task's answer is asked for: the schema that a provider can hold a model to, or else words."""

from collections.abc import Mapping
from typing import Final

import orjson

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn, rows_schema
from tasks_lib.domain.csv_text import header_line
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Modality, Output

_CELLS: Final = {
    ColumnType.STRING: "text",
    ColumnType.INTEGER: "a whole number",
    ColumnType.NUMBER: "a number, with a point for decimals and nothing between thousands",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.DATE: "a date as YYYY-MM-DD",
    ColumnType.DATETIME: "a time as YYYY-MM-DDTHH:MM:SSZ",
}


def schema_asked(output: Output) -> Mapping[str, JsonValue] | None:
    """The JSON Schema to send where a provider holds models to one; None: there is none, use words.

    CSV with declared columns is asked for as `{"rows": [...]}`, which cannot lose a comma or a quote; `judge`
    takes it and CSV text alike.
    """
    if output.columns:
        return rows_schema(output.columns, min_rows=output.min_rows, max_rows=output.max_rows)
    return output.schema


def form_in_words(output: Output) -> str | None:
    """What a model is told of its answer's form where the provider cannot be asked for it; None: nothing."""
    match output.modality:
        case Modality.JSON:
            return _json_in_words(output.schema)
        case Modality.CSV:
            return _csv_in_words(output)
        case Modality.PDF:
            return "Answer with the text of the document in Markdown, and nothing else."
        case _:
            return None


def _json_in_words(schema: Mapping[str, JsonValue] | None) -> str:
    told = "Answer with one JSON value and nothing else."
    if schema is not None:
        told += f" It must meet this JSON Schema: {orjson.dumps(schema).decode()}"
    return told


def _csv_in_words(output: Output) -> str:
    told = [
        "Answer with CSV and nothing else: a header line, then one line for each row.",
        "Put a field that holds a comma, a quote or a line break in double quotes, and double those in it.",
    ]
    if output.columns:
        told.append(f"The header is: {header_line([column.name for column in output.columns])}")
        told.extend(_column_in_words(column) for column in output.columns)
    if output.min_rows:
        told.append(f"Fewest rows: {output.min_rows}")
    if output.max_rows is not None:
        told.append(f"Most rows: {output.max_rows}")
    return "\n".join(told)


def _column_in_words(column: CsvColumn) -> str:
    cell = _CELLS[column.type] + (", or empty" if column.nullable else "")
    described = f" ({column.description})" if column.description else ""
    return f"{column.name}: {cell}{described}"
