"""What several commands take, under the same name and with the same words."""

from pathlib import Path
from typing import Annotated

import typer

from tasks_lib.cli.forms import AfterAmbiguous, RunnerName

JobArgument = Annotated[Path, typer.Argument(metavar="JOB", help="The job's file.", show_default=False)]
Input = Annotated[
    str | None,  # a path would make s3:/ of s3://
    typer.Option(
        "--input",
        metavar="FILE",
        help="Read this in place of the job's source: a file, a folder, a glob in quotes, s3://, gs://, https://.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,  # as above
    typer.Option(
        "--output",
        metavar="FILE",
        help="Write the enriched rows here: .csv, .parquet, .jsonl; also s3://, gs://.",
        show_default=False,
    ),
]
LedgerOption = Annotated[
    Path | None,
    typer.Option(
        "--ledger", metavar="FILE", help="Use this ledger in place of the job's.", show_default=False
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N rows.", show_default=False)
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a key of the job, such as limits.in_flight=8; may be repeated.",
        show_default=False,
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--reporting-group",
        metavar="NAME",
        help="Charge the rows to this group: a name, or a template such as '{{customer}}'.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="PROVIDER:NAME",
        help="Ask this model first, in place of the task's.",
        show_default=False,
    ),
]
UseFallback = Annotated[
    bool,
    typer.Option(
        "--use-fallback-model",
        metavar="",
        help="Leave the primary model alone, and begin with the first fallback.",
    ),
]
RevisionId = Annotated[
    str | None,
    typer.Option(
        "--revision-id",
        metavar="UUID",
        help="Use this revision of the task, by its id; or a template such as '{{revision}}'.",
        show_default=False,
    ),
]
RevisionTag = Annotated[
    str | None,
    typer.Option(
        "--revision-tag",
        metavar="TAG",
        help="Use this revision of the task, by its tag; or a template such as '{{arm}}'.",
        show_default=False,
    ),
]
Compare = Annotated[
    str | None,
    typer.Option(
        "--compare",
        metavar="TAG,TAG…",
        help="Run every row with each of these revisions: tags or ids, or all.",
        show_default=False,
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost",
        metavar="DOLLARS",
        min=0,
        help="Stop before the batch has cost more; the next run goes on.",
        show_default=False,
    ),
]
MaxCostPerGroup = Annotated[
    float | None,
    typer.Option(
        "--max-cost-per-group",
        metavar="DOLLARS",
        min=0,
        help="Leave a reporting group's rows for later before they have cost more.",
        show_default=False,
    ),
]
MaxCostPerDay = Annotated[
    float | None,
    typer.Option(
        "--max-cost-per-day",
        metavar="DOLLARS",
        min=0,
        help="Stop before all batches of the ledger have cost more on this day of UTC.",
        show_default=False,
    ),
]
OnAmbiguous = Annotated[
    AfterAmbiguous | None,
    typer.Option(
        "--on-ambiguous",
        help="What follows a call that may have been billed though no answer arrived: another one, or a "
        "failed row.  [dim]\\[default: retry][/]",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Make the calls in so many processes, where one core is not enough.  [dim]\\[default: 1][/]",
        show_default=False,
    ),
]
Runner = Annotated[
    RunnerName | None,
    typer.Option(
        "--runner",
        help="Have the workers started elsewhere: by Dask or Ray, through Prefect, or by hand.",
        show_default=False,
    ),
]
RunnerAddress = Annotated[
    str | None,
    typer.Option(
        "--runner-address",
        metavar="ADDRESS",
        help="Use the cluster there: tcp://scheduler:8786, ray://head:10001.  "
        "[dim]\\[default: one on this machine][/]",
        show_default=False,
    ),
]
ListenAt = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST[:PORT]",
        help="Where such workers call in: an address of this machine.  "
        "[dim]\\[default: the one from which the cluster is reached][/]",
        show_default=False,
    ),
]
Tickets = Annotated[
    Path | None,
    typer.Option(
        "--tickets",
        metavar="FOLDER",
        help="With --runner hand: where a ticket for each worker is written.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", metavar="", help="Ask rows again that were answered before.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", metavar="", help="Ask only the rows that failed before.")
]
AsAgent = Annotated[
    bool,
    typer.Option(
        "--as-agent", metavar="", help="Print it as a browser agent's API answers: result, status, …"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object on standard output.")]
WhoseJob = Annotated[
    Path | None,
    typer.Option("--job", metavar="JOB", help="Read the ledger of this job.", show_default=False),
]
WhichLedger = Annotated[
    Path | None, typer.Option("--ledger", metavar="FILE", help="Read this ledger.", show_default=False)
]
