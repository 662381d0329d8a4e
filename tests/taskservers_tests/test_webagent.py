"""The Webagent server over loopback, self-hosted: its rows, its traps and its misbehaviour."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from tests.webagentserver import running_server
from tests.webagentserver.bodies import PROVIDERS

SCHEMA = {"type": "object", "properties": {"row_id": {"type": "string"}, "price": {"type": "number"}}}
RESPONSE = {"task_id", "task_run_id", "history", "result", "is_done", "is_successful", "status"}
ACTION = {"name", "params", "is_done", "success", "extracted_content", "error", "include_in_memory"}
NEWER = {"executed_by_ai", "fallback_reason", "fallback_attempt"}
RUN = {
    "id", "task_id", "prompt", "model", "provider", "webhook_url", "response_format", "json_schema", "result",
    "is_done", "is_successful", "webhook_result_success", "webhook_result_status_code",
    "webhook_result_message", "steps",
}  # fmt: skip  # a list of names
TASK = {
    "id", "prompt", "model", "provider", "webhook_url", "response_format", "json_schema", "cached_workflow",
    "use_cached_workflow",
}  # fmt: skip  # a list of names


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


def run(web, server, row="1", *, task=1, body=None, **settings):
    """The answer to a run of a task whose prompt names a row."""
    told = {"prompt": f"Find the price. row_id: {row}"} | (body or {})
    return web.post(f"{server.base_url(**settings)}/api/tasks/{task}/runs", json=told)


def read(web, server, run_id):
    """A run's row."""
    return web.get(f"{server.base_url()}/api/runs/{run_id}").json()


def eventually(true):
    """Fail unless it comes true within ten seconds."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def test_a_blocking_run(web, server):
    """Without wait_for_completion, or with null, the answer is the agent's, and the row keeps the same."""
    for body in ({}, {"wait_for_completion": None}, {"wait_for_completion": True}):
        told = run(web, server, "r-7", body=body).json()
        assert told.keys() == RESPONSE
        assert (told["status"], told["is_done"], told["is_successful"]) == ("success", True, True)
        assert told["result"] == "row r-7"
    assert [type(told[name]) for name in ("task_id", "task_run_id")] == [int, int]
    actions = [done for step in told["history"] for done in step["actions"]]
    assert {step["description"] for step in told["history"]} == {"Look at page 1", "Tell the result"}
    assert all(done.keys() == ACTION | NEWER for done in actions)
    assert (actions[-1]["name"], actions[-1]["is_done"], actions[-1]["success"]) == ("done", True, True)
    row = read(web, server, told["task_run_id"])
    assert row.keys() == RUN
    assert (row["is_done"], row["is_successful"], row["result"]) == (True, True, "row r-7")
    step = row["steps"][-1]
    assert step.keys() == {"task_run_id", "step_number", "description", "screenshot", "actions"}
    numbers = {"id", "task_run_id", "step_number", "action_number"}
    assert step["actions"][0].keys() == ACTION | numbers
    assert (step["task_run_id"], step["step_number"], step["actions"][0]["action_number"]) == (
        row["id"],
        2,
        1,
    )
    plain = run(web, server, modern=0, steps=3, screenshots=1).json()
    assert len(plain["history"]) == 3
    assert plain["history"][0]["actions"][0].keys() == ACTION
    assert read(web, server, plain["task_run_id"])["steps"][0]["screenshot"]


def test_a_background_run(web, server):
    """With false the answer is two ids; the row is at first not done, then has the result, and no status."""
    answer = run(web, server, "r-8", body={"wait_for_completion": False}, lat=300)
    told = answer.json()
    assert (answer.status_code, told.keys()) == (200, {"task_id", "task_run_id"})
    row = read(web, server, told["task_run_id"])
    assert (row["is_done"], row["is_successful"], row["result"], row["steps"]) == (False, None, None, [])
    assert server.stats()["runs_now"] == 1
    eventually(lambda: read(web, server, told["task_run_id"])["is_done"])
    row = read(web, server, told["task_run_id"])
    assert (row["is_successful"], row["result"], len(row["steps"])) == (True, "row r-8", 2)
    assert "status" not in row
    full = run(web, server, body={"wait_for_completion": False}, background="full").json()
    assert full.keys() == RESPONSE
    assert (full["status"], full["history"]) == ("in_progress", None)


@pytest.mark.parametrize("schema", [SCHEMA, json.dumps(SCHEMA)])
def test_a_schema(web, server, schema):
    """Under a schema, object or string, the result is a string that holds JSON, in answer and row."""
    told = run(web, server, "r-9", body={"json_schema": schema}).json()
    assert isinstance(told["result"], str)
    assert json.loads(told["result"])["row_id"] == "r-9"
    row = read(web, server, told["task_run_id"])
    assert (row["result"], json.loads(row["json_schema"])) == (told["result"], SCHEMA)
    bad = run(web, server, body={"json_schema": schema}, e_badcontent=1).json()
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad["result"])


def test_overrides(web, server):
    """What is sent takes the task's place for this run only; null and what is not sent leave it."""
    task = server.task(prompt="Look. row_id: own", model="gpt-5", provider="google", response_format="json")
    body = {"prompt": None, "model": "claude", "provider": "anthropic", "response_format": None}
    told = run(web, server, task=task, body=body).json()
    row = read(web, server, told["task_run_id"])
    names = ("prompt", "model", "provider", "response_format")
    assert [row[name] for name in names] == ["Look. row_id: own", "claude", "anthropic", "json"]
    kept = web.get(f"{server.base_url()}/api/tasks/{task}").json()
    assert kept.keys() == TASK
    assert (kept["model"], kept["provider"]) == ("gpt-5", "google")
    assert server.rows() == {"own": (1, 1, 1)}
    for provider in PROVIDERS:
        assert run(web, server, body={"provider": provider}).status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({"prompt": "ab"}, "prompt", "string_too_short"),
        ({"prompt": 7}, "prompt", "string_type"),
        ({"provider": "azure"}, "provider", "enum"),
        ({"json_schema": "{"}, "json_schema", "value_error"),
        ({"json_schema": "[]"}, "json_schema", "value_error"),
        ({"json_schema": {"type": "film"}}, "json_schema", "value_error"),
        ({"json_schema": '{"properties": 5}'}, "json_schema", "value_error"),
        ({"wait_for_completion": "perhaps"}, "wait_for_completion", "bool_parsing"),
        ({"use_cached_workflow": 2}, "use_cached_workflow", "bool_parsing"),
        ({"model": 5}, "model", "string_type"),
    ],
)
def test_bodies_that_do_not_validate(web, server, body, field, rule):
    """What does not validate is a 422 that says where and why, and leaves no row."""
    answer = run(web, server, body=body)
    assert answer.status_code == 422
    (fault,) = answer.json()["detail"]
    assert (fault["loc"][:2], fault["type"]) == (["body", field], rule)
    assert server.runs() == []


def test_what_is_no_error(web, server):
    """Three letters are enough, a schema may refer to what is not there, unknown fields are left aside."""
    for body in ({"prompt": "abc"}, {"json_schema": {"$ref": "#/definitions/x"}}, {"reference": "r-1"}):
        assert run(web, server, body=body).status_code == 200
    wrong = web.post(f"{server.base_url()}/api/tasks/1/runs", json={"prompt": "a", "provider": "b"})
    assert len(wrong.json()["detail"]) == 2
    nonsense = web.post(f"{server.base_url()}/api/tasks/1/runs", content=b"{")
    assert nonsense.json()["detail"][0]["type"] == "json_invalid"


def test_what_is_not_there(web, server):
    """An unknown task or run is a 404 in a sentence, an id that is no number a 422; there is no cancel."""
    base = f"{server.base_url()}/api"
    assert run(web, server, task=99).json() == {"detail": "Task with ID 99 not found"}
    assert web.get(f"{base}/tasks/99").status_code == 404
    assert web.get(f"{base}/tasks/99/runs").status_code == 404
    assert web.get(f"{base}/runs/99").json() == {"detail": "Task run with ID 99 not found"}
    assert web.post(f"{base}/runs/99/set-as-cached-workflow").status_code == 404
    answer = web.get(f"{base}/runs/abc")
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["path", "run_id"])
    assert web.delete(f"{base}/runs/1").json() == {"detail": "Method Not Allowed"}
    assert web.get(f"{base}/nowhere").json() == {"detail": "Not Found"}


def test_tasks_and_their_runs(web, server):
    """Tasks are listed newest first, changed by PUT, and their runs listed lightly, prompt and all."""
    base = f"{server.base_url()}/api"
    second = server.task(prompt="Another one")
    assert [task["id"] for task in web.get(f"{base}/tasks").json()["tasks"]] == [second, 1]
    changed = web.put(f"{base}/tasks/{second}", json={"model": "gpt-5", "prompt": None, "json_schema": "{"})
    assert (changed.json()["model"], changed.json()["prompt"]) == ("gpt-5", "Another one")
    object_schema = web.put(f"{base}/tasks/{second}", json={"json_schema": SCHEMA})
    assert object_schema.status_code == 422
    first, later = (run(web, server, row).json()["task_run_id"] for row in ("a", "b"))
    assert web.get(f"{base}/tasks/1/runs").json() == [
        {"id": later, "description": "Find the price. row_id: b", "is_done": True, "is_successful": True},
        {"id": first, "description": "Find the price. row_id: a", "is_done": True, "is_successful": True},
    ]
    broken = run(web, server, task=second, body={"wait_for_completion": False})
    assert (broken.status_code, broken.json()["detail"]) == (500, "Error while running task")


def test_a_new_task_with_its_run(web, server):
    """POST /api/runs makes both; its nulls are not those of an existing task's run."""
    url = f"{server.base_url()}/api/runs"
    told = web.post(url, json={"prompt": "Look. row_id: n-1"}).json()
    assert told["status"] == "success"
    task = web.get(f"{server.base_url()}/api/tasks/{told['task_id']}").json()
    names = ("prompt", "model", "provider", "response_format", "use_cached_workflow")
    assert [task[name] for name in names] == ["Look. row_id: n-1", "o3", "openai", "text", False]
    behind = web.post(url, json={"prompt": "Look.", "wait_for_completion": None}).json()
    assert behind.keys() == {"task_id", "task_run_id"}
    for name in ("prompt", "model", "provider", "json_schema"):
        answer = web.post(url, json={"prompt": "Look."} | {name: None})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", name])
    assert web.post(url, json={}).json()["detail"][0]["type"] == "missing"
    crashed = web.post(f"{server.base_url(crash=1)}/api/runs", json={"prompt": "Look."})
    assert crashed.json() == {"detail": "Error while executing agent"}


@pytest.mark.parametrize(
    ("fault", "status", "is_done", "is_successful", "outcome"),
    [
        ("failure", "failure", True, False, "failure"),
        ("vague", "failure", True, None, "failure"),
        ("unfinished", "in_progress", False, None, "unfinished"),
    ],
)
def test_ends_without_success(web, server, fault, status, is_done, is_successful, outcome):
    """An agent may fail, not know, or stop short: the last is never done though its steps are all there."""
    told = run(web, server, **{fault: 1}).json()
    assert (told["status"], told["is_done"], told["is_successful"]) == (status, is_done, is_successful)
    row = read(web, server, told["task_run_id"])
    assert (row["is_done"], row["is_successful"], len(row["steps"])) == (is_done, is_successful, 2)
    assert server.stats()["runs_ended"] == {outcome: 1}


def test_a_crash(web, server):
    """Blocking it is a 500 that names no run though its row is there; behind it the row is never done."""
    answer = run(web, server, "c-1", crash=1)
    assert (answer.status_code, answer.json()) == (500, {"detail": "Error while running task"})
    (light,) = web.get(f"{server.base_url()}/api/tasks/1/runs").json()
    assert light["description"].endswith("row_id: c-1")
    behind = run(web, server, "c-2", body={"wait_for_completion": False}, crash=1).json()
    eventually(lambda: server.stats()["runs_ended"] == {"crash": 2})
    row = read(web, server, behind["task_run_id"])
    assert (row["is_done"], row["is_successful"], row["result"], row["steps"]) == (False, None, None, [])


def test_a_run_that_never_ends(web, server):
    """It is not done for ever and counted as under way; blocking, no answer comes."""
    told = run(web, server, body={"wait_for_completion": False}, never=1).json()
    with pytest.raises(httpx.ReadTimeout):
        web.post(f"{server.base_url(never=1)}/api/tasks/1/runs", json={"prompt": "Look."}, timeout=0.05)
    assert read(web, server, told["task_run_id"])["is_done"] is False
    stats = server.stats()
    assert (stats["started"], stats["runs_now"], stats["runs_ended"]) == (2, 2, {})


def test_one_browser(web, server):
    """With one debugging port a second run fails while the first is under way, and works after it."""
    server.config(concurrency=1)
    first = run(web, server, "1", body={"wait_for_completion": False}, lat=300).json()
    assert run(web, server, "2").status_code == 500
    stuck = run(web, server, "3", body={"wait_for_completion": False}).json()
    eventually(lambda: read(web, server, first["task_run_id"])["is_done"])
    assert read(web, server, stuck["task_run_id"])["is_done"] is False
    assert run(web, server, "4").status_code == 200
    assert server.stats()["runs_ended"] == {"crash": 2, "success": 2}


def test_a_cached_workflow(web, server):
    """It is refused until one is there, and leaves a row; replayed, it succeeds whatever the schema says."""
    refused = run(web, server, "1", body={"use_cached_workflow": True})
    assert refused.status_code == 400
    assert "POST /api/runs/{run_id}/set-as-cached-workflow" in refused.json()["detail"]
    assert [(row["started"], row["is_done"]) for row in server.runs()] == [(False, False)]
    done = run(web, server, "2").json()["task_run_id"]
    made = web.post(f"{server.base_url()}/api/runs/{done}/set-as-cached-workflow").json()
    assert made.keys() == {"success", "workflow", "message", "task_id"}
    assert made["workflow"]["parameters"][0]["exampleValue"] == "2"
    task = web.get(f"{server.base_url()}/api/tasks/1").json()
    assert (task["use_cached_workflow"], task["cached_workflow"]) == (True, made["workflow"])
    told = run(web, server, "3", body={"json_schema": SCHEMA}, failure=1).json()
    assert (told["status"], told["result"]) == ("success", "row 3")
    assert told["history"][0]["actions"][0]["params"]["text"] == "3"
    redone = run(web, server, "4", redone=1).json()["history"][0]["actions"][0]
    assert [redone[name] for name in sorted(NEWER)] == [True, 1, "Element does not exist"]
    assert run(web, server, "5", body={"use_cached_workflow": False}, failure=1).json()["status"] == "failure"
    for value in ('say"so"', "back\\slash"):
        assert run(web, server, value).status_code == 500


class Listener(BaseHTTPRequestHandler):
    """Notes every POST and answers with the server's status."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((dict(self.headers), json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"thanks")

    def log_message(self, *told):
        """Nothing is printed."""


@pytest.fixture
def listener():
    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        server.heard, server.status = [], 200
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_webhook(web, server, listener):
    """The agent's answer is posted once, unsigned, before it is given; the row says what became of it."""
    url = f"http://127.0.0.1:{listener.server_port}/done"
    told = run(web, server, body={"webhook_url": url}).json()
    ((headers, posted),) = listener.heard
    assert posted == told
    assert not [name for name in headers if "sign" in name.lower()]
    listener.status = 503
    failed = run(web, server, body={"webhook_url": url, "wait_for_completion": False}).json()["task_run_id"]
    eventually(lambda: read(web, server, failed)["webhook_result_status_code"])
    gone = run(web, server, body={"webhook_url": "http://127.0.0.1:1/"}).json()["task_run_id"]
    names = [f"webhook_result_{name}" for name in ("success", "status_code", "message")]
    noted = [[read(web, server, each)[name] for name in names] for each in (told["task_run_id"], failed)]
    assert noted == [[True, 200, "thanks"], [False, 503, "thanks"]]
    assert len(listener.heard) == 2
    success, status, message = (read(web, server, gone)[name] for name in names)
    assert (success, status) == (False, 500)
    assert message.startswith("Error sending webhook")


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("fault", ["e_reset_late", "e_trunc", "e_garbage"])
def test_a_run_whose_answer_is_lost(web, server, fault, wait):
    """The run exists and is counted as started; only the list of runs, by its prompt, leads to it."""
    with pytest.raises(httpx.TransportError):
        run(web, server, "lost-1", body={"wait_for_completion": wait}, **{fault: 1})
    (light,) = web.get(f"{server.base_url()}/api/tasks/1/runs").json()
    assert light["description"].endswith("row_id: lost-1")
    eventually(lambda: read(web, server, light["id"])["result"] == "row lost-1")
    run(web, server, "lost-1")
    assert server.rows() == {"lost-1": (2, 2, 1)}
    assert server.stats()["started_more_than_once"] == 1


def test_other_misbehaviour(web, server):
    """500, 429, HTML, cut JSON, resets before any work and a gateway's 504 come as told."""
    answers = [run(web, server, "1", fail_first=2, fail_status=status) for status in (500, 429)]
    assert [(each.status_code, each.json()["detail"]) for each in answers] == [
        (500, "Error while running task"),
        (429, "Error while running task"),
    ]
    assert run(web, server, "2", e_html=1).headers["content-type"] == "text/html"
    with pytest.raises(httpx.TransportError):
        run(web, server, "3", e_reset=1)
    assert server.runs() == []
    with pytest.raises(json.JSONDecodeError):
        run(web, server, "4", e_malformed=1).json()
    late = run(web, server, "5", lat=300, gateway_s=0.01)
    assert late.status_code == 504
    eventually(lambda: server.runs()[-1]["is_done"])
    server.config(read_fails=1)
    assert web.get(f"{server.base_url()}/api/runs/1").status_code == 500


def test_whom_misfortune_befalls(web, server):
    """Crashes, too, can be kept to some markers and to their first attempts."""
    settings = {"only": "^bad", "first": 1, "crash": 1}
    answers = [run(web, server, row, **settings).status_code for row in ("bad", "good", "bad")]
    assert answers == [500, 200, 200]


def test_counts(web, server):
    """Calls are counted by endpoint, markers as a setting says, and never a run twice."""
    run(web, server, "1", marker=r"price\. (\S+)")
    run(web, server, "2")
    web.get(f"{server.base_url()}/api/runs/1")
    web.get(f"{server.base_url()}/api/runs/9")
    stats = server.stats()
    assert stats["calls"] == {"POST run of task": 2, "GET run": 2}
    assert stats["calls_refused"] == {"GET run 404": 1}
    assert server.rows() == {"row_id:": (1, 1, 1), "2": (1, 1, 1)}
    assert (stats["started"], stats["started_more_than_once"], stats["runs_max"]) == (2, 0, 1)
    assert [(row["edition"], row["marker"]) for row in server.runs()] == [
        ("hosted", "row_id:"),
        ("hosted", "2"),
    ]
