"""The `.sql` files of this room, and how names and values come into SQL."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_ROOT = files("tasks_lib.ledger") / "sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A file of SQL: its name, the question that its first comment line asks, and its text."""

    name: str
    question: str
    text: str


@cache
def statements(folder: str) -> tuple[Statement, ...]:
    """The files of one folder under `sql/`, in the order of their names."""
    paths = sorted((_ROOT / folder).iterdir(), key=lambda path: path.name)
    return tuple(
        Statement(name=path.name.removesuffix(".sql"), question=_question(text), text=text)
        for path in paths
        if path.name.endswith(".sql")
        for text in (path.read_text(encoding="utf-8"),)
    )


@cache
def statement(folder: str, name: str) -> str:
    """The text of one file of ours.

    Raises:
        KeyError: there is none of that name.
    """
    return {one.name: one.text for one in statements(folder)}[name]


def _question(text: str) -> str:
    return text.partition("\n")[0].removeprefix("--").strip()


def quoted(identifier: str) -> str:
    """A name from data or configuration as an SQL identifier.

    Raises:
        ValueError: the name is empty or holds NUL, which no identifier can.
    """
    if not identifier or "\0" in identifier:
        raise ValueError(f"{identifier!r} cannot be the name of a table or column")
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text from data or configuration as an SQL literal.

    Raises:
        ValueError: the text holds NUL, which a statement cannot; a parameter can.
    """
    if "\0" in text:
        raise ValueError(f"{text!r} cannot stand in a statement")
    return "'" + text.replace("'", "''") + "'"
