"""The schemas for editors, and every file in configs/."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tasks_lib.configs import (
    job_schema,
    load_job,
    load_prices,
    load_providers,
    load_task,
    prices_schema,
    providers_schema,
    task_schema,
)
from tasks_lib.configs.document import parse_document, read_document
from tasks_lib.configs.schemas import schema_texts
from tests.configs.project import JOB, TASK
from tests.configs.test_load_job import FULL, FULL_TASK
from tests.configs.test_prices import OWN

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
JOBS = sorted(CONFIGS.glob("jobs/*.yaml"))
TASKS = sorted(CONFIGS.glob("tasks/*.yaml"))
SCHEMAS = {
    "job": job_schema(),
    "task": task_schema(),
    "providers": providers_schema(),
    "prices": prices_schema(),
}


def is_valid(schema: Mapping[str, Any], text: str) -> bool:
    value = parse_document(text.encode(), file="", folder=Path()).value
    return jsonschema_rs.validator_for(dict(schema)).is_valid(value)


@pytest.mark.parametrize("name", schema_texts())
def test_the_published_schemas_are_fresh(name: str) -> None:
    """If this fails: python -m tasks_lib.configs docs/schemas."""
    assert (ROOT / "docs/schemas" / name).read_text("utf-8") == schema_texts()[name]


def test_every_key_is_described() -> None:
    """An editor shows what each key means."""
    for schema in SCHEMAS.values():
        jsonschema_rs.meta.validate(dict(schema))
        for part in (schema, *schema.get("$defs", {}).values()):
            assert all(child.get("description") for child in part.get("properties", {}).values())


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=str)
def test_every_file_in_configs_meets_the_schema_that_it_names(path: Path) -> None:
    """And names it where editors look for it."""
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text("utf-8"))
    assert named
    schema = json.loads((path.parent / named[1]).read_text("utf-8"))
    jsonschema_rs.validator_for(schema).validate(read_document(path).value)


@pytest.mark.parametrize("path", JOBS, ids=str)
def test_every_job_loads(path: Path) -> None:
    """With its task, its providers and its prices."""
    job = load_job(path)
    providers = load_providers(path, env={})
    book = load_prices(path)
    for revision in job.task.revisions:
        for choice in revision.models:
            assert book.price_list(choice.model, providers[choice.model.provider]) is not None


@pytest.mark.parametrize("path", TASKS, ids=str)
def test_every_task_loads(path: Path) -> None:
    """Without a warning, too."""
    assert load_task(path).revisions


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("job", JOB),
        ("job", FULL.replace("part: 007, checked: true, ", "")),
        ("job", JOB + "output: x.csv\n"),
        ("task", TASK),
        ("task", FULL_TASK),
        ("task", TASK + "output: text\n"),
        ("task", TASK + "output: {schema: s.json}\n"),
        ("providers", "my-own.one: {base_url: 'http://x', limits: {in_flight: 1}}\n"),
        ("prices", OWN),
    ],
)
def test_what_can_be_loaded_meets_the_schema(kind: str, text: str) -> None:
    """An editor marks nothing that the program takes."""
    assert is_valid(SCHEMAS[kind], text.replace("seed: 12", "seed: '12'"))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("job", JOB + "sorce: x\n"),
        ("job", JOB + "limits: {in_flight: 0}\n"),
        ("job", "source: x.csv\n"),
        ("job", JOB + "source_: {path: x}\n"),
        ("task", TASK + "revisions: [{user_prompt: x}]\n"),
        ("task", TASK.replace("openai:", "")),
        ("task", TASK + "output: {modality: video}\n"),
        ("providers", "openai: {ke: x}\n"),
        ("providers", "openai: {key: sk-abc}\n"),
        ("providers", "two words: {}\n"),
        ("prices", "'a:b': {input: 1}\n"),
        ("prices", "a: {input: 1, output: 1}\n"),
    ],
)
def test_what_cannot_be_loaded_does_not(kind: str, text: str) -> None:
    """An editor marks a slip while it is being made."""
    assert not is_valid(SCHEMAS[kind], text)
