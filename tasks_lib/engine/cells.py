"""Where a gate keeps what it knows: doubles, in its own memory or shared by processes.

Fresh cells are all zero, and zero means "nothing has happened", so that memory needs no beginning of its own.
Times are seconds of a monotonic clock.
"""

from typing import Protocol


class Cells(Protocol):
    """Doubles by their number."""

    def __getitem__(self, number: int, /) -> float: ...
    def __setitem__(self, number: int, value: float, /) -> None: ...
