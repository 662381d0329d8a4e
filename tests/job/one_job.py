"""A job in a folder, and a provider whose models do as they are told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import orjson

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import open_ledger
from tests.job.pretend import ENVIRONMENT, completion

TASK = """\
task: echo
output: text
user_prompt: "Say {{text}}"
model: openai:first
fallback: [openai:second]
"""
JOB = """\
task: task.yaml
source: {path: rows.csv, key: id}
ledger: ledger.duckdb
retries: {transient: 0, rate_limited: 0, content: 0}
limits: {in_flight: 1}
"""


def fails(status: int) -> Callable[[str], httpx.Response]:
    """A model that always answers with an error."""
    return lambda _: httpx.Response(status, json={"error": {"message": "no"}})


def names_itself(text: str) -> httpx.Response:
    """An answer to what was asked."""
    return completion(f"answer to {text}")


class OneJob:
    """job.yaml, task.yaml and rows.csv; `asked` holds model and user message of each call in order."""

    def __init__(self, folder: Path, *, rows: str, job: str = "", task: str = TASK) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.models: dict[str, Callable[[str], httpx.Response]] = {}
        self.environment = ENVIRONMENT
        self.write("rows.csv", rows)
        self.write("task.yaml", task)
        self.path = self.write("job.yaml", JOB + job)

    def write(self, name: str, text: str) -> Path:
        """A file of the folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def key(self, variable: str) -> None:
        """Have a further account."""
        self.environment = Environment.of({**self.environment.variables, variable: "not-a-key"}, user="ada")

    def run(self, options: Options | None = None, **overrides: object) -> Summary:
        """Run the job, with these flags."""
        setup = load_setup(self.path, environment=self.environment, overrides=overrides)
        transport = httpx.MockTransport(self._answer)
        return anyio.run(lambda: run_batch(setup, options=options, transport=transport))

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        with open_ledger(self.folder / "ledger.duckdb", read_only=True) as ledger:
            return ledger.cursor().execute(query).fetchall()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        text = body["messages"][-1]["content"]
        self.asked.append((body["model"], text))
        self.bodies.append(body)
        return self.models.get(body["model"], names_itself)(text)
