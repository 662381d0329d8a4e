"""A voice on this machine: espeak-ng in a process of its own, asked one text after another."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from tasks_lib.domain.mistake import Mistake
from tasks_lib.local.children import Child, end, start

ESPEAK: Final = "espeak"  # what the local provider calls it, in the place of a model
DEFAULT_VOICE: Final = "en-us"
_LOADER: Final = "espeakng_loader"
_CHILD: Final = Path(__file__).with_name("speech_child.py")
_LONGEST_LINE: Final = 65_536  # bytes of an answer before its recording
_SPOKEN_WITHIN: Final = 60.0  # seconds; half an hour of speech takes some ten


class SpeechMissing(Mistake):
    """What speaks is not on this machine; the message says how to get it."""


class SpeechFailed(Mistake):
    """The voice did not start; the message ends with what it wrote to standard error."""


class SpeakerGone(Exception):
    """The voice's process has ended, or no longer answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unspeakable:
    """Why a text was not spoken: what was asked is at fault."""

    reason: str


def check_speech() -> None:
    """Refuse where the voice is missing.

    Raises:
        SpeechMissing: with the way to get it.
    """
    if find_spec(_LOADER) is None:
        raise SpeechMissing(
            f"local:{ESPEAK} needs the package espeakng-loader: pip install 'rowmill[speech]' "
            "(espeak-ng is GPL-3, and runs as a process of its own)"
        )


class Voice(Protocol):
    """What speaks."""

    async def wav(self, text: str, *, voice: str, speed: float) -> bytes | Unspeakable:
        """A recording of the text as WAV.

        Raises:
            SpeakerGone: nobody is there to speak.
        """
        ...


class Speaker:
    """A running voice."""

    def __init__(self, child: Child) -> None:
        """Speak through a child that is ready; see `local_speaker`."""
        self._child = child
        self._answers = BufferedByteReceiveStream(child.stdout)
        self._turn = anyio.Lock()
        self._is_gone = False

    async def ready(self) -> None:
        """Wait until its voices are there; an end before that is an EndOfStream."""
        await self._line()

    async def wav(self, text: str, *, voice: str, speed: float) -> bytes | Unspeakable:
        """A recording of the text, 22,050 samples a second, one channel of 16 bits.

        Raises:
            SpeakerGone: its process has ended, or took a minute.
        """
        asked = json.dumps({"text": text, "voice": voice, "speed": speed}).encode() + b"\n"
        async with self._turn:
            if self._is_gone:
                raise SpeakerGone
            try:
                # Shielded: who no longer waits for an answer must not leave it to the next who asks.
                with anyio.fail_after(_SPOKEN_WITHIN, shield=True):
                    return await self._answered(asked)
            except (
                TimeoutError,
                anyio.EndOfStream,
                anyio.IncompleteRead,
                anyio.BrokenResourceError,
                anyio.ClosedResourceError,
            ):
                self._is_gone = True
                raise SpeakerGone from None

    async def _answered(self, asked: bytes) -> bytes | Unspeakable:
        await self._child.stdin.send(asked)
        told = await self._line()
        if "error" in told:
            return Unspeakable(reason=told["error"])
        return await self._answers.receive_exactly(told["size"])

    async def _line(self) -> dict[str, Any]:
        line = await self._answers.receive_until(b"\n", _LONGEST_LINE)
        told: dict[str, Any] = json.loads(line)
        return told


@asynccontextmanager
async def local_speaker(*, start_within: float = 30.0) -> AsyncIterator[Speaker]:
    """A voice, ready on entry and gone on exit; it ends by itself should this process be killed.

    Raises:
        SpeechMissing: it is not installed.
        SpeechFailed: it ended early or was not ready after `start_within` seconds.
    """
    check_speech()
    children: list[Child] = []
    try:
        with anyio.CancelScope(shield=True):
            children.append(await start(_CHILD))
        speaker = Speaker(children[0])
        try:
            with anyio.fail_after(start_within):
                await speaker.ready()
        except TimeoutError:
            raise SpeechFailed(f"the local voice was not ready after {start_within:g} s") from None
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            tail = children[0].tail
            raise SpeechFailed(f"the local voice ended before it was ready:\n{tail}") from None
        yield speaker
    finally:
        with anyio.CancelScope(shield=True):
            await end(children)
