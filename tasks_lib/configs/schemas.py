"""JSON Schemas of the files a user writes, for editors."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from tasks_lib.configs.document import Json
from tasks_lib.configs.job_file import JobFile
from tasks_lib.configs.price_file import PricesFile
from tasks_lib.configs.provider_file import ProvidersFile
from tasks_lib.configs.task_file import TaskFile

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def job_schema() -> Mapping[str, Any]:
    """The JSON Schema of a job file."""
    return _schema(JobFile, "A rowmill job")


def task_schema() -> Mapping[str, Any]:
    """The JSON Schema of a task file."""
    return _schema(TaskFile, "A rowmill task")


def providers_schema() -> Mapping[str, Any]:
    """The JSON Schema of a providers file."""
    return _schema(ProvidersFile, "Providers of rowmill")


def prices_schema() -> Mapping[str, Any]:
    """The JSON Schema of a prices file."""
    return _schema(PricesFile, "Prices for rowmill")


def schema_texts() -> Mapping[str, str]:
    """The four schemas as JSON text, by the names of their files."""
    schemas = {
        "job": job_schema(),
        "task": task_schema(),
        "providers": providers_schema(),
        "prices": prices_schema(),
    }
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }


def _schema(file: type[BaseModel], title: str) -> Mapping[str, Any]:
    schema = _without_null(file.model_json_schema())
    return {"$schema": _DIALECT, **schema, "title": title}


def _without_null(schema: Json) -> Json:
    """The schema without `null` among the choices, and without the titles that editors would only repeat."""
    if isinstance(schema, list):
        return [_without_null(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _without_null(value) for key, value in schema.items() if not _is_noise(key, value)}
    choices = [choice for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        return {**{key: value for key, value in kept.items() if key != "anyOf"}, **choices[0]} | {
            key: kept[key] for key in ("description",) if key in kept
        }
    return kept


def _is_noise(key: str, value: object) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)
