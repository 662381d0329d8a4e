"""When rows go to their fallback, as files say it."""

# ruff: noqa: E501, ISC004  a message is asserted as it is printed, in one line
import pytest

from tasks_lib.configs import ConfigError, check_columns, load_job, load_task
from tasks_lib.domain.failure import ANY_FAILURE, FailureKind
from tests.configs.project import JOB, TASK

WITH_FALLBACK = TASK + "fallback: [anthropic:claude-haiku-4-5]\n"


def test_without_a_word_all_failures_lead_on(project):
    """The default is every failure that another model may cure."""
    project.write("configs/tasks/task.yaml", WITH_FALLBACK)
    assert load_task(project.task).revisions[0].fallback_on == ANY_FAILURE


@pytest.mark.parametrize(
    ("told", "kinds"),
    [
        ("[refused, length]", {"refused", "length", "circuit_open"}),
        ("[transient]", {"server_error", "timeout", "connection", "broken_reply", "circuit_open"}),
        ("[]", set()),
    ],
)
def test_each_failure_can_be_switched(project, told, kinds):
    """R23: fallback_on names the failures after which the next model is asked."""
    project.write("configs/tasks/task.yaml", WITH_FALLBACK + f"fallback_on: {told}\n")
    revision = load_task(project.task).revisions[0]
    assert revision.fallback_on == {FailureKind(kind) for kind in kinds}


def test_which_failures_lead_on_pays_for_no_row_again(project):
    """fallback_on is no part of the fingerprint: an answer under either is one of the same models."""
    project.write("configs/tasks/task.yaml", WITH_FALLBACK)
    before = load_task(project.task).revisions[0].fingerprint
    project.write("configs/tasks/task.yaml", WITH_FALLBACK + "fallback_on: [timeout]\n")
    assert load_task(project.task).revisions[0].fingerprint == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            WITH_FALLBACK + "fallback_on: [timeouts]\n",
            "configs/tasks/task.yaml:5:15: fallback_on[0] must be rate_limited, transient, server_error, timeout, connection, broken_reply, run_failed, refused, length or invalid_output, not 'timeouts'",
        ),
        (
            TASK + "fallback_on: [timeout]\n",
            "configs/tasks/task.yaml:4:1: fallback_on stands without fallback. Name the models beneath fallback.",
        ),
    ],
)
def test_a_wrong_fallback_on_is_told(project, text, message):
    """Unknown words and a fallback that is not there."""
    project.write("configs/tasks/task.yaml", text)
    with pytest.raises(ConfigError) as error:
        load_task(project.task)
    assert project.told(error.value) == [message]


@pytest.mark.parametrize(
    ("told", "source"),
    [
        ("true", "true"),
        ("yes", "true"),
        ("'{{label}}'", "{{label}}"),
        ("{column: label}", "{{label}}"),
    ],
)
def test_the_switch_is_a_constant_a_template_or_a_column(project, told, source):
    """R10: for the batch, or for each row."""
    project.write("configs/tasks/task.yaml", WITH_FALLBACK)
    project.write("configs/jobs/job.yaml", JOB + f"use_fallback_model: {told}\n")
    switch = load_job(project.job).use_fallback_model
    assert switch is not None
    assert switch.source == source


@pytest.mark.parametrize("told", ["", "use_fallback_model: false\n", "use_fallback_model: no\n"])
def test_off_is_no_switch(project, told):
    """Nobody needs a fallback who does not ask for it."""
    project.write("configs/jobs/job.yaml", JOB + told)
    assert load_job(project.job).use_fallback_model is None


@pytest.mark.parametrize(
    ("task", "told", "messages"),
    [
        (
            TASK,
            "use_fallback_model: true\n",
            [
                "configs/jobs/job.yaml:3:21: use_fallback_model needs a fallback, and revision 'v1' has none. Give it one: fallback: [provider:name] in configs/tasks/task.yaml:3."
            ],
        ),
        (
            "task: s\nrevisions:\n  - {user_prompt: '{{text}}', model: 'openai:a', fallback: ['openai:b'], weight: 0.5}\n"
            "  - {user_prompt: '{{text}}', model: 'openai:a', weight: 0}\n"
            "  - {user_prompt: '{{text}}', model: 'openai:b', weight: 0.5}\n",
            "use_fallback_model: {column: label}\n",
            [
                "configs/jobs/job.yaml:3:21: use_fallback_model needs a fallback, and revision 'v3' has none. Give it one: fallback: [provider:name] in configs/tasks/task.yaml:5."
            ],
        ),
        (
            WITH_FALLBACK,
            "use_fallback_model: perhaps\n",
            [
                "configs/jobs/job.yaml:3:21: use_fallback_model says 'perhaps', which is neither true nor false. Say true, false, or {column: NAME}."
            ],
        ),
        (
            WITH_FALLBACK,
            "use_fallback_model: 3\n",
            [
                "configs/jobs/job.yaml:3:21: use_fallback_model says '3', which is neither true nor false. Say true, false, or {column: NAME}."
            ],
        ),
    ],
)
def test_a_switch_without_a_fallback_is_refused(project, task, told, messages):
    """R10: no fallback configured is told before the first row, with its place and the remedy."""
    project.write("configs/tasks/task.yaml", task)
    project.write("configs/jobs/job.yaml", JOB + told)
    with pytest.raises(ConfigError) as error:
        load_job(project.job)
    assert project.told(error.value) == messages


def test_the_flag_is_checked_like_the_key(project):
    """R10: --use-fallback-model where there is no fallback is refused, too."""
    with pytest.raises(ConfigError, match="--use-fallback-model: use_fallback_model needs a fallback"):
        load_job(project.job, overrides={"use_fallback_model": True})


def test_a_switch_on_a_column_that_is_not_there_is_told(project):
    """The column is looked for before the first row."""
    project.write("configs/tasks/task.yaml", WITH_FALLBACK)
    project.write("configs/jobs/job.yaml", JOB + "use_fallback_model: {column: lable}\n")
    with pytest.raises(ConfigError) as error:
        check_columns(project.job, ["id", "text", "label"])
    assert project.told(error.value) == [
        "configs/jobs/job.yaml:3:21: use_fallback_model names a column 'lable', which the source does not have. Did you mean 'label'?"
    ]
