"""Frames from end to end: whole, in order, and with a beat by which each end knows that the other lives."""

import math
import pickle
import struct
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final, Generic, TypeVar

import anyio
from anyio.abc import ByteStream

from tasks_lib.job.workers.frames import Beat, Frame
from tasks_lib.job.workers.recruiting import Pulse

LONGEST: Final = 1 << 30  # bytes of a frame; no group of a hundred runs, and no file that is kept, has more
LOST: Final = (
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
"""What sending and receiving raise when the other end is gone, or this one was closed."""

_TO_SEND = 30.0  # seconds for a frame, where nobody sees to it that the other end lives
_LOOKS = 4  # at whether something was heard, for each beat
_LENGTH = struct.Struct("<Q")
_T = TypeVar("_T")


class Channel:
    """One end of a connection whose other end is ours, too: a child's, or one that has shown its ticket."""

    def __init__(self, stream: ByteStream, *, to_send: float = _TO_SEND) -> None:
        """Speak over this stream; a frame has so many seconds where nobody keeps the connection alive."""
        self._stream = stream
        self._received = bytearray()
        self._sending = anyio.Lock(fast_acquire=True)
        self._length: int | None = None  # of the frame that comes, should `receive` have been cancelled there
        self._heard = False  # anything, since somebody last looked
        self._heard_ever = False
        self._to_send = self._unwatched = to_send
        self._whole: anyio.CancelScope | None = None  # of the frame that is being sent
        self.silent_for: float | None = None  # seconds, if that is why it was closed

    async def send(self, frame: Frame) -> None:
        """Send a frame whole, also when cancelled: half a one would be the end of all understanding.

        Where the other end takes nothing any more this ends with `keep_alive`, or soon after that was left.

        Raises:
            anyio.BrokenResourceError: the other end is gone.
            anyio.ClosedResourceError: this end was closed.
        """
        data = pickle.dumps(frame, protocol=5)
        async with self._sending:
            with anyio.move_on_after(self._to_send, shield=True) as self._whole:
                await self._stream.send(_LENGTH.pack(len(data)) + data)
            if self._whole.cancelled_caught:
                await self.aclose()
                raise anyio.BrokenResourceError

    async def receive(self) -> Frame:
        """The next frame that says anything; may be cancelled, and called again.

        Raises:
            anyio.EndOfStream: the other end has come to its end.
            anyio.BrokenResourceError: the same, not in order.
            anyio.ClosedResourceError: this end was closed.
        """
        while True:
            if self._length is None:
                (length,) = _LENGTH.unpack(await self._exactly(_LENGTH.size))
                if length > LONGEST:
                    raise anyio.BrokenResourceError
                self._length = length
            data = await self._exactly(self._length)
            self._length = None
            frame: Frame = pickle.loads(data)  # noqa: S301 - of a process of ours; see the class
            if not isinstance(frame, Beat):
                return frame

    async def keep_alive(self, pulse: Pulse, patience: float | None = None) -> None:
        """Say something now and then, and close this end once nothing was heard for too long.

        Too long is the pulse's lease, or so many seconds of patience; and never less. Time in which this
        process itself stood still counts as two beats, since it could hear nobody.
        """
        beat, patience = pulse.beat, patience or pulse.lease
        try:
            self._bound_sending(math.inf)  # whoever hangs there ends with the patience
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beat, beat)  # by itself: it may hang where nobody reads any more
                silent, looked = 0.0, monotonic()
                while silent < (patience if self._heard_ever else pulse.first):
                    self._heard = False
                    await anyio.sleep(beat / _LOOKS)
                    now = monotonic()
                    silent = 0.0 if self._heard else silent + min(now - looked, 2 * beat)
                    looked = now
                self.silent_for = silent
                await self.aclose()
                tasks.cancel_scope.cancel()
        finally:
            self._bound_sending(self._unwatched)

    async def aclose(self) -> None:
        """Hang up at once; what hangs in sending or receiving ends."""
        await anyio.aclose_forcefully(self._stream)

    def _bound_sending(self, within: float) -> None:
        """Have a frame that is being sent, and all later ones, take no longer than this from now."""
        self._to_send = within
        if self._whole is not None:
            self._whole.deadline = anyio.current_time() + within

    async def _beat(self, every: float) -> None:
        with suppress(*LOST):
            while True:
                if not self._sending.locked():  # else something is said already
                    await self.send(Beat())
                await anyio.sleep(every)

    async def _exactly(self, count: int) -> bytes:
        while len(self._received) < count:
            self._received += await self._stream.receive()
            self._heard = self._heard_ever = True
        data = bytes(memoryview(self._received)[:count])
        del self._received[:count]
        return data


class Outbox(Generic[_T]):
    """Small words on their way, in their order: those of one moment share a frame."""

    def __init__(self, channel: Channel, frame_of: Callable[[tuple[_T, ...]], Frame]) -> None:
        """Send by this channel, as such frames."""
        self._channel = channel
        self._frame_of = frame_of
        self._words: list[_T] = []
        self._any = anyio.Event()

    def say(self, *words: _T) -> None:
        """Have words sent soon, after those before them."""
        self._words.extend(words)
        self._any.set()

    async def flush(self) -> None:
        """Send what is there now.

        Raises:
            anyio.BrokenResourceError: the other end is gone.
            anyio.ClosedResourceError: this end was closed.
        """
        words, self._words = self._words, []
        if self._any.is_set():  # else `post` waits for this very event
            self._any = anyio.Event()
        if words:
            with anyio.CancelScope(shield=True):  # they are nobody else's to send now
                await self._channel.send(self._frame_of(tuple(words)))

    async def post(self) -> None:
        """Send what is said, until the channel is gone or this is cancelled."""
        with suppress(*LOST):
            while True:
                await self._any.wait()
                await self.flush()
