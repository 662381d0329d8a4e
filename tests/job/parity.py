"""A job in a folder, and the back ends that its model line may name, each behind a server on loopback."""

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.preflight import Preflight, preflight
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import open_ledger
from tests import llmserver, parallelserver, rightbrainserver, webagentserver
from tests.rightbrainserver.tasks import ORG, PROJECT, made_id

TASK = """\
task: parity
output:
  schema:
    type: object
    properties:
      label: {type: string, enum: [good, bad]}
      sure: {type: number, enum: [0.25, 0.75]}
      row_id: {type: string, maxLength: 12}
    required: [label, sure, row_id]
    additionalProperties: false
user_prompt: "Judge this. row_id: {{row_id}} {{text}}"
model: openai:not-asked
parameters: {temperature: 0}
"""
JOB = """\
job: parity
task: task.yaml
model: {model}
source: {{path: rows.csv, key: id}}
inputs: {{row_id: id}}
reporting_group: "{{{{team}}}}"
reference: "ref-{{{{id}}}}"
metadata: {{dataset: parity}}
limits: {{in_flight: 16}}
retries: {{transient: 3, rate_limited: 3, content: 0, wait_initial: 0.01, wait_max: 0.02}}
ledger: ledger.duckdb
output: out.csv
"""
ROWS = 8
COLUMNS = ["secret", "id", "text", "team"]
REPORTS = ("cost_by_model", "cost_by_reporting_group", "latency", "spend_by_day", "usage_by_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackEnd:
    """What stands behind a model line."""

    model: str
    variables: dict[str, str]
    trouble: dict[str, float | str]  # settings with which some rows fail for good
    configure: Callable[..., object]
    started: Callable[[], int]  # calls, or runs, that were begun there


def local() -> BackEnd:
    """The model of this machine, which a run starts itself."""
    return BackEnd(
        model="local:smollm2-135m-instruct",
        variables={},
        trouble={},
        configure=lambda **_: None,
        started=lambda: 0,
    )


@contextmanager
def openai() -> Iterator[BackEnd]:
    """An API in OpenAI's form."""
    with llmserver.running_server() as server:
        yield BackEnd(
            model="openai:gpt-5-mini",
            variables={"OPENAI_BASE_URL": server.base_url(), "OPENAI_API_KEY": "not-a-key"},
            trouble={"e400": 0.4, "det": 1, "seed": 3},
            configure=server.config,
            started=lambda: int(server.stats()["recv"]),
        )


@contextmanager
def parallel() -> Iterator[BackEnd]:
    """Parallel's Task API."""
    with parallelserver.running_server() as server:
        yield BackEnd(
            model="parallel:core",
            variables={"PARALLEL_BASE_URL": server.base_url(), "PARALLEL_API_KEY": "not-a-key"},
            trouble={"fail": 0.4, "seed": 3},
            configure=server.config,
            started=lambda: sum(server.started().values()),
        )


@contextmanager
def rightbrain() -> Iterator[BackEnd]:
    """Rightbrain's API."""
    with rightbrainserver.running_server() as server:
        yield BackEnd(
            model=f"rightbrain:{made_id('Demo json')}",
            variables={
                "RIGHTBRAIN_BASE_URL": server.base_url(),
                "RB_API_KEY": "not-a-key",
                "RB_ORG_ID": ORG,
                "RB_PROJECT_ID": PROJECT,
            },
            trouble={"is_error": 0.4, "det": 1, "seed": 3},
            configure=server.config,
            started=lambda: len(server.runs()),
        )


@contextmanager
def webagent() -> Iterator[BackEnd]:
    """A Webagent server."""
    with webagentserver.running_server() as server:
        yield BackEnd(
            model="webagent:1",
            variables={"WEBAGENT_BASE_URL": server.base_url()},
            trouble={"failure": 0.4, "det": 1, "seed": 3},
            configure=server.config,
            started=lambda: len(server.runs()),
        )


BACK_ENDS: dict[str, Callable[[], AbstractContextManager[BackEnd]]] = {
    "openai": openai,
    "parallel": parallel,
    "rightbrain": rightbrain,
    "webagent": webagent,
}


class Folder:
    """The job's files; rows stand in an order of their own, with a column that nobody is to be told."""

    def __init__(self, folder: Path, back_end: BackEnd, *, rows: int = ROWS) -> None:
        self.folder, self.back_end = folder, back_end
        (folder / "providers.yaml").write_text("webagent: {limits: {in_flight: 16}}\n", "utf-8")
        (folder / "task.yaml").write_text(TASK, "utf-8")
        (folder / "job.yaml").write_text(JOB.format(model=back_end.model), "utf-8")
        self.ids = [str(3 * number % rows + 1) for number in range(rows)]
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([f"hush-{key}", key, f"words, {key}", "ab"[int(key) % 2]] for key in self.ids)

    def setup(self, **overrides: object) -> Setup:
        """The job with these flags."""
        environment = Environment.of(self.back_end.variables, user="ada")
        return load_setup(self.folder / "job.yaml", environment=environment, overrides=overrides)

    def run(self, options: Options | None = None, **overrides: object) -> Summary:
        """Run it."""
        setup = self.setup(**overrides)
        return anyio.run(lambda: run_batch(setup, options=options))

    def plan(self, **overrides: object) -> Preflight:
        """What a run would do."""
        return preflight(self.setup(**overrides))

    def written(self) -> list[dict[str, str]]:
        """The output's rows."""
        with (self.folder / "out.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        with open_ledger(self.folder / "ledger.duckdb", read_only=True) as ledger:
            return ledger.cursor().execute(query).fetchall()

    def reports(self) -> dict[str, int]:
        """The five reports' numbers of rows."""
        with open_ledger(self.folder / "ledger.duckdb", read_only=True) as ledger:
            return {name: ledger.report(name).num_rows for name in REPORTS}
