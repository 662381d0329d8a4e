"""A job: what it would do, a run of it, and a worker's part in a run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tasks_lib.cli.commands.options import (
    AsJson,
    Compare,
    Force,
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
    OnAmbiguous,
    Output,
    RetryFailed,
    RevisionId,
    RevisionTag,
    Runner,
    RunnerAddress,
    Settings,
    Tickets,
    UseFallback,
    Workers,
)
from tasks_lib.cli.commands.overrides import overrides_of

Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        metavar="N",
        min=1,
        help="Ask N rows chosen by chance, and estimate from them what the others will come to.",
        show_default=False,
    ),
]
StoredAnswers = Annotated[
    str | None,
    typer.Option(
        "--stored-answers",
        metavar="AGE",
        help="Take an answer to the same question from the ledger if it is no older: 30d, 12h, or any.",
        show_default=False,
    ),
]
RetryPoisoned = Annotated[
    bool,
    typer.Option(
        "--retry-poisoned",
        metavar="",
        help="Ask rows again, too, that were set aside for killing the process.",
    ),
]


def plan(
    job: JobArgument,
    *,
    source: Input = None,
    output: Output = None,
    ledger: LedgerOption = None,
    limit: Limit = None,
    sample: Sample = None,
    settings: Settings = None,
    reporting_group: Group = None,
    model: Model = None,
    revision_id: RevisionId = None,
    revision_tag: RevisionTag = None,
    compare: Compare = None,
    use_fallback_model: UseFallback = False,
    max_cost: MaxCost = None,
    max_cost_per_group: MaxCostPerGroup = None,
    max_cost_per_day: MaxCostPerDay = None,
    on_ambiguous: OnAmbiguous = None,
    force: Force = False,
    retry_failed: RetryFailed = False,
    as_json: AsJson = False,
) -> None:
    """Check a job and show what a run would do; spends nothing without --sample.

    Reads every row, looks up which were answered before, and shows
    what would be asked of which model at which price.

    With --sample N it asks N rows that are chosen by chance among those
    without an answer, and estimates what the others will cost and how
    long they will take. Each figure has an interval that holds the truth
    for 19 of 20 samples; what happens to fewer than one row in N may not
    be in it. The answers count: they are in the ledger, and a later run
    skips these rows. --max-cost is then about the sample alone.

    For example:

      rowmill plan configs/jobs/reviews.yaml
      rowmill plan configs/jobs/reviews.yaml --input today.csv --limit 100
      rowmill plan configs/jobs/reviews.yaml --sample 50 --max-cost 0.10

    Exit codes: 0 the job can be run, 2 it cannot; the message says why.
    With --sample those of rowmill run, about the sample's rows.
    """
    from tasks_lib.job.stretches import Options

    overrides = overrides_of(
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
        on_ambiguous=on_ambiguous and on_ambiguous.value,
        use_fallback_model=use_fallback_model or None,
    )
    options = Options(limit=limit, force=force, retry_failed=retry_failed)
    if sample is not None:
        from tasks_lib.cli.sample import ask_sample

        code = ask_sample(job, overrides=overrides, options=options, sample=sample, as_json=as_json)
        raise typer.Exit(code)
    from tasks_lib.cli.plan import show_plan

    show_plan(job, overrides=overrides, options=options, as_json=as_json)


def run(
    job: JobArgument,
    *,
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
    use_fallback_model: UseFallback = False,
    max_cost: MaxCost = None,
    max_cost_per_group: MaxCostPerGroup = None,
    max_cost_per_day: MaxCostPerDay = None,
    on_ambiguous: OnAmbiguous = None,
    force: Force = False,
    retry_failed: RetryFailed = False,
    retry_poisoned: RetryPoisoned = False,
    stored_answers: StoredAnswers = None,
    workers: Workers = None,
    runner: Runner = None,
    runner_address: RunnerAddress = None,
    listen_at: ListenAt = None,
    tickets: Tickets = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            metavar="",
            help="Let other DuckDB clients read the ledger meanwhile, over Quack; install rowmill[live].",
        ),
    ] = False,
    prefect: Annotated[
        bool | None,
        typer.Option(
            "--prefect/--no-prefect",
            metavar="",
            help="Run as a Prefect flow.  [dim]\\[default: if a Prefect API is configured][/]",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", metavar="", help="Say nothing unless rows failed or the run was stopped."
        ),
    ] = False,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            metavar="",
            help="Go on in the background, and print the batch's id as soon as it runs.",
        ),
    ] = False,
    webhook: Annotated[
        str | None,
        typer.Option(
            "--webhook",
            metavar="URL",
            help="Tell this address when the batch has ended; the job's `webhook` can sign.",
            show_default=False,
        ),
    ] = None,
    more_on_stdin: Annotated[
        bool, typer.Option("--more-on-stdin", hidden=True, help="As --detach does.")
    ] = False,
) -> None:
    r"""Run a job: ask the model about every row that has no answer yet.

    Rows that were answered by an earlier run are skipped and cost
    nothing, so the same command resumes an interrupted run, takes up a
    file that has grown, and tries again what failed.

    For example:

      rowmill run configs/jobs/reviews.yaml
      rowmill run configs/jobs/reviews.yaml --limit 20 --output try.csv
      rowmill run configs/jobs/reviews.yaml --model groq:llama-3.1-8b-instant
      rowmill run configs/jobs/reviews.yaml --max-cost 2.50
      rowmill run configs/jobs/reviews.yaml --retry-failed
      rowmill run configs/jobs/reviews.yaml --compare v1,v2
      rowmill run configs/jobs/reviews.yaml --use-fallback-model
      rowmill run configs/jobs/reviews.yaml --workers 8 --runner dask \
        --runner-address tcp://scheduler:8786

    Ctrl-C once (or SIGTERM) finishes the calls under way, twice drops
    them; what was answered is kept either way.

    Exit codes: 0 all rows completed, 1 some rows failed, 2 a wrong option
    or configuration, 3 stopped by a limit (money, failures, a full disk),
    4 the provider refused us (key, permission, model), 70 an error of
    rowmill itself, 130 interrupted.
    """
    if force and retry_failed:
        raise typer.BadParameter("--force asks all rows and --retry-failed a few; give one of the two")
    from tasks_lib.cli.run import Manner, run_job
    from tasks_lib.job.stretches import Options

    overrides = overrides_of(
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
        on_ambiguous=on_ambiguous and on_ambiguous.value,
        workers=workers,
        runner=runner and runner.value,
        runner_address=runner_address,
        listen=listen_at,
        tickets=tickets,
        serve=serve or None,
        use_fallback_model=use_fallback_model or None,
        stored_answers=stored_answers,
        webhook=webhook,
    )
    if more_on_stdin:
        from tasks_lib.cli.detach import more_given

        overrides |= more_given(sys.stdin.buffer)
    options = Options(limit=limit, force=force, retry_failed=retry_failed, retry_poisoned=retry_poisoned)
    manner = Manner(prefect=prefect, json=as_json, quiet=quiet)
    if detach:
        from tasks_lib.cli.detach import run_detached

        code = run_detached(job, overrides=overrides, options=options, manner=manner)
    else:
        code = run_job(job, overrides=overrides, options=options, manner=manner)
    raise typer.Exit(code)


def worker(
    ticket: Annotated[
        Path,
        typer.Argument(
            metavar="TICKET",
            help="The ticket's file; or a folder, of which one ticket after another is taken.",
            show_default=False,
        ),
    ],
    *,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", metavar="SECONDS", min=0, help="How long a next ticket in a folder is waited for."
        ),
    ] = 60.0,
) -> None:
    r"""Make calls for a batch that runs on another machine.

    `rowmill run --runner hand` writes a ticket for each worker that it
    wants. Bring it to a machine that has the same rowmill and reaches the
    batch's, and start a worker there: it needs no job, no key and no
    ledger, and ends with the batch. Whoever has a ticket gets the keys:
    copy it as you would copy those.

    Several workers may share a folder of tickets on a disk that all of
    them see: each ticket is taken once, also those that are written when
    a worker has died. Ctrl-C and SIGTERM end a worker after its calls
    under way, and twice at once; others go on with its rows.

    For example:

      rowmill run configs/jobs/reviews.yaml --workers 2 --runner hand \
        --listen 10.0.0.5 --tickets tickets
      rowmill worker tickets/0198…-worker-1.ticket
      rowmill worker tickets --wait 600

    Exit codes: 0 its batch is over, 2 there is no ticket, or no batch for
    it, 130 interrupted.
    """
    from tasks_lib.cli.worker import work_with

    code = work_with(ticket, wait=wait)
    if code:
        raise typer.Exit(code)
