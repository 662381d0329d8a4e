# ruff: noqa: E501, ISC004  a message is asserted as it is printed, in one line
import pytest

from tasks_lib.configs import ConfigError, check_columns, load_job
from tests.configs.project import JOB, TASK, Project

FILE = "configs/jobs/job.yaml"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (JOB + "sorce: x\n", [":3:1: unknown key 'sorce'. Did you mean 'source'?"]),
        (
            JOB + "limits: {in_fligt: 3}\nretries:\n  waits: 3\n",
            [
                ":3:10: unknown key 'in_fligt' in limits. Did you mean 'in_flight'?",
                ":5:3: unknown key 'waits' in retries. Did you mean 'wait_max'?",
            ],
        ),
        (
            JOB + "limits: {xyz: 3}\n",
            [
                ":3:10: unknown key 'xyz' in limits. The keys are requests_per_minute, tokens_per_minute, "
                "input_tokens_per_minute, output_tokens_per_minute, requests_per_day, tokens_per_day, "
                "in_flight, max_cost, max_cost_per_group, max_cost_per_day, max_failures."
            ],
        ),
        ("source: ../../data/rows.csv\n", [":1:1: 'task' is missing"]),
        (JOB + "sorce:\n", [":3:1: unknown key 'sorce'. Did you mean 'source'?"]),  # nor without a value
        ("task:\nsource: ../../data/rows.csv\n", [":1:1: task has no value"]),
        ("tsk: ../tasks/task.yaml\nsource: ../../data/rows.csv\n", [":1:1: unknown key 'tsk'. Did you mean 'task'?"]),
        ("- task\n", [":1:1: the file must be a mapping (key: value), not a list"]),
        ("task: ../tasks/none.yaml\nsource: ../../data/rows.csv\n", [":1:7: there is no task file configs/tasks/none.yaml"]),
        ("task: {a: 1}\nsource: ../../data/rows.csv\n", [":1:7: task must be text, not a mapping"]),
        ("task: ../tasks/task.yaml\nsource: ../../data/none.csv\n", [":2:9: the source data/none.csv is not there"]),
        ("task: ../tasks/task.yaml\nsource:\n  path: ../../data/none.csv\n", [":3:9: the source data/none.csv is not there"]),
        (
            "task: ../tasks/task.yaml\nsource: ../../none/*.csv\n",
            [":2:9: the source none/*.csv begins in a folder that is not there"],
        ),
        (
            "task: ../tasks/task.yaml\nsource: ../tasks/task.yaml\n",
            [":2:9: the name 'task.yaml' does not tell a format. Say source.format: csv, parquet or jsonl."],
        ),
        (
            "task: ../tasks/task.yaml\nsource: {path: a.csv, query: from x}\n",
            [":2:9: source has both path and query. One of them says where rows come from."],
        ),
        (
            "task: ../tasks/task.yaml\nsource: {key: id}\n",
            [":2:9: source has neither of path and query. One of them says where rows come from."],
        ),
        (
            "task: ../tasks/task.yaml\nsource: {path: ../../data/rows.csv, encoding: utf9, format: xls}\n",
            [":2:61: source.format must be csv, parquet or jsonl, not 'xls'"],
        ),
        (
            "task: ../tasks/task.yaml\nsource: {path: ../../data/rows.csv, encoding: utf9}\n",
            [":2:47: source.encoding is unknown: 'utf9'. Try utf-8, cp1252 or latin-1."],
        ),
        (
            "task: ../tasks/task.yaml\nsource: {path: ../../data/rows.csv, delimiter: '\"'}\n",
            [":2:9: source.quote is the same as source.delimiter"],
        ),
        (
            "task: ../tasks/task.yaml\nsource: {path: ../../data/rows.csv, delimiter: ';;'}\n",
            [":2:48: source.delimiter must have at most 1 characters or entries"],
        ),
        (
            JOB + "limits: {in_flight: 0, requests_per_minute: 1.5, tokens_per_minute: true, max_cost: -1}\n",
            [
                ":3:21: limits.in_flight must be at least 1, not 0",
                ":3:45: limits.requests_per_minute must be a whole number, not 1.5",
                ":3:69: limits.tokens_per_minute must be a whole number, not true",
                ":3:85: limits.max_cost must be at least 0, not -1",
            ],
        ),
        (JOB + "limits: {max_cost: lots}\n", [":3:20: limits.max_cost must be a number, not 'lots'"]),
        (JOB + "limits: 5\n", [":3:9: limits must be a mapping (key: value), not 5"]),
        (JOB + "retries: {content: -1}\n", [":3:20: retries.content must be at least 0, not -1"]),
        (JOB + "retries: {wait_max: 0.5}\n", [":3:21: retries.wait_max is less than retries.wait_initial"]),
        (JOB + f"reporting_group: {'x' * 65}\n", [":3:18: reporting_group has 65 characters, 64 are allowed"]),
        (JOB + f"reference: '{'x' * 66}{{{{id}}}}'\n", [":3:12: reference has at least 66 characters, 64 are allowed"]),
        (JOB + f"context_id: {'x' * 70}\n", [":3:13: context_id has 70 characters, 64 are allowed"]),
        (JOB + "context_id: {colum: x}\n", [":3:14: unknown key 'colum' in context_id. Did you mean 'column'?"]),
        (JOB + "reference: [id]\n", [":3:12: reference must be text, not a list"]),
        (JOB + f"metadata: {{a: {'x' * 513}}}\n", [":3:15: metadata.a has 513 characters, 512 are allowed"]),
        (
            JOB + "metadata: {" + ", ".join(f"k{i}: v" for i in range(17)) + "}\n",
            [":3:11: metadata has 17 entries, 16 are allowed"],
        ),
        (
            JOB + "metadata:\n  name-of-17-letter: x\n",
            [":4:3: the name 'name-of-17-letter' has not 1 to 16 characters, but 17"],
        ),
        (JOB + "inputs: {txt: text}\n", [":3:10: the task has no placeholder {{txt}}. Did you mean 'text'?"]),
        (JOB + "inputs: {text: [a]}\n", [":3:16: inputs.text must be text, not a list"]),
        (JOB + "inputs: {text: }\n", [":3:15: inputs.text must be text, not nothing"]),
        (JOB + "revision_tag: v2\n", [":3:15: the task has no revision tagged 'v2'. The tags are v1."]),
        (
            JOB + "output: out.xlsx\n",
            [
                ":3:9: the name 'out.xlsx' does not tell a format. Let it end in .csv, .parquet, .jsonl or .duckdb, "
                "or say output.format."
            ],
        ),
        (JOB + "output: ../../data/rows.csv\n", [":3:9: the output would be written over the source"]),
        (JOB + "output: rowmill.duckdb\n", [":3:9: the output would be written over the ledger"]),
        (JOB + "ledger: ../../data/rows.csv\n", [":3:9: the ledger would be written over the source"]),
        (JOB + "output: {path: a.csv, table: t}\n", [":3:30: output.table is for a DuckDB file, and this is csv"]),
        (JOB + "output: {table: t}\n", [":3:9: 'path' is missing in output"]),
        (
            JOB + "job: two words\n",
            [":3:6: job must be 1 to 64 letters, digits, '_', '-' or '.', the first a letter or digit"],
        ),
        (JOB + "ledger: ''\n", [":3:9: ledger must not be empty"]),
        (JOB + "providers: none.yaml\n", [":3:12: there is no providers file configs/jobs/none.yaml"]),
        ("task: a: b\n", [
            ":1:8: a second ': ' in one line, or lines that are not indented alike. "
            "Put quotes around a text that holds ': '."
        ]),
    ],
)  # fmt: skip
def test_a_job_that_cannot_be_run_says_where_and_why(
    project: Project, text: str, messages: list[str]
) -> None:
    """Each mistake is told with file, line, column and remedy, before anything is opened."""
    project.write("configs/jobs/job.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_job(project.job)
    assert project.told(caught.value) == [FILE + message for message in messages]


def test_job_task_and_providers_are_looked_at_together(project: Project) -> None:
    """One message tells what is wrong in all three files."""
    project.write("configs/jobs/job.yaml", JOB + "sorce: 1\n")
    project.write("configs/tasks/task.yaml", "user_prompt: x\nmodl: openai:a\n")
    project.write("configs/providers.yaml", "openai: {protocl: openai}\n")
    with pytest.raises(ConfigError) as caught:
        load_job(project.job)
    assert project.told(caught.value) == [
        "configs/jobs/job.yaml:3:1: unknown key 'sorce'. Did you mean 'source'?",
        "configs/providers.yaml:1:10: unknown key 'protocl' in openai. Did you mean 'protocol'?",
        "configs/tasks/task.yaml:2:1: unknown key 'modl'. Did you mean 'model'?",
    ]


def test_the_expected_fields_must_be_fields_of_the_answer(project: Project) -> None:
    """Accuracy is measured on fields that the schema has."""
    schema = "output: {schema: {type: object, properties: {sentiment: {type: string}}}}\n"
    project.write("configs/tasks/task.yaml", project.task.read_text() + schema)
    project.write("configs/jobs/job.yaml", JOB + "expected: {sentimen: label}\n")
    with pytest.raises(ConfigError) as caught:
        load_job(project.job)
    assert project.told(caught.value) == [
        FILE + ":3:12: the answer has no field 'sentimen'. Did you mean 'sentiment'?"
    ]


@pytest.mark.parametrize("modality", ["text", "csv", "image"])
def test_only_fields_of_json_can_be_expected(project: Project, modality: str) -> None:
    """What has no fields cannot be compared by field."""
    project.write("configs/tasks/task.yaml", TASK + f"output: {modality}\n")
    project.write("configs/jobs/job.yaml", JOB + "expected: {sentiment: label}\n")
    with pytest.raises(
        ConfigError, match=f"'expected' compares fields of JSON, and the task answers with {modality}"
    ):
        load_job(project.job)


@pytest.mark.parametrize("key", ["user_prompt", "revisions", "model"])
def test_a_task_in_place_of_a_job_is_told_as_such(project: Project, key: str) -> None:
    """Rather than by everything that a job has and a task has not."""
    project.write("configs/jobs/job.yaml", f"task: sentiment\n{key}: x\n")
    with pytest.raises(ConfigError) as caught:
        load_job(project.job)
    assert project.told(caught.value) == [
        f"{FILE}:2:1: the key {key!r} belongs in a task file, and this is read as a job file. "
        "A job's 'task' names the task file."
    ]


def test_a_job_that_is_not_there_is_named(project: Project) -> None:
    """A path that leads nowhere is told as it was given."""
    with pytest.raises(ConfigError) as caught:
        load_job(project.folder / "none.yaml")
    assert project.told(caught.value) == ["none.yaml: there is no such file"]


def test_columns_that_the_source_has_not_are_told_where_they_are_asked_for(project: Project) -> None:
    """A column is missed at the place in the job, or in the task's prompt, that names it."""
    project.write(
        "configs/jobs/job.yaml",
        """\
task: ../tasks/task.yaml
source:
  path: ../../data/rows.csv
  key: idd
reporting_group: "{{customr}}/{{id}}"
reference: {column: ref}
metadata: {shop: "{{shop}}"}
expected: {sentiment: lable}
""",
    )
    with pytest.raises(ConfigError) as caught:
        check_columns(project.job, ["id", "texts", "customer", "label"])
    assert project.told(caught.value) == [
        FILE + ":4:8: source.key names a column 'idd', which the source does not have. Did you mean 'id'?",
        FILE + ":5:18: reporting_group names a column 'customr', which the source does not have. "
        "Did you mean 'customer'?",
        FILE + ":6:12: reference names a column 'ref', which the source does not have. "
        "The columns are id, texts, customer, label.",
        FILE + ":7:18: metadata.shop names a column 'shop', which the source does not have. "
        "The columns are id, texts, customer, label.",
        FILE + ":8:23: expected.sentiment names a column 'lable', which the source does not have. "
        "Did you mean 'label'?",
        "configs/tasks/task.yaml:2:14: no column is called 'text', as the placeholder {{text}} asks. "
        "Say in the job which one it means, such as inputs: {text: texts}.",
    ]


def test_a_mapped_column_that_is_missing_is_told_in_the_job(project: Project) -> None:
    """A placeholder that the job maps is the job's mistake and not the task's."""
    project.write("configs/jobs/job.yaml", JOB + "inputs: {text: revew}\n")
    with pytest.raises(ConfigError) as caught:
        check_columns(project.job, ["review"])
    assert project.told(caught.value) == [
        FILE
        + ":3:16: inputs.text names a column 'revew', which the source does not have. Did you mean 'review'?"
    ]


def test_a_placeholder_of_the_system_prompt_is_told_there(project: Project) -> None:
    """In whichever revision it first stands."""
    project.write(
        "configs/tasks/task.yaml",
        'revisions:\n  - {user_prompt: "{{id}}", model: "openai:a", weight: 1}\n'
        '  - user_prompt: "{{id}}"\n    system_prompt: "On {{topic}}."\n    model: openai:a\n    weight: 0\n',
    )
    with pytest.raises(ConfigError) as caught:
        check_columns(project.job, ["id"])
    assert project.told(caught.value) == [
        "configs/tasks/task.yaml:4:20: no column is called 'topic', as the placeholder {{topic}} asks. "
        "Say in the job which one it means, such as inputs: {topic: COLUMN}."
    ]


def test_numbers_for_names_do_not_hide_other_mistakes(project: Project) -> None:
    """What was written as text is told no more; what is wrong all the same is."""
    project.write("configs/jobs/job.yaml", JOB + "seed: 7\nreference: 7\nlimits: {in_flight: x}\n")
    with pytest.raises(ConfigError) as caught:
        load_job(project.job)
    assert project.told(caught.value) == [FILE + ":5:21: limits.in_flight must be a whole number, not 'x'"]


def test_nothing_is_said_of_columns_that_are_there(project: Project) -> None:
    """A source with all that is asked for, and more, is fine."""
    check_columns(project.job, ["id", "text", "customer", "label"])
