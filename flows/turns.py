"""One batch at a time for each ledger: how a flow run waits for its turn.

The ledger's own lock decides. It is the kernel's, so that it is free the moment its process is dead, and it
also keeps off what does not go through Prefect. Prefect's concurrency limits were not taken for three
reasons. They count runs of one deployment, and not of all that write to a ledger. A dead run keeps its slot
for five minutes. And a deployment's slot is a lease that a Prefect server holds in memory: when that server
is started again, the lease cannot be renewed, and Prefect cancels the run in the middle of paid calls.

Of one job at most one flow run waits; what a third would do, the waiting one does, as it reads the source
after its wait.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

import anyio
from anyio import to_thread

from tasks_lib.engine.stop import Stop
from tasks_lib.ledger import open_ledger
from tasks_lib.ledger.errors import LedgerInUse

EVERY: Final = 2.0  # seconds between two looks at the ledger


class OneWaits(Exception):
    """Another flow run of the same job waits for the ledger already."""


@contextmanager
def only_one_waits(ledger: Path, what: str) -> Iterator[None]:
    """Wait inside; `what` names all that makes two flow runs do the same.

    Raises:
        OneWaits: another process is inside already.
    """
    name = hashlib.blake2b(what.encode(), digest_size=8).hexdigest()
    descriptor = os.open(ledger.with_name(f"{ledger.name}.next-{name}"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OneWaits from None
        yield
    finally:
        os.close(descriptor)


async def is_free(ledger: Path) -> bool:
    """Whether no other process has the ledger."""
    try:
        await to_thread.run_sync(_try, ledger)
    except LedgerInUse:
        return False
    return True


async def wait_until_free(ledger: Path, *, patience: float, stop: Stop, every: float = EVERY) -> None:
    """Return once no other process has the ledger, or the stop was called.

    Raises:
        LedgerInUse: it was not free within so many seconds.
    """
    deadline = monotonic() + patience
    with stop.cuts_short():
        while True:
            try:
                await to_thread.run_sync(_try, ledger)
            except LedgerInUse:
                if monotonic() >= deadline:
                    raise
                await anyio.sleep(every)
            else:
                return


def _try(ledger: Path) -> None:
    if ledger.exists():
        open_ledger(ledger).close()
