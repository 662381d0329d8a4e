"""A job on a schedule."""

from pathlib import Path
from typing import Annotated

import typer

from tasks_lib.cli.commands.options import (
    AsJson,
    Compare,
    Group,
    Input,
    JobArgument,
    LedgerOption,
    Limit,
    ListenAt,
    MaxCost,
    MaxCostPerDay,
    MaxCostPerGroup,
    Model,
    Output,
    RetryFailed,
    RevisionId,
    RevisionTag,
    Runner,
    RunnerAddress,
    Settings,
    Tickets,
    Workers,
)
from tasks_lib.cli.commands.overrides import overrides_of
from tasks_lib.cli.forms import AtMoneyLimit


def deploy(
    job: JobArgument,
    *,
    cron: Annotated[
        str | None,
        typer.Option(
            "--cron", metavar="CRON", help="When to run: minute hour day month weekday.", show_default=False
        ),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            "--timezone",
            metavar="ZONE",
            help="Where the time of --cron is meant, such as Europe/Berlin.  [dim]\\[default: UTC][/]",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="TIME", help="How often to run: 30m, 6h, 1d.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What the deployment is called; the same name replaces it.  [dim]\\[default: the job's][/]",
            show_default=False,
        ),
    ] = None,
    pool: Annotated[
        str, typer.Option("--pool", metavar="POOL", help="The work pool; it is made if there is none.")
    ] = "rowmill",
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="A tag in Prefect; may be repeated.", show_default=False),
    ] = None,
    on_money_limit: Annotated[
        AtMoneyLimit,
        typer.Option("--on-money-limit", help="When --max-cost is spent: ask in Prefect for more, or stop."),
    ] = AtMoneyLimit.ASK,
    crash_retries: Annotated[
        int,
        typer.Option(
            "--crash-retries",
            metavar="N",
            min=0,
            help="How often a run goes on whose process or machine has died.",
        ),
    ] = 3,
    report_folder: Annotated[
        Path | None,
        typer.Option(
            "--report-folder",
            metavar="FOLDER",
            help="Write a page and CSV files about the ledger here after each run.",
            show_default=False,
        ),
    ] = None,
    source: Input = None,
    output: Output = None,
    ledger: LedgerOption = None,
    limit: Limit = None,
    settings: Settings = None,
    reporting_group: Group = None,
    model: Model = None,
    revision_id: RevisionId = None,
    revision_tag: RevisionTag = None,
    compare: Compare = None,
    max_cost: MaxCost = None,
    max_cost_per_group: MaxCostPerGroup = None,
    max_cost_per_day: MaxCostPerDay = None,
    retry_failed: RetryFailed = False,
    workers: Workers = None,
    runner: Runner = None,
    runner_address: RunnerAddress = None,
    listen_at: ListenAt = None,
    tickets: Tickets = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Deploy nothing, and print the entry for a prefect.yaml."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a job on a schedule: make a Prefect deployment of it.

    The job is checked first, as by `rowmill plan`. Each run asks only
    about rows that are new or changed. Two runs never write to one
    ledger at once, one whose machine died is run again and goes on, and
    one whose money is spent asks for more in Prefect.

    Keys are read from the worker's environment, or else from Prefect's
    Secret blocks: OPENAI_API_KEY from the block openai-api-key.

    For example:

      rowmill deploy configs/jobs/reviews.yaml --cron "30 2 * * *"
      rowmill deploy configs/jobs/reviews.yaml --every 6h --max-cost 5
      rowmill deploy configs/jobs/reviews.yaml --dry-run

    Exit codes: 0 it is deployed, 2 it cannot be; the message says why.
    """
    from tasks_lib.cli.deploy import Plan, deploy_job
    from tasks_lib.job.stretches import Options

    deploy_job(
        job,
        overrides=overrides_of(
            settings,
            input=source,
            output=output,
            ledger=ledger,
            reporting_group=reporting_group,
            model=model,
            revision_id=revision_id,
            revision_tag=revision_tag,
            compare=compare,
            max_cost=max_cost,
            max_cost_per_group=max_cost_per_group,
            max_cost_per_day=max_cost_per_day,
            workers=workers,
            runner=runner and runner.value,
            runner_address=runner_address,
            listen=listen_at,
            tickets=tickets,
        ),
        options=Options(limit=limit, retry_failed=retry_failed),
        plan=Plan(
            name=name,
            pool=pool,
            cron=cron,
            every=every,
            timezone=timezone,
            tags=tuple(tags or ()),
            on_money_limit=on_money_limit.value,
            crash_retries=crash_retries,
            report_folder=report_folder,
        ),
        as_json=as_json,
        dry_run=dry_run,
    )
