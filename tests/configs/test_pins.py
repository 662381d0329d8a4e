# ruff: noqa: E501, ISC004  a message is asserted as it is printed, in one line
"""Revisions that a job names or compares, and weights."""

import warnings

import pytest

from tasks_lib.configs import ConfigError, ConfigWarning, check_columns, load_job, load_task
from tasks_lib.domain.assignment import Assignment
from tasks_lib.domain.job import Job
from tasks_lib.domain.template import Template
from tasks_lib.domain.uuids import id_of
from tests.configs.project import Project

JOB = "task: ../tasks/task.yaml\nsource: ../../data/rows.csv\n"
AT = "configs/jobs/job.yaml"
TWO = """\
task: sentiment
revisions:
  - {user_prompt: "{{text}}", model: "openai:a"}
  - {user_prompt: "{{text}}!", model: "openai:a"}
"""
WEIGHED = TWO.replace('"openai:a"}', '"openai:a", weight: 0.5}')
GONE = id_of("what was there last week")


def loaded(project: Project, text: str, *, task: str = WEIGHED, **overrides: object) -> Job:
    project.write("configs/tasks/task.yaml", task)
    project.write(AT, JOB + text)
    return load_job(project.job, overrides=overrides)


def refused(project: Project, text: str, *, task: str = WEIGHED, **overrides: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(project, text, task=task, **overrides)
    return project.told(caught.value)


def test_a_job_names_its_revision_by_tag_constant_template_or_column(project: Project) -> None:
    """R07: `revision_tag` is a constant, a template or a column, like the other labels."""
    assert loaded(project, "revision_tag: v2\n").assignment == Assignment(revision_tag=Template.parse("v2"))
    template = loaded(project, "revision_tag: 'v{{text}}'\n").assignment
    assert template == Assignment(revision_tag=Template.parse("v{{text}}"))
    column = loaded(project, "revision_tag: {column: text}\n").assignment
    assert (column.columns, column.revision_id) == (("text",), None)
    assert loaded(project, "revision_tag: ''\n").assignment == Assignment()


def test_a_job_names_its_revision_by_id(project: Project) -> None:
    """R06: `revision_id` takes the id that plan and ledger show, with dashes or without."""
    task = load_task(project.write("configs/tasks/task.yaml", WEIGHED))
    named = task.revision_id(task.revisions[1])
    for spelled in (named, named.replace("-", ""), named.upper()):
        job = loaded(project, f"revision_id: '{spelled}'\n")
        assert job.assignment.revision_id == Template.parse(spelled)
        assert job.definition["revision_id"] == spelled
    with_model = loaded(project, f"revision_id: {named}\nmodel: openai:b\n")
    assert with_model.assignment.former_ids[named] == "v2"


def test_id_and_tag_together_are_refused(project: Project) -> None:
    """R06: revision_id and revision_tag exclude each other, and comparing excludes both; line and remedy are told."""
    assert refused(project, f"revision_tag: v1\nrevision_id: {GONE}\n") == [
        f"{AT}:3:1: 'revision_tag' stands beside 'revision_id'. One of them says which revisions rows get."
    ]
    assert refused(project, "compare: all\nrevision_tag: v1\n") == [
        f"{AT}:3:1: 'compare' stands beside 'revision_tag'. One of them says which revisions rows get."
    ]
    assert refused(project, "", revision_tag="v1", compare="v1,v2") == [
        "--compare: 'compare' stands beside 'revision_tag'. One of them says which revisions rows get."
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("revision_tag: v9\n", ":3:15: the task has no revision tagged 'v9'. The tags are v1, v2."),
        (
            f"revision_tag: {GONE}\n",
            f":3:15: the task has no revision tagged '{GONE}'. An id is named by revision_id.",
        ),
        (
            "revision_id: v1\n",
            ":3:14: revision_id is 'v1', which is not a UUID. A tag is named by revision_tag.",
        ),
        (
            "revision_id: 12-34\n",
            ":3:14: revision_id is '12-34', which is not a UUID. rowmill plan shows the ids.",
        ),
        ("compare: [v1, v9]\n", ":3:15: the task has no revision tagged 'v9'. The tags are v1, v2."),
        ("compare: v1, v9\n", ":3:10: the task has no revision tagged 'v9'. The tags are v1, v2."),
        ("compare: [v1]\n", ":3:10: v1 alone cannot be compared. Name two revisions at least."),
        ("compare: [v1, v1]\n", ":3:10: a revision is named twice"),
        ("compare: [[v1]]\n", ":3:11: compare[0] must be text, not a list"),
        ("revision: v1\n", ":3:1: unknown key 'revision'. Did you mean 'revision_id'?"),
    ],
)
def test_a_name_that_is_none_says_where_and_why(project: Project, text: str, message: str) -> None:
    """What is not a UUID, what is no revision, and what cannot be compared are told apart, each with its remedy."""
    assert refused(project, text) == [AT + message]


def test_an_id_that_only_the_ledger_knows_has_words_of_its_own(project: Project) -> None:
    """R06: an id that the task no longer has cannot be run, and the message tells which ids can."""
    task = load_task(project.write("configs/tasks/task.yaml", WEIGHED))
    ids = ", ".join(f"{one.tag} {task.revision_id(one)}" for one in task.revisions)
    assert refused(project, f"revision_id: {GONE}\n") == [
        f"{AT}:3:14: the task has no revision with the id {GONE}; it has {ids}. A revision that only the ledger "
        "still knows cannot be run: bring its text back into the task file."
    ]


def test_what_is_compared_is_a_list_or_all(project: Project) -> None:
    """R28: `compare` names tags or ids, as a list, with commas, or all of them; no weight is needed."""
    task = load_task(project.write("configs/tasks/task.yaml", WEIGHED))
    named = task.revision_id(task.revisions[0])
    for text in ("[v1, v2]", "v1,v2", "all", "[all]", f"[{named}, v2]"):
        assert loaded(project, f"compare: {text}\n", task=TWO).assignment.compare == ("v1", "v2")
    assert loaded(project, "", task=TWO, compare="v2, v1").assignment.compare == ("v2", "v1")


def test_compared_revisions_that_a_model_makes_alike_are_refused(project: Project) -> None:
    """Two revisions that differ in their model alone are the same once the job gives both another one."""
    alike = WEIGHED.replace('}}!", model: "openai:a"', '}}", model: "openai:b"')
    assert refused(project, "compare: all\nmodel: openai:c\n", task=alike) == [
        f"{AT}:3:10: v1 and v2 differ in name and weight alone"
    ]


def test_a_flag_puts_the_files_own_choice_away(project: Project) -> None:
    """--compare wins over the job's revision_tag, and --revision-tag over what the job compares."""
    assert loaded(project, "revision_tag: v1\n", compare="v1,v2").assignment == Assignment(
        compare=("v1", "v2")
    )
    pinned = loaded(project, "compare: all\n", revision_tag="v2").assignment
    assert pinned == Assignment(revision_tag=Template.parse("v2"))


def test_two_active_revisions_need_a_weight_each(project: Project) -> None:
    """R08: an absent weight is 1 where it is the single active revision, and refused beside another one."""
    remedy = "Give each a weight: its share of the rows, or 0. A job can also name one (revision_tag) or compare several."
    task = "configs/tasks/task.yaml"
    both = [
        f"{task}:{line}:5: revision '{tag}' has no weight, and is not the only one. {remedy}"
        for line, tag in ((3, "v1"), (4, "v2"))
    ]
    assert refused(project, "", task=TWO) == both
    with pytest.raises(ConfigError) as caught:
        load_task(project.task)
    assert project.told(caught.value) == both
    one = TWO.replace('}}!", model: "openai:a"', '}}!", model: "openai:a", weight: 0.5')
    assert refused(project, "", task=one) == both[:1]
    assert refused(project, "revision_tag: {column: text}\n", task=one) == both[:1]  # an empty one needs them
    asleep = TWO.replace('}}!", model: "openai:a"', '}}!", model: "openai:a", weight: 0')
    assert [version.weight for version in loaded(project, "", task=asleep).task.revisions] == [1.0, 0.0]


@pytest.mark.parametrize("text", ["revision_tag: v2\n", "compare: all\n"])
def test_where_revisions_are_named_weights_are_not_needed(project: Project, text: str) -> None:
    """A pin or a comparison settles what weights would, even where all of them are 0."""
    assert loaded(project, text, task=TWO)
    assert loaded(project, text, task=TWO.replace('"openai:a"}', '"openai:a", weight: 0}'))


@pytest.mark.parametrize("weight", ["-0.1", ".inf", ".nan", "true"])
def test_a_weight_is_a_finite_number_of_at_least_0(project: Project, weight: str) -> None:
    """R08: negative, infinite and other weights are refused where they stand."""
    (message,) = refused(project, "", task=WEIGHED.replace("weight: 0.5", f"weight: {weight}", 1))
    assert message.startswith("configs/tasks/task.yaml:3:")
    assert "revisions[0].weight must be" in message or "number" in message


@pytest.mark.parametrize(
    ("one", "other", "warned"), [("0.7", "0.3", 0), ("70", "30", 0), ("1", "1", 1), ("0.7", "0.2", 1)]
)
def test_weights_that_do_not_add_up_are_normalised_with_a_warning(
    project: Project, one: str, other: str, warned: int
) -> None:
    """R08: weights count as shares of their sum; it is said unless that is 1 or 100."""
    text = WEIGHED.replace("0.5", one, 1).replace("0.5", other, 1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loaded(project, "", task=text)
    assert [warning.category for warning in told] == [ConfigWarning] * warned


def test_a_column_of_revisions_must_be_there(project: Project) -> None:
    """The column that names revisions is checked with the others, at its line."""
    loaded(project, "revision_tag: {column: arm}\n")
    with pytest.raises(ConfigError) as caught:
        check_columns(project.job, ["id", "text", "army"])
    assert project.told(caught.value) == [
        f"{AT}:3:15: revision_tag names a column 'arm', which the source does not have. Did you mean 'army'?"
    ]
