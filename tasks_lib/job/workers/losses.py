"""Whether it is of any use to have others in the place of workers that come to their end."""

from collections.abc import Callable, Sequence

from tasks_lib.domain.failure import FailureKind
from tasks_lib.job.counted import Counted

_IN_A_ROW = 3  # for each worker: so many come to their end with no row answered in between
_ALONE = 2  # deaths of a row that no other was under way beside; these are forgiven when it is set aside,
_FORGIVEN = 16  # for so many rows with none answered in between: the program itself may be what kills
_TOLD = 10  # warnings of workers that died; that there were more is told once


class Losses:
    """Counts workers that were lost, and rows that were answered in between."""

    def __init__(self, *, workers: int, warn: Callable[[str], None]) -> None:
        """None is lost of so many workers; `warn` is told of those that will be."""
        self._most = _IN_A_ROW * workers
        self._warn = warn
        self._in_a_row = 0  # since a row was answered
        self._forgiven = 0  # rows that were set aside since then
        self._lost = 0
        self.too_many: str | None = None  # why no other takes the place of one that is gone

    def over(self, counted: Sequence[Counted]) -> None:
        """These rows are over: workers do get something done, or kill themselves with what is set aside."""
        for one in counted:
            if one.kind is not FailureKind.POISONED:
                self._in_a_row = self._forgiven = 0
            elif self._forgiven < _FORGIVEN:
                self._in_a_row, self._forgiven = max(0, self._in_a_row - _ALONE), self._forgiven + 1

    def add(self, number: int, how: str) -> None:
        """The worker of this number has come to its end like this, though there was something to be done."""
        self._lost += 1
        self._in_a_row += 1
        whose = f"worker {number + 1}"
        if self._lost <= _TOLD:
            self._warn(f"{whose} {how}; others go on with its rows")
        elif self._lost == _TOLD + 1:
            self._warn("and further workers came to their end")
        if self._in_a_row > self._most:
            self.too_many = (
                f"{self._in_a_row} workers in a row came to their end with no row answered in between; "
                f"{whose} {how}. What they had to say is in their own logs, or above"
            )
