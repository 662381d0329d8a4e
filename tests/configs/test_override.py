"""Overrides of a job file, and what is wrong with them."""

# ruff: noqa: E501  a message is asserted as it is printed, in one line
import pytest

from tasks_lib.configs import ConfigError, check_columns, load_job
from tasks_lib.domain.output import Modality
from tests.configs.project import JOB, TASK

FILE = "configs/jobs/job.yaml"
SCHEMA = "{type: object, properties: {n: {type: integer}}}"


def overridden(project, told):
    """The job with this override."""
    project.write(FILE, JOB + f"override: {told}\n")
    return load_job(project.job)


def test_what_is_changed_for_all_rows_is_in_the_task(project):
    """W04, W05, W06, W10, W11: prompt, model, provider, format and schema, under a fingerprint of their own."""
    before = load_job(project.job)
    project.write("configs/tasks/task.yaml", TASK + "output: text\n")
    job = overridden(
        project,
        f"{{prompt: 'Tell {{{{customer}}}}', model: 'openai:x:y', provider: groq, response_format: json, json_schema: {SCHEMA}}}",
    )
    (revision,) = job.task.revisions
    assert (revision.user_prompt.source, str(revision.models[0].model)) == ("Tell {{customer}}", "groq:x:y")
    assert (job.task.output.modality, set(job.task.output.schema or {})) == (
        Modality.JSON,
        {"type", "properties"},
    )
    assert job.inputs == {"customer": "customer"}
    assert revision.fingerprint != before.task.revisions[0].fingerprint
    assert job.assignment.former_ids
    assert (job.overrides.columns, job.overrides.least_prompt) == ((), 3)


def test_an_override_that_changes_nothing_is_the_same_revision(project):
    """W03: what is said as it is said already pays for no row again."""
    before = load_job(project.job).task.revisions[0].fingerprint
    assert (
        overridden(project, "{model: 'openai:gpt-5-mini', response_format: json}")
        .task.revisions[0]
        .fingerprint
        == before
    )


def test_columns_wait_for_their_rows(project):
    """W05, W06, W10, W11: what a column says is no part of the task."""
    before = load_job(project.job).task.revisions
    job = overridden(
        project,
        "{model: {column: customer}, provider: {column: label}, response_format: {column: id}, json_schema: {column: text}}",
    )
    assert job.task.revisions == before
    assert job.overrides.columns == ("customer", "label", "id", "text")


def test_inputs_of_the_tasks_own_prompt_may_stay(project):
    """W04: a flag that brings another prompt needs no other change of the job."""
    project.write(FILE, JOB + "inputs: {text: label}\n")
    job = load_job(project.job, overrides={"override.prompt": "Tell {{customer}}"})
    assert job.inputs == {"customer": "customer"}


@pytest.mark.parametrize(
    ("told", "messages"),
    [
        ("{prompt: ab}", [":3:20: override.prompt has fewer than 3 characters"]),
        (
            "{model: gpt-5}",
            [":3:19: override.model must be of the form provider:name, such as openai:gpt-5-mini"],
        ),
        ("{modle: x}", [":3:12: unknown key 'modle' in override. Did you mean 'model'?"]),
        ("{provider: opnai}", [":3:22: unknown provider 'opnai'. Did you mean 'openai'?"]),
        ("{response_format: xml}", [":3:29: override.response_format must be text or json, not 'xml'"]),
        (
            f"{{response_format: text, json_schema: {SCHEMA}}}",
            [":3:48: override: response_format is text, and a json_schema is given"],
        ),
        (
            "{json_schema: '{'}",
            [":3:25: override: json_schema is not JSON: unexpected end of data: line 1 column 2 (char 1)"],
        ),
        ("{json_schema: none.json}", [":3:25: there is no schema file configs/jobs/none.json"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(project, told, messages):
    """Unknown keys and names, and schemas that are none."""
    with pytest.raises(ConfigError) as error:
        overridden(project, told)
    assert project.told(error.value) == [FILE + message for message in messages]


def test_a_schema_that_is_none_of_draft_7_is_refused(project):
    """W11: as the browser agents' API checks it."""
    with pytest.raises(ConfigError, match="json_schema is not a JSON Schema of Draft 7"):
        overridden(project, "{json_schema: {type: 3}}")


def test_model_and_override_model_do_not_go_together(project):
    """The short form and the long one say the same."""
    project.write(FILE, JOB + "model: openai:a\noverride: {model: 'openai:b'}\n")
    with pytest.raises(ConfigError) as error:
        load_job(project.job)
    assert project.told(error.value) == [
        f"{FILE}:3:1: 'model' stands beside override.model. Write one of the two."
    ]


def test_pictures_have_no_other_format(project):
    """W10: a task whose answers are files keeps them so."""
    project.write("configs/tasks/task.yaml", TASK + "output: image\n")
    with pytest.raises(ConfigError, match="the task's answers are image, and can be neither text nor JSON"):
        overridden(project, "{response_format: text}")


def test_a_column_of_the_prompt_is_looked_for(project):
    """W04: a name that no column has is told where the job's prompt stands."""
    project.write(FILE, JOB + "override: {prompt: 'Tell {{custmer}}', model: {column: modle}}\n")
    with pytest.raises(ConfigError) as error:
        check_columns(project.job, ["id", "text", "customer", "model"])
    assert project.told(error.value) == [
        f"{FILE}:3:47: override.model names a column 'modle', which the source does not have. Did you mean 'model'?",
        f"{FILE}:3:20: no column is called 'custmer', as the placeholder {{{{custmer}}}} asks. Say in the job which one it means, such as inputs: {{custmer: customer}}.",
    ]
