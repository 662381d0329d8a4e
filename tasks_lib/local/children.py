"""Processes of ours that serve this one and end when it does: by the end of their standard input."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process

_ENDS_BY_ITSELF_WITHIN: Final = (
    2.0  # seconds from the end of its input; it takes milliseconds unless it is loading
)
_TAIL: Final = 2000  # bytes of a child's complaints that are worth repeating


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A running process with its streams."""

    process: Process
    stdin: ByteSendStream
    stdout: ByteReceiveStream
    complaints: BinaryIO

    @property
    def tail(self) -> str:
        """The last of what it wrote to standard error."""
        size = self.complaints.seek(0, 2)
        self.complaints.seek(max(0, size - _TAIL))
        return self.complaints.read().decode(errors="replace").strip() or "(it said nothing)"


async def start(script: Path) -> Child:
    """Start a script that reads its standard input until that ends.

    Shield it from cancelling until the child is where `end` finds it: none must start that nobody ends.
    """
    # A file and not a pipe: nobody need read it, so a talkative child cannot block.
    complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed by `end`
    try:
        # By its path and with -P: found from any folder, and no folder of the user's shadows what it imports.
        process = await anyio.open_process([sys.executable, "-P", str(script)], stderr=complaints)
    except BaseException:
        complaints.close()
        raise
    return Child(
        process=process,
        stdin=cast("ByteSendStream", process.stdin),  # open_process makes pipes of both
        stdout=cast("ByteReceiveStream", process.stdout),
        complaints=complaints,
    )


async def end(children: list[Child]) -> None:
    """All at once by the end of their input, then whoever is still there by force; none is left unreaped."""
    for child in children:
        await child.stdin.aclose()
    with anyio.move_on_after(_ENDS_BY_ITSELF_WITHIN):
        for child in children:
            await child.process.wait()
    for child in children:
        if child.process.returncode is None:
            child.process.kill()  # it holds nothing that could be lost
        await child.process.aclose()
        child.complaints.close()
