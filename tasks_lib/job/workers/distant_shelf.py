"""Files that a worker elsewhere makes: they stay where the batch's ledger is."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from anyio import from_thread

from tasks_lib.domain.files import FileFact
from tasks_lib.job.workers.frames import Kept
from tasks_lib.outputs import FilesError

Send = Callable[[bytes, str, str], Coroutine[Any, Any, Kept]]
"""Sends a file's content, its task run and its type, and waits for what became of it."""


@dataclass(frozen=True, slots=True)
class DistantShelf:
    """Puts files on a shelf in another process; see `outputs.Shelf`."""

    send: Send

    def put(self, content: bytes, *, task_run_id: str, mime_type: str) -> FileFact:
        """Keep a file; called in a thread, as all that keeps files is.

        Raises:
            FilesError: it was not kept.
        """
        kept = from_thread.run(self.send, content, task_run_id, mime_type)
        if kept.file is None:
            raise FilesError(kept.error or "nobody kept the file")
        return kept.file
