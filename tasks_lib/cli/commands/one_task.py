"""A task that is run once, without a job."""

from pathlib import Path
from typing import Annotated

import typer

from tasks_lib.cli.commands.options import AsAgent, RevisionId, RevisionTag, UseFallback


def task_run(
    task: Annotated[Path, typer.Argument(metavar="TASK", help="The task's file.", show_default=False)],
    *,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="NAME=TEXT",
            help="A placeholder's value: NAME=TEXT, NAME:=JSON, NAME=@FILE, or a JSON object of all "
            "('-': from standard input); may be repeated.",
            show_default=False,
        ),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file", metavar="FILE", help="A file to send along; may be repeated.", show_default=False
        ),
    ] = None,
    revision_id: RevisionId = None,
    revision_tag: RevisionTag = None,
    reporting_group: Annotated[
        str | None,
        typer.Option(
            "--reporting-group", metavar="NAME", help="Charge the run to this group.", show_default=False
        ),
    ] = None,
    use_fallback_model: UseFallback = False,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", metavar="TEXT", help="What the run is called: 64 characters.", show_default=False
        ),
    ] = None,
    context_id: Annotated[
        str | None,
        typer.Option(
            "--context-id",
            metavar="TEXT",
            help="What the run belongs to.  [dim]\\[default: its batch][/]",
            show_default=False,
        ),
    ] = None,
    ledger: Annotated[
        Path, typer.Option("--ledger", metavar="FILE", help="Keep the run in this ledger.")
    ] = Path("rowmill.duckdb"),
    as_agent: AsAgent = False,
) -> None:
    """Run a task once, and print the whole record of the run as JSON.

    The record has the fields of the task-run APIs: response, run_data,
    tokens, timings, credits, fallback, files; and what is ours behind.

    For example:

      rowmill task run configs/tasks/sentiment.yaml -i text="Good soup."
      rowmill task run configs/tasks/sentiment.yaml -i text=@review.txt
      echo '{"text": "Good soup."}' | rowmill task run configs/tasks/sentiment.yaml -i -

    Exit codes: 0 it was answered, 1 it failed (the record says why), 2 a
    wrong option or configuration.
    """
    from tasks_lib.cli.task import show_task_run

    raise typer.Exit(
        show_task_run(
            task,
            inputs=inputs or (),
            files=files or (),
            revision_id=revision_id,
            revision_tag=revision_tag,
            reporting_group=reporting_group,
            use_fallback_model=use_fallback_model,
            reference=reference,
            context_id=context_id,
            ledger=ledger,
            as_agent=as_agent,
        )
    )
