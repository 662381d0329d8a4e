"""What a flow run says in its log: a bounded number of lines, however many rows there are."""

import logging
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from flows.words import dollars
from tasks_lib.job.tally import Tally

MOST_WARNINGS: Final = 20
_STEPS: Final = 10  # lines of progress at most
_SECONDS: Final = 60.0  # between two of them at least

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


@dataclass(slots=True, kw_only=True)
class LogLines:
    """The log of one batch: each tenth of its rows at most, and no two lines within a minute."""

    log: Logger
    tally: Tally
    warned: int = 0
    told: int = 0  # tenths
    told_at: float = field(default_factory=monotonic)

    def look(self, *, now: float | None = None) -> None:
        """Say what is new; to be called as often as one likes."""
        self._warn()
        now = monotonic() if now is None else now
        tally = self.tally
        tenths = _STEPS * tally.settled // tally.rows if tally.rows else 0
        if tenths <= self.told or tenths >= _STEPS or now - self.told_at < _SECONDS:
            return
        self.told, self.told_at = tenths, now
        self.log.info("%s", line_of(tally))

    def close(self) -> None:
        """Say what was not said of the batch's warnings."""
        self._warn()
        left = len(self.tally.warnings) - MOST_WARNINGS
        if left > 0:
            self.log.warning("and %d more warnings", left)

    def _warn(self) -> None:
        for warning in self.tally.warnings[self.warned : MOST_WARNINGS]:
            self.log.warning("%s", warning)
        self.warned = max(self.warned, min(len(self.tally.warnings), MOST_WARNINGS))


def line_of(tally: Tally) -> str:
    """A batch that runs, in a line."""
    asked = tally.completed + tally.failed
    return (
        f"{tally.settled:,} of {tally.rows:,} {tally.counted} done: {asked:,} asked, "
        f"{tally.skipped:,} left as they were, {tally.failed:,} failed; {dollars(tally.cost)}"
    )
