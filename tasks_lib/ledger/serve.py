"""The open ledger for other DuckDB clients on this machine, by DuckDB's own Quack protocol, to be read only.

Quack itself knows no reading only: a client may send any statement. But it asks a function of ours about each
one before it is run, appended rows included, and what that refuses (see `guard`) is not run. A client needs a
token, and loopback alone is listened on.

It costs 0.15 s of CPU and 11 MB to begin, and nothing that could be measured for each row afterwards. What is
not in our hands: Quack is young and runs inside the batch's process, it interrupts no statement that takes
long, and it has no share of memory of its own, so that the narrow bound on the writer's is lifted when it
begins. That is why nothing is served unless somebody asks for it.

A client of version 1.5 cannot join two served tables itself; `from run.query('select ...')` lets this end do
it.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from secrets import token_urlsafe

import duckdb

from tasks_lib.ledger.errors import LedgerError
from tasks_lib.ledger.extensions import load_extensions
from tasks_lib.ledger.guard import check_reads_only
from tasks_lib.ledger.ledger import Ledger
from tasks_lib.ledger.statements import literal

_EXTENSIONS = ("httpfs", "quack")  # the second one takes its random numbers from the first one
_PORTS_TRIED = 5
_MAY = "rowmill_reads_only"
_TRANSACTIONS = frozenset({"begin", "begin transaction", "commit", "rollback", "abort"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where a ledger is served; `off` says why it is not, and all else goes on."""

    uri: str | None = None  # quack:127.0.0.1:PORT
    token: str | None = None
    off: str | None = None

    def __repr__(self) -> str:
        return f"Served(uri={self.uri!r}, off={self.off!r})"  # without the token


@contextmanager
def served(ledger: Ledger) -> Iterator[Served]:
    """Serve a ledger that is open for writing to other DuckDB clients for as long as this is open."""
    try:
        uri, token = _begin(ledger)
    except (LedgerError, duckdb.Error, OSError) as error:
        first_line = str(error).partition("\n")[0]
        yield Served(off=f"the ledger is not served to other DuckDB clients ({first_line})")
        return
    try:
        yield Served(uri=uri, token=token)
    finally:
        with suppress(duckdb.Error):  # the ledger was closed after an error, and with it the server
            ledger.cursor().execute(f"call quack_stop({literal(uri)})")


def _begin(ledger: Ledger) -> tuple[str, str]:
    connection = ledger.cursor()
    load_extensions(connection, *_EXTENSIONS, extra="live")
    with suppress(
        duckdb.CatalogException, duckdb.NotImplementedException
    ):  # it is there from an earlier time
        connection.create_function(_MAY, _may, ["VARCHAR", "VARCHAR"], "BOOLEAN", side_effects=True)
    connection.execute(f"set global quack_authorization_function = {literal(_MAY)}")
    row = connection.execute("select current_setting('quack_authorization_function')").fetchone()
    if row is None or row[0] != _MAY:
        raise LedgerError("it cannot be kept from being written to")
    ledger._connections.allow_memory(longest_text=None)  # noqa: SLF001 - of this room; see above
    token = token_urlsafe(32)
    for last in range(_PORTS_TRIED - 1, -1, -1):
        uri = f"quack:127.0.0.1:{_free_port()}"
        try:
            connection.execute(f"call quack_serve({literal(uri)}, token => {literal(token)})")
        except duckdb.Error:
            if not last:
                raise
        else:
            return uri, token
    raise AssertionError("the last try returns or raises")


def _may(_: str, statement: str) -> bool:
    """Whether a client's statement may be run; Quack says no more than that to the client."""
    if statement.strip().rstrip(";").lower() in _TRANSACTIONS:
        return True  # of statements that each come here
    try:
        check_reads_only(statement)
    except LedgerError:
        return False
    return True


def _free_port() -> int:
    """A port that is free at this moment; Quack cannot choose one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
