"""Rows in (CSV, Parquet, JSONL, a DuckDB query, tables in memory) and rows out, in the same order."""

from tasks_lib.rows.answers import AnswerColumn, answer_columns
from tasks_lib.rows.csv_dialect import CsvDialect
from tasks_lib.rows.enriched import Enrichment, OutputNames, output_names
from tasks_lib.rows.errors import OutputError, SourceError
from tasks_lib.rows.output import OutputWriter, check_output, open_output, version_of_output
from tasks_lib.rows.source import Checked, OpenSource, open_source, open_table

__all__ = [
    "AnswerColumn",
    "Checked",
    "CsvDialect",
    "Enrichment",
    "OpenSource",
    "OutputError",
    "OutputNames",
    "OutputWriter",
    "SourceError",
    "answer_columns",
    "check_output",
    "open_output",
    "open_source",
    "open_table",
    "output_names",
    "version_of_output",
]
