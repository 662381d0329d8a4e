"""What has become of a flow run before this process took it up."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import FlowRun

AFTER_CRASH: Final = "AfterCrash"  # the scheduled state by which an automation has a flow run run again
_SUSPENDED: Final = "Suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How often a flow run has crashed in a row, how often it has asked for money, and its state now."""

    state: UUID
    crashes: int = 0
    suspensions: int = 0


async def history_of(run: FlowRun) -> History:
    """The history of a flow run; one without a deployment is run once and never again.

    Crashes count from the last time that somebody had it run again by hand, or gave it money.
    """
    async with get_client() as client:
        now = await client.read_flow_run(run.id)
        states = [] if run.deployment_id is None else await client.read_flow_run_states(run.id)
    crashes, suspensions = 0, 0
    for state in sorted(states, key=lambda state: state.timestamp):
        suspensions += state.name == _SUSPENDED
        if state.is_scheduled():
            crashes = crashes + 1 if state.name == AFTER_CRASH else 0
    if now.state is None:
        raise RuntimeError(f"flow run {run.name} has no state")
    return History(state=now.state.id, crashes=crashes, suspensions=suspensions)
