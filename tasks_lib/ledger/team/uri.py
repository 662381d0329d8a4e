"""Where a team's ledger is, as one writes it.

quack:HOST:PORT              a served ledger; over TLS unless it is on this machine
quack-unencrypted:HOST:PORT  the same without TLS, in a network that is encrypted itself
ducklake:...                 a DuckLake, as DuckDB's `attach` has it, such as ducklake:postgres:dbname=lake
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from tasks_lib.ledger.errors import LedgerError

USUAL_PORT = 9494
_SECRET = re.compile(r"password\s*=|://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)
_QUACK = re.compile(
    r"(?:(?P<scheme>quack|quack-unencrypted):)?(?P<host>[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuackUri:
    """An address of a served ledger."""

    host: str
    port: int
    unencrypted: bool = False  # though it is not on this machine

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def listening(self) -> str:
        """As Quack itself has it."""
        return f"quack:{self.host}:{self.port}"

    def __str__(self) -> str:
        scheme = "quack-unencrypted" if self.unencrypted and not self.is_local else "quack"
        return f"{scheme}:{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeUri:
    """A DuckLake, as `attach` has it; without a password, which libpq takes from PGPASSWORD or ~/.pgpass."""

    attach: str
    data_path: str | None = None  # where a new lake keeps its files; None: a lake that is there knows
    schema: str | None = None  # of the catalog's tables in PostgreSQL; None: public

    def __str__(self) -> str:
        return self.attach


def is_team_uri(text: str) -> bool:
    """Whether a text means a team's ledger, and not a file."""
    return text.startswith(("quack:", "quack-unencrypted:", "ducklake:"))


def parse_uri(text: str, *, data_path: str | None = None) -> QuackUri | LakeUri:
    """Where a team's ledger is.

    Raises:
        LedgerError: this means none, or has a password in it.
    """
    if _SECRET.search(text):
        raise LedgerError(
            "leave the password out of a ledger's address: PGPASSWORD or ~/.pgpass has it for PostgreSQL."
        )
    if text.startswith("ducklake:"):
        return LakeUri(attach=text, data_path=data_path)
    if not text.startswith(("quack:", "quack-unencrypted:")):
        raise LedgerError(
            f"{text!r} is no team's ledger: give quack:HOST:PORT, quack-unencrypted:HOST:PORT or "
            "ducklake:postgres:dbname=NAME."
        )
    return parse_address(text)


def parse_address(text: str) -> QuackUri:
    """An address of a served ledger, with or without its scheme.

    Raises:
        LedgerError: it is none.
    """
    found = _QUACK.fullmatch(text)
    if found is None or int(found["port"] or USUAL_PORT) > 65_535:
        raise LedgerError(f"{text!r} is no address: give HOST:PORT.")
    return QuackUri(
        host=found["host"],
        port=int(found["port"] or USUAL_PORT),
        unencrypted=found["scheme"] == "quack-unencrypted",
    )
