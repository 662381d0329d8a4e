"""A ledger to be read, whether or not a batch is writing to it."""

from pathlib import Path

from tasks_lib.ledger import LedgerInUse, open_ledger
from tasks_lib.ledger.distant import DistantLedger, ReadableLedger
from tasks_lib.live.client import reach


def open_to_read(path: Path) -> ReadableLedger:
    """The ledger in a file, to be used in a `with`.

    Where a batch of another process has it, it is read through that process.

    Raises:
        LedgerInUse: another process has it, and cannot be asked.
        LedgerError: it is not there, or cannot be read.
    """
    try:
        return open_ledger(path, read_only=True)
    except LedgerInUse:
        client = reach(path)
        if client is None:
            return open_ledger(path, read_only=True)  # it may have ended at this very moment
        return DistantLedger(path, client.ask, close=client.close)
