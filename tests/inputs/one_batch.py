"""A job in a folder whose rows bring files along, and a model that answers with what it was sent."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import orjson

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import open_ledger
from tests.job.pretend import completion

TASK = """\
task: look
output: text
user_prompt: "What is {{id}}?"
model: openai:gpt-5-mini
parameters: {max_tokens: 20}
"""
JOB = """\
task: task.yaml
source: {path: SOURCE, key: id}
ledger: ledger.duckdb
"""


class OneBatch:
    """job.yaml, task.yaml and a source; `asked` holds the user's message of each call, by what it is."""

    def __init__(self, folder: Path, *, job: str = "", task: str = "", source: str = "rows.csv") -> None:
        self.folder = folder
        self.bodies: list[dict[str, Any]] = []
        self.pages: dict[str, Callable[[], httpx.Response]] = {}
        self.write("task.yaml", TASK + task)
        self.path = self.write("job.yaml", JOB.replace("SOURCE", source) + job)

    def write(self, name: str, content: str | bytes) -> Path:
        """A file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def setup(self, *, base_url: str | None = None, **overrides: object) -> Setup:
        """The job, loaded."""
        variables = {"OPENAI_API_KEY": "not-a-key"} | ({"OPENAI_BASE_URL": base_url} if base_url else {})
        environment = Environment.of(variables, user="ada")
        return load_setup(self.path, environment=environment, overrides=overrides)

    def run(self, *, base_url: str | None = None, **overrides: object) -> Summary:
        """Run the job: over pretended networks, or over real ones to this address."""
        setup = self.setup(base_url=base_url, **overrides)
        transport = None if base_url else httpx.MockTransport(self._answer)
        return anyio.run(lambda: run_batch(setup, transport=transport))

    @property
    def prompts(self) -> list[str]:
        """The text of each call's user message."""
        return [_text(body["messages"][-1]["content"]) for body in self.bodies]

    @property
    def sent(self) -> list[list[tuple[str, bytes]]]:
        """MIME type and content of the files of each call."""
        return [_files(body["messages"][-1]["content"]) for body in self.bodies]

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        with open_ledger(self.folder / "ledger.duckdb", read_only=True) as ledger:
            return ledger.cursor().execute(query).fetchall()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            page = self.pages.get(str(request.url))
            return page() if page is not None else httpx.Response(404)
        body = orjson.loads(request.content)
        self.bodies.append(body)
        return completion("seen")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _files(content: Any) -> list[tuple[str, bytes]]:
    if isinstance(content, str):
        return []
    uris = [
        part["image_url"]["url"] if part["type"] == "image_url" else part["file"]["file_data"]
        for part in content
        if part["type"] in ("image_url", "file")
    ]
    return [(uri[5:].partition(";")[0], base64.b64decode(uri.partition(",")[2])) for uri in uris]
