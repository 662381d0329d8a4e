"""One run at a hosted task: begun or taken up, followed to its end, let go, or given up.

What is durable before what:

intent     before anything is sent that may begin a run
its id     before anything is sent after the provider has told it, or at once where a run is taken up

So a process may die at any moment: where there is an id the next batch takes the run up, and where there is
only the intent it has the protocol look for the run before another one is begun.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import anyio

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Reply
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.policy import Call
from tasks_lib.domain.task import Model
from tasks_lib.engine.exchange import have
from tasks_lib.engine.stop import Stop
from tasks_lib.engine.wakes import Wakes
from tasks_lib.providers.protocol import RunProtocol, Transport

_ENDED_ELSEWHERE = frozenset(
    {
        FailureKind.REJECTED,
        FailureKind.UNKNOWN_MODEL,
        FailureKind.INVALID_OUTPUT,
        FailureKind.REFUSED,
        FailureKind.LENGTH,
        FailureKind.BAD_ROW,
    }
)
"""Failures that tell how a run ended, or that there is none."""
_UNBEGUN = Failure(kind=FailureKind.CANCELLED, message="interrupted before anything was sent")
_INTERRUPTED = Failure(
    kind=FailureKind.CANCELLED, message="interrupted while the run was awaited", maybe_billed=True
)


class RemoteBook(Protocol):
    """Remembers which runs were begun at hosted tasks, whatever becomes of the process."""

    async def intend(self, plan: Plan, position: int, model: Model) -> None:
        """Return once it cannot be forgotten that a run is about to be begun."""
        ...

    async def accepted(self, plan: Plan, position: int, model: Model, remote_id: str) -> None:
        """Return once it cannot be forgotten under which id the run goes on."""
        ...


class NoBook:
    """For batches that ask no hosted task."""

    async def intend(self, plan: Plan, position: int, model: Model) -> None:
        """See `RemoteBook`."""
        raise NotImplementedError("nobody keeps a book of hosted runs")

    async def accepted(self, plan: Plan, position: int, model: Model, remote_id: str) -> None:
        """See `RemoteBook`."""
        raise NotImplementedError("nobody keeps a book of hosted runs")


@dataclass(slots=True)
class Sight:
    """What is known of a run, as it goes on; to be read also when the exchange was cut short."""

    remote_id: str | None
    outcome: Reply | Failure  # as it would be if the run were cut short now

    @classmethod
    def of(cls, call: Call) -> "Sight":
        """That of a call before anything was sent for it."""
        is_ours = call.remote_id is not None or call.lost
        return cls(call.remote_id, replace(_UNBEGUN, maybe_billed=is_ours))

    @property
    def sees_end(self) -> bool:
        """Whether the run has come to its end, as far as anybody knows."""
        return isinstance(self.outcome, Reply) or (
            self.outcome.remote is not None and self.outcome.remote.is_over
        )


async def follow(
    sight: Sight,
    protocol: RunProtocol,
    transport: Transport,
    plan: Plan,
    call: Call,
    *,
    book: RemoteBook,
    stop: Stop,
    seconds: float,  # after which it is given up
    listen: Callable[[Mapping[str, str]], None],
    wakes: Wakes,
) -> None:
    """Have a run, and leave in `sight` what came of it.

    When the stop lets go, a run whose id is durable is left alone, and one that is being begun has its id
    first. `sight` tells of a run that the hard end cuts short, too.
    """
    choice = plan.models[call.position]
    model = choice.model

    async def accepted(remote_id: str) -> None:
        # an id that was told is worth a commit, even if everything ends
        with anyio.CancelScope(shield=True):
            if remote_id != sight.remote_id:
                sight.remote_id = remote_id
                await book.accepted(plan, call.position, model, remote_id)
        stop.may_let_go(scope)

    if call.remote_id is None:
        await book.intend(plan, call.position, model)
    else:
        await book.accepted(plan, call.position, model, call.remote_id)
    with anyio.move_on_after(seconds) as scope:
        try:
            if call.remote_id is not None:
                stop.may_let_go(scope)
            exchange = protocol.run(plan, choice, remote_id=call.remote_id, lost=call.lost)
            sight.outcome = _INTERRUPTED
            with wakes.waiting(call.remote_id) as wake:
                sight.outcome = await have(exchange, transport, listen=listen, accepted=accepted, wake=wake)
        finally:
            stop.is_over(scope)
    if scope.cancelled_caught:
        sight.outcome = _given_up(model, seconds, sight.remote_id) if not stop.lets_go else _let_go(model)
    if sight.remote_id is None and sight.outcome.remote is not None:
        sight.remote_id = sight.outcome.remote.remote_id
    if isinstance(sight.outcome, Failure) and _may_go_on(sight, call):
        sight.outcome = replace(sight.outcome, maybe_billed=True)


def _may_go_on(sight: Sight, call: Call) -> bool:
    """Whether a run may go on, or have ended well, that we only lost sight of."""
    assert isinstance(sight.outcome, Failure)  # noqa: S101  # tells mypy
    if sight.sees_end or sight.outcome.kind in _ENDED_ELSEWHERE:
        return False
    return sight.remote_id is not None or call.lost


def _given_up(model: Model, seconds: float, remote_id: str | None) -> Failure:
    named = f"run {remote_id}" if remote_id is not None else "the run"
    return Failure(
        kind=FailureKind.GIVEN_UP,
        message=f"{named} had no end within {seconds:g} s; it goes on at {model.provider}, "
        "and the next batch takes it up",
        maybe_billed=True,
    )


def _let_go(model: Model) -> Failure:
    return Failure(
        kind=FailureKind.CANCELLED,
        message=f"the batch ended before the run did; it goes on at {model.provider}, "
        "and the next batch takes it up",
        maybe_billed=True,
    )
