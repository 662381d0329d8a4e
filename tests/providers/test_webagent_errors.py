"""How a Webagent server says no, and what follows from it."""

import pytest

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.task import Model
from tests.providers.webagent_rig import Driven, a_plan, cloud, said, self_hosted

NO_WORKFLOW = (
    "Cannot use cached workflow: Task 7 does not have a cached workflow. "
    "Please create one first by calling POST /api/runs/{run_id}/set-as-cached-workflow"
)


def refused(status, body, *, plan=None, protocol=None, **headers):
    """The failure that a start ends with."""
    return Driven(protocol or self_hosted(), plan or a_plan(), [said(body, status=status, **headers)]).failure


def test_an_unknown_task():
    """W02: a task that is not there ends the batch, with words."""
    failure = refused(404, {"detail": "Task with ID 7 not found"})
    assert failure.kind is FailureKind.UNKNOWN_MODEL
    assert failure.kind.ends_batch
    assert failure.message == (
        "404 Task with ID 7 not found: the model is to name a task that exists there, as in webagent:7"
    )
    assert not failure.maybe_billed


@pytest.mark.parametrize(("status", "said_so"), [(404, "Not Found"), (405, "Method Not Allowed")])
def test_a_wrong_address(status, said_so):
    """W01: a server without such a path has not the address that was meant."""
    failure = refused(status, {"detail": said_so})
    assert failure.kind is FailureKind.UNKNOWN_MODEL
    assert failure.message.endswith("is base_url the server's address, and `edition` right?")


def test_no_cached_workflow():
    """W12: a replay without a workflow is a mistake of the configuration, told once."""
    failure = refused(400, {"detail": NO_WORKFLOW}, plan=a_plan(use_cached_workflow=True))
    assert failure.kind is FailureKind.UNKNOWN_MODEL
    assert failure.kind.ends_batch
    assert failure.message.startswith("400 Cannot use cached workflow: Task 7")
    assert failure.message.endswith("Record one, or take parameters.use_cached_workflow away")
    assert refused(400, {"detail": "Bad"}).kind is FailureKind.REJECTED


def test_what_does_not_validate():
    """W04: of a 422 every fault is told, with its place."""
    short = {"loc": ["body", "prompt"], "msg": "String should have at least 3 characters"}
    wrong = {"loc": ["body", "provider"], "msg": "Input should be 'openai'"}
    failure = refused(422, {"detail": [short, wrong]})
    assert failure.kind is FailureKind.REJECTED
    assert failure.message == (
        "422 body.prompt: String should have at least 3 characters; body.provider: Input should be 'openai'"
    )


def test_an_id_that_the_server_refuses():
    """W02: what is wrong with the task's id is wrong for every row."""
    detail = [{"loc": ["path", "task_id"], "msg": "Input should be a valid integer"}]
    assert refused(422, {"detail": detail}).kind is FailureKind.UNKNOWN_MODEL


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, FailureKind.UNAUTHORIZED),
        (402, FailureKind.OUT_OF_CREDIT),
        (403, FailureKind.FORBIDDEN),
        (429, FailureKind.RATE_LIMITED),
        (302, FailureKind.REJECTED),
        (418, FailureKind.REJECTED),
        (503, FailureKind.SERVER_ERROR),
    ],
)
def test_refusals_begin_nothing(status, kind):
    """W21: none of these has begun a run."""
    failure = refused(status, {"detail": "no"})
    assert failure.kind is kind
    assert not failure.maybe_billed


def test_a_retry_after():
    """A wait that is asked for is told to the gate."""
    assert refused(429, {"detail": "slowly"}, retry_after="7").retry_after == 7.0


@pytest.mark.parametrize("status", [408, 502, 504])
def test_a_gateway_that_gives_up(status):
    """W07: the run may go on behind it."""
    failure = refused(status, b"<html>")
    assert failure.kind is FailureKind.SERVER_ERROR
    assert failure.maybe_billed


def test_an_error_of_the_server_itself():
    """W07: in the background its error means that nothing runs; what is waited for may have run."""
    error = {"detail": "Error while running task"}
    assert not refused(500, error).maybe_billed
    waited = refused(500, error, plan=a_plan(wait_for_completion=True))
    assert waited.kind is FailureKind.SERVER_ERROR
    assert waited.maybe_billed
    assert waited.remote is None
    assert refused(500, error, plan=a_plan(model=Model("c", "a")), protocol=cloud()).maybe_billed
    assert refused(500, b"oops").maybe_billed, "a gateway's, perhaps"


def test_the_key_is_hidden():
    """R01, W21: a key that is echoed appears in no message."""
    plan = a_plan(model=Model("webagent", "a"))
    failure = refused(401, {"detail": "Invalid API key wa-secret"}, plan=plan, protocol=cloud())
    assert failure.message == "401 Invalid API key ***"
    assert "wa-secret" not in refused(401, b"wa-secret?", plan=plan, protocol=cloud()).message
    echoed = {"id": "r", "status": "failure", "result": "typed wa-secret"}
    failure = Driven(cloud(), plan, [said(echoed)]).failure
    assert "wa-secret" not in f"{failure.message} {failure.text}"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", {"detail": []}, {"detail": [1, {"loc": 3}]}, {"detail": 5}]
)
def test_takes_any_body(body):
    """W21: an error's strange body is a failure with words all the same."""
    assert refused(422, body).message.startswith("422 ")
