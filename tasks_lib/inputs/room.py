"""How many bytes of files are in memory at once."""

import weakref
from typing import Final

import anyio

from tasks_lib.domain.files import Attachment

MOST_BYTES: Final = 192 << 20  # of all rows together; a row that alone has more goes alone


class Room:
    """Room for the files of rows under way, given back when nobody holds them any more."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        """Hold at most so many bytes, or one row's."""
        self._most = most
        self._taken = 0
        self._freed = anyio.Event()
        self._turn = anyio.Lock()  # first come, first served: small rows do not pass a large one for ever

    @property
    def taken(self) -> int:
        """Bytes that are held."""
        return self._taken

    async def take(self, size: int) -> None:
        """Wait until so many bytes have room."""
        async with self._turn:
            while self._taken and self._taken + size > self._most:
                self._freed = anyio.Event()
                await self._freed.wait()
            self._taken += size

    def give_back(self, size: int) -> None:
        """So many bytes are held no longer."""
        self._taken -= size
        self._freed.set()

    def until_gone(self, attachment: Attachment) -> None:
        """Give an attachment's bytes back once nobody holds it: the engine lets go of it after the run."""
        gone = weakref.finalize(attachment, self.give_back, len(attachment.content))
        gone.atexit = False
