"""Small batches of each protocol against aimock, which speaks them all, and says what it was asked."""

import struct
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import open_ledger
from tests.aimock.server import KEY, Aimock, aimock

pytestmark = pytest.mark.aimock

ROWS = {
    "1": "plain one",
    "2": "plain two",
    "3": "busy once",  # 429, then an answer
    "4": "broken once",  # 500, then an answer
    "5": "broken always",
}
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
}
SCHEMA = """\
output:
  schema:
    type: object
    properties: {mood: {type: string, enum: [good, bad]}}
    required: [mood]
    additionalProperties: false
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One protocol as aimock serves it."""

    model: str
    base: str  # added to the server's address
    path: str  # that every call of a batch goes to


FAMILIES = {
    "openai": Family(model="gpt-4o-mini", base="/v1", path="/v1/chat/completions"),
    "anthropic": Family(model="claude-haiku-4-5", base="/v1", path="/v1/messages"),
    "google": Family(
        model="gemini-2.5-flash", base="/v1beta", path="/v1beta/models/gemini-2.5-flash:generateContent"
    ),
}


def says(content: str, *of: str) -> list[dict[str, Any]]:
    """An answer, the first time and each further one, after these errors."""
    answer = {"content": content, "usage": USAGE}
    return [{"match": {"userMessage": f"Mood of {text}"}, "response": answer} for text in of]


def fails(text: str, status: int, **match: int) -> dict[str, Any]:
    told = {"error": {"message": "not now", "type": "not_now"}, "status": status}
    wait = {"retryAfter": 1} if status == 429 else {}
    return {"match": {"userMessage": f"Mood of {text}", **match}, "response": {**told, **wait}}


def fixtures(content: str) -> list[dict[str, Any]]:
    return [
        fails("busy once", 429, sequenceIndex=0),
        fails("broken once", 500, sequenceIndex=0),
        fails("broken always", 500),
        *says(content, "plain one", "plain two", "busy once", "broken once"),
    ]


def run(
    folder: Path,
    server: Aimock,
    name: str,
    *,
    output: str,
    key: str = KEY,
    model: str | None = None,
    limits: str = ", max_cost: 1",
) -> Summary:
    """A batch of the five rows against the family's built-in provider, at the server's address."""
    family = FAMILIES[name]
    rows = "".join(f"{number},{text}\n" for number, text in ROWS.items())
    (folder / "rows.csv").write_text("id,text\n" + rows)
    (folder / "task.yaml").write_text(
        f"task: mood\n{output}system_prompt: Be brief.\nuser_prompt: 'Mood of {{{{text}}}}'\n"
        f"model: {name}:{model or family.model}\nparameters: {{max_tokens: 200, temperature: 0.25}}\n"
    )
    (folder / "job.yaml").write_text(
        "task: task.yaml\nsource: {path: rows.csv, key: id}\nledger: ledger.duckdb\n"
        "retries: {transient: 1, rate_limited: 3}\nlimits: {in_flight: 2" + limits + "}\n"
    )
    variable = "GEMINI_API_KEY" if name == "google" else f"{name.upper()}_API_KEY"
    environment = Environment.of({variable: key, f"{name.upper()}_BASE_URL": server.url + family.base})
    setup = load_setup(folder / "job.yaml", environment=environment)
    return anyio.run(lambda: run_batch(setup))


def sql(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with open_ledger(folder / "ledger.duckdb", read_only=True) as ledger:
        return ledger.cursor().execute(query).fetchall()


def body_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A request as aimock understood it, in the words of chat completions, whatever it came as."""
    body: dict[str, Any] = entry["body"]
    return body


@pytest.mark.parametrize(
    ("output", "content", "answer"),
    [
        pytest.param("output: text\n", "Good.", '"Good."', id="text"),
        pytest.param(SCHEMA, '{"mood":"good"}', '{"mood":"good"}', id="schema"),
    ],
)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_is_answered_and_its_faults_are_overcome(
    tmp_path: Path, name: str, output: str, content: str, answer: str
) -> None:
    """Four rows are answered, two of them at the second try; one fails after all its tries."""
    family = FAMILIES[name]
    with aimock(tmp_path, fixtures(content)) as server:
        summary = run(tmp_path, server, name, output=output)
        journal = server.journal()
    assert (summary.completed, summary.failed, summary.failures) == (4, 1, {"server_error": 1})
    attempts = sql(tmp_path, "select http_status, count(*) from attempts group by all")
    assert dict(attempts) == {200: 4, 429: 1, 500: 3}  # the failing row: one try and one more
    assert Counter(entry["response"]["status"] for entry in journal) == dict(attempts)
    assert {entry["path"] for entry in journal} == {family.path}
    for entry in journal:
        body = body_of(entry)
        assert body["model"] == family.model
        assert (body["max_tokens"] if "max_tokens" in body else body["max_completion_tokens"]) == 200
        assert body["temperature"] == 0.25
        assert [message["role"] for message in body["messages"]] == ["system", "user"]
        assert body["messages"][-1]["content"] in {f"Mood of {text}" for text in ROWS.values()}
    answers = sql(tmp_path, "select distinct response::varchar from task_runs where response is not null")
    assert answers == [(answer,)]
    tokens = sql(
        tmp_path, "select sum(input_tokens), sum(output_tokens) from attempts where http_status = 200"
    )
    assert tokens == [(40, 20)]
    assert sql(tmp_path, "select count(*) from attempts where http_status = 200 and cost > 0") == [(4,)]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_key_that_is_not_known_ends_the_batch(tmp_path: Path, name: str) -> None:
    """Each family's key is sent where its API looks for it: with the right one all passes."""
    with aimock(tmp_path, fixtures("Good.")) as server:
        summary = run(tmp_path, server, name, output="output: text\n", key="another-key")
        assert server.journal() == []  # nothing came through
    assert summary.completed == 0
    kinds = sql(tmp_path, "select distinct failure_kind, http_status from attempts")
    assert kinds == [("unauthorized", 401)]


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


def recording(samples: bytes) -> bytes:
    """A WAV file with bare samples of 16 bits at 24,000 a second."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, 24_000, 48_000, 2, 16)
    data = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(data)) + data


SAMPLES = struct.pack("<8h", *range(8))
MEDIA = {
    "picture": ("openai", "gpt-image-1", "image", {"image": {"b64Json": picture()}}, picture()),
    "speech": (
        "openai",
        "tts-1",
        "audio",
        {"audio": recording(SAMPLES), "format": "wav"},
        recording(SAMPLES),
    ),
    "bare samples": (
        "google",
        "gemini-2.5-flash-preview-tts",
        "audio",
        {"audio": {"b64Json": SAMPLES, "contentType": "audio/L16;codec=pcm;rate=24000"}},
        recording(SAMPLES),
    ),
}


def in_base64(value: object) -> Any:
    if isinstance(value, dict):
        return {name: in_base64(part) for name, part in value.items()}
    return b64encode(value).decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("name", MEDIA)
def test_pictures_and_speech_come_as_files(tmp_path: Path, name: str) -> None:
    """What the server sent in Base64, as bytes or as bare samples lies beside the ledger as a whole file."""
    provider, model, modality, answer, whole = MEDIA[name]
    answers = [{"match": {"userMessage": text}, "response": in_base64(answer)} for text in ROWS.values()]
    with aimock(tmp_path, answers) as server:
        summary = run(tmp_path, server, provider, output=f"output: {modality}\n", model=model, limits="")
        statuses = [entry["response"]["status"] for entry in server.journal()]
    assert (summary.completed, summary.failures, statuses) == (len(ROWS), {}, [200] * len(ROWS))
    files = sql(tmp_path, "select uri, size from files where direction = 'out'")
    assert len(files) == len(ROWS)
    for uri, size in files:
        assert (tmp_path / uri).read_bytes() == whole
        assert size == len(whole)
