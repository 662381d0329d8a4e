"""What docs/hosted.md shows can be loaded as it stands, and says what is so."""

import re
from pathlib import Path

import pytest
import yaml

from tasks_lib.configs import Environment, load_providers
from tasks_lib.job.abilities import check_modality
from tasks_lib.job.hosted import check_hosted_tasks
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.providers import parallel_parameters
from tests.house.test_readme import ROOT

TEXT = (ROOT / "docs/hosted.md").read_text("utf-8")
BLOCKS = re.findall(
    r"^```yaml\n# (task|job|providers|prices)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL
)
TASKS = [text for kind, text in BLOCKS if kind == "task"]
JOBS = [text for kind, text in BLOCKS if kind == "job"]
ROWS = "id,company,website,tier,subject,body\n1,a,b,core,s,t\n"
MODELS = re.findall(r"`((?:parallel|rightbrain|webagent|webagent_cloud):[^`]+)`", TEXT.partition("## ")[0])
ID = "0190a234-0000-7000-8000-00000000b001"


def setup_of(folder: Path, *, task: str, job: str = "", overrides: dict[str, object] | None = None) -> Setup:
    """A job of the page's, with its providers and prices beside it."""
    (folder / "rows.csv").write_text(ROWS, "utf-8")
    (folder / "task.yaml").write_text(task, "utf-8")
    whole = f"task: task.yaml\nsource: {{path: rows.csv, key: id}}\nledger: ledger.duckdb\n{job}"
    (folder / "job.yaml").write_text(whole, "utf-8")
    for kind, text in BLOCKS:
        if kind in ("providers", "prices"):
            (folder / f"{kind}.yaml").write_text(text, "utf-8")
    environment = Environment.of({"RB_PROJECT_ID": ID, "RB_ORG_ID": ID}, user="ada")
    return load_setup(folder / "job.yaml", environment=environment, overrides=overrides)


def test_every_block_is_one_of_the_four() -> None:
    """No example is left out for want of its first line."""
    assert len(BLOCKS) == TEXT.count("```yaml") >= 6


@pytest.mark.parametrize("text", TASKS)
@pytest.mark.parametrize("job", JOBS)
def test_its_tasks_can_be_asked(tmp_path: Path, text: str, job: str) -> None:
    """Each task with each part of a job, and nothing is wrong with it."""
    setup = setup_of(tmp_path, task=text, job=job)
    assert setup.job.task.name == yaml.safe_load(text)["task"]
    check_hosted_tasks(setup)
    check_modality(setup)


@pytest.mark.parametrize("model", MODELS)
def test_its_models_are_those_of_one_job(tmp_path: Path, model: str) -> None:
    """The table's models can stand in the model line of one and the same job, and their runs have prices."""
    job = "" if model.startswith("webagent_cloud") else "limits: {max_cost: 1}\n"
    task = TASKS[0].partition("parameters:")[0]
    setup = setup_of(tmp_path, task=task, job=job, overrides={"model": model})
    check_hosted_tasks(setup)
    assert [str(one) for one in setup.models] == [model]


def test_its_parameters_are_all_there_are() -> None:
    """Those that Parallel is told, and those that are ours."""
    told = TEXT.partition("- **Parameters**")[2].partition("- **Cost**")[0]
    named = set(re.findall(r"`(\w+)`", told))
    assert named == {*parallel_parameters.SENT, *parallel_parameters.OURS}


def test_its_deadlines_are_those_that_are_built_in() -> None:
    """Two hours at Parallel, a quarter of one at Webagent."""
    providers = load_providers(None, env={})
    assert (providers["parallel"].timeouts.run, providers["webagent"].timeouts.run) == (7_200, 900)
