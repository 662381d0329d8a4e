"""The name by which a provider knows that it was asked the same before."""

from collections.abc import Sequence

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.fingerprint import content_hash
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.run import Attempt


def idempotency_key(plan: Plan, attempts: Sequence[Attempt], *, position: int) -> str:
    """32 hexadecimal digits, the same for each try of one request, in this process and in the next one.

    So an answer that was made and never arrived (a lost connection, a timeout, a process that was killed) is
    not paid for twice where the provider keeps it. A request that was answered, and is made again since the
    answer was wrong or the user wants another one, has another key.
    """
    rejected = sum(
        one.position == position
        and one.failure is not None
        and one.failure.kind is FailureKind.INVALID_OUTPUT
        for one in attempts
    )
    return content_hash(
        {
            "identity": plan.identity,
            "times_ended": plan.times_ended,
            "model": str(plan.models[position].model),
            "rejected": rejected,
        }
    )
