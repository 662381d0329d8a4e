"""A batch with workers elsewhere that is killed amid its rows: a job, and a folder for tickets."""

import os
import signal
import sys
from pathlib import Path

import anyio

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.tally import Tally
from tests.job.recruited import Processes

_SOME = 40  # rows


async def _run(job: Path, folder: Path) -> None:
    setup, tally, workers = load_setup(job, environment=Environment.from_os()), Tally(), Processes(folder)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: run_batch(setup, recruiter=workers, tally=tally))
        while tally.completed < _SOME:  # noqa: ASYNC110 - a tally is looked at, and tells nobody
            await anyio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    anyio.run(_run, Path(sys.argv[1]), Path(sys.argv[2]))
