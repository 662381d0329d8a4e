"""What the batch's own process and its workers tell each other: values, over a socket pair."""

import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from tasks_lib.domain.job import Limits
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.task import Revision
from tasks_lib.engine.breakers import Outage
from tasks_lib.engine.stop import Why
from tasks_lib.job.counted import Counted
from tasks_lib.ledger import Facts
from tasks_lib.live import AccountNow, ModelNow

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """To a worker: what it works on."""

    job: Path
    overrides: Mapping[str, object]
    fingerprint: str  # of the job's definition; a file that was changed meanwhile is another job
    batch_id: str
    number: int  # of the worker, from 0
    workers: int
    revision_ids: Mapping[str, str]
    limits_money: bool
    variants: tuple[Revision, ...] = ()  # of the revisions, that rows' overrides make


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """To a worker: what to run next; none: there is nothing left."""

    plans: tuple[Plan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """To a worker: what it sent under this number can no longer be lost; or why it never will be durable."""

    number: int
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """To a worker: so many dollars more may be spent; nothing: the limit does not hold another call."""

    amount: Decimal
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """To a worker: come to an end. From a worker: something there asks for the end of the batch."""

    why: Why
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """To a worker: come to an end now, and leave the calls under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """To a worker: what the user does to a batch while it runs; only what is given changes."""

    paused: bool | None = None
    limits: Limits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """From a worker: so many plans at most."""

    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """From a worker: runs that are over, to be counted and committed together."""

    number: int
    counted: tuple[Counted, ...]
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """From a worker: the money does not hold a call that may cost so much."""

    worst: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """From a worker: it has come to its end, and so much of its money is left."""

    unspent: Decimal
    warnings: tuple[str, ...] = ()
    outages: tuple[Outage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """From a worker, now and then: how things stand at its accounts."""

    accounts: tuple[AccountNow, ...]
    under_way: int
    models: tuple[ModelNow, ...] = ()


Frame = Begin | Plans | Committed | Granted | Halt | Drop | Act | Want | Done | Need | State | Gone


class Channel:
    """One end of a socket pair that only we and a child of ours hold."""

    def __init__(self, stream: ByteStream) -> None:
        """Speak over this stream."""
        self._stream = stream
        self._received = BufferedByteReceiveStream(stream)
        self._sending = anyio.Lock()
        self._length: int | None = None  # of the frame that comes, should `receive` have been cancelled there

    async def send(self, frame: Frame) -> None:
        """Send a frame whole.

        Raises:
            anyio.BrokenResourceError: the other end is gone.
        """
        data = pickle.dumps(frame, protocol=5)
        async with self._sending:
            with anyio.CancelScope(shield=True):  # half a frame would be the end of all understanding
                await self._stream.send(_LENGTH.pack(len(data)) + data)

    async def receive(self) -> Frame:
        """The next frame.

        Raises:
            anyio.EndOfStream: the other end has come to its end.
            anyio.IncompleteRead: the same, in the middle of a frame.
            anyio.BrokenResourceError: the same, not in order.
        """
        if self._length is None:
            try:
                (self._length,) = _LENGTH.unpack(await self._received.receive_exactly(_LENGTH.size))
            except anyio.IncompleteRead as end:
                raise anyio.EndOfStream from end
        data = await self._received.receive_exactly(self._length or 0)
        self._length = None
        frame: Frame = pickle.loads(data)  # noqa: S301 - of a process that we started, over a socket of our own
        return frame

    async def aclose(self) -> None:
        """Hang up."""
        await self._stream.aclose()
