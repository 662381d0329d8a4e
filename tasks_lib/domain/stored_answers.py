"""Which answers of the ledger may stand in for a call."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswers:
    """Answers to the very same question: the same inputs under the same revision of the same task."""

    max_age: timedelta | None = None  # since the answer was given; None: however old
