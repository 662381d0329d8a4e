"""The answers of a task as columns: the view `results_<task>`."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from tasks_lib.domain.csv_columns import ColumnType
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.task import Task
from tasks_lib.ledger.facts import storable
from tasks_lib.ledger.statements import literal, quoted

_DEEPEST = 16  # references that are followed; a schema may refer to itself
_TYPES = {"string": "varchar", "integer": "bigint", "number": "double", "boolean": "boolean"}
_LISTS = {"varchar", "bigint", "double", "boolean"}
_CELLS: Final = {
    ColumnType.STRING: "varchar",
    ColumnType.INTEGER: "bigint",
    ColumnType.NUMBER: "double",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.DATE: "date",
    ColumnType.DATETIME: "timestamptz",
}
_OF_A_FILE: Final = {  # what stands for it as an answer
    "file_name": "varchar",
    "content_type": "varchar",
    "size_bytes": "bigint",
    "sha256": "varchar",
    "download_url": "varchar",
}
_CSV_ROWS: Final = (  # of an answer that is no list, from before the task answered with CSV: none
    "cross join lateral (",
    "    select unnest(l.list) as cells, generate_subscripts(l.list, 1) as number",
    "    from (select try_cast(r.response as json[]) as list) l",
    ") c",
)


def view_name(task: Task) -> str:
    """`results_` and the task's name in lower case, with everything but letters and digits as `_`."""
    plain = re.sub(r"[^a-z0-9]+", "_", task.name.lower()).strip("_")[:48]
    return f"results_{plain or task.id[:8]}"


def results_view(task: Task, *, name: str) -> str:
    """The SQL that makes the view.

    It has a row for each question that was answered, by its latest answer: the row's key and number, its
    inputs, the answer's fields with the types that the schema gives them (NULL where an answer under an
    earlier schema does not fit), and the run's figures. Where names collide the answer's fields keep theirs.

    CSV has a row for each row of each answer, counted from 1 in `answer_row`, with the declared columns in
    their types, or else with the row as JSON in `response`. A file has name, type, size, hash and address.
    """
    is_csv = task.output.modality is Modality.CSV
    taken: set[str] = set()
    fields = [
        (_free(field, taken, prefix="response_"), expression) for field, expression in _columns(task.output)
    ]
    if is_csv:
        fields = [(_free("answer_row", taken, prefix="run_"), "c.number"), *fields]
    inputs = [
        (
            _free(name, taken, prefix="input_"),
            f"json_extract_string(r.run_data, {_pointer('submitted', name)})",
        )
        for name in task.names
        if _can_be_named(name)
    ]
    before = [(_free(column, taken, prefix="run_"), f"r.{column}") for column in ("row_key", "row_number")]
    after = [
        (_free(column, taken, prefix="run_"), f"r.{source}")
        for column, source in (
            ("revision_tag", "revision_tag"),
            ("model", "model"),
            ("reporting_group", "reporting_group"),
            ("reference", "reference"),
            ("input_tokens", "input_tokens"),
            ("output_tokens", "output_tokens"),
            ("cost", "cost"),
            ("possible_cost", "possible_cost"),
            ("answered_at", "modified_at"),
            ("task_run_id", "id"),
        )
    ]
    columns = (
        f"    {expression} as {quoted(column)}" for column, expression in (*before, *inputs, *fields, *after)
    )
    return "\n".join(
        (
            f"create or replace view {quoted(name)} as",
            "select",
            ",\n".join(columns),
            "from task_runs r",
            *(_CSV_ROWS if is_csv else ()),
            "where r.rowid in (",
            "    select max(rowid)",
            "    from task_runs",
            f"    where task_id = {literal(task.id)}::uuid",
            "      and status = 'completed'",
            "    group by identity",
            ")",
        )
    )


def _columns(output: Output) -> list[tuple[str, str]]:
    """The columns of the answers themselves, and the expression of each."""
    match output.modality:
        case Modality.CSV:
            named = [column for column in output.columns if _can_be_named(column.name)]
            cells = [(column.name, _typed("c.cells", column.name, _CELLS[column.type])) for column in named]
            return cells or [("response", "c.cells")]
        case Modality.IMAGE | Modality.AUDIO | Modality.PDF:
            return [(name, _typed("r.response", name, kind)) for name, kind in _OF_A_FILE.items()]
        case Modality.TEXT:
            return [("response", "json_extract_string(r.response, '$')")]
        case Modality.JSON:
            return list(_fields(output.schema)) or [("response", "r.response")]


def _typed(source: str, name: str, kind: str) -> str:
    """The expression for one scalar of an object."""
    text = f"json_extract_string({source}, {_pointer(name)})"
    return text if kind == "varchar" else f"try_cast({text} as {kind})"


def _fields(schema: Mapping[str, JsonValue] | None) -> Iterator[tuple[str, str]]:
    """Each property of an object, and the expression that takes it from the response."""
    root = schema or {}
    properties = _resolved(root, root).get("properties")
    if not isinstance(properties, Mapping):
        return
    for name, inner in properties.items():
        if not _can_be_named(name):
            continue
        value = f"json_extract(r.response, {_pointer(name)})"
        kind = column_type(inner, root)
        if kind == "json":
            yield name, value
        elif kind.endswith("[]"):
            yield name, f"try_cast({value} as {kind})"
        else:
            yield name, _typed("r.response", name, kind)


def column_type(schema: JsonValue, root: Mapping[str, JsonValue]) -> str:
    """The DuckDB type for values that meet a schema; json where no narrower one is sure."""
    if not isinstance(schema, Mapping):
        return "json"
    schema = _resolved(schema, root)
    for key in ("anyOf", "oneOf"):
        options = schema.get(key)
        if isinstance(options, list):
            return _common({column_type(option, root) for option in options if option != {"type": "null"}})
    if "const" in schema:
        return _common({_type_of(schema["const"])})
    values = schema.get("enum")
    if isinstance(values, list):
        return _common({_type_of(value) for value in values if value is not None})
    kinds = schema.get("type")
    names = kinds if isinstance(kinds, list) else [kinds]
    if names == ["array"]:
        inner = column_type(schema.get("items"), root)
        return f"{inner}[]" if inner in _LISTS else "json"
    return _common({_TYPES.get(str(name), "json") for name in names if name != "null"})


def _common(kinds: set[str]) -> str:
    if kinds == {"bigint", "double"}:
        return "double"
    return kinds.pop() if len(kinds) == 1 else "json"


def _type_of(value: JsonValue) -> str:
    match value:
        case str():
            return "varchar"
        case bool():
            return "boolean"
        case int():
            return "bigint"
        case float():
            return "double"
        case _:
            return "json"


def _resolved(schema: Mapping[str, JsonValue], root: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """The schema that a reference within the same document leads to."""
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        at: JsonValue = root
        for part in reference[2:].split("/"):
            at = at.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(at, Mapping) else None
        if not isinstance(at, Mapping):
            return {}
        schema = at
    return {}


def _pointer(*path: str) -> str:
    return literal("".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path))


def _can_be_named(name: str) -> bool:
    return bool(name) and "\0" not in name and storable(name) == name


def _free(name: str, taken: set[str], *, prefix: str) -> str:
    """A column's name that no earlier column has; DuckDB does not tell upper from lower case."""
    candidate, number = name, 1
    while candidate.lower() in taken:
        candidate = f"{prefix}{name}" if number == 1 else f"{prefix}{name}_{number}"
        number += 1
    taken.add(candidate.lower())
    return candidate
