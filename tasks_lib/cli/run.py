"""Runs a job's batch with somebody looking on: progress, interrupts, and the summary at the end."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

import anyio

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.interrupts import heed_interrupts
from tasks_lib.cli.progress import (
    LOGGED,
    LOOKED_AT,
    Show,
    keep_showing,
    live_line,
    log_line,
    somebody_watches,
)
from tasks_lib.cli.summary import Again, show_summary
from tasks_lib.cli.words import note, tell
from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.spread import Spread
from tasks_lib.engine.stop import Stop
from tasks_lib.job.abilities import untold
from tasks_lib.job.batch import run_batch
from tasks_lib.job.garbage import seldom_collected
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary, Tally
from tasks_lib.job.workers.by_hand import ByHand
from tasks_lib.job.workers.listening import listen_of

Begin = Callable[[Tally, Stop], Awaitable[Summary]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a run is carried out and talked about."""

    prefect: bool | None = None  # through the flow; None: if a Prefect API is configured
    json: bool = False  # the summary as one object on standard output, all else on standard error
    quiet: bool = False  # not a word unless something went wrong


def run_job(path: Path, *, overrides: Mapping[str, object], options: Options, manner: Manner) -> int:
    """Run a batch of a job and tell how it went; gives the exit code.

    Raises:
        Mistake: something was found wrong before the first call.
    """
    environment = Environment.from_os()
    setup = load_setup(path, overrides=overrides, environment=environment)
    tally = Tally()
    say = _unheard if manner.quiet else note
    if _wants_prefect(manner, environment, setup.job.spread):
        begin = _by_flow(path, overrides=overrides, options=options, say=say)
    else:
        begin = _directly(setup, options=options, say=say)
    watched = not manner.quiet and somebody_watches()
    if not (manner.quiet or watched):
        note(f"{setup.job.name}: checking {setup.job.source}")
    for warning in () if manner.quiet else untold(setup):
        note(f"warning: {warning}")  # before anything is spent
    summary = carried_out(begin, setup, tally, watched=watched, quiet=manner.quiet)
    again = Again.of(path, overrides=overrides, options=options, prefect=manner.prefect)
    if manner.json:
        tell(json_text(summary.as_json()))
    if not manner.quiet or summary.outcome is not Outcome.COMPLETED:
        show_summary(summary, tally=tally, again=again, aside=manner.json or manner.quiet)
    return summary.outcome.exit_code


def carried_out(begin: Begin, setup: Setup, tally: Tally, *, watched: bool, quiet: bool) -> Summary:
    """The summary of a batch that is shown while it runs, and that heeds interrupts."""
    with (
        seldom_collected(),
        live_line() if watched else nullcontext(None if quiet else log_line) as show,
    ):
        return anyio.run(
            partial(_carry_out, begin, setup, tally, show=show, every=LOOKED_AT if watched else LOGGED)
        )


def _directly(setup: Setup, *, options: Options, say: Callable[[str], None]) -> Begin:
    spread = setup.job.spread
    if spread is None or spread.tickets is None:
        recruiter, listen = None, None
    else:
        recruiter, listen = ByHand(spread.tickets, say=say), listen_of(spread)

    async def begin(tally: Tally, stop: Stop) -> Summary:
        return await run_batch(
            setup, options=options, tally=tally, stop=stop, recruiter=recruiter, listen=listen
        )

    return begin


def _wants_prefect(manner: Manner, environment: Environment, spread: Spread | None) -> bool:
    if spread is not None and not spread.is_by_hand:
        if manner.prefect is False:
            raise Mistake(
                f"workers on {spread.runner.capitalize()} are started by way of Prefect, "
                "which --no-prefect forbids"
            )
        return True
    if manner.prefect is not None:
        return manner.prefect
    # Importing anything of flows readies the environment for Prefect, which only those need who may use it.
    from flows.settings import api_configured  # noqa: PLC0415

    return api_configured(environment)


def _by_flow(
    path: Path, *, overrides: Mapping[str, object], options: Options, say: Callable[[str], None]
) -> Begin:
    # Prefect takes seconds to import, which who runs without it should not wait.
    from flows.enrich import run_flow  # noqa: PLC0415

    async def begin(tally: Tally, stop: Stop) -> Summary:
        return await run_flow(path, overrides=overrides, options=options, tally=tally, stop=stop, say=say)

    return begin


def _unheard(_: str) -> None:
    """Nobody wants to know."""


async def _carry_out(begin: Begin, setup: Setup, tally: Tally, *, show: Show | None, every: float) -> Summary:
    """The summary of a batch that runs to its end, is stopped, or is dropped."""
    stop, began = Stop(), monotonic()
    summary: Summary | None = None
    async with anyio.create_task_group() as beside:
        with anyio.CancelScope() as batch:
            await beside.start(heed_interrupts, stop, batch)
            if show is not None:
                beside.start_soon(partial(keep_showing, show, setup.job.name, tally, stop, every=every))
            try:
                summary = await begin(tally, stop)
            except anyio.get_cancelled_exc_class():
                if not batch.cancel_called:
                    raise
                # Ours, though Prefect may have lost the mark by which its scope would know it.
        beside.cancel_scope.cancel()
    if summary is not None:
        return summary
    return Summary.of(
        tally,
        job=setup.job,
        outcome=Outcome.INTERRUPTED,
        reason=stop.reason,
        seconds=monotonic() - began,
        output=None,
    )
