"""How workers come to a batch that are not started by itself: on other machines, by engines that exist."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """All that a worker needs to call in at a batch; whoever has it may take part, and gets its keys.

    It holds for one batch and one worker's number. It may be pickled, and travels by what starts the worker.
    """

    hosts: tuple[str, ...]  # to be tried in this order
    port: int
    certificate: str  # PEM; the batch's own, made for it, and the only one that is believed
    secret: str = field(repr=False)
    batch_id: str
    number: int  # of the worker, from 0; one that takes the place of a dead one has a number of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """How the two ends of a worker's channel know that the other one lives; seconds."""

    beat: float = 2.0  # each says something at least so often
    lease: float = 15.0  # a worker that is not heard of for so long is dead: others may have its places
    first: float = 120.0  # as `lease`, until a word was heard: a process that starts takes its time

    @property
    def patience(self) -> float:
        """Seconds after which a worker that does not hear of its batch drops its calls.

        So much shorter than the lease that its calls are gone when its places are given to others: each end
        hears the other one's last word up to a beat before the line breaks, and notices within a part of one.
        """
        return self.lease * 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where the batch's own process waits for workers from elsewhere, and for how long."""

    bind: tuple[str, ...] = ("127.0.0.1",)  # addresses of this machine; 0.0.0.0 or :: are all of them
    advertise: tuple[str, ...] = ()  # by which workers call, in the order of trying; none: as `bind` has it
    port: int = 0  # 0: any that is free
    absence: float = 120.0  # seconds without any worker, after which a batch gives up
    pulse: Pulse = field(default_factory=Pulse)


class NoWorker(Exception):
    """No worker can be had; the text says why, and what would help."""


class Recruiter(Protocol):
    """Has workers started elsewhere; each runs `workers.worker.work_for(ticket)` and calls in."""

    async def begin(self, ticket: Ticket) -> None:
        """Have one more worker on its way; it may take a while until it calls in, or never come.

        Raises:
            NoWorker: it cannot be had.
        """
        ...

    async def close(self) -> None:
        """The batch is over: whoever is still on its way, or does not end by itself, is stopped."""
        ...
