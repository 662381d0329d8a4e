"""Tokens for a team's ledger: from the environment, or from a file that nobody else can read."""

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tasks_lib.configs.environment import Environment
from tasks_lib.domain.mistake import Mistake

READ_TOKEN: Final = "ROWMILL_LEDGER_TOKEN"  # noqa: S105 - the variable's name
WRITE_TOKEN: Final = "ROWMILL_LEDGER_WRITE_TOKEN"  # noqa: S105 - as above


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTokens:
    """Tokens by what they let their bearers do."""

    read: tuple[str, ...] = field(default=(), repr=False)
    write: tuple[str, ...] = field(default=(), repr=False)

    @property
    def to_read(self) -> str | None:
        """One that reads; whoever may write may read, too."""
        return next(iter((*self.read, *self.write)), None)

    @property
    def to_write(self) -> str | None:
        """One that writes."""
        return next(iter(self.write), None)


def ledger_tokens(environment: Environment, *, file: Path | None = None) -> LedgerTokens:
    """The tokens that a file has, or else those of the environment.

    Each line of the file is `read TOKEN` or `write TOKEN`; empty ones and those from # on say nothing.

    Raises:
        Mistake: the file cannot be read, others can read it, or a line of it says something else.
    """
    if file is not None:
        return _from_file(file)
    read, write = (environment.variables.get(name, "").strip() for name in (READ_TOKEN, WRITE_TOKEN))
    return LedgerTokens(read=(read,) if read else (), write=(write,) if write else ())


def _from_file(file: Path) -> LedgerTokens:
    try:
        mode = file.stat().st_mode
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Mistake(f"others can read {file}, which has tokens in it: `chmod 600 {file}`")
    found: dict[str, list[str]] = {"read": [], "write": []}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match line.split():
            case [("read" | "write") as role, token]:
                found[role].append(token)
            case _:
                raise Mistake(f"{file}:{number}: give `read TOKEN` or `write TOKEN`")
    return LedgerTokens(read=tuple(found["read"]), write=tuple(found["write"]))
