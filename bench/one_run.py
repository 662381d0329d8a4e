"""One measured run of a job, in a process of its own: `python -m bench.one_run JOB`, one JSON object out."""

import argparse
import asyncio
import json
import resource
import time
from pathlib import Path

from bench.peak import own_peak_mb
from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.garbage import collect_seldom
from tasks_lib.job.setup import load_setup
from tasks_lib.job.spared import spare_pandas


def main() -> None:
    """Run the job and print what it took; CPU is user and system time of the run, memory the peak."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    parser.add_argument("--workers", type=int, help="processes that run its rows")
    given = parser.parse_args()
    spare_pandas()  # as the command does, and the garbage below
    overrides = {} if given.workers is None else {"workers": given.workers}
    setup = load_setup(given.job, overrides=overrides, environment=Environment.from_os())
    collect_seldom()
    began, cpu, of_workers = time.perf_counter(), time.process_time(), _cpu_of_children()
    summary = asyncio.run(run_batch(setup))
    of_workers = _cpu_of_children() - of_workers
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
    print(
        json.dumps(
            {
                **summary.as_json(),
                "wall_seconds": seconds,
                "rows_per_second": summary.rows / seconds,
                "cpu_us_per_row": cpu / summary.rows * 1e6,
                "workers_cpu_us_per_row": of_workers / summary.rows * 1e6,
                "peak_rss_mb": own_peak_mb(),
            }
        )
    )


def _cpu_of_children() -> float:
    """Seconds of user and system time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
