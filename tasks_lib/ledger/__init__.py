"""Floor 3: what happened, kept exactly and for good, in one DuckDB file that any DuckDB can read."""

from tasks_lib.ledger.deaths import Death
from tasks_lib.ledger.errors import LedgerError, LedgerInUse, LedgerTooNew, NotInLedger
from tasks_lib.ledger.facts import Facts, facts_of, together
from tasks_lib.ledger.ledger import Ledger, open_ledger
from tasks_lib.ledger.notices import NoticeFact
from tasks_lib.ledger.remote_runs import RemoteFact, RemoteGroup
from tasks_lib.ledger.results import StoredResult
from tasks_lib.ledger.writer import LedgerWriter, open_writer

__all__ = [
    "Death",
    "Facts",
    "Ledger",
    "LedgerError",
    "LedgerInUse",
    "LedgerTooNew",
    "LedgerWriter",
    "NotInLedger",
    "NoticeFact",
    "RemoteFact",
    "RemoteGroup",
    "StoredResult",
    "facts_of",
    "open_ledger",
    "open_writer",
    "together",
]
