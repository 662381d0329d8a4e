"""A batch within a flow run: watched, shown, and ended when Prefect or a signal says so."""

import signal
from time import monotonic
from typing import Final

import anyio
from prefect import get_client, get_run_logger
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import OrchestrationResult
from prefect.context import FlowRunContext
from prefect.states import Cancelled

from flows.artifacts import progress_shown
from flows.chunks import ChunkRuns
from flows.ending import ending_on, ending_when_cancelled
from flows.handed import Handed
from tasks_lib.engine.stop import Stop
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary, Tally

_PATIENCE: Final = 5.0  # seconds for telling Prefect that the run is cancelled


async def carry_out(setup: Setup, *, options: Options, handed: Handed) -> Summary:
    """Run a job's batch in this flow run.

    Raises:
        Mistake: something was found wrong before the first call.
    """
    tally, stop, began = handed.tally, handed.stop or Stop(), monotonic()
    signals = [signal.SIGTERM] if handed.stop else [signal.SIGTERM, signal.SIGINT]
    chunks = ChunkRuns(tally=tally, chunk_rows=handed.chunk_rows)
    scope = anyio.CancelScope()
    summary: Summary | None = None
    try:
        async with progress_shown(setup.job.name, tally), ending_when_cancelled(flow_run().id, stop):
            with scope, ending_on(*signals, stop=stop, scope=scope):
                summary = await run_batch(
                    setup,
                    options=options,
                    tally=tally,
                    stop=stop,
                    chunks=chunks,
                    chunk_rows=handed.chunk_rows,
                )
    finally:
        with anyio.CancelScope(shield=True):
            await chunks.close()
    if summary is not None:
        return summary
    return Summary.of(  # the grace after a signal has passed
        tally,
        job=setup.job,
        outcome=Outcome.INTERRUPTED,
        reason=stop.reason,
        seconds=monotonic() - began,
        output=None,
    )


def flow_run() -> FlowRun:
    """The flow run that this is called in."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("enrich is a Prefect flow: call it, and not its function")
    return context.flow_run


async def tell_cancelled(tally: Tally) -> None:
    """Mark the flow run as cancelled, which it is; Prefect would take it for a crash."""
    run = flow_run()
    message = f"{tally.settled} of {tally.rows} rows done. Everything answered is kept: run it again to go on"
    try:
        with anyio.CancelScope(shield=True), anyio.fail_after(_PATIENCE):
            async with get_client() as client:
                orchestrated: OrchestrationResult[object] = await client.set_flow_run_state(
                    run.id, Cancelled(message=message), force=True
                )
    except Exception as trouble:  # noqa: BLE001  # the cancellation goes on whatever Prefect says to it
        get_run_logger().warning("The flow run was not marked as cancelled: %r", trouble)
    else:
        run.state = orchestrated.state
