# ruff: noqa: E501, ISC004  a message is asserted as it is printed, in one line
import contextlib
from decimal import Decimal
from pathlib import Path

import pytest

from tasks_lib.configs import ConfigError, load_job
from tasks_lib.domain.job import Destination, Source
from tasks_lib.domain.template import Template
from tests.configs.project import JOB, Project


def test_flags_win_over_the_file(project: Project) -> None:
    """What a flag says is as if the file had said it, with paths from the working directory."""
    project.write("configs/jobs/job.yaml", JOB + "reporting_group: a\noutput: {path: x.duckdb, table: t}\n")
    project.write("here/other.parquet", "")
    with contextlib.chdir(project.folder / "here"):
        job = load_job(
            project.job,
            overrides={
                "input": Path("other.parquet"),
                "output": "out/o.csv",
                "ledger": "l.duckdb",
                "reporting_group": "{{customer}}: #1",
                "source.key": "id",
                "limits.in_flight": "8",
                "limits.max_cost": Decimal("0.30"),
                "retries.content": 0,
                "metadata.run": "007",
                "inputs": "{text: review}",
                "reference": "{{id}}",
                "seed": "1.10",
                "job": "no",
            },
        )
    assert job.source == Source(path=Path("other.parquet"), format="parquet", key="id")
    assert job.output == Destination(path=Path("out/o.csv"), format="csv")
    assert job.ledger == Path("l.duckdb")
    assert job.labels.reporting_group == Template.parse("{{customer}}: #1")
    assert job.labels.metadata == {"run": Template.parse("007")}
    assert (job.limits.in_flight, job.limits.max_cost, job.retries.content) == (8, Decimal("0.30"), 0)
    assert job.inputs == {"text": "review"}
    assert job.labels.reference == Template.parse("{{id}}")
    assert (job.seed, job.name) == ("1.10", "no")


@pytest.mark.parametrize(
    "source",
    [
        "{path: old.csv, format: csv, key: id}",
        "{query: from x, key: id}",
        "{path: old.dat, format: csv, key: id}",
    ],
)
def test_input_replaces_file_query_and_format(project: Project, source: str) -> None:
    """--input is read in place of whatever the job reads; the key stays."""
    project.write("configs/jobs/job.yaml", f"task: ../tasks/task.yaml\nsource: {source}\n")
    new = project.write("new.jsonl", "")
    assert load_job(project.job, overrides={"input": new}).source == Source(
        path=new, format="jsonl", key="id"
    )


def test_an_input_whose_name_tells_nothing_keeps_the_job_s_format(project: Project) -> None:
    """A job that says csv is believed for another file, too."""
    project.write("configs/jobs/job.yaml", "task: ../tasks/task.yaml\nsource: {path: a.x, format: csv}\n")
    new = project.write("new.dat", "")
    assert load_job(project.job, overrides={"input": new}).source == Source(path=new, format="csv")


def test_the_short_forms_can_be_set_within(project: Project) -> None:
    """`source: rows.csv` holds a path, beside which a key can be set; the path keeps its own folder."""
    project.write("configs/jobs/job.yaml", JOB + "output: o.csv\n")
    job = load_job(project.job, overrides={"source.key": "id", "output.format": "jsonl"})
    assert job.source == Source(path=project.rows, format="csv", key="id")
    assert job.output == Destination(path=project.folder / "configs/jobs/o.csv", format="jsonl")


def test_null_takes_away(project: Project) -> None:
    """--set output=null writes no file."""
    project.write("configs/jobs/job.yaml", JOB + "output: o.csv\n")
    assert load_job(project.job, overrides={"output": None}).output is None
    project.write("configs/jobs/job.yaml", JOB + "seed: a\n")
    assert load_job(project.job, overrides={"seed": "null"}).seed == "sentiment"


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        ({"source.kei": "id"}, ["--set source.kei: unknown key 'kei' in source. Did you mean 'key'?"]),
        ({"sed": "1"}, ["--set sed: unknown key 'sed'. Did you mean 'seed'?"]),
        ({"limits.in_flight": "x"}, ["--set limits.in_flight: limits.in_flight must be a whole number, not 'x'"]),
        ({"limits": "{in_flight: 0}"}, ["--set limits: limits.in_flight must be at least 1, not 0"]),
        ({"task.task": "x"}, ["--set task.task: task holds no keys that could be set"]),
        ({"a..b": "x"}, ["--set a..b: this is no dotted path. Write source.key=id."]),
        ({"input": "none.csv"}, ["--input: the source none.csv is not there"]),
        ({"output": "o.xyz"}, [
            "--output: the name 'o.xyz' does not tell a format. "
            "Let it end in .csv, .parquet, .jsonl or .duckdb, or say output.format."
        ]),
        ({"reporting_group": "x" * 65}, ["--reporting-group: reporting_group has 65 characters, 64 are allowed"]),
        ({"revision_tag": "v9"}, ["--revision-tag: the task has no revision tagged 'v9'. The tags are v1."]),
        ({"task": "none.yaml"}, ["--set task: there is no task file none.yaml"]),
        ({"providers": "none.yaml"}, ["--set providers: there is no providers file none.yaml"]),
    ],
)  # fmt: skip
def test_a_flag_that_is_wrong_is_named(
    project: Project, overrides: dict[str, object], messages: list[str]
) -> None:
    """A mistake of the command line is told by its flag and not by a place in a file."""
    with contextlib.chdir(project.folder), pytest.raises(ConfigError) as caught:
        load_job(project.job, overrides=overrides)
    assert project.told(caught.value) == messages
    assert (caught.value.line, caught.value.column) == (None, None)


def test_the_places_of_the_file_stay_true_beside_a_flag(project: Project) -> None:
    """A mistake beside an overridden value is still told with its line."""
    project.write("configs/jobs/job.yaml", JOB + "limits:\n  in_flight: 0\n  max_cost: 1\n")
    with pytest.raises(ConfigError) as caught:
        load_job(project.job, overrides={"limits.max_cost": "-1", "ledger": "l.duckdb"})
    assert project.told(caught.value) == [
        "--set limits.max_cost: limits.max_cost must be at least 0, not -1",
        "configs/jobs/job.yaml:4:14: limits.in_flight must be at least 1, not 0",
    ]


def test_a_file_that_is_no_mapping_is_told_before_any_flag(project: Project) -> None:
    """Flags cannot make a job of a list."""
    project.write("configs/jobs/job.yaml", "- a\n")
    with pytest.raises(ConfigError) as caught:
        load_job(project.job, overrides={"source.key": "id"})
    assert project.told(caught.value) == [
        "configs/jobs/job.yaml:1:1: the file must be a mapping (key: value), not a list"
    ]
