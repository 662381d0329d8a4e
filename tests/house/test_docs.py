"""What docs/tasks.md shows can be loaded as it stands."""

import re
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from tasks_lib.configs import job_schema, load_job, load_task
from tests.house.test_readme import ROOT

TEXT = (ROOT / "docs/tasks.md").read_text("utf-8")
BLOCKS = re.findall(r"^```yaml\n# (task|job)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
TASKS = [text for kind, text in BLOCKS if kind == "task"]
JOBS = [text for kind, text in BLOCKS if kind == "job"]
ROWS = "id,text,page,scan,customer,account,question,model,schema\n1,a,b,c,d,e,f,g,h\n"


def test_every_block_is_one_of_the_two() -> None:
    """No example is left out for want of its first line."""
    assert len(BLOCKS) == TEXT.count("```yaml") >= 8


@pytest.mark.parametrize("text", TASKS)
def test_a_task_is_one(tmp_path: Path, text: str) -> None:
    """A task is loaded without a doubt about it."""
    path = tmp_path / "task.yaml"
    path.write_text(text, "utf-8")
    assert load_task(path).name == yaml.safe_load(text)["task"]


@pytest.mark.parametrize("text", JOBS)
def test_a_job_is_one(tmp_path: Path, text: str) -> None:
    """A part of a job fits one of the tasks, and the editor's schema."""
    (tmp_path / "rows.csv").write_text(ROWS, "utf-8")
    (tmp_path.parent / "scans").mkdir(exist_ok=True)
    whole = f"task: task.yaml\nsource: {{path: rows.csv, key: id}}\n{text}"
    assert jsonschema_rs.validator_for(dict(job_schema())).is_valid(yaml.safe_load(whole))
    (tmp_path / "job.yaml").write_text(whole, "utf-8")
    fitting = TASKS[1] if "files:" in text else TASKS[3]
    (tmp_path / "task.yaml").write_text(fitting, "utf-8")
    assert load_job(tmp_path / "job.yaml").name == "job"
