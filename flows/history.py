"""What has become of a flow run before this process took it up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from prefect import State, get_client
from prefect.client.schemas.objects import FlowRun, StateType

AFTER_CRASH: Final = "AfterCrash"  # the scheduled state by which an automation has a flow run run again
_SUSPENDED: Final = "Suspended"
_ENDS: Final = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED})


class HadEnded(Exception):
    """The flow run had come to its end, and is run again by mistake."""

    def __init__(self, state: State[Any]) -> None:
        super().__init__(f"it had ended as {state.name}")
        self.state = state


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Its state now, and how often it has asked for money.

    How often it has crashed is not told by states: a worker may report one crash twice, the second time when
    the flow run is on its way again. `flows.seats` counts processes.
    """

    state: UUID
    suspensions: int = 0
    ended: State[Any] | None = None  # how it had ended, if it is run again by mistake

    def check(self) -> None:
        """Nothing, unless the flow run had ended.

        Raises:
            HadEnded: so it had.
        """
        if self.ended is not None:
            raise HadEnded(self.ended)


async def history_of(run: FlowRun) -> History:
    """The history of a flow run; one without a deployment is run once and never again."""
    async with get_client() as client:
        now = await client.read_flow_run(run.id)
        states = [] if run.deployment_id is None else await client.read_flow_run_states(run.id)
    if now.state is None:
        raise RuntimeError(f"flow run {run.name} has no state")
    return History(
        state=now.state.id,
        suspensions=sum(state.name == _SUSPENDED for state in states),
        ended=end_before(states),
    )


def end_before(states: Sequence[State[Any]]) -> State[Any] | None:
    """The end that a flow run had come to, if nothing but the automation for crashes runs it again.

    A server on SQLite now and then loses an event ("database is locked"). If it is that of the end, the
    automation takes the flow run for dead. Run again, it would begin with fresh money.
    """
    told = sorted(states, key=lambda state: state.timestamp)
    ends = [place for place, state in enumerate(told) if state.type in _ENDS]
    if not ends:
        return None
    scheduled = {state.name for state in told[ends[-1] + 1 :] if state.type is StateType.SCHEDULED}
    if AFTER_CRASH not in scheduled or scheduled - {AFTER_CRASH, "Late"}:
        return None
    end = told[ends[-1]]
    return State(type=end.type, name=end.name, message=end.message)
