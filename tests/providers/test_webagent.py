"""Runs of browser agents' tasks, by hand: begun, followed, waited for, and what comes of them."""

from dataclasses import replace

import pytest

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Modality, Output
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.remote import Remote
from tasks_lib.domain.task import Model
from tasks_lib.providers.protocol import RunProtocol
from tasks_lib.providers.webagent import Webagent
from tests.providers.webagent_rig import (
    DONE,
    SCHEMA,
    STARTED,
    Driven,
    a_plan,
    cloud,
    row,
    said,
    self_hosted,
)

CLOUD = Model("webagent", "abc-1")
CLOUD_RUN = {
    "id": "r-9",
    "task_id": "abc-1",
    "status": "pending",
    "result": None,
    "is_done": False,
    "is_successful": None,
}
HISTORY = [
    {
        "description": "Open the shop",
        "actions": [
            {
                "name": "go_to_url",
                "params": {"url": "https://shop.example"},
                "is_done": False,
                "success": None,
                "extracted_content": "Navigated",
                "error": None,
                "include_in_memory": True,
                "executed_by_ai": True,
                "fallback_reason": "Element does not exist",
                "fallback_attempt": 2,
            }
        ],
    }
]


def test_is_a_protocol_of_runs():
    """W01: the engine has rows run by it."""
    assert isinstance(self_hosted(), RunProtocol)


def test_the_background_is_the_default():
    """W01, W02, W07, W08, W13: a run of the model's task is begun, its id accepted, and the run looked at."""
    driven = Driven(self_hosted(), a_plan(), [said(STARTED), said(row()), said(row(**DONE))])
    assert driven.addresses == [
        "POST http://agent.test:8080/api/tasks/7/runs",
        "GET http://agent.test:8080/api/runs/12",
        "GET http://agent.test:8080/api/runs/12",
    ]
    assert driven.body == {"prompt": "Find the price.", "wait_for_completion": False}
    assert "x-api-key" not in driven.requests[0].headers
    assert driven.accepted == ["12"]
    assert driven.reply.text == "9.50"
    assert driven.reply.remote is not None
    assert (driven.reply.remote.remote_id, driven.reply.remote.task_id) == ("12", "7")


def test_looks_grow_rarer():
    """Pauses begin at 2 s and grow to 15 s."""
    driven = Driven(self_hosted(), a_plan(), [said(STARTED), *[said(row())] * 7, said(row(**DONE))])
    assert driven.pauses == [2.0, 2.0, 3.0, 4.5, 6.75, 10.125, 15.0, 15.0]


def test_all_nulls_are_a_start():
    """W08: a server that fills what it cannot know yet with nulls has begun the run all the same."""
    nulls = dict.fromkeys(("history", "result", "is_done", "is_successful"))
    started = {**STARTED, **nulls, "status": "in_progress"}
    driven = Driven(self_hosted(), a_plan(), [said(started), said(row(**DONE))])
    assert driven.reply.text == "9.50"


def test_waits_if_asked():
    """W07, W14, W15, W16: the one request that waits brings everything, newer fields of actions included."""
    told = {**STARTED, **DONE, "history": HISTORY, "status": "success"}
    driven = Driven(self_hosted(), a_plan(wait_for_completion=True), [said(told)])
    assert driven.body["wait_for_completion"] is True
    assert driven.accepted == ["12"]
    assert not driven.pauses
    assert driven.reply.remote is not None
    [step] = driven.reply.remote.steps
    assert step.description == "Open the shop"
    [action] = step.actions
    assert (action.name, action.params) == ("go_to_url", {"url": "https://shop.example"})
    assert (action.is_done, action.success, action.error) == (False, None, None)
    assert (action.extracted_content, action.include_in_memory) == ("Navigated", True)
    assert action.further == {
        "executed_by_ai": True,
        "fallback_reason": "Element does not exist",
        "fallback_attempt": 2,
    }


def test_steps_of_the_database():
    """W14: steps and actions come in their order, whatever order the database gives; screenshots are left."""
    actions = [{"id": n, "action_number": n, "name": f"act {n}", "params": None} for n in (2, 1)]
    steps = [
        {"step_number": 2, "description": None, "screenshot": "aGk=", "actions": []},
        {"step_number": 1, "description": "Look", "screenshot": "aGk=", "actions": actions},
    ]
    driven = Driven(self_hosted(), a_plan(), [said(STARTED), said(row(**DONE, steps=steps))])
    assert driven.reply.remote is not None
    told = driven.reply.remote.steps
    assert [step.description for step in told] == ["Look", ""]
    assert [action.name for action in told[0].actions] == ["act 1", "act 2"]
    assert [dict(action.further) for action in told[0].actions] == [{}, {}]


def test_what_is_told_beside():
    """W20, W21: model, provider and the webhook's fate are kept; tokens and cost are unknown."""
    told = row(**DONE, webhook_result_success=False, webhook_result_status_code=500)
    reply = Driven(self_hosted(), a_plan(), [said(STARTED), said(told)]).reply
    assert (reply.model, reply.usage) == ("openai/o3", None)
    assert reply.remote is not None
    assert reply.remote.status == "success"
    assert reply.remote.charged_credits is None
    assert reply.remote.run_data == {
        "model": "o3",
        "provider": "openai",
        "response_format": "text",
        "webhook_result_success": False,
        "webhook_result_status_code": 500,
    }


@pytest.mark.parametrize("result", ['{"price": 9.5}', {"price": 9.5}])
def test_a_result_under_a_schema(result):
    """W11, W17: the schema goes along as an object, and the result is read and checked on our side."""
    output = Output.of(Modality.JSON, SCHEMA)
    driven = Driven(
        self_hosted(), a_plan(output=output), [said(STARTED), said(row(**{**DONE, "result": result}))]
    )
    assert driven.body["json_schema"] == SCHEMA
    assert judge(output, driven.reply) == Answer(value={"price": 9.5})


def test_a_replay_is_checked():
    """W12: a cached workflow gives the page's text whatever the schema, which is no answer under it."""
    output = Output.of(Modality.JSON, SCHEMA)
    plan = a_plan(output=output, use_cached_workflow=True)
    driven = Driven(self_hosted(), plan, [said(STARTED), said(row(**{**DONE, "result": "Prices: 9.50"}))])
    assert driven.body["use_cached_workflow"] is True
    verdict = judge(output, driven.reply)
    assert not isinstance(verdict, Answer)
    assert verdict.kind is FailureKind.INVALID_OUTPUT


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (
            {"is_done": True, "is_successful": False, "result": "Sold out"},
            "the agent did not succeed: Sold out",
        ),
        (
            {"is_done": True, "is_successful": None},
            "the agent ended and did not say that it succeeded",
        ),
        ({"status": "failure", "is_done": None}, "the agent did not succeed"),
        ({"is_done": False, "status": "in_progress"}, "the agent stopped before it was done"),
    ],
)
def test_an_agent_that_fails(told, why):
    """W18, W19, W20, 6.16: done and not known to have succeeded is a failure, and so is stopping short."""
    plan = a_plan(wait_for_completion=True)
    failure = Driven(self_hosted(), plan, [said({**STARTED, **told})]).failure
    assert (failure.kind, failure.message) == (FailureKind.RUN_FAILED, why)
    assert failure.maybe_billed, "its model's tokens are"
    assert failure.remote is not None
    assert failure.remote.status == "failure"


def test_the_last_error_tells_why():
    """W16: of the actions' errors the last one says why the run failed."""
    actions = [{"name": "click_element", "params": {}, "error": "Element does not exist"}]
    steps = [{"step_number": 1, "description": "Click", "actions": actions}]
    told = row(is_done=True, is_successful=False, result="No.", steps=steps)
    failure = Driven(self_hosted(), a_plan(), [said(STARTED), said(told)]).failure
    assert failure.message == "the agent did not succeed: Element does not exist"
    assert failure.text == "No."
    assert failure.remote is not None
    assert failure.remote.steps[0].actions[0].error == "Element does not exist"


def test_steps_without_an_end():
    """W18: steps are written with the end: where they stand and the run is not done, it never will be."""
    steps = [{"step_number": 1, "description": "Click", "actions": []}]
    driven = Driven(self_hosted(), a_plan(), [said(STARTED), said(row(steps=steps)), said(row(steps=steps))])
    assert driven.failure.message == "the agent stopped before it was done"
    at_the_end = [said(STARTED), said(row(steps=steps)), said(row(steps=steps, **DONE))]
    assert Driven(self_hosted(), a_plan(), at_the_end).reply.text == "9.50"


def test_is_taken_up_by_its_id():
    """W13: a run that an earlier batch began is looked at, and none is begun."""
    driven = Driven(self_hosted(), a_plan(), [said(row(**DONE))], remote_id="12")
    assert driven.addresses == ["GET http://agent.test:8080/api/runs/12"]
    assert driven.reply.text == "9.50"


def test_a_run_that_is_gone():
    """A server whose database was begun anew does not know the run, and another one is worth a try."""
    gone = said({"detail": "Task run with ID 12 not found"}, status=404)
    failure = Driven(self_hosted(), a_plan(), [gone], remote_id="12").failure
    assert failure.kind is FailureKind.SERVER_ERROR
    assert failure.maybe_billed
    assert failure.remote is not None
    assert failure.remote.is_over


def taken_up_after(hours, told, protocol=None):
    """What comes of a run that was begun so long ago."""
    plan = replace(a_plan(), remote=Remote(position=0, remote_id="12", age=hours * 3600))
    return Driven(protocol or self_hosted(), plan, told, remote_id="12")


def test_a_run_that_died():
    """W18: one that is not done after twice the time a run may take has crashed; another is worth a try."""
    failure = taken_up_after(2.1, [said(row())]).failure
    assert failure.message == "run 12 was begun 7560 s ago and is not done: its agent has crashed"
    assert failure.kind is FailureKind.SERVER_ERROR
    assert failure.remote is not None
    assert failure.remote.is_over
    assert taken_up_after(99, [said(row(**DONE))]).reply.text == "9.50"
    assert taken_up_after(1.9, [said(row()), said(row(**DONE))]).reply.text == "9.50"
    in_the_cloud = [said(CLOUD_RUN), said({**CLOUD_RUN, "status": "success", "result": "x"})]
    assert taken_up_after(99, in_the_cloud, cloud()).reply.text == "x"


def test_bad_readings_pass():
    """Five bad readings in a row change nothing, and a Retry-After is kept."""
    bad = [
        said({"detail": "Error while fetching run"}, status=500),
        said(b"<html>", status=502),
        said(b"{"),
        said(b"", status=429, retry_after="30"),
        said(b"", status=503),
    ]
    driven = Driven(self_hosted(), a_plan(), [*bad, said(row()), *bad, said(row(**DONE))], remote_id="12")
    assert driven.reply.text == "9.50"
    assert 30.0 in driven.pauses


def test_readings_that_stay_bad():
    """A sixth is a failure of sight, after which the run may be taken up again."""
    bad = said({"detail": "Error while fetching run"}, status=500)
    failure = Driven(self_hosted(), a_plan(), [bad] * 6, remote_id="12").failure
    assert failure.kind is FailureKind.SERVER_ERROR
    assert failure.message == "500 on reading run 12: Error while fetching run"
    assert failure.maybe_billed
    assert failure.remote is None


def test_the_cloud():
    """W01, W02, W13, W20: the cloud has a key, ids that are texts, no /api, and pending for in_progress."""
    plan = a_plan(model=CLOUD, auth_context_id="ctx", initial_url="https://a.example", session_timeout=60)
    done = {**CLOUD_RUN, "status": "success", "result": "9.50", "is_done": True, "is_successful": True}
    driven = Driven(cloud(), plan, [said(CLOUD_RUN), said(CLOUD_RUN), said(done)])
    assert driven.addresses == [
        "POST https://cloud.test/tasks/abc-1/runs",
        "GET https://cloud.test/runs/r-9",
        "GET https://cloud.test/runs/r-9",
    ]
    assert {request.headers["x-api-key"] for request in driven.requests} == {"wa-secret"}
    assert driven.body == {
        "prompt": "Find the price.",
        "auth_context_id": "ctx",
        "initial_url": "https://a.example",
        "session_timeout": 60,
        "wait_for_completion": False,
    }
    assert driven.accepted == ["r-9"]
    assert driven.reply.text == "9.50"


@pytest.mark.parametrize(
    ("protocol", "model"), [(self_hosted(), Model("webagent", "../x")), (cloud(), Model("webagent", "a/b"))]
)
def test_an_id_that_is_none(protocol, model):
    """W02: what cannot be a task's id is never put into an address, and ends the batch."""
    failure = Driven(protocol, a_plan(model=model), []).failure
    assert failure.kind is FailureKind.UNKNOWN_MODEL


def test_files_are_not_taken():
    """A browser agent has no field for files, and none is left out in silence."""
    file = Attachment(name="a.png", mime_type="image/png", content=b"x")
    message = Message(role="user", text="Look at it", files=(file,))
    failure = Driven(self_hosted(), replace(a_plan(), messages=(message,)), []).failure
    assert failure.kind is FailureKind.REJECTED


def test_a_key_that_is_no_header():
    """A key that cannot be sent is refused by its variable's name."""
    provider = Provider(name="webagent", protocol="webagent", base_url="http://a.test")
    with pytest.raises(ValueError, match=r"^what WEBAGENT_API_KEY holds"):
        Webagent(provider, Secret("WEBAGENT_API_KEY", "a\nb"))


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"null", b'{"task_run_id": true}', b'{"task_id": 7}', b'{"task_run_id": {}}']
)
def test_a_start_without_an_id(body):
    """W13: a 200 that tells no run's id has probably begun one."""
    failure = Driven(self_hosted(), a_plan(), [said(body)]).failure
    assert failure.kind is FailureKind.BROKEN_REPLY
    assert failure.maybe_billed


@pytest.mark.parametrize(
    "strange",
    [
        {"steps": 3},
        {"steps": [1, None, {"actions": 5}, {"actions": [None, {"params": [], "name": 4}]}]},
        {"steps": [{"step_number": "x", "description": {}, "actions": [{"error": {"a": 1}}]}]},
        {"history": {}, "model": 4, "provider": None},
    ],
)
def test_takes_whatever_is_told(strange):
    """W14, W16: a run's strange steps keep nobody from its result."""
    driven = Driven(self_hosted(), a_plan(), [said(row(**DONE, **strange))], remote_id="12")
    assert driven.reply.text == "9.50"
    assert driven.reply.remote is not None
    assert all(isinstance(step.description, str) for step in driven.reply.remote.steps)
