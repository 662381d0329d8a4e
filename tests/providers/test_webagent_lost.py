"""Runs whose id never arrived: found again by their marker, or told about honestly."""

import re
from dataclasses import replace

import pytest

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.remote import Remote
from tests.providers.webagent_rig import DONE, STARTED, Driven, a_plan, cloud, row, said, self_hosted

LIST = "GET http://agent.test:8080/api/tasks/7/runs"
POST = "POST http://agent.test:8080/api/tasks/7/runs"
MARKED = re.compile(r"Find the price\.\n\n\[row [0-9a-f]{8}\]")


def light(run_id, description):
    """A run as the task's list has it."""
    return {"id": run_id, "description": description, "is_done": False, "is_successful": None}


def prompt_of(plan):
    """The prompt with its marker."""
    return Driven(self_hosted(), plan, [said(STARTED), said(row(**DONE))]).body["prompt"]


def test_the_marker():
    """W04: a marker is put at the prompt's end where the user wants one, and nowhere else."""
    assert MARKED.fullmatch(prompt_of(a_plan(marker=True)))
    assert prompt_of(a_plan(marker=False)) == prompt_of(a_plan()) == "Find the price."


def test_the_marker_is_the_rows():
    """Each try of a row has the same one; another row, and a row whose run has ended, have another."""
    same = prompt_of(a_plan(marker=True))
    assert prompt_of(a_plan(marker=True)) == same
    assert prompt_of(a_plan(marker=True, identity="d" * 32)) != same
    assert prompt_of(a_plan(marker=True, times_ended=1)) != same


def test_a_lost_run_is_found():
    """W13: the newest run with the row's marker is taken up, and none is begun."""
    plan = a_plan(marker=True)
    prompt = prompt_of(plan)
    listed = [light(31, "Other"), light(12, prompt), light(30, prompt), light(33, prompt + " more")]
    driven = Driven(self_hosted(), plan, [said(listed), said(row(id=30, **DONE))], lost=True)
    assert driven.addresses == [LIST, "GET http://agent.test:8080/api/runs/30"]
    assert driven.accepted == ["30"]
    assert driven.reply.text == "9.50"


def test_a_run_that_an_earlier_batch_lost():
    """W13: a batch that lost a run has told of its row's end since; the run has the marker before that."""
    prompt = prompt_of(a_plan(marker=True))
    later = replace(a_plan(marker=True, times_ended=1), remote=Remote(position=0, remote_id=None))
    found = [said([light(30, prompt)]), said(row(id=30, **DONE))]
    assert Driven(self_hosted(), later, found, lost=True).accepted == ["30"]
    assert prompt_of(later) == prompt_of(a_plan(marker=True, times_ended=1)) != prompt
    same_batch = a_plan(marker=True, times_ended=1)
    listed = said([light(30, prompt)])
    unknown = [listed, listed, said(STARTED), said(row(**DONE))]
    assert Driven(self_hosted(), same_batch, unknown, lost=True).accepted == ["12"]


def test_a_start_that_is_long_past():
    """W13: what an earlier batch sent has arrived by now: it is looked for once."""
    plan = replace(a_plan(marker=True), remote=Remote(position=0, remote_id=None, age=61))
    driven = Driven(self_hosted(), plan, [said([]), said(STARTED), said(row(**DONE))], lost=True)
    assert driven.addresses[:2] == [LIST, POST]


def test_a_start_that_was_on_its_way():
    """W13: a run that is listed a moment later is found, and none is begun."""
    plan = a_plan(marker=True)
    found = [said([]), said([light(30, prompt_of(plan))]), said(row(id=30, **DONE))]
    assert Driven(self_hosted(), plan, found, lost=True).accepted == ["30"]


def test_a_run_that_was_never_begun():
    """W13: where no run has the marker, and none has it a moment later, one is begun now."""
    plan = a_plan(marker=True)
    listed = said([light(31, "Other"), {"id": "x", "description": 4}, 5])
    driven = Driven(self_hosted(), plan, [listed, listed, said(STARTED), said(row(**DONE))], lost=True)
    assert driven.addresses[:3] == [LIST, LIST, POST]
    assert driven.pauses[0] == 2.0
    assert driven.reply.remote is not None
    assert driven.reply.remote.warnings == ()


@pytest.mark.parametrize("listing", [said({"detail": "Error"}, status=500), said(b"{"), said({})])
def test_a_list_that_does_not_come(listing):
    """While nobody can tell, nothing is begun, and the run stays lost."""
    driven = Driven(self_hosted(), a_plan(marker=True), [listing], lost=True)
    assert driven.failure.maybe_billed
    assert driven.failure.kind in {FailureKind.SERVER_ERROR, FailureKind.BROKEN_REPLY}
    assert not driven.accepted


def test_without_a_marker_it_is_said():
    """W13: a second run is begun, and its answer says what may have happened."""
    driven = Driven(self_hosted(), a_plan(), [said(STARTED), said(row(**DONE))], lost=True)
    assert driven.addresses[0] == POST
    assert driven.reply.remote is not None
    assert driven.reply.remote.warnings == (
        "a run may have been begun for this row, and whether it was cannot be told; another one was begun",
    )


@pytest.mark.parametrize("protocol", [self_hosted(), cloud()])
def test_without_a_marker_nothing_is_paid_twice(protocol):
    """W13: with `retries.on_ambiguous: fail` the row is given up, with what can be done about it."""
    name = "7"
    failure = Driven(protocol, a_plan(on_ambiguous="fail"), [], lost=True).failure
    assert failure.kind is FailureKind.GIVEN_UP
    assert failure.maybe_billed
    assert f"Look at the runs of webagent:{name}." in failure.message
    assert failure.message.endswith("set retries.on_ambiguous: retry")


def test_the_tasks_own_prompt_has_no_marker():
    """W03: a task that keeps its own prompt cannot be marked."""
    plan = a_plan(" ", marker=True)
    driven = Driven(self_hosted(), plan, [said(STARTED), said(row(**DONE))], lost=True)
    assert driven.body == {"wait_for_completion": False}
    assert driven.reply.remote is not None
    assert driven.reply.remote.warnings


def test_a_crash_while_waiting():
    """W07: a crashed run is found by its marker: its end is known, and the next try is another run."""
    plan = a_plan(marker=True, wait_for_completion=True)
    crash = said({"detail": "Error while running task"}, status=500)
    listed = said([light(12, prompt_of(a_plan(marker=True)))])
    driven = Driven(self_hosted(), plan, [crash, listed, said(row())])
    assert driven.accepted == ["12"]
    assert driven.failure.kind is FailureKind.SERVER_ERROR
    assert driven.failure.message == "500 Error while running task"
    assert driven.failure.remote is not None
    assert (driven.failure.remote.remote_id, driven.failure.remote.is_over) == ("12", True)


def test_a_crash_after_the_end():
    """W09: a run that was done when its webhook broke has its answer all the same."""
    plan = a_plan(marker=True, wait_for_completion=True)
    crash = said({"detail": "Error while running task"}, status=500)
    listed = said([light(12, prompt_of(a_plan(marker=True)))])
    assert Driven(self_hosted(), plan, [crash, listed, said(row(**DONE))]).reply.text == "9.50"


def test_a_crash_that_cannot_be_found():
    """W07: without a list the run's end is unknown."""
    plan = a_plan(marker=True, wait_for_completion=True)
    crash = said({"detail": "Error while running task"}, status=500)
    failure = Driven(self_hosted(), plan, [crash, said(b"", status=502)]).failure
    assert failure.message == "500 Error while running task"
    assert failure.maybe_billed
