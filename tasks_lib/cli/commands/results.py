"""What a ledger knows of batches, runs, rows and files."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tasks_lib.cli.commands.options import (
    AsAgent,
    AsJson,
    Compare,
    Input,
    JobArgument,
    LedgerOption,
    Limit,
    Model,
    Output,
    RevisionId,
    RevisionTag,
    Settings,
    WhichLedger,
    WhoseJob,
)
from tasks_lib.cli.commands.overrides import overrides_of
from tasks_lib.cli.forms import Form

Format = Annotated[
    Form | None,
    typer.Option(
        "--format",
        help="How the table is written.  [dim]\\[default: table, or by --output][/]",
        show_default=False,
    ),
]
ToFile = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="Write the table here: .csv, .json, .md, .txt.", show_default=False
    ),
]


def status(
    place: Annotated[
        Path | None,
        typer.Argument(metavar="JOB|LEDGER", help="A job's file (.yaml) or a ledger.", show_default=False),
    ] = None,
    *,
    ledger: WhichLedger = None,
    as_json: AsJson = False,
) -> None:
    """List the batches of a ledger, the latest first.

    Without a job or ledger it is the one that the jobs in ./configs/jobs
    share, or else ./data/rowmill.duckdb.

    For example:

      rowmill status
      rowmill status configs/jobs/reviews.yaml
      rowmill status data/rowmill.duckdb --json
    """
    from tasks_lib.cli.places import job_or_ledger
    from tasks_lib.cli.status import show_status

    show_status(job_or_ledger(ledger or place), as_json=as_json)


def show(
    task_run_id: Annotated[
        str,
        typer.Argument(metavar="TASK_RUN_ID", help="Its id, or enough of its beginning.", show_default=False),
    ],
    *,
    job: WhoseJob = None,
    ledger: WhichLedger = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", metavar="", help="Print the record of the run, as the task-run APIs have it, as JSON."
        ),
    ] = False,
    as_agent: AsAgent = False,
) -> None:
    """Show all that is known of one row's run, with every call that was made.

    The id is the column task_run_id of the enriched rows and of reports.
    `rowmill schema task_run` describes what --json prints.

    For example:

      rowmill show 01a200f8-27db-779d-ba76-98d22db7d89b
      rowmill show 01a200f827db779d --job configs/jobs/reviews.yaml --json
    """
    from tasks_lib.cli.places import ledger_of
    from tasks_lib.cli.show import show_run

    show_run(ledger_of(named=ledger, job=job), task_run_id, as_json=as_json, as_agent=as_agent)


def report(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Which; without it all are listed.", show_default=False),
    ] = None,
    *,
    job: WhoseJob = None,
    ledger: WhichLedger = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since",
            metavar="DATE",
            formats=["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"],
            help="Only what happened from then on (UTC).",
            show_default=False,
        ),
    ] = None,
    form: Format = None,
    output: ToFile = None,
) -> None:
    """Print a report on cost, latency, failures and more; without a name list them.

    A cost that is empty is unknown, and never zero.

    For example:

      rowmill report
      rowmill report cost_by_reporting_group
      rowmill report spend_by_day --since 2026-11-01 --format markdown
      rowmill report failures --job configs/jobs/reviews.yaml --output failures.csv
    """
    from tasks_lib.cli.places import ledger_of
    from tasks_lib.cli.report import list_reports, show_report

    if name is None:
        list_reports(form=form, file=output)
    else:
        show_report(name, ledger=ledger_of(named=ledger, job=job), since=since, form=form, file=output)


def sql(
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY",
            help="One statement that reads; - takes it from standard input.",
            show_default=False,
        ),
    ],
    *,
    job: WhoseJob = None,
    ledger: WhichLedger = None,
    form: Format = None,
    output: ToFile = None,
) -> None:
    """Ask the ledger in SQL; nothing in it can be changed.

    rowmill sql "show tables" lists its tables and views.

    For example:

      rowmill sql "from task_runs limit 3"
      rowmill sql "select model, sum(cost) from attempts group by all"
      rowmill sql - --format csv < query.sql
    """
    from tasks_lib.cli.places import ledger_of
    from tasks_lib.cli.sql import show_answer

    text = sys.stdin.read() if query == "-" else query
    show_answer(text, ledger=ledger_of(named=ledger, job=job), form=form, file=output)


def export(
    job: JobArgument,
    *,
    source: Input = None,
    output: Output = None,
    ledger: LedgerOption = None,
    limit: Limit = None,
    settings: Settings = None,
    model: Model = None,
    revision_id: RevisionId = None,
    revision_tag: RevisionTag = None,
    compare: Compare = None,
) -> None:
    """Write a job's rows with the answers that the ledger has now; makes no call.

    Rows that failed or were not asked yet are there too, without an
    answer. A run that comes to its end does the same by itself.

    For example:

      rowmill export configs/jobs/reviews.yaml
      rowmill export configs/jobs/reviews.yaml --output so_far.csv
    """
    from tasks_lib.cli.export import write_rows

    write_rows(
        job,
        overrides=overrides_of(
            settings,
            input=source,
            output=output,
            ledger=ledger,
            model=model,
            revision_id=revision_id,
            revision_tag=revision_tag,
            compare=compare,
        ),
        limit=limit,
    )


def files(
    *,
    job: Annotated[
        Path | None,
        typer.Option("--job", metavar="JOB", help="Only what this job's rows are answered with now."),
    ] = None,
    ledger: WhichLedger = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FOLDER", help="Copy them here, named by their rows.", show_default=False
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="TEMPLATE",
            help="What a copy is called, such as '{{reporting_group}} {{row_key}}'.  "
            "[dim]\\[default: {{row_key}}][/]",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", metavar="", help="Read each file and compare it with its hash.")
    ] = False,
    form: Format = None,
    output: ToFile = None,
) -> None:
    """List the files that answers are: pictures, recordings, PDF, CSV.

    They lie beside the ledger under names of their runs; --to copies
    the latest of each row under a name that can be read. What is copied
    is compared with the hash that the ledger has of it.

    For example:

      rowmill files
      rowmill files --job configs/jobs/letters.yaml --to letters
      rowmill files --check

    Exit codes: 0 all is well, 1 a file is missing or was altered, 2 there
    is no such job or ledger.
    """
    from tasks_lib.cli.files import show_files
    from tasks_lib.cli.places import ledger_of

    code = show_files(
        ledger=ledger_of(named=ledger, job=job),
        job=job,
        folder=folder,
        name=name,
        check=check,
        form=form,
        file=output,
    )
    raise typer.Exit(code)
