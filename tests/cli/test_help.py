import os
import subprocess
import sys

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from tasks_lib.cli.app import app
from tests.cli.conftest import ROOT, Project

COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]
HEAVY = ("duckdb", "pandas", "pyarrow", "prefect", "genai_prices", "httpx", "yaml", "rich.live")


def asked(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "100", "NO_COLOR": "1"})
    assert done.exit_code == 0, done.output
    return done.output


def test_the_commands() -> None:
    """These are the commands, in the order in which somebody needs them."""
    assert " ".join(COMMANDS) == (
        "init plan run deploy worker adopt top pause resume cancel limits listen status show report sql "
        "export files schema"
    )
    groups = {
        group.name: [command.name for command in group.typer_instance.registered_commands]
        for group in app.registered_groups
        if group.typer_instance
    }
    assert groups == {"task": ["run"], "ledger": ["serve", "publish", "fetch"]}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """The help of a command says what it does and shows how it is typed."""
    text = asked(command, "--help")
    examples = [line for line in text.splitlines() if line.startswith(f"   rowmill {command}")]
    assert "For example:" in text
    assert examples


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    """No option and no argument stands without a word."""
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    unexplained = [one.name for one in group.commands[command].params if not getattr(one, "help", "")]
    assert unexplained == []


def test_exit_codes_are_told() -> None:
    """Whoever writes a schedule finds what an exit code means."""
    for text in (asked("--help"), asked("run", "--help")):
        words = " ".join(text.split())
        assert [
            code
            for code in ("0 all", "1 some", "2 a", "3 stopped", "4 the", "70 an", "130")
            if code not in words
        ] == []


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], []])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """Who asks for help does not wait for a database to be imported."""
    program = (
        "import sys\n"
        "from tasks_lib.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        f"    print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert "Usage" in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_version(project: Project) -> None:
    """The version is that of the package."""
    done = project.rowmill("--version")
    assert (done.code, done.out) == (0, "rowmill 0.1.0\n")


def test_no_command_is_help(project: Project) -> None:
    """Whoever types the name alone is told what there is."""
    done = project.rowmill()
    assert "Commands" in done.out + done.err
    assert "Traceback" not in done.err


def test_a_misspelt_command(project: Project) -> None:
    """A misspelt command is answered with the right one."""
    done = project.here("statsu")
    assert done.code == 2
    assert "Did you mean 'status'" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "job.yaml", "--limit", "0"],
        ["run", "job.yaml", "--set", "limits.in_flight"],
        ["run", "job.yaml", "--force", "--retry-failed"],
        ["run", "job.yaml", "--no-such-flag"],
        ["report", "--format", "yaml"],
        ["schema", "jobs"],
    ],
)
def test_wrong_options(project: Project, arguments: list[str]) -> None:
    """A wrong option is exit code 2 and no traceback."""
    done = project.here(*arguments)
    assert done.code == 2
    assert "Error" in done.err
    assert "Traceback" not in done.err


def test_no_colour_without_a_terminal(project: Project) -> None:
    """What goes into a file has no escape sequences."""
    done = project.rowmill("run", "--help")
    assert "\x1b" not in done.out
