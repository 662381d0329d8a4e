"""Runs of hosted tasks: taken up again, and heard from."""

from typing import Annotated

import typer

from tasks_lib.cli.commands.options import AsJson, JobArgument, LedgerOption, Settings, WhichLedger, WhoseJob
from tasks_lib.cli.commands.overrides import overrides_of


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

    overrides = overrides_of(settings, ledger=ledger)
    options = Options(adopt=frozenset(remote_ids or ()))
    raise typer.Exit(
        run_job(job, overrides=overrides, options=options, manner=Manner(prefect=False, json=as_json))
    )


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
