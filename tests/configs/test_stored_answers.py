"""Ages of stored answers, as files and flags say them."""

# ruff: noqa: E501  a message is asserted as it is printed, in one line

from datetime import timedelta

import pytest

from tasks_lib.configs import ConfigError, load_job
from tests.configs.project import JOB

FILE = "configs/jobs/job.yaml"


@pytest.mark.parametrize(
    ("told", "age"),
    [
        ("true", None),
        ("any", None),
        ("{max_age: any}", None),
        ("{}", None),
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("{max_age: 12}", timedelta(hours=12)),
        ("{max_age: 0.5}", timedelta(minutes=30)),
        ("90 m", timedelta(minutes=90)),
        ("2w", timedelta(weeks=2)),
        ("45s", timedelta(seconds=45)),
    ],
)
def test_an_age_is_told_in_many_ways(project, told, age):
    """W12: true and any are however old; a number counts hours."""
    project.write(FILE, JOB + f"stored_answers: {told}\n")
    stored = load_job(project.job).stored_answers
    assert stored is not None
    assert stored.max_age == age


@pytest.mark.parametrize("told", ["", "stored_answers: false\n"])
def test_by_default_nothing_is_taken(project, told):
    """W12: a stored answer is used where somebody asked for it."""
    project.write(FILE, JOB + told)
    assert load_job(project.job).stored_answers is None


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("30 days", ":3:17: stored_answers must be an age such as 30d, 12h or 45m, or a number of hours"),
        ("{max_age: 0}", ":3:27: stored_answers.max_age must be an age such as 30d, 12h or 45m, or a number of hours"),
        ("{age: 3d}", ":3:18: unknown key 'age' in stored_answers. Did you mean 'max_age'?"),
        ("99999999w", ":3:17: stored_answers must be an age such as 30d, 12h or 45m, or a number of hours"),
    ],
)  # fmt: skip
def test_what_is_no_age_is_told(project, told, message):
    """With its place."""
    project.write(FILE, JOB + f"stored_answers: {told}\n")
    with pytest.raises(ConfigError) as error:
        load_job(project.job)
    assert project.told(error.value) == [FILE + message]
