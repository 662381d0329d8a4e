"""The whole server, over loopback: what a client sees, and what is counted of it."""

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.llmserver import running_server

SCHEMA = {"type": "object", "properties": {"row_id": {"type": "string"}, "label": {"enum": ["a", "b"]}}}


@pytest.fixture(scope="module")
def running():
    with running_server() as server:
        yield server


@pytest.fixture
def server(running):
    running.config(clear=1)
    running.reset()
    return running


def body_of(row, schema=None):
    told = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": f"row_id: {row} is it good?"}]}
    if schema:
        told["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return json.dumps(told).encode()


def post(server, body, settings="", **headers):
    """Status, headers and bytes of one exchange on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    path = f"/c/{settings}/v1/chat/completions" if settings else "/v1/chat/completions"
    try:
        connection.request(
            "POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def wire(server):
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=10)


def eventually(true: Callable[[], bool]):
    """Fail unless it comes true within ten seconds."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def test_a_good_answer(server):
    """An answer names its row, its usage adds up, and it is counted once as received, billed and ok."""
    server.config(cached=0.5, reasoning=3)
    status, headers, told = post(server, body_of(7))
    answer = json.loads(told)
    usage = answer["usage"]
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "row 7")
    assert headers["x-request-id"].startswith("req_")
    assert usage["prompt_tokens"] == -(-len(body_of(7)) // 4)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": usage["prompt_tokens"] // 2}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 3}
    stats = server.stats()
    assert (stats["recv"], stats["billed"], stats["ok"], stats["inflight"]) == (1, 1, 1, 0)
    assert (stats["tok_in"], stats["tok_out"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert server.rows() == {"7": (1, 1, 1)}


def test_row_ids(server):
    """The header names the row, else the body, else a hash of the body does."""
    post(server, body_of(1), X_Row_Id="from-the-header")
    post(server, body_of("two.b"))
    nameless = body_of(1).replace(b"row_id: 1", b"nothing")
    post(server, nameless)
    post(server, nameless)
    counted = server.rows()
    assert list(counted.items())[:2] == [("from-the-header", (1, 1, 1)), ("two.b", (1, 1, 1))]
    assert list(counted.values())[2:] == [(2, 2, 2)]
    assert server.stats()["rows_billed"] == {
        "rows": 3, "rows_more_than_once": 1, "total": 4, "excess": 1, "histogram": {"1": 2, "2": 1},
    }  # fmt: skip


def test_a_schema_is_answered_with_an_instance(server):
    """Under a schema the content is an instance that says which row it belongs to."""
    _, _, told = post(server, body_of("r-9", SCHEMA))
    content = json.loads(json.loads(told)["choices"][0]["message"]["content"])
    assert content["row_id"] == "r-9"
    assert content["label"] in {"a", "b"}


@pytest.mark.parametrize(
    ("fault", "status", "billed"),
    [
        ("e429", 429, 0), ("e500", 500, 0), ("e503", 503, 0), ("e529", 529, 0), ("e400", 400, 0),
        ("e401", 401, 0), ("e404", 404, 0), ("e_html", 502, 0), ("e_malformed", 200, 1),
        ("e_badcontent", 200, 1), ("e_empty", 200, 1), ("e_refusal", 200, 1), ("e_length", 200, 1),
    ],
)  # fmt: skip
def test_faults_that_answer(server, fault, status, billed):
    """A fault is answered with its status, is billed if a completion was made, and is never ok."""
    seen, _, told = post(server, body_of(1, SCHEMA), f"{fault}=1")
    stats = server.stats()
    assert (seen, stats["by_outcome"], stats["by_status"]) == (status, {fault: 1}, {str(status): 1})
    assert (stats["billed"], stats["ok"], stats["rows_received_never_ok"]) == (billed, 0, 1)
    assert (stats["tokens_by_outcome"].get(fault, [0, 0])[0] > 0) == bool(billed)
    if fault in {"e_html", "e_malformed"}:
        with pytest.raises(json.JSONDecodeError):
            json.loads(told)
    elif status != 200:
        assert json.loads(told)["error"]["message"]
    else:
        choice = json.loads(told)["choices"][0]
        finish = {"e_empty": "content_filter", "e_length": "length"}.get(fault, "stop")
        assert choice["finish_reason"] == finish
        assert bool(choice["message"]["refusal"]) == (fault == "e_refusal")
        with pytest.raises((json.JSONDecodeError, TypeError)):
            json.loads(choice["message"]["content"])


@pytest.mark.parametrize(
    ("fault", "status", "billed"),
    [
        ("e_reset", 444, 0), ("e_hang", 444, 0), ("e_reset_late", 444, 1),
        ("e_trunc", 200, 1), ("e_trunc_rst", 200, 1), ("e_garbage", 200, 1),
    ],
)  # fmt: skip
def test_faults_that_break_the_connection(server, fault, status, billed):
    """A broken exchange is an error to the client, and billed if a completion was made."""
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        post(server, body_of(1), f"{fault}=1,hang_s=0.01")
    stats = server.stats()
    assert (stats["by_outcome"], stats["by_status"]) == ({fault: 1}, {str(status): 1})
    assert (stats["billed"], stats["ok"], stats["inflight"], stats["client_aborts"]) == (billed, 0, 0, 0)


def test_a_slow_body_is_good(server):
    """A body that drips is whole in the end, and ok."""
    status, _, told = post(server, body_of(1), "e_drip=1,drip_s=0.02")
    assert (status, json.loads(told)["choices"][0]["message"]["content"]) == (200, "row 1")
    assert (server.stats()["ok"], server.stats()["by_outcome"]) == (1, {"e_drip": 1})


def test_early_retries_are_counted(server):
    """A retry before its row's Retry-After is a violation, one from then on is none."""
    settings = "fail_first=2,fail_status=429,ra=0.05,ra_mode=frac"
    _, headers, _ = post(server, body_of(1), settings)
    assert headers["Retry-After"] == "0.050"
    post(server, body_of(1), settings)
    stats = server.stats()
    assert (stats["ra_violations"], stats["pause_violations"]) == (1, 1)
    assert 0 < stats["ra_earliest_ms"] <= 50
    time.sleep(0.05)
    assert post(server, body_of(1), settings)[0] == 200
    stats = server.stats()
    assert (stats["ra_violations"], stats["pause_violations"], stats["recv"]) == (1, 1, 3)


def test_a_pause_is_the_whole_accounts(server):
    """Another row of the same key breaks the pause, another key does not."""
    server.config(fail_first=1, fail_status=429, ra=60)
    post(server, body_of(1), Authorization="Bearer one")
    post(server, body_of(2), Authorization="Bearer two")
    assert server.stats()["pause_violations"] == 0
    post(server, body_of(3), Authorization="Bearer one")
    stats = server.stats()
    assert (stats["pause_violations"], stats["ra_violations"]) == (1, 0)
    assert 59_000 < stats["pause_earliest_ms"] <= 60_000
    server.config(pause_grace=600_000)
    post(server, body_of(4), Authorization="Bearer one")
    stats = server.stats()
    assert (stats["pause_violations"], stats["pause_underway"]) == (1, 1)


def test_strict_retry_after(server):
    """With strict_ra an early retry gets another 429 that names what is left."""
    server.config(fail_first=1, fail_status=503, ra=60, strict_ra=1)
    post(server, body_of(1))
    status, headers, _ = post(server, body_of(1))
    assert (status, headers["Retry-After"]) == (429, "60")
    assert server.stats()["by_outcome"] == {"e503": 1, "e429_early": 1}


def test_a_rate_limit_of_requests_a_minute(server):
    """The window lets exactly its limit in, says what is left, and when to come back."""
    answers = [post(server, body_of(row), "rpm=3") for row in range(5)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
    assert [headers["x-ratelimit-remaining-requests"] for _, headers, _ in answers] == [
        "2",
        "1",
        "0",
        "0",
        "0",
    ]
    assert answers[0][1]["x-ratelimit-limit-requests"] == "3"
    assert answers[3][1]["Retry-After"] in {"59", "60"}
    assert server.stats()["by_outcome"] == {"ok": 3, "e429_rpm": 2}
    assert (server.busiest(60), server.busiest(0.000_001)) == (5, 1)


def test_limits_that_nobody_is_told(server):
    """With tell=0 they hold, and no header speaks of them but the wait of a 429."""
    answers = [post(server, body_of(row), "rps=0.01,burst=1,tpm=6000,tell=0") for row in range(2)]
    assert [status for status, _, _ in answers] == [200, 429]
    assert not [name for _, headers, _ in answers for name in headers if "ratelimit" in name.lower()]
    assert answers[1][1]["Retry-After"]


def test_a_bucket_of_requests_and_of_tokens(server):
    """Both buckets refuse what is beyond their depth, each under its own name."""
    assert [post(server, body_of(row), "rps=0.01,burst=2")[0] for row in range(3)] == [200, 200, 429]
    status, headers, _ = post(server, body_of(9), "tpm=60")
    assert (status, headers["x-ratelimit-limit-tokens"]) == (200, "60")
    assert post(server, body_of(9), "tpm=60")[0] == 429
    assert server.stats()["by_outcome"] == {"ok": 3, "e429_rps": 1, "e429_tpm": 1}


def test_requests_in_flight(server):
    """More at once than max_inflight get a 429, and the most at once is known."""
    server.config(lat=600_000, max_inflight=2)
    held = [wire(server) for _ in range(2)]
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b"
    for row, connection in enumerate(held):
        connection.sendall(request % (len(body_of(row)), body_of(row)))
    eventually(lambda: server.stats()["inflight"] == 2)
    assert post(server, body_of(3))[0] == 429
    stats = server.stats()
    assert (stats["inflight_max"], stats["by_outcome"]) == (3, {"e429_inflight": 1})
    for connection in held:
        connection.close()


def test_keys(server):
    """Without the expected bearer token a request is answered 401."""
    server.config(auth="right")
    assert [
        post(server, body_of(1), Authorization=told)[0] for told in ("Bearer right", "Bearer wrong", "")
    ] == [200, 401, 401]


def test_a_client_that_leaves(server):
    """A client that leaves before its answer is billed all the same, and not ok."""
    connection = wire(server)
    connection.sendall(
        b"POST /c/lat=100/v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body_of(1)), body_of(1))
    )
    eventually(lambda: server.stats()["inflight"] == 1)
    connection.close()
    eventually(lambda: server.stats()["inflight"] == 0)
    stats = server.stats()
    assert (stats["billed"], stats["ok"], stats["client_aborts"]) == (1, 0, 1)


def test_an_answer_that_nobody_reads(server):
    """An answer is ok when all of it is in the socket, not before."""
    wide = body_of(1, {"type": "string", "minLength": 30_000_000})
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(wide), wide)
    with wire(server) as connection:
        connection.sendall(request)
        eventually(lambda: server.stats()["billed"] == 1)
        assert (server.stats()["ok"], server.stats()["inflight"]) == (0, 1)
    eventually(lambda: server.stats()["client_aborts"] == 1)
    assert post(server, wide)[0] == 200
    eventually(lambda: server.stats()["ok"] == 1)
    assert server.rows() == {"1": (2, 2, 1)}


def test_requests_in_pieces_and_together(server):
    """Requests that come together or byte by byte are answered one after the other on one connection."""
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b"
    told = b"".join(request % (len(body_of(row)), body_of(row)) for row in range(3))
    with wire(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(told)
        for byte in told:
            connection.sendall(bytes([byte]))
        connection.shutdown(socket.SHUT_WR)
        seen = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert [seen.count(b'"row %d"' % row) for row in range(3)] == [2, 2, 2]
    assert server.rows() == {str(row): (2, 2, 2) for row in range(3)}


@pytest.mark.parametrize(
    ("told", "outcome"),
    [(b"{", "e400_request"), (b'{"model": "m", "messages": []}', "e400_request"), (b"[]", "e400_request")],
)
def test_what_a_provider_would_refuse(server, told, outcome):
    """A body without what every request has is answered 400 and belongs to no row."""
    assert post(server, told)[0] == 400
    assert server.stats()["by_outcome"] == {outcome: 1}
    assert server.rows() == {}


def test_settings_at_run_time(server):
    """A setting holds until it is cleared; an unknown one is refused wherever it stands."""
    assert server.config(e500=1)["e500"] == 1
    assert post(server, body_of(1))[0] == 500
    assert post(server, body_of(1), "e500=0")[0] == 200
    assert server.config(clear=1)["e500"] == 0
    assert post(server, body_of(1))[0] == 200
    with pytest.raises(ValueError, match="no setting 'e499'"):
        server.config(e499=1)
    assert post(server, body_of(1), "e499=1")[0] == 400


def test_many_clients_are_counted_exactly(server):
    """What eight clients at once saw is what was counted."""
    server.config(e429=0.1, e500=0.1, e_malformed=0.1, det=1, seed=3, ra=0)
    seen: list[int] = []

    def work(worker):
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        for row in range(100):
            connection.request("POST", "/v1/chat/completions", body_of(f"{worker}-{row}"))
            answer = connection.getresponse()
            answer.read()
            seen.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = server.stats()
    assert stats["by_status"] == {str(status): seen.count(status) for status in set(seen)}
    assert (stats["recv"], stats["rows_received"]["rows"], stats["inflight"]) == (800, 800, 0)
    assert stats["ok"] + stats["by_outcome"]["e_malformed"] == stats["billed"] == seen.count(200)
    assert (server.busiest(3_600), sum(stats["rows_ok"]["histogram"].values())) == (800, stats["ok"])


def test_it_ends_with_its_parent():
    """The child is gone when the block is left, with requests still in flight."""
    with running_server(lat=600_000) as server:
        connection = wire(server)
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body_of(1)), body_of(1))
        )
        eventually(lambda: server.stats()["inflight"] == 1)
    connection.close()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_it_does_not_start_with_nonsense():
    """A setting that is not known stops the start, before anything is sent to it."""
    with pytest.raises(RuntimeError, match="did not start"), running_server(e499=1):
        pass
