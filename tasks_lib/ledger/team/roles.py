"""Who may do what at a served ledger: analysts ask, and writers also bring parcels."""
# ruff: noqa: S608  names of tables are ours, ids are checked, and all else is quoted

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hmac import compare_digest
from typing import Final

from tasks_lib.ledger.errors import LedgerError
from tasks_lib.ledger.guard import check_reads_only
from tasks_lib.ledger.team.parcel import TABLES, Label, taking_in

LANDING: Final = "landing"
"""The schema of the served ledger in which parcels are put down before they are taken in."""
SHORTEST_TOKEN: Final = 16

_LANDED = frozenset(f"INSERT INTO {LANDING}.{table} VALUES (NULL)" for table in TABLES)
"""What Quack says of rows that are appended."""
_LABEL = "-- parcel "
_VIEW = re.compile(
    r'create or replace view "results_[a-z0-9_]{1,80}" as\n(?P<body>select .*)', re.IGNORECASE | re.DOTALL
)
_SINCE = re.compile(r"set variable since = '[0-9T:+.-]{10,40}'::timestamptz|reset variable since")


class Role(StrEnum):
    """What a token lets its bearer do."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Who may come in, by token; several may read, and several may write."""

    read: tuple[str, ...]
    write: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Tokens(read={len(self.read)}, write={len(self.write)})"

    def role_of(self, token: str) -> Role | None:
        """What the bearer of a token may do; None: nothing. All are compared, each in constant time."""
        given = token.encode()
        writes = [compare_digest(known.encode(), given) for known in self.write]
        reads = [compare_digest(known.encode(), given) for known in self.read]
        if any(writes):
            return Role.WRITE
        return Role.READ if any(reads) else None


def may(role: Role | None, statement: str) -> bool:
    """Whether a statement may be run for somebody.

    Nobody may begin a transaction of several statements: Quack forgets no client, and what one holds that was
    killed in the middle would be held until the server ends.
    """
    if role is None:
        return False
    text = statement.strip()
    if role is Role.WRITE and _brings(text):
        return True
    if _SINCE.fullmatch(text):  # for reports; it is the session's own
        return True
    return _reads_only(text)


def _brings(text: str) -> bool:
    if text in _LANDED or text == "rollback":
        return True
    view = _VIEW.fullmatch(text)
    if view is not None:
        return _reads_only(view["body"])
    if not text.startswith(_LABEL):
        return False
    try:
        label = Label.parse(text.partition("\n")[0].removeprefix(_LABEL))
    except ValueError:
        return False
    return text == landed_parcel(label)  # nothing else, whatever its label says


def landed_parcel(label: Label) -> str:
    """The one text that takes in a parcel that was put down, in one transaction."""
    statements = [
        "begin",
        *taking_in(label, source=lambda table: _landed(table, label)),
        *(f"delete from {LANDING}.{table} where parcel = '{label.id}'" for table in label.tables),
        "commit",
    ]
    return _LABEL + label.as_text() + "\n" + ";\n".join(statements)


def _landed(table: str, label: Label) -> str:
    return f"(select * exclude (parcel) from {LANDING}.{table} where parcel = '{label.id}')"


def _reads_only(text: str) -> bool:
    try:
        check_reads_only(text)
    except LedgerError:
        return False
    return True


def checked(tokens: Mapping[Role, tuple[str, ...]]) -> Tokens:
    """Tokens that can be told from one another and are not guessed.

    Raises:
        LedgerError: none lets anybody read, one is too short, or one both reads and writes.
    """
    read, write = tokens.get(Role.READ, ()), tokens.get(Role.WRITE, ())
    if not read and not write:
        raise LedgerError("a served ledger needs tokens; `openssl rand -hex 32` makes one.")
    if any(len(token) < SHORTEST_TOKEN for token in (*read, *write)):
        raise LedgerError(
            f"a token has at least {SHORTEST_TOKEN} characters; `openssl rand -hex 32` makes one."
        )
    if set(read) & set(write):
        raise LedgerError("the same token cannot be one that only reads and one that writes.")
    return Tokens(read=read, write=write)
