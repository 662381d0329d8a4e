# ruff: noqa: E501  a message is asserted as it is printed, in one line
import contextlib
import json
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from tasks_lib.configs import ConfigError, ConfigWarning, load_job, load_task
from tasks_lib.domain.assignment import Assignment
from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.job import Destination, Limits, Source
from tasks_lib.domain.labels import Labels
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.output_format import schema_of_format
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.domain.template import Template
from tests.configs.project import JOB, TASK, Project

FULL = """\
job: reviews
description: All of them
task: ../tasks/task.yaml
source:
  path: ../../data/rows.csv
  format: csv
  key: id
  delimiter: "\\t"
  quote: "'"
  encoding: latin-1
inputs: {text: review}
reporting_group: "{{customer}}/2026"
reference: {column: "odd {{name}}"}
context_id: 2026-11
metadata: {dataset: reviews, part: 007, checked: true, row: "{{id}}"}
limits: {requests_per_minute: 10, tokens_per_minute: 2000, in_flight: 3, max_cost: 0.10, max_failures: 7}
retries: {rate_limited: 1, transient: 2, content: 0, wait_initial: 2, wait_max: 3.5}
ledger: ../../data/runs.duckdb
output: {path: ../../data/out.duckdb, table: answers}
expected: {sentiment: label}
revision_tag: b
seed: 12
"""
FULL_TASK = """\
task: sentiment
description: Whether a review is kind
output: {schema: {type: object, properties: {sentiment: {enum: [yes, no]}}, required: [sentiment]}}
revisions:
  - tag: a
    weight: 0.25
    system_prompt: Think of {{topic}}.
    user_prompt: "{{text}} {{topic}}"
    model: openai:gpt-5-mini
    parameters: {temperature: 0, max_tokens: 64, stop: null}
    fallback: [mistral:small, {model: "ollama:llama3:8b", parameters: {seed: 1}}]
  - tag: b
    weight: 0.75
    user_prompt: "{{text}}"
    model: local:smollm2-135m-instruct
"""


def test_a_job_says_all_that_a_batch_needs(project: Project) -> None:
    """Each key of a job file ends in the job, with its task."""
    project.write("configs/jobs/job.yaml", FULL)
    project.write("configs/tasks/task.yaml", FULL_TASK)
    job = load_job(project.job)
    folder = project.folder
    assert job.name == "reviews"
    assert job.source == Source(
        path=folder / "data/rows.csv", format="csv", key="id", delimiter="\t", quote="'", encoding="latin-1"
    )
    assert job.inputs == {"topic": "topic", "text": "review"}
    assert job.labels == Labels(
        reporting_group=Template.parse("{{customer}}/2026"),
        reference=Template("{{odd {{name}}}}", ("", ""), ("odd {{name}}",)),
        context_id=Template.parse("2026-11"),
        metadata={
            "dataset": Template.parse("reviews"),
            "part": Template.parse("007"),
            "checked": Template.parse("true"),
            "row": Template.parse("{{id}}"),
        },
    )
    assert job.limits == Limits(
        requests_per_minute=10, tokens_per_minute=2000, in_flight=3, max_cost=Decimal("0.1"), max_failures=7
    )
    assert job.retries == Retries(rate_limited=1, transient=2, content=0, wait_initial=2, wait_max=3.5)
    assert job.ledger == folder / "data/runs.duckdb"
    assert job.output == Destination(path=folder / "data/out.duckdb", format="duckdb", table="answers")
    assert job.expected == {"sentiment": "label"}
    assert (job.assignment, job.seed) == (Assignment(revision_tag=Template.parse("b")), "12")


def test_a_task_says_all_that_a_revision_needs(project: Project) -> None:
    """Each key of a task file ends in the task, and a fallback takes nothing from the primary."""
    project.write("configs/tasks/task.yaml", FULL_TASK)
    task = load_task(project.task)
    first, second = task.revisions
    assert (task.name, task.description) == ("sentiment", "Whether a review is kind")
    assert task.output.modality is Modality.JSON
    assert task.output.schema is not None
    assert task.output.schema["properties"] == {"sentiment": {"enum": ["yes", "no"]}}
    assert (first.tag, first.weight, second.tag, second.weight) == ("a", 0.25, "b", 0.75)
    assert first.system_prompt == Template.parse("Think of {{topic}}.")
    assert first.user_prompt == Template.parse("{{text}} {{topic}}")
    assert first.models == (
        ModelChoice(
            model=Model("openai", "gpt-5-mini"), parameters={"temperature": 0, "max_tokens": 64, "stop": None}
        ),
        ModelChoice(model=Model("mistral", "small")),
        ModelChoice(model=Model("ollama", "llama3:8b"), parameters={"seed": 1}),
    )
    assert second.system_prompt is None


def test_the_least_job_has_sensible_defaults(project: Project) -> None:
    """A task and a source are enough."""
    job = load_job(project.job)
    assert job.name == "job"
    assert job.source == Source(path=project.rows, format="csv")
    assert job.inputs == {"text": "text"}
    assert (job.labels, job.limits, job.retries) == (Labels(), Limits(), Retries())
    assert job.ledger == project.folder / "configs/jobs/rowmill.duckdb"
    assert (job.output, job.assignment, job.seed) == (None, Assignment(), "sentiment")
    assert job.task.output.modality is Modality.JSON
    assert [revision.tag for revision in job.task.revisions] == ["v1"]


def test_the_least_task_is_named_after_its_file(project: Project) -> None:
    """A task without a name takes its file's."""
    project.write("configs/tasks/mine.yaml", 'user_prompt: "{{a}}"\nmodel: openai:x\n')
    assert load_task(project.folder / "configs/tasks/mine.yaml").name == "mine"


def test_the_short_form_of_a_task_is_the_same_revision(project: Project) -> None:
    """Keys at the top and one entry in revisions pay for no row twice."""
    short = load_task(project.task)
    entry = (
        TASK.replace("task: sentiment\n", "")
        .replace("user_prompt", "  - user_prompt")
        .replace("model", "    model")
    )
    project.write("configs/tasks/task.yaml", f"task: sentiment\nrevisions:\n{entry}")
    assert load_task(project.task) == short


def test_keys_without_a_value_are_as_good_as_absent(project: Project) -> None:
    """Somebody who has commented out all beneath a key has not made a mistake."""
    project.write(
        "configs/jobs/job.yaml", JOB + "limits:\n  # in_flight: 3\nreference:\nretries: {content: }\n"
    )
    job = load_job(project.job)
    assert (job.limits, job.labels.reference, job.retries) == (Limits(), None, Retries())


@pytest.mark.parametrize(
    ("output", "format_", "table"),
    [
        ("o.csv", "csv", None),
        ("o.PARQUET", "parquet", None),
        ("o.jsonl", "jsonl", None),
        ("o.duckdb", "duckdb", "job"),
    ],
)
def test_an_output_s_format_is_told_by_its_name(
    project: Project, output: str, format_: str, table: str | None
) -> None:
    """And a DuckDB table is called as the job is."""
    project.write("configs/jobs/job.yaml", JOB + f"output: {output}\n")
    path = project.folder / "configs/jobs" / output
    assert load_job(project.job).output == Destination(path=path, format=format_, table=table)


@pytest.mark.parametrize(
    ("name", "format_", "delimiter"),
    [
        ("x.csv", "csv", None),
        ("x.tsv", "csv", "\t"),
        ("x.Parquet", "parquet", None),
        ("x.ndjson", "jsonl", None),
        ("x.y.tsv.GZ", "csv", "\t"),
    ],
)
def test_a_source_s_format_is_told_by_its_name(
    project: Project, name: str, format_: str, delimiter: str | None
) -> None:
    """Nobody after this need look at a suffix."""
    path = project.write(f"configs/jobs/{name}", "")
    project.write("configs/jobs/job.yaml", f"task: ../tasks/task.yaml\nsource: {name}\n")
    assert load_job(project.job).source == Source(path=path, format=format_, delimiter=delimiter)


@pytest.mark.parametrize("written", ["'\\t'", '"\\t"', "tab"])
def test_a_tab_may_be_written_as_people_write_it(project: Project, written: str) -> None:
    """Single quotes keep YAML from reading the escape; what was meant is plain all the same."""
    source = f"source: {{path: ../../data/rows.csv, delimiter: {written}}}\n"
    project.write("configs/jobs/job.yaml", f"task: ../tasks/task.yaml\n{source}")
    assert load_job(project.job).source.delimiter == "\t"


def test_a_source_may_be_a_query(project: Project) -> None:
    """Then there is no file to look for."""
    project.write("configs/jobs/job.yaml", "task: ../tasks/task.yaml\nsource: {query: from x, key: id}\n")
    assert load_job(project.job).source == Source(query="from x", key="id")


def test_a_source_that_is_not_there_may_be_allowed(project: Project) -> None:
    """Who only looks into the ledger, or brings rows along, needs no file."""
    project.rows.unlink()
    assert load_job(project.job, missing_source="allowed").source.path == project.rows


def test_a_schema_may_be_a_file(project: Project) -> None:
    """Its path is relative to the task's file, and its content is what counts."""
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"type": "string"}},
    }
    project.write("configs/tasks/schemas/s.json", json.dumps(schema))
    project.write("configs/tasks/task.yaml", TASK + "output: {schema: schemas/s.json}\n")
    from_file = load_task(project.task)
    project.write("configs/tasks/task.yaml", TASK + f"output: {{schema: {json.dumps(schema)}}}\n")
    assert from_file == load_task(project.task)


def test_output_may_be_a_modality(project: Project) -> None:
    """`output: text` is short for a mapping with one key."""
    project.write("configs/tasks/task.yaml", TASK + "output: text\n")
    assert load_task(project.task).output.modality is Modality.TEXT


@pytest.mark.parametrize("modality", Modality)
def test_every_modality_can_be_asked_for(project: Project, modality: Modality) -> None:
    """R19: json, text, csv, image, audio and pdf are written by their names."""
    project.write("configs/tasks/task.yaml", TASK + f"output: {modality.value}\n")
    assert load_task(project.task).output == Output.of(modality)


def test_an_output_format_is_a_schema_in_short(project: Project) -> None:
    """R20: fields and their types in a task file are what the schema of a closed object would be."""
    fields = {"mood": {"type": "str", "options": ["good", "bad"]}, "score": "int"}
    project.write("configs/tasks/task.yaml", TASK + f"output: {{output_format: {json.dumps(fields)}}}\n")
    assert load_task(project.task).output == Output.of(Modality.JSON, schema_of_format(fields))


def test_csv_has_columns_in_the_order_of_the_file(project: Project) -> None:
    """A column is a type, or a mapping of type, nullable and description; bounds and coercion stand beside."""
    output = (
        "{modality: csv, columns: {b: str, a: {type: int, nullable: true, description: years}, d: date}, "
    )
    project.write(
        "configs/tasks/task.yaml", TASK + f"output: {output} min_rows: 1, max_rows: 9, coerce: false}}\n"
    )
    columns = [
        CsvColumn(name="b"),
        CsvColumn(name="a", type=ColumnType.INTEGER, nullable=True, description="years"),
        CsvColumn(name="d", type=ColumnType.DATE),
    ]
    assert load_task(project.task).output == Output.of(
        Modality.CSV, columns=columns, min_rows=1, max_rows=9, coerce=False
    )
    definition = load_job(project.job).definition
    assert definition is not None
    assert [column["name"] for column in definition["task"]["output"]["columns"]] == ["b", "a", "d"]


def test_a_picture_may_be_asked_for_as_a_file_type(project: Project) -> None:
    """What the file is to be goes with the output."""
    project.write("configs/tasks/task.yaml", TASK + "output: {modality: image, file_type: jpeg}\n")
    assert load_task(project.task).output == Output.of(Modality.IMAGE, file_type="jpeg")


def test_a_schema_that_many_refuse_is_told(project: Project) -> None:
    """A root that is no object can be used where the provider takes it, and is told to be refused by others."""
    project.write(
        "configs/tasks/task.yaml", TASK + "output: {schema: {type: array, items: {type: string}}}\n"
    )
    with pytest.warns(ConfigWarning, match="the schema's root is not an object"):
        output = load_task(project.task).output
    assert output.schema == {"type": "array", "items": {"type": "string"}}


def test_the_definition_is_the_whole_job_as_json(project: Project) -> None:
    """The ledger keeps what was effective, defaults, prompts and schema included."""
    project.write("configs/jobs/job.yaml", FULL)
    project.write("configs/tasks/task.yaml", FULL_TASK)
    job = load_job(project.job)
    definition = json.loads(orjson.dumps(job.definition))
    assert definition["limits"]["max_cost"] == "0.1"
    assert definition["metadata"]["part"] == "007"
    assert definition["task"]["revisions"][0]["fallback"] == [
        {"model": "mistral:small", "parameters": {}},
        {"model": "ollama:llama3:8b", "parameters": {"seed": 1}},
    ]
    assert definition["task"]["output"]["schema"] == job.task.output.schema
    assert definition["source"]["path"] == str(project.rows)
    assert set(definition) == {
        "job", "task", "source", "inputs", "reporting_group", "reference", "context_id", "metadata", "user",
        "carry", "credits_per_dollar", "webhook", "limits",
        "retries", "ledger", "output", "expected", "revision_id", "revision_tag",
        "compare", "seed", "identical_rows", "team_ledger",
        "workers", "serve", "use_fallback_model", "stored_answers", "override",
        "files", "file_folders", "allow_urls", "allow_private_addresses",
    }  # fmt: skip


def test_the_definition_holds_no_login(project: Project) -> None:
    """A password that a query needs stays in the query."""
    query = (
        "attach 'postgres://ann:hunter2@db/x' as p; create secret (type s3, key_id 'AKIA1', secret 'hunter2'); "
        "attach 'host=db password=hunter2' as q; from p.rows"
    )
    project.write(
        "configs/jobs/job.yaml", f"task: ../tasks/task.yaml\nsource: {{query: {json.dumps(query)}}}\n"
    )
    job = load_job(project.job)
    assert job.source.query == query
    told = orjson.dumps(job.definition).decode()
    assert "hunter2" not in told
    assert "AKIA1" not in told
    assert "from p.rows" in told


def test_a_number_where_a_name_is_expected_is_the_text_that_was_written(project: Project) -> None:
    """`tag: 1.10` is no 1.1."""
    entry = '  - {tag: 1.10, user_prompt: "{{a}}", model: openai:x}\n'
    project.write("configs/tasks/task.yaml", f"task: 007\nrevisions:\n{entry}")
    task = load_task(project.task)
    assert (task.name, task.revisions[0].tag) == ("007", "1.10")


def test_paths_are_relative_to_the_file_and_told_from_the_working_directory(project: Project) -> None:
    """A job works from wherever it is started, and its messages can be clicked on."""
    with contextlib.chdir(project.folder / "data"):
        job = load_job(Path("../configs/jobs/job.yaml"))
        assert job.source.path == Path("../data/rows.csv")
    with contextlib.chdir(project.folder):
        project.write("configs/jobs/job.yaml", JOB + "sorce: x\n")
        with pytest.raises(ConfigError) as caught:
            load_job(project.job)
        assert str(caught.value) == "configs/jobs/job.yaml:3:1: unknown key 'sorce'. Did you mean 'source'?"


def test_steps_back_through_a_symbolic_link_lead_where_the_system_goes(project: Project) -> None:
    """`..` after a link means the folder above the link's target."""
    link = project.folder / "link"
    link.symlink_to(project.folder / "configs/jobs")
    source = load_job(link / "job.yaml").source.path
    assert source is not None
    assert source.resolve() == project.rows.resolve()


def test_a_model_in_the_job_stands_in_for_every_primary(project: Project) -> None:
    """`model` in a job replaces the primary of each revision, keeps its parameters, and is another revision."""
    project.write("configs/tasks/task.yaml", FULL_TASK)
    rows = "id,text,topic\n1,good,tea\n"
    project.write("data/rows.csv", rows)
    before = load_job(project.job).task
    project.write("configs/jobs/job.yaml", JOB + "model: groq:llama-3.1-8b-instant\n")
    after = load_job(project.job).task
    groq = Model("groq", "llama-3.1-8b-instant")
    assert [groq, groq] == [revision.models[0].model for revision in after.revisions]
    assert [one.models[0].parameters for one in before.revisions] == [
        one.models[0].parameters for one in after.revisions
    ]
    assert before.revisions[0].models[1:] == after.revisions[0].models[1:]
    assert not {one.fingerprint for one in before.revisions} & {one.fingerprint for one in after.revisions}


def test_an_unknown_provider_of_a_job_s_model_is_told_where_it_stands(project: Project) -> None:
    """The model of a job is checked like those of its task."""
    project.write("configs/jobs/job.yaml", JOB + "model: opnai:gpt-5-mini\n")
    with pytest.raises(ConfigError) as caught:
        load_job(project.job)
    assert project.told(caught.value)[0].startswith(
        "configs/jobs/job.yaml:3:8: unknown provider 'opnai'. Did you mean 'openai'?"
    )
