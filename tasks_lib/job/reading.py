"""A ledger to be read, whether or not a batch is writing to it, and wherever it is."""

from pathlib import Path

from tasks_lib.configs import Environment
from tasks_lib.configs.ledger_tokens import ledger_tokens
from tasks_lib.ledger import LedgerInUse, open_ledger
from tasks_lib.ledger.distant import DistantLedger, ReadableLedger
from tasks_lib.ledger.team import is_team_uri, parse_uri, read_place
from tasks_lib.live.client import reach


def open_to_read(path: Path) -> ReadableLedger:
    """The ledger in a file, or of a team (`quack:HOST:PORT`, `ducklake:...`), to be used in a `with`.

    Where a batch of another process has it, it is read through that process. A served ledger wants the token
    that ROWMILL_LEDGER_TOKEN has.

    Raises:
        LedgerInUse: another process has it, and cannot be asked.
        LedgerError: it is not there, or cannot be read.
    """
    if is_team_uri(str(path)):
        token = ledger_tokens(Environment.from_os()).to_read
        return read_place(parse_uri(str(path)), token=token)
    try:
        return open_ledger(path, read_only=True)
    except LedgerInUse:
        client = reach(path)
        if client is None:
            return open_ledger(path, read_only=True)  # it may have ended at this very moment
        return DistantLedger(path, client.ask, close=client.close)
