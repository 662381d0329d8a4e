"""A team's ledger: one DuckDB file, held by this process, that others read and write by Quack.

Analysts ask what they like that only reads. Jobs elsewhere put parcels down in a schema of their own, and
take them in by one text that is one transaction. Quack has a session for each client, and tells our functions
its name: one is asked whether a token is good, the other about each statement.
"""
# ruff: noqa: S608  names of tables are ours, ids are checked, and all else is quoted

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import cpu_count
from pathlib import Path
from secrets import token_urlsafe
from typing import Final
from uuid import UUID

import duckdb

from tasks_lib.ledger.errors import LedgerError, told
from tasks_lib.ledger.extensions import load_extensions
from tasks_lib.ledger.ledger import Ledger, open_ledger
from tasks_lib.ledger.statements import literal
from tasks_lib.ledger.team.parcel import TABLES
from tasks_lib.ledger.team.roles import LANDING, Role, Tokens, may
from tasks_lib.ledger.team.uri import QuackUri

_COMES_IN, _MAY = "rowmill_comes_in", "rowmill_may"
_MOST_SESSIONS = 100_000  # that are remembered; who was forgotten logs in again
_LEFT_BEHIND: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamServer:
    """A ledger that is being served."""

    uri: str
    ledger: Ledger

    def clients(self) -> int:
        """How many sessions Quack knows, those of clients that are gone among them."""
        row = self.ledger.cursor().execute("select count(*) from quack_active_connections()").fetchone()
        return int(row[0]) if row else 0

    def sweep(self, *, now: datetime) -> None:
        """Remove parcels that somebody put down and never took in."""
        oldest = UUID(int=int((now - _LEFT_BEHIND).timestamp() * 1000) << 80)
        cursor = self.ledger.cursor()
        with told(self.ledger.path):
            for table in TABLES:
                with suppress(duckdb.TransactionException):  # somebody puts one down just now
                    cursor.execute(f"delete from {LANDING}.{table} where parcel < '{oldest}'")


@contextmanager
def team_server(path: Path, *, at: QuackUri, tokens: Tokens) -> Iterator[TeamServer]:
    """Serve a ledger for as long as this is open; one that is not there is made.

    Args:
        path: the ledger's file; nobody else can have it open meanwhile.
        at: where to listen. Quack encrypts nothing itself: an address that others can reach must say so.
        tokens: who may come in.

    Raises:
        LedgerInUse: another process has the ledger.
        LedgerError: it cannot be served there.
    """
    if not (at.is_local or at.unencrypted):
        raise LedgerError(
            f"{at.host} can be reached from elsewhere, and Quack encrypts nothing: tokens and answers could "
            "be read on the way. Listen at 127.0.0.1 and let ssh, WireGuard or a proxy that ends TLS stand "
            "before it; or say --unencrypted, where the network itself is encrypted."
        )
    with open_ledger(path) as ledger, told(path):
        connection = ledger.cursor()
        load_extensions(connection, "httpfs", "quack", extra="live")
        ledger._connections.allow_memory(longest_text=None)  # noqa: SLF001 - of this room
        connection.execute(f"set global threads = {cpu_count() or 2}")
        connection.execute(
            "set global checkpoint_threshold = '64MB'"
        )  # a log of 1 GB would take long to replay
        _make_landing(connection)
        _guard(connection, _Sessions(tokens))
        uri = literal(at.listening)
        token = literal(token_urlsafe(32))  # Quack's own, and nobody's: our function does not look at it
        other = "true" if not at.is_local else "false"
        try:
            connection.execute(f"call quack_serve({uri}, token => {token}, allow_other_hostname => {other})")
        except duckdb.Error as error:
            raise LedgerError(f"{at} cannot be listened at: {str(error).partition(chr(10))[0]}") from error
        try:
            yield TeamServer(uri=str(at), ledger=ledger)
        finally:
            with suppress(duckdb.Error):
                connection.execute(f"call quack_stop({uri})")


class _Sessions:
    """Who has come in by which token."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._roles: OrderedDict[str, Role] = OrderedDict()

    def comes_in(self, session: str, token: str, _: str) -> bool:
        """Whether a client may come in; asked once for each session."""
        role = self._tokens.role_of(token)
        if role is None:
            return False
        self._roles.setdefault(session, role)  # nobody changes what another one may
        if len(self._roles) > _MOST_SESSIONS:
            self._roles.popitem(last=False)
        return True

    def may(self, session: str, statement: str) -> bool:
        """Whether a statement may be run; Quack says no more than that to the client."""
        return may(self._roles.get(session), statement)


def _guard(connection: duckdb.DuckDBPyConnection, sessions: _Sessions) -> None:
    connection.create_function(
        _COMES_IN, sessions.comes_in, ["VARCHAR", "VARCHAR", "VARCHAR"], "BOOLEAN", side_effects=True
    )
    connection.create_function(_MAY, sessions.may, ["VARCHAR", "VARCHAR"], "BOOLEAN", side_effects=True)
    for setting, name in (
        ("quack_authentication_function", _COMES_IN),
        ("quack_authorization_function", _MAY),
    ):
        connection.execute(f"set global {setting} = {literal(name)}")
        row = connection.execute(f"select current_setting({literal(setting)})").fetchone()
        if row is None or row[0] != name:
            raise LedgerError("it cannot be kept from being written to")


def _make_landing(connection: duckdb.DuckDBPyConnection) -> None:
    """A place for parcels, without what was left of them when the server ended last."""
    connection.execute(f"drop schema if exists {LANDING} cascade; create schema {LANDING}")
    for table in TABLES:
        connection.execute(
            f"create table {LANDING}.{table} as select *, null::uuid as parcel from {table} limit 0"
        )


def utc_now() -> datetime:
    """Now."""
    return datetime.now(UTC)
