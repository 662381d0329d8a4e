"""A batch with workers elsewhere that stands still amid its rows: a job, and a folder for tickets."""

import sys
from pathlib import Path

import anyio

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tests.job.recruited import Processes


async def _run(job: Path, folder: Path) -> None:
    setup = load_setup(job, environment=Environment.from_os(), overrides={"workers": 2})
    workers = Processes(folder)
    summary = await run_batch(setup, recruiter=workers)
    await workers.ends()
    said = f"{summary.outcome.value} {summary.completed} {len(summary.warnings)} warnings\n"
    sys.stdout.write(said)


if __name__ == "__main__":
    anyio.run(_run, Path(sys.argv[1]), Path(sys.argv[2]))
