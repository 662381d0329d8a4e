"""Whether a statement from another process does nothing but read the ledger.

It is decided by DuckDB's own parser, in a database of nothing in memory: what it cannot make a tree of is
refused, and in a tree every table and table function must be known to be harmless. A connection that is open
for writing can otherwise read any file of this user (`read_csv`), reach the network, load extensions, and
take numbers for addresses in memory (`arrow_scan`); DuckDB's switch against the first two holds for all of a
database, and also keeps the writer from Arrow tables.
"""

import re
import threading
from functools import cache
from typing import Any

import duckdb
import orjson

from tasks_lib.ledger.errors import LedgerError

_TABLE_FUNCTIONS = frozenset({
    "duckdb_columns", "duckdb_constraints", "duckdb_databases", "duckdb_functions", "duckdb_indexes",
    "duckdb_keywords", "duckdb_memory", "duckdb_schemas", "duckdb_sequences", "duckdb_settings",
    "duckdb_tables", "duckdb_types", "duckdb_views",
    "generate_series", "icu_calendar_names", "json_each", "json_tree", "pg_timezone_names",
    "pragma_collations", "pragma_database_size", "pragma_show", "pragma_storage_info", "pragma_table_info",
    "pragma_version", "range", "repeat", "repeat_row", "unnest",
})  # fmt: skip
_NO_FUNCTIONS = frozenset({"nextval", "sleep_ms", "write_log"})  # the scalar ones that do something
_SCHEMAS = frozenset({"", "information_schema", "main", "pg_catalog"})
_LIKE_A_FILE = re.compile(r"[./\\*?\[:]")  # a name that is no table's is taken for a file's
_SUFFIXES = frozenset({"csv", "db", "duckdb", "json", "jsonl", "ndjson", "parquet", "tsv", "txt", "xlsx"})
_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?", re.IGNORECASE)
_lock = threading.Lock()


def check_reads_only(text: str) -> None:
    """Refuse all but one question about tables and views of the ledger.

    Raises:
        LedgerError: it is something else, or DuckDB does not understand it.
    """
    tree = _tree(_EXPLAIN.sub("", text, count=1))
    statements = tree["statements"]
    if len(statements) != 1:
        raise LedgerError("give one question, and not several.")
    waiting: list[Any] = [statements[0]]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            _check(node)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _tree(text: str) -> dict[str, Any]:
    try:
        with _lock:
            row = _parser().execute("select json_serialize_sql($1)", [text]).fetchone()
    except duckdb.Error as error:
        raise LedgerError(str(error)) from error
    try:
        tree: dict[str, Any] = orjson.loads(row[0] if row else "{}")
    except orjson.JSONDecodeError:  # deeper than anybody would write
        raise LedgerError("this question is nested too deeply.") from None
    if tree.get("error") is False:
        return tree
    if tree.get("error_type") == "parser":
        raise LedgerError(f"Parser Error: {tree.get('error_message')}")
    raise LedgerError(
        "while a batch runs, the ledger answers one question at a time: a `select` (or `from`, `with`, "
        "`describe`, `summarize`, `explain`), and no `pivot`."
    )


def _check(node: dict[str, Any]) -> None:
    match node.get("type"):
        case "TABLE_FUNCTION":
            _check_table_function(node)
        case "FUNCTION" if str(node.get("function_name")).lower() in _NO_FUNCTIONS:
            raise LedgerError(f"{node['function_name']}() is more than a question, and is off.")
        case "BASE_TABLE":
            _check_table(node)


def _check_table_function(node: dict[str, Any]) -> None:
    function = node.get("function") or {}
    name = str(function.get("function_name", "")).lower()
    if name not in _TABLE_FUNCTIONS or function.get("type") != "FUNCTION":
        raise LedgerError(
            f"{name}() is disabled: while a batch runs, questions are about the ledger's own tables."
        )


def _check_table(node: dict[str, Any]) -> None:
    schema, name = str(node.get("schema_name", "")), str(node.get("table_name", ""))
    whole = ".".join(part for part in (str(node.get("catalog_name", "")), schema, name) if part)
    qualified = whole != name
    if _LIKE_A_FILE.search(name) or (qualified and name.lower() in _SUFFIXES):
        raise LedgerError(f"{whole} looks like a file, and files are disabled while a batch runs.")
    if schema.lower() not in _SCHEMAS and _LIKE_A_FILE.search(schema):
        raise LedgerError(f"{whole} looks like a file, and files are disabled while a batch runs.")


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """A connection that has nothing to read, and parses."""
    return duckdb.connect(":memory:", config={"threads": "1", "enable_external_access": "false"})
