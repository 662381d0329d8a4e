"""What docs/spread.md shows is so: its parts of job files load, its commands have these options."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from tasks_lib.cli.app import app
from tasks_lib.configs import load_job
from tests.configs.project import JOB, Project
from tests.house.test_readme import ROOT

TEXT = (ROOT / "docs/spread.md").read_text("utf-8")
JOBS = re.findall(r"^```yaml\n# job\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^rowmill (run|worker) (.*?)(?:\s+#.*)?$", TEXT, flags=re.MULTILINE)


def test_every_block_is_tried() -> None:
    """No part of a job file is left out for want of its first line, nor is any command."""
    assert len(JOBS) == TEXT.count("```yaml") == 2
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("text", JOBS)
def test_its_jobs_load(tmp_path: Path, text: str) -> None:
    """Each part of a job file can stand in one."""
    project = Project(tmp_path)
    project.write("configs/jobs/job.yaml", JOB + text)
    job = load_job(project.job)
    assert job.spread is not None
    assert job.workers in (8, 200)


@pytest.mark.parametrize(("name", "words"), COMMANDS)
def test_its_commands_have_these_options(name: str, words: str) -> None:
    """Each option that the page names is one of the command's."""
    command = get_command(app).commands[name]  # type: ignore[attr-defined]  # it is a group of commands
    known = {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"--[a-z-]+", words))
    assert named <= known
