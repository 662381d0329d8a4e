"""What to do next with a run of a hosted task."""

from dataclasses import replace

import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.policy import next_call
from tasks_lib.domain.remote import Remote, RemoteRun
from tests.domain.pieces import BIG, SMALL, attempt, plan


def tried(kind, *, remote_id=None, status=None, maybe_billed=False, position=0):
    remote = None if status is None else RemoteRun(remote_id=remote_id, status=status)
    failure = Failure(kind=FailureKind(kind), message="", maybe_billed=maybe_billed)
    return replace(attempt(position=position, failure=failure), remote_id=remote_id, remote=remote)


def after(*attempts, **changes):
    call = next_call(replace(plan(BIG, SMALL), **changes), attempts)
    return None if call is None else (call.position, call.remote_id, call.lost)


def test_what_an_earlier_batch_began_is_taken_up():
    """A plan begins with the run that its row has begun before, at the model that it was begun with."""
    assert after(remote=Remote(position=1, remote_id="r")) == (1, "r", False)
    assert after(remote=Remote(position=0, remote_id=None)) == (0, None, True)


@pytest.mark.parametrize("kind", ["connection", "timeout", "server_error", "rate_limited", "broken_reply"])
def test_sight_that_is_lost_is_found_again(kind):
    """Whatever kept us from seeing a run's end, the same run is looked at again."""
    assert after(tried(kind, remote_id="r", maybe_billed=True)) == (0, "r", False)
    assert after(tried(kind, remote_id="r", status="running", maybe_billed=True)) == (0, "r", False)


def test_a_run_that_ended_is_not_looked_at_again():
    """A run that failed, or whose answer was wrong, is followed by another one."""
    assert after(tried("server_error", remote_id="r", status="failed")) == (0, None, False)
    assert after(tried("invalid_output", remote_id="r", status="completed")) == (0, None, False)
    assert after(tried("invalid_output", remote_id="r")) == (0, None, False)


def test_a_lost_start_is_looked_for_until_an_id_is_known():
    """A start that may have come about is looked for, also after a look that failed; then its id counts."""
    lost = tried("timeout", maybe_billed=True)
    assert after(lost) == (0, None, True)
    assert after(lost, tried("server_error")) == (0, None, True)
    assert after(tried("server_error"), remote=Remote(position=0, remote_id=None)) == (0, None, True)
    ended = tried("server_error", remote_id="r", status="failed")
    assert after(lost, ended) == (0, None, False)
    assert after(tried("rate_limited")) == (0, None, False)


def test_what_is_given_up_goes_to_nobody_else():
    """A run that is given up, or let go, is neither tried again nor handed to the next model."""
    assert after(tried("given_up", remote_id="r", maybe_billed=True)) is None
    assert after(tried("cancelled", remote_id="r", maybe_billed=True)) is None


def test_only_what_was_begun():
    """A plan that begins no runs looks at one again, and starts neither another nor a fallback."""
    only = {"remote": Remote(position=0, remote_id="r"), "begins_runs": False}
    assert after(**only) == (0, "r", False)
    assert after(tried("connection", remote_id="r"), **only) == (0, "r", False)
    assert after(tried("server_error", remote_id="r", status="failed"), **only) is None
    assert after(tried("refused", remote_id="r", status="completed"), **only) is None
