"""A team's ledger: served, published to, fetched from."""

from pathlib import Path
from typing import Annotated

import typer

from tasks_lib.cli.commands.options import AsJson, JobArgument, LedgerOption

TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Lines of `read TOKEN` or `write TOKEN`, in a file that nobody else can read.",
        show_default=False,
    ),
]


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
