"""Has documents read by processes that can be ended: see `reader`."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from math import ceil
from typing import Any, Final

import anyio
import orjson
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tasks_lib.inputs.kinds import DOCX, HTML
from tasks_lib.inputs.unusable import Refused, Unusable

READ_BY: Final = {  # MIME type -> the package that reads it
    "application/pdf": "pypdf",
    DOCX: "docx",
    HTML: "markdownify",
    "application/xhtml+xml": "markdownify",
}
_LONGEST_LINE: Final = 4096
_GONE: Final = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What reading one document may take."""

    seconds: float = 30.0
    megabytes: int = 1024  # of memory, of each process
    processes: int = 2


def missing_package(kind: str) -> str | None:
    """The package that would read files of a type, if it is not installed."""
    package = READ_BY.get(kind)
    return package if package is not None and find_spec(package) is None else None


class _Child:
    """A process that reads one document after another."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101 - as above
        self.process = process
        self._to = process.stdin
        self._from = BufferedByteReceiveStream(process.stdout)

    async def ask(self, asked: dict[str, object], content: bytes) -> tuple[dict[str, Any], bytes]:
        await self._to.send(orjson.dumps(asked | {"size": len(content)}) + b"\n")
        await self._to.send(content)
        told = orjson.loads(await self._from.receive_until(b"\n", _LONGEST_LINE))
        size = told.get("size", 0)
        return told, await self._from.receive_exactly(size) if size else b""


class Readers:
    """A few processes that read; each is started when it is first needed."""

    def __init__(self, bounds: Bounds) -> None:
        """Nothing is started yet."""
        self._bounds = bounds
        self._idle: list[_Child] = []
        self._places = anyio.CapacityLimiter(bounds.processes)

    async def text_of(self, content: bytes, *, kind: str, most: int, encoding: str | None = None) -> str:
        """The first characters of a document's text, at most so many.

        Raises:
            Refused: the package that reads such files is not installed.
            Unusable: it cannot be read, or not in the time and memory that it may take.
        """
        asked = {"do": "text", "kind": kind, "most": most, "encoding": encoding}
        _, text = await self._asked(asked, content, kind=kind)
        return text.decode()

    async def pages_of(self, content: bytes) -> int | None:
        """How many pages a PDF has; None if nobody can tell."""
        if missing_package("application/pdf"):
            return None
        try:
            told, _ = await self._asked({"do": "pages"}, content, kind="application/pdf")
        except Unusable:
            return None
        pages: int = told["pages"]
        return pages

    async def close(self) -> None:
        """End the processes."""
        with anyio.CancelScope(shield=True):
            while self._idle:
                await _end(self._idle.pop())

    async def _asked(
        self, asked: dict[str, object], content: bytes, *, kind: str
    ) -> tuple[dict[str, Any], bytes]:
        package = missing_package(kind)
        if package is not None:
            raise Refused(f"files of type {kind} are read by {package}: pip install 'rowmill[files]'")
        async with self._places:
            came = await self._read_by(self._idle.pop(), asked, content) if self._idle else None
            if came is None:  # an idle one that is gone may have ended for any reason
                came = await self._read_by(await self._started(), asked, content)
        if came is None:
            raise Unusable("it ended the process that read it")
        told, text = came
        if "error" in told:
            raise Unusable(told["error"])
        return told, text

    async def _read_by(
        self, child: _Child, asked: dict[str, object], content: bytes
    ) -> tuple[dict[str, Any], bytes] | None:
        """What a process says of a document; None if it ended over it."""
        is_well = False
        try:
            with anyio.fail_after(self._bounds.seconds):
                told, text = await child.ask(asked, content)
            is_well = not told.get("is_full")
        except TimeoutError as error:
            raise Unusable(f"it was not read within {self._bounds.seconds:g} seconds") from error
        except _GONE:
            return None
        finally:
            if is_well:
                self._idle.append(child)
            else:
                with anyio.CancelScope(shield=True):
                    await _end(child)
        return told, text

    async def _started(self) -> _Child:
        return _Child(
            await anyio.open_process(
                [
                    sys.executable,
                    "-m",
                    "tasks_lib.inputs.reader",
                    str(self._bounds.megabytes),
                    str(ceil(self._bounds.seconds) + 5),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # no key of ours: what a document makes of its reader, it finds nothing there
                env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "LC_ALL": "C.UTF-8"},
            )
        )


@asynccontextmanager
async def open_readers(bounds: Bounds | None = None) -> AsyncIterator[Readers]:
    """Readers, whose processes are gone on the way out."""
    readers = Readers(bounds or Bounds())
    try:
        yield readers
    finally:
        await readers.close()


async def _end(child: _Child) -> None:
    with suppress(ProcessLookupError):
        child.process.kill()
    await child.process.aclose()
