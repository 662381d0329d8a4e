"""A reader that leaves, and a disk that is full, at the other end of standard output."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

FULL = Path("/dev/full")


def nobody_reads(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a command whose reader has left before it begins."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tasks_lib.cli", *arguments],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",), ("schema", "job")])
def test_a_reader_that_has_left_is_no_error(arguments: tuple[str, ...]) -> None:
    """`rowmill ... | head` ends well and without a word, whatever part of it writes."""
    assert nobody_reads(*arguments) == (0, "")


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
def test_no_room_for_a_result_is_told() -> None:
    """A result that a full disk did not take is an error, and not half a file with exit code 0."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tasks_lib.cli", "schema", "job"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "standard output cannot be written: No space left on device\n"
