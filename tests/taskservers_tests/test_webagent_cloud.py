"""The Webagent server's cloud edition over loopback: its key, ids, statuses and fields."""

import json
import time

import httpx
import pytest

from tests.webagentserver import running_server

KEY = {"x-api-key": "a-key"}
RUN = {"id", "task_id", "status", "result", "is_done", "is_successful"}
SCHEMA = {"type": "object", "properties": {"row_id": {"type": "string"}}}


@pytest.fixture(scope="module")
def running():
    with running_server() as server:
        yield server


@pytest.fixture
def server(running):
    running.config(clear=1)
    running.forget()
    running.reset()
    return running


def run(web, server, row="1", *, body=None, **settings):
    """The answer to a run of a new task."""
    told = {"prompt": f"Find the price. row_id: {row}"} | (body or {})
    return web.post(f"{server.cloud_url(**settings)}/runs", json=told, headers=KEY)


def ended(web, server, run_id):
    """The run, once it is not pending."""
    end = time.monotonic() + 10
    while (told := web.get(f"{server.cloud_url()}/runs/{run_id}", headers=KEY).json())["status"] == "pending":
        assert time.monotonic() < end, "it never ended"
        time.sleep(0.005)
    return told


def test_a_run(web, server):
    """A run is not waited for unless asked; its ids are strings, and pending becomes success."""
    told = run(web, server, "r-1", lat=100).json()
    assert told.keys() == RUN
    assert (told["status"], told["result"], told["is_done"]) == ("pending", None, False)
    assert [type(told[name]) for name in ("id", "task_id")] == [str, str]
    done = ended(web, server, told["id"])
    assert done == told | {
        "status": "success",
        "result": "row r-1",
        "is_done": True,
        "is_successful": True,
    }
    waited = run(web, server, "r-2", body={"wait_for_completion": True}).json()
    assert (waited["status"], waited["result"]) == ("success", "row r-2")


def test_a_task(web, server):
    """A task tells its fields, and a run of it takes its own in their place."""
    task = server.task(edition="cloud", prompt="Own prompt. row_id: own", initial_url="https://a.example")
    told = web.get(f"{server.cloud_url()}/tasks/{task}", headers=KEY).json()
    assert told.keys() == {
        "id", "name", "prompt", "model", "provider", "webhook_url", "response_format", "json_schema",
        "auth_context_id", "initial_url", "session_timeout",
    }  # fmt: skip  # a list of names
    assert (told["session_timeout"], told["initial_url"]) == (900, "https://a.example")
    url = f"{server.cloud_url()}/tasks/{task}/runs"
    made = web.post(url, json={"provider": "anything", "auth_context_id": "me"}, headers=KEY).json()
    assert made["task_id"] == task
    assert ended(web, server, made["id"])["result"] == "row own"
    assert web.post(url, json={"wait_for_completion": True}, headers=KEY).json()["status"] == "success"
    fresh = run(web, server, body={"session_timeout": 60}).json()["task_id"]
    kept = web.get(f"{server.cloud_url()}/tasks/{fresh}", headers=KEY).json()
    assert (kept["model"], kept["provider"], kept["session_timeout"]) == ("gpt-4.1", "openai", 60)


def test_a_schema(web, server):
    """The result under a schema is text that holds JSON, or an object where told so."""
    body = {"json_schema": SCHEMA, "wait_for_completion": True}
    assert json.loads(run(web, server, "r-3", body=body).json()["result"]) == {"row_id": "r-3"}
    assert run(web, server, "r-3", body=body, result_as="object").json()["result"] == {"row_id": "r-3"}


def test_keys_and_errors(web, server):
    """Without a key it is 403, with a wrong one 401; what does not validate 422, what is not there 404."""
    url = f"{server.cloud_url(key='secret')}/runs"
    assert web.post(url, json={"prompt": "Look."}).status_code == 403
    assert web.post(url, json={"prompt": "Look."}, headers=KEY).status_code == 401
    assert web.post(url, json={"prompt": "Look."}, headers={"x-api-key": "secret"}).status_code == 200
    for body in ({"prompt": "ab"}, {"session_timeout": "x"}, {"json_schema": "{"}, {"auth_context_id": 5}):
        assert run(web, server, body=body).json()["detail"][0]["loc"] == ["body", next(iter(body))]
    assert web.get(f"{server.cloud_url()}/runs/none", headers=KEY).status_code == 404
    assert web.post(f"{server.cloud_url()}/tasks/none/runs", json={}, headers=KEY).status_code == 404
    assert web.get(f"{server.cloud_url()}/", headers=KEY).json() == {"detail": "Not Found"}


@pytest.mark.parametrize("fault", ["crash", "failure", "unfinished"])
def test_failures(web, server, fault):
    """A crash, a failure and stopping short all end as failure here."""
    told = ended(web, server, run(web, server, **{fault: 1}).json()["id"])
    assert (told["status"], told["is_done"], told["is_successful"]) == ("failure", True, False)


def test_a_session_that_times_out(web, server):
    """A session that lasts too long fails."""
    body = {"session_timeout": 0, "wait_for_completion": True}
    assert run(web, server, body=body, lat=60_000).json()["status"] == "failure"


def test_a_run_that_never_ends(web, server):
    """It stays pending, and both editions are counted together."""
    told = run(web, server, "n-1", never=1).json()
    assert web.get(f"{server.cloud_url()}/runs/{told['id']}", headers=KEY).json()["status"] == "pending"
    stats = server.stats()
    assert (stats["runs_now"], stats["calls"]) == (1, {"cloud POST run": 1, "cloud GET run": 1})
    assert [(row["edition"], row["marker"]) for row in server.runs()] == [("cloud", "n-1")]


def test_a_run_whose_answer_is_lost(web, server):
    """The run exists and is counted as started, though no listing here leads to it."""
    with pytest.raises(httpx.TransportError):
        run(web, server, "lost-1", e_reset_late=1)
    (lost,) = server.runs()
    assert ended(web, server, lost["id"])["result"] == "row lost-1"
    assert server.rows() == {"lost-1": (1, 1, 0)}
