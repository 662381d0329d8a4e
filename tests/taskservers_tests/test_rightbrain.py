"""The Rightbrain server over loopback: every field, error and misbehaviour that a client has to live with."""

import base64
import json
import re
import socket
import threading
import time
import uuid
from datetime import datetime
from decimal import Decimal
from io import BytesIO

import httpx
import pytest
from PIL import Image
from pypdf import PdfReader

from tests.llmserver.media import jpeg, png
from tests.rightbrainserver import running_server
from tests.rightbrainserver.produced import pdf
from tests.rightbrainserver.tasks import schema_of, task_of

KEY = {"Authorization": "Bearer a-key"}
PAGE = {  # the 23 fields of the reference page, and the types that each may have
    "task_id": (uuid.UUID,), "task_revision_id": (uuid.UUID,), "response": (str, dict), "run_data": (dict,),
    "id": (uuid.UUID,), "created": (datetime,), "input_tokens": (int,), "output_tokens": (int,),
    "total_tokens": (int,), "input_processor_timing": (float, None), "llm_call_timing": (float, None),
    "charged_credits": (Decimal, None), "files": (list, None), "is_error": (bool, None),
    "llm_retries": (int, None), "used_fallback_model": (bool, None), "primary_failure_reason": (str, None),
    "fallback_llm_model_id": (uuid.UUID, None), "user_id": (uuid.UUID, None),
    "reporting_group_id": (uuid.UUID, None), "reference": (str, None), "context_id": (str, None),
    "reporting_group": (dict, None),
}  # fmt: skip  # a table
CREDITS = re.compile(r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$")


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


def run(web, server, row="1", task="Demo json", *, body=None, query=None, headers=KEY, **settings):
    """The answer to one run of a task."""
    told = {"task_input": {"row_id": row, "text": "words"}, "task_reference": row} | (body or {})
    told = {name: value for name, value in told.items() if value is not ...}
    url = f"{server.base_url(**settings)}{server.task_path(task)}/run"
    return web.post(url, json=told, params=query or {}, headers=headers)


def runs_of(web, server, task="Demo json", **query):
    """The first page of a task's runs."""
    url = f"{server.base_url()}{server.task_path(task)}/run"
    return web.get(url, params=query, headers=KEY)


def eventually(true):
    """Fail unless it comes true within ten seconds."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def is_of(value, kinds):
    """Whether a field's value is of one of its types."""
    if value is None:
        return None in kinds
    if uuid.UUID in kinds:
        return str(uuid.UUID(value)) == value
    if Decimal in kinds:
        return isinstance(value, str) and CREDITS.match(value) is not None
    if datetime in kinds:
        return datetime.fromisoformat(value).tzinfo is None
    return type(value) in kinds


def test_the_fields_of_a_run(web, server):
    """A run has all 23 fields of the page with their types, its two headers, and is read back the same."""
    answer = run(
        web,
        server,
        "r-7",
        query={"reporting_group": "acme"},
        body={"context_id": "talk-1"},
    )
    told = answer.json()
    assert answer.status_code == 200
    assert len(PAGE) == 23
    assert {name for name, kinds in PAGE.items() if not is_of(told[name], kinds)} == set()
    assert answer.headers["X-Task-Run-ID"] == told["id"]
    assert answer.headers["X-Task-Revision-ID"] == told["task_revision_id"]
    assert told["response"]["row_id"] == "r-7"
    assert told["response"]["label"] in {"good", "bad"}
    assert told["run_data"]["submitted"] == {"row_id": "r-7", "text": "words"}
    assert told["total_tokens"] == told["input_tokens"] + told["output_tokens"]
    assert (told["reference"], told["context_id"], told["charged_credits"]) == ("r-7", "talk-1", "1.00")
    assert (told["is_error"], told["llm_retries"], told["used_fallback_model"]) == (False, 0, False)
    assert told["reporting_group"]["name"] == "acme"
    assert told["reporting_group"]["id"] == told["reporting_group_id"]
    path = f"{server.base_url()}{server.task_path('Demo json')}/run/{told['id']}"
    assert web.get(path, headers=KEY).json() == told
    assert server.stats()["ok"] == 1


def test_fields_newer_than_the_page_and_nulls(web, server):
    """Newer fields come and go by a setting, and what may be null is null by another."""
    modern = run(web, server).json()
    assert modern.keys() > PAGE.keys()
    assert modern["task_name"] == "Demo json"
    assert modern["output_modality"] == "json"
    told = run(web, server, modern=0, nulls=1, credits="").json()
    assert told.keys() == PAGE.keys()
    assert {name for name, kinds in PAGE.items() if not is_of(told[name], kinds)} == set()
    empty = ("files", "is_error", "llm_retries", "used_fallback_model", "charged_credits")
    assert [told[name] for name in empty] == [None] * 5


def test_a_task(web, server):
    """A task tells its revisions with prompts, parameters, fallback and tags, and the weights of the live."""
    told = web.get(f"{server.base_url()}{server.task_path('Demo weights')}", headers=KEY).json()
    assert [each["weight"] for each in told["active_revisions"]] == [0.75, 0.25]
    assert [each["tags"][0]["name"] for each in told["revisions"]] == ["production", "candidate", "old"]
    assert told["revisions"][0]["input_params"] == ["row_id", "text"]
    assert (told["output_modality"], told["enabled"]) == ("json", True)
    spare = web.get(f"{server.base_url()}{server.task_path('Demo json')}", headers=KEY).json()
    assert uuid.UUID(spare["revisions"][0]["fallback_llm_model_id"])
    assert told["revisions"][0]["fallback_llm_model_id"] is None
    listed = web.get(f"{server.base_url()}/org/{server.org}/project/{server.project}/task", headers=KEY)
    assert "Demo json" in {each["name"] for each in listed.json()["results"]}


def test_revisions_by_id_tag_and_weight(web, server):
    """A run uses the revision of its id or tag, else one by weight, and the same again where draws repeat."""
    task = web.get(f"{server.base_url()}{server.task_path('Demo weights')}", headers=KEY).json()
    first, second, old = (each["id"] for each in task["revisions"])

    def used(row="1", query=None, **settings):
        return run(web, server, row, "Demo weights", query=query, **settings).json()["task_revision_id"]

    assert used(query={"revision_id": old}) == old
    assert used(query={"revision_tag": "candidate"}) == second
    assert used(query={"revision_tag": "old"}) == old
    drawn = [used(str(row), det=1) for row in range(60)]
    assert 30 <= drawn.count(first) <= 55
    assert set(drawn) == {first, second}
    server.reset()
    assert [used(str(row), det=1) for row in range(60)] == drawn
    for query in ({"revision_id": str(uuid.uuid4())}, {"revision_tag": "none"}):
        answer = run(web, server, task="Demo weights", query=query)
        assert (answer.status_code, answer.json()["detail"]["reason"]) == (404, "TASK_REVISION_NOT_FOUND")
    both = run(web, server, task="Demo weights", query={"revision_id": first, "revision_tag": "old"})
    assert both.status_code == 422


@pytest.mark.parametrize(
    ("kind", "content_type", "good"),
    [
        ("image", "image/png", lambda content: Image.open(BytesIO(content)).size == (16, 16)),
        ("audio", "audio/wav", lambda content: content.startswith(b"RIFF") and len(content) > 4_000),
        ("pdf", "application/pdf", lambda content: "row r1" in words_of(content)),
        ("csv", "text/csv", lambda content: content.startswith(b"row_id,text\r\nr1,")),
    ],
)  # fmt: skip
def test_produced_files(web, server, kind, content_type, good):
    """A produced file is told in response and files, its URL is relative to the base, its content true."""
    told = run(web, server, "r1", f"Demo {kind}").json()
    response, (file,) = told["response"], told["files"]
    assert response == {
        f"{kind}_name": file["stored_filename"],
        "content_type": content_type,
        "download_url": file["download_url"],
    }
    assert file["download_url"].startswith("/org/")
    answer = web.get(f"{server.base_url()}{file['download_url']}", headers=KEY)
    assert (answer.headers["content-type"], len(answer.content)) == (content_type, file["size_bytes"])
    assert good(answer.content)
    missing = web.get(f"{server.base_url()}{file['download_url']}x", headers=KEY)
    assert missing.status_code == 404
    bad = run(web, server, "r1", f"Demo {kind}", bad_file=1).json()["files"][0]
    page = web.get(f"{server.base_url()}{bad['download_url']}", headers=KEY)
    assert page.headers["content-type"] == content_type
    assert page.content.startswith(b"<html>")


def test_text_and_csv_in_words(web, server):
    """A text task answers in a string; so does a csv task that is told to."""
    assert run(web, server, "9", "Demo text").json()["response"] == "row 9"
    told = run(web, server, "9", "Demo csv", csv_as="text").json()
    assert told["response"].splitlines()[0] == "row_id,text"
    assert told["files"] == []


def words_of(content):
    return PdfReader(BytesIO(content)).pages[0].extract_text()


def attached(name, content):
    return {"task_files": [{"filename": name, "content": base64.b64encode(content).decode()}]}


def test_files_that_are_sent(web, server):
    """A task that wants a picture refuses to run without one, keeps what came, and gives it back."""
    picture = run(web, server, task="Demo picture", body=attached("me.png", png("1")))
    (file,) = picture.json()["files"]
    assert (file["original_filename"], file["content_type"]) == ("me.png", "image/png")
    assert file["stored_filename"] != "me.png"
    assert web.get(f"{server.base_url()}{file['download_url']}", headers=KEY).content == png("1")
    for body in ({}, attached("a.pdf", pdf(["a"])), {"task_files": []}):
        answer = run(web, server, task="Demo picture", body=body)
        assert (answer.status_code, answer.json()["detail"]["reason"]) == (422, "FILE_REQUIRED")
    unwanted = run(web, server, body=attached("me.png", png("1")))
    assert (unwanted.status_code, unwanted.json()["detail"]["reason"]) == (422, "FILE_INPUT_NOT_ACCEPTED")
    broken = run(web, server, task="Demo picture", body={"task_files": [{"filename": "a", "content": "%"}]})
    assert broken.json()["detail"][0]["loc"] == ["body", "task_files", 0, "content"]
    nameless = run(web, server, task="Demo picture", body={"task_files": [{"content": ""}]})
    assert nameless.json()["detail"][0]["loc"] == ["body", "task_files", 0, "filename"]


@pytest.mark.parametrize(
    ("mode", "content", "status"),
    [
        ("pdf", pdf(["a"]), 200), ("pdf", png("1"), 422), ("image_or_pdf", pdf(["a"]), 200),
        ("image_or_pdf", jpeg("1"), 200), ("image_or_pdf", b"words", 422), ("any", b"words", 200),
    ],
)  # fmt: skip
def test_modes_of_files(web, server, mode, content, status):
    """Each file_input_mode takes what it names and refuses the rest."""
    task = server.task(name="Reads", user_prompt="Read {{row_id}}", file_input_mode=mode)
    assert task["revisions"][0]["file_input_mode"] == mode
    assert run(web, server, task="Reads", body=attached("a.bin", content)).status_code == status


def test_input_processors(web, server):
    """A processor's parameter is told processed and as it came, and the time it took."""
    server.task(
        name="Fetches",
        user_prompt="Sum up {{url}}",
        input_processors=[{"param_name": "url", "input_processor": "url_fetcher", "config": {}}],
    )
    told = run(web, server, task="Fetches", body={"task_input": {"url": "a.example"}}).json()
    assert told["run_data"] == {
        "submitted": {"url": "url_fetcher of a.example"},
        "url_preprocessed": "a.example",
    }
    assert told["input_processor_timing"] == 0.00015282


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"task_input": ..., "input_params": {"row_id": "1"}}, ["body", "task_input"]),
        ({"input_params": {}}, ["body", "input_params"]),
        ({"task_input": "row_id: 1"}, ["body", "task_input"]),
        ({"task_reference": "x" * 65}, ["body", "task_reference"]),
        ({"task_reference": 7}, ["body", "task_reference"]),
        ({"context_id": "x" * 65}, ["body", "context_id"]),
        ({"task_files": {}}, ["body", "task_files"]),
    ],
)
def test_bodies_that_do_not_validate(web, server, body, where):
    """What does not validate is a 422 that says where, in a list, and starts nothing."""
    answer = run(web, server, body=body)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, where)
    assert answer.json()["detail"][0].keys() == {"loc", "msg", "type"}
    assert server.stats()["started"] == 0


def test_queries_that_do_not_validate(web, server):
    """Too long a reporting group and a flag that is none are 422; 64 characters are not too many."""
    for name, value in (("reporting_group", "x" * 65), ("use_fallback_model", "perhaps")):
        answer = run(web, server, query={name: value})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", name])
    told = run(web, server, query={"reporting_group": "x" * 64}, body={"task_reference": "y" * 64}).json()
    assert (told["reporting_group"]["name"], told["reference"]) == ("x" * 64, "y" * 64)
    url = f"{server.base_url()}{server.task_path('Demo json')}/run"
    nonsense = web.post(url, content=b"{", headers=KEY)
    assert (nonsense.status_code, nonsense.json()["detail"][0]["type"]) == (422, "json_invalid")


def test_bodies_in_chunks_and_no_http(web, server):
    """A body may come in chunks and be large; bytes that are no HTTP are refused."""
    told = {"task_input": {"row_id": "big", "text": "x" * 3_000_000}}
    whole = json.dumps(told).encode()
    pieces = (whole[at : at + 70_000] for at in range(0, len(whole), 70_000))
    url = f"{server.base_url()}{server.task_path('Demo json')}/run"
    answer = web.post(url, content=pieces, headers=KEY)
    assert answer.json()["response"]["row_id"] == "big"
    assert answer.json()["input_tokens"] > 700_000
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port), timeout=10) as wire:
        wire.sendall(b"nonsense\r\n\r\n")
        assert wire.recv(4_096).startswith(b"HTTP/1.1 400")


def test_what_the_application_refuses(web, server):
    """Missing placeholders, a disabled task and a fallback that is not there are 422 with a stable reason."""
    missing = run(web, server, body={"task_input": {"row_id": "1"}}).json()["detail"]
    assert (missing["reason"], missing["missingTaskInputError"]) == (
        "MISSING_TASK_INPUT",
        {"missing": ["text"]},
    )
    assert run(web, server, body={"task_input": {"row_id": "1", "text": None, "more": 1}}).status_code == 200
    assert run(web, server, task="Demo off").json()["detail"]["reason"] == "TASK_DISABLED"
    answer = run(web, server, task="Demo text", query={"use_fallback_model": "true"})
    assert (answer.status_code, answer.json()["detail"]["reason"]) == (422, "FALLBACK_MODEL_NOT_CONFIGURED")
    unknown = run(web, server, query={"reporting_group": "nobody"}, groups="refuse")
    assert (unknown.status_code, unknown.json()["detail"]["reason"]) == (404, "REPORTING_GROUP_NOT_FOUND")
    assert server.stats()["started"] == 1


def test_ids(web, server):
    """An id that is no UUID is a 400, a foreign project a 403, an unknown task or run a 404."""
    base, path = server.base_url(), server.task_path("Demo json")
    somebody = str(uuid.uuid4())
    asked = {
        path.replace(server.org, "acme"): (400, "MALFORMED_RESOURCE_IDENTIFIER"),
        f"{path}/run/12": (400, "MALFORMED_RESOURCE_IDENTIFIER"),
        path.replace(server.project, somebody): (403, "PERMISSION_CHECK_FAILED"),
        f"{path.rpartition('/')[0]}/{somebody}": (404, "TASK_NOT_FOUND"),
        f"{path}/run/{somebody}": (404, "TASK_RUN_NOT_FOUND"),
    }
    for where, expected in asked.items():
        answer = web.get(base + where, headers=KEY)
        assert (answer.status_code, answer.json()["detail"]["reason"]) == expected
    pinned = run(web, server, query={"revision_id": "v1"})
    assert (pinned.status_code, pinned.json()["detail"]["reason"]) == (400, "MALFORMED_RESOURCE_IDENTIFIER")
    other = run(web, server, task="Demo text").json()["id"]
    assert web.get(f"{base}{path}/run/{other}", headers=KEY).status_code == 404
    assert web.get(f"{base}/nowhere", headers=KEY).json() == {"detail": "Method Not Allowed"}
    assert web.get(f"{server.url}/api/v0", headers=KEY).json() == {"detail": "Not Found"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
@pytest.mark.parametrize("envelope", ["detail", "error"])
def test_envelopes(web, server, status, envelope):
    """Every status comes in the application's envelope or the published one; 401 is the proxy's own."""
    answer = run(web, server, fail_first=1, fail_status=status, envelope=envelope)
    told = answer.json()
    assert answer.status_code == status
    if envelope == "error":
        assert told.keys() == {"error", "request_id", "timestamp"}
        assert told["error"]["type"]
        assert told["error"]["message"]
    elif status == 401:
        assert told["error"].keys() == {"code", "status", "request", "message"}
        assert told["error"]["code"] == 401
    else:
        assert re.fullmatch("[A-Z_]+", told["detail"]["reason"])
        assert told["detail"]["message"]
    assert server.stats()["started"] == 0
    assert run(web, server, fail_first=1, fail_status=status, envelope=envelope).status_code == 200


def test_a_429_says_no_wait_unless_told(web, server):
    """This API's 429 has no Retry-After; with a mode it has one, and coming back early is counted."""
    assert "retry-after" not in run(web, server, "1", fail_first=1, fail_status=429).headers
    again = {"fail_first": 2, "fail_status": 429, "ra": 60, "ra_mode": "s"}
    assert run(web, server, "2", **again).headers["retry-after"] == "60"
    run(web, server, "2", **again)
    assert server.stats()["ra_violations"] == 1


def test_limits(web, server):
    """Requests a second and a minute are limited as told, and each refusal starts nothing."""
    assert [run(web, server, str(n), rps=0.01, burst=2).status_code for n in range(3)] == [200, 200, 429]
    assert [run(web, server, str(n), rpm=1).status_code for n in range(2)] == [200, 429]
    stats = server.stats()
    assert (stats["by_outcome"], stats["started"]) == ({"ok": 3, "e429_rps": 1, "e429_rpm": 1}, 3)


def test_plain_tokens(web, server):
    """Without a token nobody is let in, nor with another key than the one told; a task's own opens it."""
    assert run(web, server, headers={}).json()["error"]["code"] == 401
    assert run(web, server, key="secret").status_code == 401
    assert run(web, server, headers={"Authorization": "Bearer secret"}, key="secret").status_code == 200
    path = f"{server.base_url()}{server.task_path('Demo json')}"
    own = {"Authorization": f"Bearer {web.get(path, headers=KEY).json()['access_token']}"}
    assert run(web, server, headers=own, key="secret").status_code == 200
    assert run(web, server, task="Demo text", headers=own, key="secret").status_code == 401
    assert server.stats()["calls_refused"] == {"POST run 401": 3}


def token(web, server, **settings):
    """A fresh OAuth token's answer."""
    return web.post(
        server.token_url(**settings),
        data={"grant_type": "client_credentials"},
        auth=("rowmill", "pretend"),
    )


def test_oauth(web, server):
    """Client credentials give a bearer token; a wrong secret, grant or form gives OAuth's errors."""
    told = token(web, server).json()
    assert (told["token_type"], told["expires_in"]) == ("bearer", 3600)
    bearer = {"Authorization": f"Bearer {told['access_token']}"}
    assert run(web, server, headers=bearer).status_code == 200
    wrong = web.post(server.token_url(), data={"grant_type": "client_credentials"}, auth=("rowmill", "x"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    grant = web.post(server.token_url(), data={"grant_type": "password"}, auth=("rowmill", "pretend"))
    assert (grant.status_code, grant.json()["error"]) == (400, "unsupported_grant_type")
    form = web.post(server.token_url(), json={}, auth=("rowmill", "pretend"))
    assert (form.status_code, form.json()["error"]) == (400, "invalid_request")
    made_up = {"Authorization": "Bearer ory_at_made_up"}
    assert run(web, server, headers=made_up).status_code == 401
    assert server.stats()["calls"]["POST token"] == 4


def test_tokens_that_end(web, server):
    """A token ends by its age, its uses, or when it is revoked; then it is a 401, and a fresh one works."""
    short = {"Authorization": f"Bearer {token(web, server, token_s=0.1).json()['access_token']}"}
    eventually(lambda: run(web, server, headers=short).status_code == 401)
    assert run(web, server, headers=short).json()["error"]["code"] == 401
    worn = {"Authorization": f"Bearer {token(web, server).json()['access_token']}"}
    assert [run(web, server, headers=worn, token_uses=2).status_code for _ in range(3)] == [200, 200, 401]
    fresh = {"Authorization": f"Bearer {token(web, server).json()['access_token']}"}
    assert run(web, server, headers=fresh).status_code == 200
    assert server.revoke() == 3
    assert run(web, server, headers=fresh).status_code == 401


def test_an_error_in_a_200(web, server):
    """A run may be an error though its status is 200; it is listed as one, charged, and not counted as ok."""
    answer = run(web, server, is_error=1)
    assert (answer.status_code, answer.json()["is_error"]) == (200, True)
    assert isinstance(answer.json()["response"], str)
    run(web, server)
    assert [len(runs_of(web, server, status=s).json()["results"]) for s in ("error", "success")] == [1, 1]
    stats = server.stats()
    assert (stats["by_outcome"], stats["started"], stats["ok"]) == ({"is_error": 1, "ok": 1}, 2, 1)


def test_fallback(web, server):
    """By hand or when the primary fails the fallback answers and says so; without one it is an error."""
    spare = web.get(f"{server.base_url()}{server.task_path('Demo json')}", headers=KEY).json()
    model = spare["revisions"][0]["fallback_llm_model_id"]
    names = ("used_fallback_model", "primary_failure_reason", "fallback_llm_model_id", "is_error")

    def told(task="Demo json", query=None, **settings):
        answer = run(web, server, task=task, query=query, **settings).json()
        return [answer[name] for name in names]

    assert told() == [False, None, None, False]
    assert told(query={"use_fallback_model": "true"}) == [True, None, model, False]
    used, reason, which, is_error = told(primary_fails=1)
    assert (used, which, is_error) == (True, model, False)
    assert reason.startswith("rate_limit")
    assert told("Demo text", primary_fails=1)[3] is True
    assert run(web, server, llm_retries=2).json()["llm_retries"] == 2


def test_pages(web, server):
    """The list is newest first in pages by cursor, of a task or the project, and each run is in it once."""
    made = [run(web, server, str(n)).json()["id"] for n in range(5)]
    other = run(web, server, "5", "Demo text").json()["id"]
    url = f"{server.base_url()}{server.task_path('Demo json')}/run"
    seen, cursor = [], None
    while True:
        query = {"page_limit": 2} | ({"cursor": cursor} if cursor else {})
        page = web.get(url, params=query, headers=KEY).json()
        seen += [each["id"] for each in page["results"]]
        cursor = page["pagination"]["next_cursor"]
        assert page["pagination"] == {"next_cursor": cursor, "has_next": bool(cursor), "page_limit": 2}
        if not cursor:
            break
        assert uuid.UUID(cursor)
    assert seen == made[::-1]
    whole = f"{server.base_url()}/org/{server.org}/project/{server.project}/task_run"
    page = web.get(whole, headers=KEY).json()
    assert [each["id"] for each in page["results"]] == [other, *made[::-1]]
    assert page["pagination"]["page_limit"] == 100
    task_id = server.task_path("Demo text").rpartition("/")[2]
    page = web.get(whole, params={"task_id": task_id}, headers=KEY).json()
    assert [each["id"] for each in page["results"]] == [other]


def test_filters(web, server):
    """Revision, status and dates in words choose; a limit, cursor, status, id or date that is none is 400."""
    revisions = [run(web, server, str(n), "Demo weights").json()["task_revision_id"] for n in range(4)]

    def count(**query):
        return len(runs_of(web, server, "Demo weights", **query).json()["results"])

    assert count(task_revision_id=revisions[0]) == revisions.count(revisions[0])
    assert (count(status="success"), count(status="error")) == (4, 0)
    assert (count(start_date="yesterday", end_date="now"), count(end_date="yesterday")) == (4, 0)
    assert (count(start_date="24 hours ago"), count(start_date="2099-01-01")) == (4, 0)
    wrong = {
        "page_limit": "0",
        "cursor": "x",
        "status": "done",
        "task_revision_id": "x",
        "start_date": "soon",
    }
    for name, value in [*wrong.items(), ("page_limit", "101"), ("cursor", str(uuid.uuid4()))]:
        assert runs_of(web, server, "Demo weights", **{name: value}).status_code == 400


@pytest.mark.parametrize("fault", ["e_reset_late", "e_trunc", "e_trunc_rst", "e_garbage"])
def test_a_run_whose_answer_is_lost(web, server, fault):
    """The run exists, is charged and counted as started; its answer is lost, and its reference finds it."""
    with pytest.raises(httpx.TransportError):
        run(web, server, "lost-1", **{fault: 1})
    (found,) = [each for each in runs_of(web, server).json()["results"] if each["reference"] == "lost-1"]
    assert found["response"]["row_id"] == "lost-1"
    stats = server.stats()
    assert (stats["started"], stats["ok"], stats["by_outcome"]) == (1, 0, {fault: 1})
    assert (stats["inflight"], stats["started_more_than_once"]) == (0, 0)
    run(web, server, "lost-1")
    assert server.rows() == {"lost-1": (2, 2, 1)}
    assert (server.stats()["started_more_than_once"], server.stats()["rows_billed"]["excess"]) == (1, 1)


@pytest.mark.parametrize("fault", ["e_reset", "e_hang"])
def test_a_request_that_is_lost_before_its_run(web, server, fault):
    """A connection that breaks before any work leaves no run."""
    with pytest.raises(httpx.TransportError):
        run(web, server, **{fault: 1, "hang_s": 0.01})
    assert (server.runs(), server.stats()["started"], server.stats()["by_status"]) == ([], 0, {"444": 1})


def test_other_misbehaviour(web, server):
    """A page of HTML, cut JSON, an answer of another shape and a slow one come as told."""
    page = run(web, server, e_html=1)
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    cut = run(web, server, e_malformed=1)
    assert cut.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        cut.json()
    assert run(web, server, "1", e_badcontent=1).json()["response"] == {"unasked": "row 1"}
    assert run(web, server, lat=60).json()["llm_call_timing"] >= 0.06
    assert server.stats()["by_outcome"] == {"e_html": 1, "e_malformed": 1, "e_badcontent": 1, "ok": 1}


def test_a_gateway_that_gives_up(web, server):
    """The gateway answers 504 in HTML while the run goes on, and is found in the list when it has ended."""
    answer = run(web, server, "slow-1", lat=500, gateway_s=0.01)
    assert (answer.status_code, answer.headers["content-type"]) == (504, "text/html")
    assert (server.stats()["started"], server.stats()["runs_now"]) == (1, 1)
    assert runs_of(web, server).json()["results"] == []
    eventually(lambda: runs_of(web, server).json()["results"])
    assert [each["reference"] for each in runs_of(web, server).json()["results"]] == ["slow-1"]
    assert server.stats()["by_outcome"] == {"gateway": 1}


def test_a_slow_list(web, server):
    """A run is listed only after the lag, though it can be read by its id at once."""
    late = run(web, server, "late", list_lag=60).json()["id"]
    assert runs_of(web, server).json()["results"] == []
    path = f"{server.base_url()}{server.task_path('Demo json')}/run/{late}"
    assert web.get(path, headers=KEY).status_code == 200
    soon = run(web, server, "soon", list_lag=0.02).json()["id"]
    eventually(lambda: [each["id"] for each in runs_of(web, server).json()["results"]] == [soon])


def test_readings_that_fail(web, server):
    """Readings fail and listings are cut as often as told, which nothing that is started notices."""
    server.config(read_fails=1)
    made = run(web, server).json()["id"]
    assert runs_of(web, server).status_code == 503
    path = f"{server.base_url()}{server.task_path('Demo json')}"
    assert [web.get(f"{path}{end}", headers=KEY).status_code for end in ("", f"/run/{made}")] == [503, 503]
    server.config(read_fails=0, pages_lost=1)
    with pytest.raises(httpx.TransportError):
        runs_of(web, server)
    stats = server.stats()
    assert stats["calls"] == {"POST run": 1, "LIST runs": 2, "GET task": 1, "GET run": 1}
    assert stats["calls_refused"]["LIST runs 503"] == 1


def test_a_client_that_leaves(web, server):
    """The run of a client that left goes on to its end, and is counted as heard by nobody."""
    with pytest.raises(httpx.ReadTimeout):
        web.post(
            f"{server.base_url(lat=300)}{server.task_path('Demo json')}/run",
            json={"task_input": {"row_id": "1", "text": ""}, "task_reference": "left"},
            headers=KEY,
            timeout=0.02,
        )
    eventually(server.runs)
    assert [each["reference"] for each in server.runs()] == ["left"]
    stats = server.stats()
    assert (stats["started"], stats["ok"], stats["client_aborts"]) == (1, 0, 1)


def test_the_most_at_once(web, server):
    """Runs and calls under way at once are counted at their most."""
    threads = [
        threading.Thread(target=run, args=(web, server, str(n)), kwargs={"lat": 300}) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = server.stats()
    assert (stats["inflight_max"], stats["runs_max"], stats["calls_max"]) == (4, 4, 4)
    assert (stats["inflight"], stats["runs_now"]) == (0, 0)


def test_whom_misfortune_befalls(web, server):
    """Faults and misfortunes can be kept to some markers and to their first attempts."""
    settings = {"only": "^bad", "first": 1, "is_error": 1}
    told = [run(web, server, row, **settings).json()["is_error"] for row in ("bad-1", "good", "bad-1")]
    assert told == [True, False, False]
    with pytest.raises(httpx.TransportError):
        run(web, server, "bad-2", only="^bad", first=1, e_reset_late=1)
    again = [run(web, server, row, only="^bad", first=1, e_reset_late=1) for row in ("good", "bad-2")]
    assert [answer.status_code for answer in again] == [200, 200]
    assert server.rows()["bad-2"] == (2, 2, 1)


def test_settings(web, server):
    """What is no setting is refused, at /config and in a base URL; clear=1 goes back to the start."""
    assert server.config(is_error=0.5)["is_error"] == 0.5
    assert server.config(clear=1)["is_error"] == 0
    for wrong in ({"is_error": 2}, {"envelope": "none"}, {"nonsense": 1}, {"e_refusal": 1}, {"lat": "x"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            server.config(**wrong)
        assert run(web, server, **wrong).status_code == 400
    with running_server(is_error=1) as other:
        assert run(web, other).json()["is_error"] is True


def test_output_formats():
    """An output_format in short and in full becomes a schema; what no task has is refused."""
    nested = {"type": "object", "nested_structure": {"d": "str"}}
    told = schema_of({"a": "int", "b": {"type": "list", "item_type": "bool"}, "c": nested})
    assert told["required"] == ["a", "b", "c"]
    assert told["properties"]["b"] == {"type": "array", "items": {"type": "boolean"}}
    assert told["properties"]["c"]["properties"] == {"d": {"type": "string"}}
    single = task_of({"name": "One", "user_prompt": '{"a": {{ x }}} {y} {{x}} {{{z}}}'})
    assert single.revisions[0].input_params == ["x", "y", "z"]
    for wrong in ({"output_modality": "film"}, {"file_input_mode": "film"}, {"nonsense": 1}):
        with pytest.raises(ValueError, match=r"nonsense|is one of"):
            task_of({"name": "One", "user_prompt": "x", **wrong})
