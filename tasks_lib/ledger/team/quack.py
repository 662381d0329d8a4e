"""A served ledger, as a client has it."""
# ruff: noqa: S608  names of tables are ours, ids are checked, and all else is quoted

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa

from tasks_lib.ledger.errors import LedgerError
from tasks_lib.ledger.extensions import load_extensions
from tasks_lib.ledger.results import relation
from tasks_lib.ledger.statements import literal
from tasks_lib.ledger.team.origin import making_view
from tasks_lib.ledger.team.parcel import MOVED_ON, Parcel
from tasks_lib.ledger.team.place import MovedOn, Unreachable
from tasks_lib.ledger.team.roles import LANDING, landed_parcel
from tasks_lib.ledger.team.uri import QuackUri

_CLIENT: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": "1",
}
_SESSION = (
    "set timezone = 'UTC'; set enable_progress_bar = false; set python_enable_replacements = false; "
    "set http_retries = 0"  # what was appended twice would not be whole, and refused
)

_NOT_IN = "Authentication failed"
_REFUSED = "Authorization failed"
_CONFLICT = ("onflict", "Duplicate key", "write-write")
_AWAY = ("Failed to send message", "Could not", "onnection", "timed out", "IO Error")
_ABORTED = "transaction is aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What DuckDB said, without the statement that it was about."""

    text: str

    def has(self, *parts: str) -> bool:
        return any(part in self.text for part in parts)


class QuackPlace:
    """A session at a served ledger; it is begun again after whatever went wrong."""

    def __init__(self, at: QuackUri, *, token: str | None) -> None:
        """Come in.

        Raises:
            Unreachable: nobody answers there.
            LedgerError: there is no token, or it is refused.
        """
        if not token:
            raise LedgerError(
                f"{at} wants a token: set ROWMILL_LEDGER_TOKEN, or name a file that has it with --token-file."
            )
        self.at = at
        self._token = token
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._session()

    def close(self) -> None:
        """Go away."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, text: str) -> pa.Table:
        """See `Place.ask`."""
        try:
            return self._session().execute(f"from place.query({literal(text)})").to_arrow_table()
        except duckdb.Error as error:
            raise self._error(error) from None

    def take(self, parcel: Parcel) -> None:
        """See `Place.take`."""
        connection = self._session()
        try:
            for name, table in parcel.tables.items():
                with relation(connection, "arriving", table):
                    connection.execute(
                        f"insert into place.{LANDING}.{name} by name "
                        f"select *, '{parcel.label.id}'::uuid as parcel from arriving"
                    )
            connection.execute(f"from place.query({literal(landed_parcel(parcel.label))})").fetchall()
        except duckdb.Error as error:
            raise self._error(error) from None

    def make_view(self, name: str, body: str) -> None:
        """See `Place.make_view`."""
        try:
            self._session().execute(f"from place.query({literal(making_view(name, body))})").fetchall()
        except duckdb.Error as error:
            raise self._error(error) from None

    def _session(self) -> duckdb.DuckDBPyConnection:
        if self._connection is not None:
            return self._connection
        connection = duckdb.connect(config=_CLIENT)
        try:
            load_extensions(connection, "httpfs", "quack", extra="live")
            connection.execute(_SESSION)
            plain = "true" if self.at.unencrypted or self.at.is_local else "false"
            connection.execute(
                f"attach {literal(self.at.listening)} as place "
                f"(type quack, token {literal(self._token)}, disable_ssl {plain})"
            )
        except duckdb.Error as error:
            connection.close()
            raise self._error(error) from None  # what it was raised from has the token in it
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _error(self, error: duckdb.Error) -> LedgerError:
        """What went wrong, in our words; the session is given up, since nobody knows what state it is in."""
        said = _Said(text=str(error).partition("\n")[0].replace(self._token, "..."))
        if self._connection is not None:
            with suppress(duckdb.Error):
                self._connection.execute("from place.query('rollback')").fetchall()
        self.close()
        if said.has(MOVED_ON) or said.has(*_CONFLICT):
            return MovedOn(f"{self.at}: {said.text}")
        if said.has(_NOT_IN):
            return LedgerError(f"{self.at} refuses this token.")
        if said.has(_REFUSED):
            return LedgerError(
                f"{self.at} does not do that for this token. Analysts' tokens ask one question at a time "
                "that only reads; to publish takes a writer's, and the same version of rowmill on both sides."
            )
        if said.has(*_AWAY) or said.has(_ABORTED):
            return Unreachable(f"{self.at} cannot be reached: {said.text}")
        return LedgerError(f"{self.at}: {said.text}")
