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
    """Its state now, and how often it has asked for money.

    How often it has crashed is not told by states: a worker may report one crash twice, the second time when
    the flow run is on its way again. `flows.seats` counts processes.
    """

    state: UUID
    suspensions: int = 0


async def history_of(run: FlowRun) -> History:
    """The history of a flow run; one without a deployment is run once and never again."""
    async with get_client() as client:
        now = await client.read_flow_run(run.id)
        states = [] if run.deployment_id is None else await client.read_flow_run_states(run.id)
    if now.state is None:
        raise RuntimeError(f"flow run {run.name} has no state")
    return History(state=now.state.id, suspensions=sum(state.name == _SUSPENDED for state in states))
