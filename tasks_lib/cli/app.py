"""The program that Typer sees: its commands in their order, and what is said of all of them."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from tasks_lib.cli.commands.beginning import init, schema
from tasks_lib.cli.commands.deploying import deploy
from tasks_lib.cli.commands.hosted import adopt, listen
from tasks_lib.cli.commands.one_task import task_run
from tasks_lib.cli.commands.results import export, files, report, show, sql, status
from tasks_lib.cli.commands.running import plan, run, worker
from tasks_lib.cli.commands.steering import cancel, limits, pause, resume, top
from tasks_lib.cli.commands.team import ledger_fetch, ledger_publish, ledger_serve

# As help lists them: in the order in which somebody needs them.
_COMMANDS: tuple[Callable[..., None], ...] = (
    init,
    plan,
    run,
    deploy,
    worker,
    adopt,
    top,
    pause,
    resume,
    cancel,
    limits,
    listen,
    status,
    show,
    report,
    sql,
    export,
    files,
    schema,
)

app = typer.Typer(
    name="rowmill",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they would show values of variables, keys among them
    context_settings={"help_option_names": ["-h", "--help"]},
)

task_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(task_app, name="task", help="One task, run once.")
ledger_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(ledger_app, name="ledger", help="A team's ledger: serve it, publish to it, fetch from it.")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"rowmill {version('rowmill')}")
        raise typer.Exit


@app.callback()
def rowmill(
    *,
    show_version: Annotated[
        bool,
        typer.Option("--version", metavar="", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Run one LLM task for every row of a file, and keep an exact ledger of it.

    Begin here:

      rowmill init                             a job, its task, a few rows
      rowmill plan configs/jobs/people.yaml    what it would do and cost
      rowmill run configs/jobs/people.yaml     do it
      rowmill report                           see what it came to

    Exit codes: 0 all is well, 1 some rows failed, 2 a wrong option or
    configuration, 3 stopped by a limit, 4 the provider refused us,
    70 an error of rowmill itself, 130 interrupted.
    """


for _command in _COMMANDS:
    app.command()(_command)
task_app.command("run")(task_run)
ledger_app.command("serve")(ledger_serve)
ledger_app.command("publish")(ledger_publish)
ledger_app.command("fetch")(ledger_fetch)
