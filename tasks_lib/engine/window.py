"""What passed within the last minute, in slots of a quarter of a second."""

from tasks_lib.engine.cells import Cells
from tasks_lib.engine.pace import SLACK

_SECONDS = 60 / SLACK  # a little more than a minute, as calls take their time on the way
_A_SECOND = 4.0  # slots
_SLOTS = 256  # more than a minute of them
_OLDEST, _SUM, _FIRST = range(3)
WINDOW_CELLS = _FIRST + _SLOTS
_DUST = 1e-6  # of float sums, and in seconds


class Window:
    """Lets an amount pass only if, with all that passed in the minute before, it keeps the limit.

    An even pace alone does not: when amounts are larger than a burst, the window that begins and ends with
    one of them holds up to that one too many. An amount beyond the whole limit passes when nothing else is
    in the window.

    A slot counts until the last moment that it could stand for is a minute ago. Times are given, never read.
    """

    __slots__ = ("_cells", "_first", "_limit", "_oldest", "_sum")

    def __init__(self, per_minute: float, *, cells: Cells, at: int) -> None:
        """Keep the slots in the cells that begin at `at`."""
        self._limit = float(per_minute)
        self._cells = cells
        self._oldest = at + _OLDEST
        self._sum = at + _SUM
        self._first = at + _FIRST

    def delay(self, amount: float, *, now: float) -> float:
        """Seconds until the amount may pass; 0 if it may now."""
        excess = self._forget(now) + (min(self._limit, amount)) - self._limit
        if excess <= _DUST:
            return 0.0
        cells, slot = self._cells, self._cells[self._oldest]
        for _ in range(_SLOTS):
            excess -= cells[self._first + (int(slot) & (_SLOTS - 1))]
            if excess <= _DUST:
                break
            slot += 1.0
        return max((slot + 1.0) / _A_SECOND + _SECONDS - now, _DUST)

    def fits(self, amount: float, *, now: float) -> bool:
        """Whether the amount may pass now and keep the limit."""
        return self._forget(now) + amount <= self._limit + _DUST

    def take(self, amount: float, *, now: float) -> None:
        """Let the amount pass."""
        self._cells[self._sum] = self._forget(now) + amount
        self._cells[self._slot_of(now)] += amount

    def settle(self, *, at: float, taken: float, used: float) -> None:
        """Take what was used for what was taken then; what is over a minute ago is forgotten anyway."""
        cells = self._cells
        if at * _A_SECOND < cells[self._oldest]:
            return
        cells[self._slot_of(at)] += used - taken
        cells[self._sum] += used - taken

    def left(self, *, now: float) -> float:
        """What still fits into the minute."""
        return self._limit - self._forget(now)

    def _slot_of(self, at: float) -> int:
        return self._first + (int(at * _A_SECOND // 1.0) & (_SLOTS - 1))

    def _forget(self, now: float) -> float:
        """Empty the slots that are a minute ago; the sum of the others."""
        cells = self._cells
        oldest = (now - _SECONDS + _DUST) * _A_SECOND // 1.0
        behind = oldest - cells[self._oldest]
        if behind <= 0.0:
            return cells[self._sum]
        for slot in range(int(oldest - min(behind, _SLOTS)), int(oldest)):
            cells[self._first + (slot & (_SLOTS - 1))] = 0.0
        cells[self._oldest] = oldest
        total = sum(cells[self._first + slot] for slot in range(_SLOTS))
        cells[self._sum] = total
        return total
