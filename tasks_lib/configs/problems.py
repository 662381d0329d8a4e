"""What is wrong with a configuration: where, what, and what to do about it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from tasks_lib.domain.mistake import Mistake

_SECRET_PREFIXES: Final = (
    "sk-", "sk_", "gsk_", "pk-", "hf_", "xai-", "r8_", "pplx-", "tgp_", "fw_", "nvapi-", "AIza", "ghp_",
)  # fmt: skip
_LONG_WORD: Final = re.compile(r"[A-Za-z0-9]{20,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHOWN: Final = 60  # characters of a wrong value that are worth repeating


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong; line and column count from 1 and are None where there is no such place."""

    file: (
        str | None
    )  # as a person would write it from the working directory, or a flag; None: no file is at fault
    line: int | None = None
    column: int | None = None
    message: str
    remedy: str | None = None

    def __str__(self) -> str:
        parts = (self.file, self.line, self.column)
        place = ":".join(str(part) for part in parts if part is not None)
        text = f"{self.message}. {self.remedy}" if self.remedy else self.message
        return f"{place}: {text}" if place else text


class ConfigError(Mistake):
    """A configuration that cannot be used, with everything that is wrong with it; it prints a line for each.

    `file`, `line`, `column`, `message` and `remedy` are those of the first.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        """All problems, of which there is at least one."""
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__(str(self))

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    @property
    def file(self) -> str | None:
        """The file or flag of the first problem."""
        return self.problems[0].file

    @property
    def line(self) -> int | None:
        """The line of the first problem, from 1."""
        return self.problems[0].line

    @property
    def column(self) -> int | None:
        """The column of the first problem, from 1."""
        return self.problems[0].column

    @property
    def message(self) -> str:
        """What is wrong first of all."""
        return self.problems[0].message

    @property
    def remedy(self) -> str | None:
        """What to do about the first problem."""
        return self.problems[0].remedy


class ConfigWarning(UserWarning):
    """A configuration that can be used, but perhaps means something else than its writer thinks."""


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option that was probably meant."""
    by_lower = {option.lower(): option for option in options}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, options: Sequence[str], *, plural: str) -> str | None:
    """A remedy for a word that is none of the options: the nearest one, or all of them."""
    meant = nearest(word, options)
    if meant is not None:
        return f"Did you mean {meant!r}?"
    return f"The {plural} are {', '.join(options)}." if options else None


def looks_like_a_secret(text: str) -> bool:
    """Whether a text is more likely a key than a name or a number; when in doubt it is one."""
    if text.startswith(_SECRET_PREFIXES):
        return True
    return bool(
        _LONG_WORD.fullmatch(text)
        and any(character.isdigit() for character in text)
        and any(character.islower() for character in text)
    )


def quoted(text: str) -> str:
    """A text as it may be repeated in a message: cut to a readable length, and never a secret."""
    if looks_like_a_secret(text):
        return "a text that looks like a secret"
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
