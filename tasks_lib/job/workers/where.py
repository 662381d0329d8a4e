"""Inputs that a worker elsewhere cannot have: its machine may lack what others have, so it is named."""

from dataclasses import replace
from socket import gethostname

from tasks_lib.domain.plan import Plan
from tasks_lib.engine.run import Prepare


def told_where(prepare: Prepare | None) -> Prepare | None:
    """The same, with this machine's name beside whatever is wrong with a row's inputs."""
    if prepare is None:
        return None

    async def prepared(plan: Plan) -> Plan:
        complete = await prepare(plan)
        problem = complete.problem
        if problem is None or plan.problem is not None:
            return complete
        told = f"{problem.message} (as a worker on {gethostname()} found it)"
        return replace(complete, problem=replace(problem, message=told))

    return prepared
