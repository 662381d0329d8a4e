"""When the output of a finished job is written again, and when not."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks_lib.domain.job import Destination, Source
from tasks_lib.job.batch import run_batch
from tasks_lib.job.library import _setup
from tasks_lib.job.setup import Setup
from tasks_lib.job.stretches import Options
from tests.job.pretend import ENVIRONMENT, Pretend, task


def setup(folder: Path) -> Setup:
    made = _setup(
        task(),
        inputs=None,
        key=None,
        reporting_group=None,
        limits=None,
        retries=None,
        ledger=folder / "ledger.duckdb",
        environment=ENVIRONMENT,
    )
    output = Destination(path=folder / "out.csv", format="csv")
    return replace(made, job=replace(made.job, source=Source(path=folder / "rows.csv"), output=output))


def run(folder: Path, options: Options | None = None) -> None:
    asyncio.run(run_batch(setup(folder), options=options, transport=Pretend().transport))


def test_a_finished_job_leaves_its_output_alone(tmp_path: Path) -> None:
    """The output of a job that was run again with nothing to do is the very same file."""
    (tmp_path / "rows.csv").write_text("text\ngood\nbad\n")
    run(tmp_path)
    before = (tmp_path / "out.csv").stat()
    run(tmp_path)
    after = (tmp_path / "out.csv").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def longer(folder: Path) -> None:
    with (folder / "rows.csv").open("a") as file:
        file.write("good\n")


def reordered(folder: Path) -> None:
    (folder / "rows.csv").write_text("text\nbad\ngood\n")


def deleted(folder: Path) -> None:
    (folder / "out.csv").unlink()


def edited(folder: Path) -> None:
    path = folder / "out.csv"
    times = path.stat()
    path.write_text(path.read_text().replace("positive", "negative"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # even so


def fewer(folder: Path) -> None:
    run(folder, Options(limit=1))


def asked_again(folder: Path) -> None:
    other = replace(setup(folder).job, output=None)
    asyncio.run(
        run_batch(
            replace(setup(folder), job=other), options=Options(force=True), transport=Pretend().transport
        )
    )


@pytest.mark.parametrize("change", [longer, reordered, deleted, edited, fewer, asked_again])
def test_whatever_changes_it_is_written_again(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """More rows, another order, a file that is gone or edited, a limit, other answers: the output follows."""
    (tmp_path / "rows.csv").write_text("text\ngood\nbad\n")
    run(tmp_path)
    before = (tmp_path / "out.csv").stat()
    change(tmp_path)
    run(tmp_path)
    after = (tmp_path / "out.csv").stat()
    assert (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns)
    texts = [line.split(",")[0] for line in (tmp_path / "out.csv").read_text().splitlines()]
    assert texts == [line.split(",")[0] for line in (tmp_path / "rows.csv").read_text().splitlines()]
    assert "positive" in (tmp_path / "out.csv").read_text()
