"""With which model a row begins."""

from dataclasses import replace

import pytest

from tasks_lib.domain.beginning import beginning
from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.policy import Call, next_call
from tasks_lib.domain.run import conclude, run_data
from tasks_lib.domain.template import Template
from tests.domain.pieces import BIG, NOON, SMALL, answered, failed, plan, planner, revision, row, task

COLUMN = Template.parse("{{down}}")


@pytest.mark.parametrize("said", ["true", "TRUE", " yes ", "1", True, 1])
def test_a_yes_passes_the_primary_over(said):
    """R10: true, 1 and yes in a row's column begin at its fallback."""
    assert beginning(COLUMN, {"down": said}, revision(BIG, SMALL)) == (1, None)


@pytest.mark.parametrize("said", ["false", "No", "0", "", None, False, 0])
def test_a_no_begins_with_the_primary(said):
    """False, 0, no and nothing are no wish."""
    assert beginning(COLUMN, {"down": said}, revision(BIG, SMALL)) == (0, None)


def test_another_word_is_a_bad_row():
    """What is neither yes nor no is not guessed."""
    begin_at, wrong = beginning(COLUMN, {"down": "perhaps"}, revision(BIG, SMALL))
    assert wrong is not None
    assert (begin_at, wrong.kind) == (0, FailureKind.BAD_ROW)
    assert "perhaps" in wrong.message


def test_a_wish_without_a_fallback_is_a_bad_row():
    """A job made in Python may ask for a fallback that is not there: the row fails, and nothing is asked."""
    maker = replace(planner(task(revision(BIG))), use_fallback_model=Template.parse("true"))
    made = maker.plan(maker.charts(row())[0], task_run_id="run-1")
    assert made.problem is not None
    assert next_call(made, []) is None


def test_a_row_that_begins_at_its_fallback_never_asks_the_primary():
    """R24: the first call goes to the fallback, and its tries are the fallback's own."""
    maker = replace(planner(task(revision(BIG, SMALL))), use_fallback_model=Template.parse("true"))
    made = maker.plan(maker.charts(row())[0], task_run_id="run-1")
    assert next_call(made, []) == Call(position=1)
    again = next_call(made, [failed("server_error", position=1)])
    assert again is not None
    assert again.position == 1


def test_a_manual_fallback_has_no_reason():
    """R44, R45: used_fallback_model is true, the primary's failure is null, and the trigger is manual."""
    data = run_data([answered(position=1)], failure=None, begin_at=1)
    assert (data.used_fallback_model, data.primary_failure_reason, data.fallback_trigger) == (
        True,
        None,
        "manual",
    )


def test_an_automatic_fallback_has_the_primarys_last_failure_for_a_reason():
    """R23, R45, R46: the fallback that answered is named, and why the primary was given up."""
    attempts = [failed("timeout"), failed("server_error", message="503"), answered(position=1)]
    data = conclude(plan(BIG, SMALL), attempts, created_at=NOON, finished_at=NOON).data
    assert (data.used_fallback_model, data.fallback_trigger) == (True, "automatic")
    assert (data.primary_failure_reason, data.fallback_llm_model) == ("server_error: 503", str(SMALL))
