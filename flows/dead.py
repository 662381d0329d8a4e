"""Flow runs whose process died without a word: Prefect would show them as running for ever."""

from pathlib import Path
from typing import Final
from uuid import UUID

import anyio
from anyio import to_thread
from prefect import State, get_client, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from flows.seats import empty_seats, forget

_PATIENCE: Final = 60.0  # seconds for all of them
_FINAL = frozenset({StateType.COMPLETED, StateType.CANCELLED})  # and is not run again by itself


async def bury_the_dead(ledger: Path, *, by: FlowRun) -> None:
    """Tell Prefect which flow runs of this ledger have no process any more; trouble with that is a warning.

    They are marked as crashed, by the name TakenOver: an automation that runs crashed flow runs again need
    not run them, since the flow run `by` does what is left.
    """
    try:
        seats = dict(await to_thread.run_sync(lambda: list(empty_seats(ledger))))
        empty = {one: states for one, states in seats.items() if one != by.id}
        if not empty:
            return
        with anyio.fail_after(_PATIENCE):
            async with get_client() as client:
                for flow_run_id, states in empty.items():
                    await _bury(client, ledger, flow_run_id, states=states, by=by)
    except Exception as trouble:  # noqa: BLE001  # it is no reason not to run what is to be run
        get_run_logger().warning("Flow runs that died were not marked as such: %r", trouble)


async def _bury(
    client: PrefectClient, ledger: Path, flow_run_id: UUID, *, states: frozenset[UUID], by: FlowRun
) -> None:
    try:
        found = await client.read_flow_run(flow_run_id)
    except ObjectNotFound:  # that of another server
        forget(ledger, flow_run_id, at_once=False)
        return
    kind = found.state.type if found.state is not None else None
    if kind is StateType.RUNNING and found.state is not None and found.state.id not in states:
        return  # it has been begun again, and its process is on its way to its seat
    if kind is StateType.CANCELLING:
        ended: State[object] = Cancelled(message="its process had ended before it could say so")
        await client.set_flow_run_state(flow_run_id, ended, force=True)
    elif kind is StateType.RUNNING:
        message = f"Its process ended without a word. Flow run {by.name} takes over what is left"
        await _end_task_runs(client, flow_run_id)
        await client.set_flow_run_state(flow_run_id, Crashed(name="TakenOver", message=message), force=True)
        get_run_logger().warning("Flow run %s had died: it is marked as crashed", found.name)
    else:
        forget(ledger, flow_run_id, at_once=kind in _FINAL)


async def _end_task_runs(client: PrefectClient, flow_run_id: UUID) -> None:
    running = TaskRunFilter(
        state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    )
    of_it = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    for task_run in await client.read_task_runs(flow_run_filter=of_it, task_run_filter=running):
        state: State[object] = Crashed(message="the flow run's process ended without a word")
        await client.set_task_run_state(task_run.id, state, force=True)
