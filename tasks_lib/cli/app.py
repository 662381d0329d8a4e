"""The commands: what they are called, what they take, and how they are explained.

What they do stands in modules of their own, which are imported when a command is run: DuckDB, pandas, Arrow,
Prefect and the prices take a second to import, which nobody who asks for help should wait.
"""
# ruff: noqa: PLC0415  imports inside functions, for the reason above

import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from tasks_lib.cli.forms import AfterAmbiguous, AtMoneyLimit, Form, RunnerName, SchemaOf

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
StoredAnswers = Annotated[
    str | None,
    typer.Option(
        "--stored-answers",
        metavar="AGE",
        help="Take an answer to the same question from the ledger if it is no older: 30d, 12h, or any.",
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
RetryPoisoned = Annotated[
    bool,
    typer.Option(
        "--retry-poisoned",
        metavar="",
        help="Ask rows again, too, that were set aside for killing the process.",
    ),
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


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where; it is made if need be.")] = Path(),
) -> None:
    """Write a job, its task and a few rows to begin with.

    Files that are there already are left as they are.

    For example:

      rowmill init
      rowmill init reviews
    """
    from tasks_lib.cli.init import make_scaffold

    make_scaffold(folder)


@app.command()
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

    overrides = _overrides(
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


@app.command()
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

    overrides = _overrides(
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


@app.command()
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
        overrides=_overrides(
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


@app.command()
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


@app.command()
def adopt(
    job: JobArgument,
    remote_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN_ID]...",
            help="Only these runs, by their ids at the hosted task.  [dim]\\[default: all of the job's][/]",
            show_default=False,
        ),
    ] = None,
    *,
    ledger: LedgerOption = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """See runs of hosted tasks to their end that were let go or given up.

    No run is begun: only rows are taken up whose run goes on, or has
    ended meanwhile, at Parallel, Rightbrain or Webagent. `rowmill run`
    does the same, and then begins runs for all other rows.

    For example:

      rowmill adopt configs/jobs/companies.yaml
      rowmill adopt configs/jobs/companies.yaml trun_9907962f83aa4d9d

    Exit codes: as `rowmill run`.
    """
    from tasks_lib.cli.run import Manner, run_job
    from tasks_lib.job.stretches import Options

    overrides = _overrides(settings, ledger=ledger)
    options = Options(adopt=frozenset(remote_ids or ()))
    raise typer.Exit(
        run_job(job, overrides=overrides, options=options, manner=Manner(prefect=False, json=as_json))
    )


@app.command()
def top(
    *,
    job: WhoseJob = None,
    ledger: WhichLedger = None,
    once: Annotated[bool, typer.Option("--once", metavar="", help="Print one look, and end.")] = False,
    every: Annotated[
        float,
        typer.Option("--every", metavar="SECONDS", min=0.1, max=3_600, help="Between two looks."),
    ] = 1.0,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print each look as one line of JSON.")
    ] = False,
) -> None:
    """Watch a batch while it runs, from another terminal.

    Shows its speed, what each provider account lets through and why it
    is closed, failures by kind, cost by group, and how long it takes.
    Ctrl-C ends the watching; the batch goes on.

    For example:

      rowmill top
      rowmill top --job configs/jobs/reviews.yaml
      rowmill top --once --json

    Exit codes: 0 it was shown, 2 no batch is running.
    """
    from tasks_lib.cli.places import ledger_of
    from tasks_lib.cli.top import show_top

    show_top(ledger_of(named=ledger, job=job), as_json=as_json, once=once, every=every)


@app.command()
def pause(*, job: WhoseJob = None, ledger: WhichLedger = None, as_json: AsJson = False) -> None:
    """Let a running batch begin no more calls until it is resumed.

    Calls under way come to their end, and what they answer is kept.

    For example:

      rowmill pause
      rowmill pause --job configs/jobs/reviews.yaml

    Exit codes: 0 done, 2 no batch is running.
    """
    from tasks_lib.cli.control import pause_batch
    from tasks_lib.cli.places import ledger_of

    pause_batch(ledger_of(named=ledger, job=job), as_json=as_json)


@app.command()
def resume(*, job: WhoseJob = None, ledger: WhichLedger = None, as_json: AsJson = False) -> None:
    """Let a paused batch go on.

    A batch that has ended is taken up by running it again.

    For example:

      rowmill resume
      rowmill resume --job configs/jobs/reviews.yaml

    Exit codes: 0 done, 2 no batch is running.
    """
    from tasks_lib.cli.control import resume_batch
    from tasks_lib.cli.places import ledger_of

    resume_batch(ledger_of(named=ledger, job=job), as_json=as_json)


@app.command()
def cancel(*, job: WhoseJob = None, ledger: WhichLedger = None, as_json: AsJson = False) -> None:
    """Let a running batch come to its end in good order.

    No call is begun any more, those under way are finished and kept,
    and the same `rowmill run` takes up what is left.

    For example:

      rowmill cancel
      rowmill cancel --ledger data/rowmill.duckdb

    Exit codes: 0 done, 2 no batch is running.
    """
    from tasks_lib.cli.control import cancel_batch
    from tasks_lib.cli.places import ledger_of

    cancel_batch(ledger_of(named=ledger, job=job), as_json=as_json)


@app.command()
def limits(
    *,
    job: WhoseJob = None,
    ledger: WhichLedger = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change a limit, such as in_flight=32; none lifts it; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the limits of a running batch, or change them.

    A change holds from then on until the batch ends; the job's file is
    left as it is.

    For example:

      rowmill limits
      rowmill limits --set in_flight=32 --set requests_per_minute=300
      rowmill limits --set max_cost=7.50 --job configs/jobs/reviews.yaml

    Exit codes: 0 done, 2 no batch is running, or there is no such limit.
    """
    from tasks_lib.cli.control import show_limits
    from tasks_lib.cli.places import ledger_of

    show_limits(ledger_of(named=ledger, job=job), changes or (), as_json=as_json)


@app.command()
def listen(
    *,
    job: WhoseJob = None,
    ledger: WhichLedger = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Listen at this address.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65_535, help="Listen at this port; 0: any.")
    ] = 8787,
    parallel_secret: Annotated[
        str | None,
        typer.Option(
            "--parallel-secret",
            metavar="VARIABLE",
            help="Where the secret is that Parallel signs with.  "
            "[dim]\\[default: PARALLEL_WEBHOOK_SECRET][/]",
            show_default=False,
        ),
    ] = None,
    webagent_path: Annotated[
        str | None,
        typer.Option(
            "--webagent-path",
            metavar="VARIABLE",
            help="Where the secret end of the path is under which Webagent tells.  "
            "[dim]\\[default: WEBAGENT_HOOK_PATH][/]",
            show_default=False,
        ),
    ] = None,
) -> None:
    r"""Hear from Parallel and Webagent which hosted runs have news.

    The batch that runs then looks at such a run at once, and need not
    ask often. A notice is a hint and never believed: what became of a
    run is asked of the API. Without this command runs are polled.

    It listens at /hooks/parallel for notices that are signed with your
    account's webhook secret, and at /hooks/webagent/SECRET for those of
    Webagent, which are not signed. Put it behind what ends TLS, and name
    its public address among the revision's parameters:

      webhook: {url: https://…/hooks/parallel, event_types: \[task_run.status]}
      webhook_url: https://…/hooks/webagent/SECRET

    For example:

      export PARALLEL_WEBHOOK_SECRET=whsec_…
      rowmill listen --job configs/jobs/companies.yaml

      export WEBAGENT_HOOK_PATH=$(openssl rand -hex 16)
      rowmill listen --ledger data/rowmill.duckdb --port 9000

    Exit codes: 0 Ctrl-C ended it, 2 no secret is set or the port is taken.
    """
    from tasks_lib.cli.listen import listen as listen_for_notices
    from tasks_lib.cli.places import ledger_of

    listen_for_notices(
        ledger_of(named=ledger, job=job),
        host=host,
        port=port,
        parallel_secret=parallel_secret,
        webagent_path=webagent_path,
    )


@app.command()
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


@task_app.command("run")
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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
        overrides=_overrides(
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


@app.command()
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


@app.command()
def schema(
    of: Annotated[
        SchemaOf,
        typer.Argument(help="Which file's.", show_default=False),
    ],
) -> None:
    """Print the JSON Schema of a file that you write, for your editor.

    That of task_run describes what `rowmill show --json` prints.

    For example:

      rowmill schema job > job.schema.json

    With the YAML language server, put this line at the top of a job:

      # yaml-language-server: $schema=job.schema.json
    """
    from tasks_lib.cli.schema import show_schema

    show_schema(of)


TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Lines of `read TOKEN` or `write TOKEN`, in a file that nobody else can read.",
        show_default=False,
    ),
]


@ledger_app.command("serve")
def ledger_serve(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="The ledger; made if it is not there.")],
    *,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")
    ] = "127.0.0.1:9494",
    unencrypted: Annotated[
        bool,
        typer.Option(
            "--unencrypted",
            metavar="",
            help="Listen where others reach it, though tokens and answers are not encrypted.",
        ),
    ] = False,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Serve a ledger to a team, by DuckDB's Quack: analysts ask, jobs elsewhere publish.

    Analysts' tokens (ROWMILL_LEDGER_TOKEN, or lines of the file) may only
    ask; writers' tokens (ROWMILL_LEDGER_WRITE_TOKEN) may also publish.
    Quack encrypts nothing: listen at 127.0.0.1 behind ssh, WireGuard or
    a proxy that ends TLS. See docs/team_ledger.md; install rowmill[live].

    For example:

      rowmill ledger serve team.duckdb --token-file tokens

    Exit codes: 0 ended by a signal, 2 it cannot be served.
    """
    from tasks_lib.cli.ledger import serve_ledger

    serve_ledger(ledger, listen=listen, unencrypted=unencrypted, token_file=token_file, as_json=as_json)


@ledger_app.command("publish")
def ledger_publish(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="The ledger that has the facts.")],
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="PLACE", help="quack:HOST:PORT, or ducklake:postgres:dbname=NAME.")
    ],
    data_path: Annotated[
        str | None,
        typer.Option(
            "--data-path", metavar="FOLDER", help="Where a new lake keeps its files.", show_default=False
        ),
    ] = None,
    follow: Annotated[
        float | None,
        typer.Option(
            "--follow", metavar="SECONDS", min=0.5, help="Look again and again.", show_default=False
        ),
    ] = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Bring what a ledger has, and a team's ledger lacks, there.

    It can be killed and repeated as one likes: what is there is there
    once. A job with `team_ledger:` does it by itself while it runs.

    For example:

      rowmill ledger publish data/rowmill.duckdb --to quack:127.0.0.1:9494

    Exit codes: 0 all is there, 2 it could not be brought.
    """
    from tasks_lib.cli.ledger import publish_ledger

    publish_ledger(ledger, to=to, data_path=data_path, token_file=token_file, every=follow, as_json=as_json)


@ledger_app.command("fetch")
def ledger_fetch(
    job: JobArgument,
    *,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help="The place; by default the job's.", show_default=False),
    ] = None,
    ledger: LedgerOption = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Bring what a team's ledger has of a job into the job's own ledger.

    Rows that another machine has had answered are then skipped by
    `rowmill run` as if they had been answered here.

    For example:

      rowmill ledger fetch configs/jobs/reviews.yaml --from quack:127.0.0.1:9494

    Exit codes: 0 done, 2 it could not be fetched.
    """
    from tasks_lib.cli.ledger import fetch_job

    fetch_job(job, ledger=ledger, source=source, token_file=token_file, as_json=as_json)


def _overrides(settings: list[str] | None, **flags: Path | str | float | None) -> dict[str, object]:
    """What the flags set, by the key that each stands for."""
    given: dict[str, object] = {name: value for name, value in flags.items() if value is not None}
    for setting in settings or ():
        key, equals, value = setting.partition("=")
        if not (key.strip() and equals):
            raise typer.BadParameter(f"{setting!r} is not of the form KEY=VALUE", param_hint="--set")
        given[key.strip()] = value
    return given
