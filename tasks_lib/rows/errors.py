"""What is wrong with a source or a destination, told once, with the place and the remedy."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from tasks_lib.domain.mistake import Mistake

SHOWN = 5  # offenders that a message names; the rest are counted


class SourceError(Mistake):
    """A source cannot be read as what it says it is; the message names file, line or row, column, remedy."""


class OutputError(Mistake):
    """A destination cannot be written; the message names the path and the remedy."""


def listed(offenders: Sequence[str], *, total: int) -> str:
    """The first offenders, and how many there are beyond them: "line 3, line 9 and 12 more"."""
    shown = offenders[:SHOWN]
    beyond = total - len(shown)
    if beyond > 0:
        return f"{', '.join(shown)} and {beyond:,} more"
    return ", ".join(shown)


def no_such_column(name: str, columns: Iterable[str]) -> str:
    """That there is no such column, the likeliest meant, and those that there are."""
    known = list(columns)
    folded = {column.strip().casefold(): column for column in known}
    near = get_close_matches(name.strip().casefold(), folded, n=1, cutoff=0.6)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return f"there is no column {name!r}{hint} (columns: {', '.join(known[:20])}{more})"
