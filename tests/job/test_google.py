"""A batch against Gemini's API as a server on loopback speaks it."""

import struct
import threading
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import open_ledger

TASK = """\
task: mood
output:
  schema:
    type: object
    properties: {mood: {enum: [good, bad]}}
    required: [mood]
    additionalProperties: false
system_prompt: Be brief.
user_prompt: "Mood of {{text}}"
model: google:gemini-2.5-flash
parameters: {max_tokens: 200}
"""
JOB = """\
task: task.yaml
source: {path: rows.csv, key: id}
ledger: ledger.duckdb
limits: {in_flight: 4, max_cost: 1}
"""
FIRST = {  # what the first call about a row meets, where it is not answered
    "1": (429, {"code": 429, "message": "slow", "details": [{"retryDelay": "0.01s"}]}),
    "2": (503, {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}),
}


class Server(ThreadingHTTPServer):
    """Remembers each request; fails the first call about some rows, and refuses one for good."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None, Any]] = []
        self.calls: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/v1beta"


class Handler(BaseHTTPRequestHandler):
    """Answers as generateContent does."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
        if body.get("generationConfig", {}).get("responseModalities") == ["TEXT", "IMAGE"]:
            self.server.asked.append((self.path, self.headers["x-goog-api-key"], body))
            parts = [
                {"text": "Brighter."},
                {"inlineData": {"mimeType": "image/png", "data": in_base64(picture())}},
            ]
            candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
            self._say(200, {"candidates": [candidate], "usageMetadata": usage(answer=1290)})
            return
        row = body["contents"][-1]["parts"][-1]["text"].rpartition(" ")[2]
        self.server.calls[row] += 1
        self.server.asked.append((self.path, self.headers["x-goog-api-key"], body))
        if row in FIRST and self.server.calls[row] == 1:
            status, error = FIRST[row]
            self._say(status, {"error": error})
        elif row == "3":
            self._say(200, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage(answer=0)})
        else:
            parts = [{"text": "Hm.", "thought": True}, {"text": '{"mood":"good"}'}]
            candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
            self._say(
                200,
                {
                    "candidates": [candidate],
                    "usageMetadata": usage(answer=5, thoughts=100),
                    "modelVersion": "gemini-2.5-flash-001",
                    "responseId": f"r-{row}",
                },
            )

    def _say(self, status: int, body: object) -> None:
        content = orjson.dumps(body)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: pytest's output is for tests."""


def in_base64(content: bytes) -> str:
    return b64encode(content).decode()


def picture() -> bytes:
    """A PNG of one red point."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\xff\0\0")),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def usage(*, answer: int, thoughts: int = 0) -> dict[str, int]:
    return {"promptTokenCount": 10, "candidatesTokenCount": answer, "thoughtsTokenCount": thoughts}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_batch_over_gemini_s_api_is_accounted_for_to_the_last_token(server: Server, tmp_path: Path) -> None:
    """R20, R21, R37: what is refused for now is tried again; thoughts are counted, and paid for as output."""
    (tmp_path / "rows.csv").write_text("id,text\n" + "".join(f"{n},row {n}\n" for n in range(20)))
    (tmp_path / "task.yaml").write_text(TASK)
    (tmp_path / "job.yaml").write_text(JOB)
    environment = Environment.of({"GEMINI_API_KEY": "AIza-not-a-key", "GOOGLE_BASE_URL": server.url})
    setup = load_setup(tmp_path / "job.yaml", environment=environment)
    summary: Summary = anyio.run(lambda: run_batch(setup))
    assert (summary.completed, summary.failed, summary.failures) == (19, 1, {"refused": 1})
    assert server.calls == {str(n): 2 if str(n) in FIRST else 1 for n in range(20)}
    assert {(path, key) for path, key, _ in server.asked} == {
        ("/v1beta/models/gemini-2.5-flash:generateContent", "AIza-not-a-key")
    }
    config = server.asked[0][2]["generationConfig"]
    assert (config["maxOutputTokens"], config["responseMimeType"]) == (200, "application/json")
    with open_ledger(tmp_path / "ledger.duckdb", read_only=True) as ledger:
        attempts = ledger.cursor().execute(
            "select failure_kind, count(*), sum(output_tokens), sum(reasoning_tokens), sum(cost) "
            "from attempts group by all order by all"
        )
        assert attempts.fetchall() == [
            ("rate_limited", 1, None, None, 0),
            ("refused", 1, 0, 0, Decimal("0.000003")),
            ("server_error", 1, None, None, 0),
            # 10 tokens at 0.30 and 105 at 2.50 dollars a million, for each of 19 rows
            (None, 19, 1995, 1900, Decimal("0.0050445")),
        ]
        runs = ledger.cursor().execute("select count(*) from task_runs where response is not null").fetchall()
        assert runs == [(19,)]
    assert b"AIza-not-a-key" not in (tmp_path / "ledger.duckdb").read_bytes()


def test_pictures_go_there_and_come_back_as_files(server: Server, tmp_path: Path) -> None:
    """R15, R19: a row's picture is sent within the call, and the answer's lies beside the ledger."""
    (tmp_path / "photo.png").write_bytes(picture())
    (tmp_path / "rows.csv").write_text("id,photo\n1,photo.png\n")
    (tmp_path / "task.yaml").write_text(
        "task: brighten\noutput: image\nuser_prompt: Make it brighter.\nfile_input_mode: image\n"
        "model: google:gemini-2.5-flash-image\nparameters: {max_tokens: 2000}\n"
    )
    (tmp_path / "job.yaml").write_text(JOB + "files: photo\n")
    environment = Environment.of({"GEMINI_API_KEY": "AIza-not-a-key", "GOOGLE_BASE_URL": server.url})
    setup = load_setup(tmp_path / "job.yaml", environment=environment)
    summary: Summary = anyio.run(lambda: run_batch(setup))
    assert (summary.completed, summary.failed) == (1, 0)
    ((path, _, body),) = server.asked
    assert path == "/v1beta/models/gemini-2.5-flash-image:generateContent"
    assert body["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": in_base64(picture())}},
        {"text": "Make it brighter."},
    ]
    with open_ledger(tmp_path / "ledger.duckdb", read_only=True) as ledger:
        files = ledger.cursor().execute("select direction, uri, mime_type from files order by direction")
        (_, _, sent), (_, uri, made) = files.fetchall()
        (cost,) = ledger.cursor().execute("select sum(cost) from attempts").fetchall()
    assert (sent, made) == ("image/png", "image/png")
    assert (tmp_path / uri).read_bytes() == picture()
    assert cost == (Decimal("0.038703"),)  # 10 tokens at 0.30 and 1,290 at 30 dollars a million
