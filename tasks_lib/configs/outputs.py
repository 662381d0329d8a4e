"""What a task file says of its answers, as an output."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tasks_lib.configs.document import DEEPEST, Document, Trail
from tasks_lib.configs.output_file import ColumnFile, OutputFile
from tasks_lib.configs.paths import path_from, shown
from tasks_lib.configs.problems import ConfigError, Problem, did_you_mean, quoted
from tasks_lib.configs.validation import name_of
from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import FILE_TYPES, Modality, Output
from tasks_lib.domain.output_format import format_problems, schema_of_format

_SCHEMA_AT: Final[Trail] = ("output", "schema")
_FORMAT_AT: Final[Trail] = ("output", "output_format")
_FOR: Final[Mapping[str, tuple[Modality, ...]]] = {
    "schema": (Modality.JSON,),
    "output_format": (Modality.JSON,),
    "columns": (Modality.CSV,),
    "min_rows": (Modality.CSV,),
    "max_rows": (Modality.CSV,),
    "file_type": (Modality.IMAGE, Modality.AUDIO),
    "coerce": (Modality.JSON, Modality.CSV),
}
_SHORT: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def output_told(document: Document, told: OutputFile) -> Output:
    """The output that a task file's `output` means.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    problems = [*_problems(document, told)]
    if problems:
        raise ConfigError(problems)
    schema = None if told.output_format is None else schema_of_format(told.output_format)
    if told.answer_schema is not None:
        schema = schema_told(document, told.answer_schema, at=_SCHEMA_AT)
    try:
        return Output.of(
            Modality(told.modality),
            schema,
            columns=[_column(name, column) for name, column in (told.columns or {}).items()],
            min_rows=told.min_rows or 0,
            max_rows=told.max_rows,
            file_type=told.file_type,
            coerce=told.coerce is not False,
        )
    except ValueError as error:
        raise ConfigError([document.problem(_SCHEMA_AT, f"output.schema is {error}")]) from None


def output_doubts(document: Document, output: Output) -> Iterator[Problem]:
    """What of an output can be used, and is perhaps not what was meant."""
    if output.schema is not None and _is_surely_no_object(output.schema):
        message = "the schema's root is not an object, which OpenAI and others refuse"
        remedy = "Ask for an object with one property, or set the provider's structured_output to prompt."
        yield document.problem(_SCHEMA_AT, message, remedy)


def _problems(document: Document, told: OutputFile) -> Iterator[Problem]:
    """What does not go together, and what is wrong within it."""
    modality = Modality(told.modality)
    keys = {key: value for key, value in told.model_dump(by_alias=True).items() if value is not None}
    for key, modalities in _FOR.items():
        if key in keys and modality not in modalities:
            names = " and ".join(allowed.value for allowed in modalities)
            message = f"output.{key} is for {names}, and the modality is {modality.value}"
            yield document.key_problem(("output", key), message, "Leave it out, or change the modality.")
    if told.answer_schema is not None and told.output_format is not None:
        message = "output.output_format stands beside output.schema"
        yield document.key_problem(_FORMAT_AT, message, "Write one of the two.")
    for problem in format_problems(told.output_format) if told.output_format is not None else ():
        trail = (*_FORMAT_AT, *problem.path)
        yield document.problem(trail, f"{name_of(trail)} {problem.message}")
    for name in told.columns or {}:
        if name != name.strip() or "\n" in name or "\r" in name:
            trail = ("output", "columns", name)
            yield document.key_problem(trail, f"the column {quoted(name)} cannot stand in a header")
    if told.max_rows is not None and told.max_rows < (told.min_rows or 0):
        message = f"output.max_rows is {told.max_rows}, and output.min_rows is {told.min_rows}"
        yield document.problem(("output", "max_rows"), message)
    file_types = FILE_TYPES.get(modality, ())
    if told.file_type is not None and file_types and told.file_type not in file_types:
        message = f"output.file_type cannot be {quoted(told.file_type)} for {modality.value}"
        remedy = did_you_mean(told.file_type, file_types, plural="types")
        yield document.problem(("output", "file_type"), message, remedy)


def _column(name: str, told: str | ColumnFile) -> CsvColumn:
    file = told if isinstance(told, ColumnFile) else ColumnFile.model_validate({"type": told})
    return CsvColumn(
        name=name,
        type=ColumnType(_SHORT.get(file.type, file.type)),
        nullable=file.nullable,
        description=file.description,
    )


def _is_surely_no_object(schema: Mapping[str, JsonValue]) -> bool:
    kinds = schema.get("type")
    named = kinds if isinstance(kinds, list) else [kinds]
    return kinds is not None and named != ["object"]


def schema_told(document: Document, told: str | Mapping[str, Any], *, at: Trail) -> Mapping[str, JsonValue]:
    """The schema that stands at a place, or in the file that is named there.

    Raises:
        ConfigError: there is none, or it points out of itself.
    """
    trail = at
    if isinstance(told, str):
        path = path_from(document.place(trail).folder, told)
        if not path.is_file():
            raise ConfigError([document.problem(trail, f"there is no schema file {shown(path)}")])
        schema = _read_schema(path)
    else:
        schema = told
    for reference_at, reference in _references(schema, ()):
        if not reference.startswith("#"):
            within = name_of((*trail, *reference_at))
            raise ConfigError(
                [
                    document.problem(
                        (*trail, *reference_at),
                        f"{within} points out of the schema, and nothing is fetched",
                        "Put what it means into $defs.",
                    )
                ]
            )
    return schema


def _references(schema: object, trail: Trail) -> Iterator[tuple[Trail, str]]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(value, str):
                yield (*trail, key), value
            else:
                yield from _references(value, (*trail, key))
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _references(value, (*trail, index))


def _read_schema(path: Path) -> Mapping[str, JsonValue]:
    name = shown(path)
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            [Problem(file=name, message=f"the file cannot be read ({error.strerror})")]
        ) from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            [
                Problem(
                    file=name, line=error.lineno, column=error.colno, message=f"this is not JSON: {error.msg}"
                )
            ]
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise ConfigError([Problem(file=name, message="this is not JSON in UTF-8")]) from None
    if not isinstance(value, dict):
        raise ConfigError([Problem(file=name, line=1, column=1, message="a schema must be a JSON object")])
    if _is_deeper(value, levels=DEEPEST):
        raise ConfigError([Problem(file=name, message=f"more than {DEEPEST} levels")])
    return value


def _is_deeper(value: object, *, levels: int) -> bool:
    """Whether a JSON value has more levels than that."""
    here = [value]
    for _ in range(levels + 1):
        here = [
            item
            for collection in here
            if isinstance(collection, (dict, list))
            for item in (collection.values() if isinstance(collection, dict) else collection)
        ]
    return bool(here)
