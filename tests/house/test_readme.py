"""What the README says is done, as it says it, against a server on loopback in place of a provider."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from tasks_lib.cli.app import app
from tasks_lib.configs import load_job
from tests.llmserver import Server, running_server

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
ELSEWHERE = ("make ", "prefect ")  # make demo and make test are run by CI, deployments by tests/flows
OTHERS = re.compile(r"rowmill (deploy|worker) |--runner ")  # tested by tests/flows and tests/cli


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the README speaks of, where a test may write."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copytree(ROOT / "data" / "samples", folder / "data" / "samples")
    return folder


def environment(server: Server) -> dict[str, str]:
    """A user's environment, with a key that is none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "OPENAI_BASE_URL": server.base_url(), "OPENAI_API_KEY": "not-a-key"}


def commands() -> list[str]:
    """The README's shell commands for rowmill, in their order."""
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith((*ELSEWHERE, "export "))]


def test_the_shell_commands_do_what_they_say(server: Server, checkout: Path) -> None:
    """Each command of the README ends well, in the order in which it stands there."""
    here = [command for command in commands() if not OTHERS.search(command)]
    assert len(here) >= 4
    for command in here:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=checkout,
            env=environment(server),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def test_commands_for_servers_and_clusters_are_understood(checkout: Path) -> None:
    """Each of those that are run elsewhere is read as it stands, and its job takes what its flags say."""
    elsewhere = [command for command in commands() if OTHERS.search(command)]
    assert len(elsewhere) == 4
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for command in elsewhere:
        _, name, *arguments = shlex.split(command)
        given = group.commands[name].make_context(name, arguments).params
        if given.get("runner") is None:
            continue
        spread = {key: given[key] for key in ("workers", "runner_address", "tickets") if given[key]}
        overrides = {**spread, "runner": given["runner"].value, "listen": given["listen_at"]}
        job = load_job(checkout / given["job"], overrides={k: v for k, v in overrides.items() if v})
        assert (job.workers, job.spread is not None) == (8, True)


def test_the_python_example_enriches_the_sample(server: Server, checkout: Path) -> None:
    """The ten lines run as they stand, and print an answer for each of the reviews."""
    (example,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=checkout,
        env=environment(server),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(example.strip().splitlines()) <= 12
    assert len(re.findall(r"positive|negative", done.stdout)) == 20


def test_the_yaml_examples_load(checkout: Path) -> None:
    """Job and task of the README make a job, and one that is like the files of the same name."""
    job, task = blocks("yaml")
    for text in (job, task):
        name = re.match(r"# (\S+)\n", text)
        assert name
        (checkout / name[1]).with_suffix(".readme.yaml").write_text(text)
    path = checkout / "configs" / "jobs" / "reviews.readme.yaml"
    path.write_text(path.read_text().replace("sentiment.yaml", "sentiment.readme.yaml"))
    shown, kept = load_job(path), load_job(checkout / "configs" / "jobs" / "reviews.yaml")
    assert kept.task.output == shown.task.output
    assert kept.inputs == shown.inputs
    assert kept.task.revisions[0].user_prompt == shown.task.revisions[0].user_prompt
    assert "fallback" in yaml.safe_load(task)


def test_every_command_stands_in_the_readme() -> None:
    """The table of commands has every command, and no other."""
    table = set(re.findall(r"^\| `rowmill (\w+)", README, flags=re.MULTILINE))
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert commands | {group.name for group in app.registered_groups} == table


def test_files_that_the_readme_names_are_there() -> None:
    """A link, a config or a flow that the README names is in the repository."""
    named = set(re.findall(r"(?:configs|flows|docs)/[\w./-]+\w|[A-Z]+\.md", README))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
