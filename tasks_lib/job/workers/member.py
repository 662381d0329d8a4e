"""A worker as the batch's own process knows it: how it is spoken to, and what it has."""

from contextlib import suppress
from dataclasses import dataclass, field

from anyio.abc import Process

from tasks_lib.domain.plan import Plan
from tasks_lib.engine.leases import Answer
from tasks_lib.engine.lessor import Holder
from tasks_lib.job.accounts import Part
from tasks_lib.job.workers.channel import LOST, Channel, Outbox
from tasks_lib.job.workers.frames import Broke, Frame, Gone
from tasks_lib.job.workers.processes import ended
from tasks_lib.ledger.journal import Entry
from tasks_lib.live import AccountNow, ModelNow

_TO_END = 5.0  # seconds in which a process ends that has hung up


@dataclass(slots=True, eq=False)
class Member:
    """A worker that has come, and what it has."""

    number: int
    part: Part | None  # of the limits; None: each of its calls asks for leave
    channel: Channel
    process: Process | None  # None: elsewhere
    outbox: Outbox[Answer]
    holder: Holder
    last: Entry | None = None  # of its journal, that it told of
    wants: int = 0  # plans
    given: dict[str, Plan] = field(default_factory=dict)  # by task run; what was handed in is not among them
    begun: dict[str, Plan] = field(default_factory=dict)  # those under way; of one without a part only
    sums: set[int] = field(default_factory=set)  # numbers of money set aside for calls not heard of here
    accounts: tuple[AccountNow, ...] = ()
    models: tuple[ModelNow, ...] = ()
    under_way: int = 0
    has_spoken: bool = False
    broke: Broke | None = None
    ended: Gone | None = None  # in order
    is_gone: bool = False  # however

    async def tell(self, frame: Frame) -> None:
        """Send it a frame; one that is gone is told nothing, and who serves it says so."""
        with suppress(*LOST):
            await self.channel.send(frame)

    async def how_it_ended(self) -> str:
        """What became of one that is gone and did not say so; a process of ours is gone after this."""
        silent = self.channel.silent_for
        if self.process is not None:
            code = await ended(self.process, within=0.0 if silent is not None else _TO_END)
            if silent is None:
                how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                return how if self.broke is None else f"{how}: {self.broke.error}"
        if silent is not None:
            return f"was not heard of for {silent:.0f} s"
        return f"broke: {self.broke.error}" if self.broke is not None else "hung up"
