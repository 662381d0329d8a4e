"""A batch whose model is the pretend task: `python -m tests.hostedtask.running FOLDER`."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio

from tasks_lib.configs import Environment
from tasks_lib.domain.provider import Provider
from tasks_lib.engine.stop import Stop
from tasks_lib.job import protocols
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Summary
from tests.hostedtask.protocol import PretendRuns

TASK = """\
task: look
output: text
user_prompt: "Look at {{text}}"
model: parallel:core
"""
JOB = """\
task: task.yaml
source: {path: rows.csv, key: id}
ledger: ledger.duckdb
limits: {in_flight: 50}
retries: {wait_initial: 0.05, wait_max: 0.1}
"""
PROVIDERS = """\
parallel:
  protocol: parallel
  base_url: %s
  timeouts: {run: %s}
"""
PRICES = """\
parallel:core: {input: 0, output: 0, request: 0.025}
"""


def written(
    folder: Path, url: str, *, rows: int = 8, run: float = 60.0, task: str = TASK, job: str = JOB
) -> Path:
    """The files of a job, and its path."""
    lines = "".join(f"{number},thing {number}\n" for number in range(1, rows + 1))
    (folder / "rows.csv").write_text(f"id,text\n{lines}")
    (folder / "task.yaml").write_text(task)
    (folder / "providers.yaml").write_text(PROVIDERS % (url, run))
    (folder / "prices.yaml").write_text(PRICES)
    (folder / "job.yaml").write_text(job)
    return folder / "job.yaml"


async def ran(folder: Path, *, options: Options | None = None, stop: Stop | None = None) -> Summary:
    """The summary of a batch of the job in this process."""
    environment = Environment.of({"PARALLEL_API_KEY": "not-a-key"}, user="ada")
    setup = load_setup(folder / "job.yaml", environment=environment)
    known = cast("dict[str, Any]", protocols._PROTOCOLS)
    before = known["parallel"]
    known["parallel"] = _pretend  # in the place of one that speaks to the real thing
    try:
        return await run_batch(setup, options=options, stop=stop)
    finally:
        known["parallel"] = before


def _pretend(provider: Provider, *_: object) -> PretendRuns:
    return PretendRuns(provider.base_url, every=0.05)


def main() -> None:
    """Run the batch and print its summary."""
    summary = anyio.run(partial(ran, Path(sys.argv[1])))
    print(json.dumps(summary.as_json()))  # noqa: T201  # what it is there for


if __name__ == "__main__":
    main()
