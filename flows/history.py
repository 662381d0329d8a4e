"""What has become of a flow run before this process took it up."""

from dataclasses import dataclass

from prefect import get_client
from prefect.client.schemas.objects import FlowRun

AWAITING_RETRY = "AwaitingRetry"  # the state by which an automation runs a crashed flow run again
_SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How often a flow run was begun, has crashed, and has asked for money."""

    runs: int = 1
    crashes: int = 0
    suspensions: int = 0


async def history_of(run: FlowRun) -> History:
    """The history of a flow run; one without a deployment is run once and never again."""
    if run.deployment_id is None:
        return History()
    async with get_client() as client:
        now = await client.read_flow_run(run.id)
        names = [state.name for state in await client.read_flow_run_states(run.id)]
    return History(
        runs=now.run_count, crashes=names.count(AWAITING_RETRY), suspensions=names.count(_SUSPENDED)
    )
