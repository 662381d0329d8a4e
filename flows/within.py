"""A batch within a flow run: in its turn, watched, shown, and ended when Prefect or a signal says so."""

import signal
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import UUID

import anyio
from anyio import to_thread
from prefect import State, get_client, get_run_logger
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import OrchestrationResult
from prefect.context import FlowRunContext
from prefect.states import Cancelled, Running

from flows.artifacts import progress_shown
from flows.chunks import ChunkRuns
from flows.dead import bury_the_dead
from flows.ending import ending_on, ending_when_cancelled
from flows.events import tell_begun
from flows.handed import Handed
from flows.log_lines import LogLines
from flows.money import asks_for_money, within_its_money
from flows.seats import Seat, SeatTaken, take_seat
from flows.spread import spreading_of
from flows.turns import is_free, only_one_waits, wait_until_free
from flows.words import dollars
from tasks_lib.domain.mistake import Mistake
from tasks_lib.engine.stop import Stop
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary, Tally
from tasks_lib.ledger.errors import LedgerInUse

_PATIENCE: Final = 5.0  # seconds for telling Prefect that the run is cancelled
_SEAT_EVERY: Final = 1.0  # seconds between two looks at a seat that another process has


class CrashedTooOften(Exception):
    """The flow run's processes have died so many times, and it is not tried again."""

    def __init__(self, times: int, seat: Seat) -> None:
        super().__init__(f"its process has died {times} times")
        self.times = times
        self.seat = seat


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """How a flow run's batch ended, and whether more money would let it go on."""

    summary: Summary
    wants_money: bool
    seat: Seat | None  # None: no file could be made for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a flow run knows of itself before its batch."""

    state: UUID  # that Prefect has of it
    waits: float = 0.0  # seconds that it waits for its ledger
    same: str = ""  # equal for flow runs that would do the same
    crash_retries: int = (
        0  # how many of its processes may have died before; 0: whoever runs it again means it
    )
    given: Decimal = field(default=Decimal(0))  # dollars, on top of its limit


async def carry_out(setup: Setup, *, options: Options, handed: Handed, turn: Turn) -> Carried:
    """Run a job's batch in this flow run, once it is its turn at the ledger.

    Raises:
        Mistake: something was found wrong before the first call.
        OneWaits: another flow run waits already that would do the same.
        CrashedTooOften: its processes die again and again.
    """
    tally, stop, began = handed.tally, handed.stop or Stop(), monotonic()
    signals = [signal.SIGTERM] if handed.stop else [signal.SIGTERM, signal.SIGINT]
    run, log = flow_run(), get_run_logger()
    ledger = setup.job.ledger
    lines = LogLines(log=log, tally=tally)
    scope = anyio.CancelScope()
    summary: Summary | None = None
    seat: Seat | None = None

    def begun() -> None:
        if tally.batch_id is None:
            return
        if seat is not None:
            seat.note(tally.batch_id)
        tell_begun(setup.job, batch_id=tally.batch_id, rows=tally.rows)
        log.info("Asking about %s: %d %s", setup.job.name, tally.rows, tally.counted)

    chunks = ChunkRuns(tally=tally, chunk_rows=handed.chunk_rows, begun=begun)
    try:
        async with (
            progress_shown(setup.job.name, tally, look=lines.look),
            ending_when_cancelled(run.id, stop),
        ):
            with scope, ending_on(*signals, stop=stop, scope=scope):
                seat = await _seated(ledger, run, turn=turn, stop=stop)
                if seat is not None and turn.crash_retries and seat.died > turn.crash_retries:
                    raise CrashedTooOften(seat.died, seat)
                await bury_the_dead(ledger, by=run)
                deadline = monotonic() + turn.waits
                while summary is None:
                    await _in_turn(ledger, run, seat=seat, turn=turn, deadline=deadline, stop=stop)
                    if stop.called:
                        break
                    earlier = seat.earlier if seat is not None else ()
                    spreading = spreading_of(setup.job, stop=stop, warn=tally.warnings.append, say=log.info)
                    try:
                        own = await within_its_money(setup, given=turn.given, earlier=earlier)
                        if own is not setup:
                            log.info(
                                "Left of what this flow run may spend: %s", dollars(own.job.limits.max_cost)
                            )
                        summary = await run_batch(
                            own,
                            options=options,
                            tally=tally,
                            stop=stop,
                            chunks=chunks,
                            chunk_rows=handed.chunk_rows,
                            recruiter=spreading.recruiter,
                            listen=spreading.listen,
                        )
                    except LedgerInUse:  # somebody else was quicker
                        if monotonic() >= deadline or tally.batch_id is not None:
                            raise
    finally:
        lines.close()
        with anyio.CancelScope(shield=True):
            await chunks.close()
    if summary is None:
        summary = Summary.of(  # the grace after a signal has passed, or it came before the batch
            tally,
            job=setup.job,
            outcome=Outcome.INTERRUPTED,
            reason=stop.reason,
            seconds=monotonic() - began,
            output=None,
        )
    return Carried(summary=summary, wants_money=asks_for_money(setup, stop), seat=seat)


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


async def _seated(ledger: Path, run: FlowRun, *, turn: Turn, stop: Stop) -> Seat | None:
    """The flow run's seat at the ledger; another process that runs the same flow run is waited for."""
    with suppress(OSError):
        ledger.parent.mkdir(parents=True, exist_ok=True)  # what is wrong with it the batch will tell
    deadline = monotonic() + turn.waits
    while not stop.called:
        try:
            return await to_thread.run_sync(partial(take_seat, ledger, run.id, state=turn.state))
        except SeatTaken:
            if monotonic() >= deadline:
                raise Mistake(
                    f"Another process still runs the flow run {run.name}. Wait until it has ended."
                ) from None
            with stop.cuts_short():
                await anyio.sleep(_SEAT_EVERY)
        except OSError as trouble:
            get_run_logger().warning(
                "No file of the flow run is kept beside the ledger: %s", trouble.strerror
            )
            return None
    return None


async def _in_turn(
    ledger: Path, run: FlowRun, *, seat: Seat | None, turn: Turn, deadline: float, stop: Stop
) -> None:
    """Return when the ledger is free, or the stop was called; who does not wait is let through at once.

    Raises:
        LedgerInUse: it was not free in time.
        OneWaits: another flow run waits already that would do the same.
    """
    if not turn.waits or await is_free(ledger):
        return
    with only_one_waits(ledger, turn.same):
        get_run_logger().info("The ledger %s is in use: waiting for it", ledger)
        await _tell_state(
            run,
            Running(name="WaitingForLedger", message=f"{ledger} is in use by another process"),
            seat=seat,
        )
        await wait_until_free(ledger, patience=max(0.0, deadline - monotonic()), stop=stop)
    if not stop.called:
        await _tell_state(run, Running(), seat=seat)


async def _tell_state(run: FlowRun, state: State[object], *, seat: Seat | None) -> None:
    try:
        with anyio.fail_after(_PATIENCE):
            async with get_client() as client:
                told: OrchestrationResult[object] = await client.set_flow_run_state(run.id, state)
        if seat is not None and told.state is not None:
            seat.note_state(told.state.id)
    except Exception as trouble:  # noqa: BLE001  # it waits all the same
        get_run_logger().warning("Prefect was not told that the flow run waits: %r", trouble)
