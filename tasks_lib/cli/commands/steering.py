"""A batch that runs, watched and steered from another terminal."""

from typing import Annotated

import typer

from tasks_lib.cli.commands.options import AsJson, WhichLedger, WhoseJob


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
