"""Deadlines that are all equally far away: one timer for a thousand calls, none passed by our own fault."""

import asyncio
from typing import Final

_LATE: Final = 0.02  # seconds; a timer that comes later than that comes to a loop that was busy
_GRACE: Final = 0.5  # seconds in which what had arrived meanwhile is taken in


class Deadline:
    """The moment at which a task is cancelled, unless its work is done before."""

    __slots__ = ("_before", "_cancelled", "_task", "due")

    def __init__(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        """Of the task that makes it."""
        task = asyncio.current_task(loop)  # told the loop, it looks nothing up
        assert task is not None, "made within a task"  # noqa: S101  # tells mypy
        self.due = due
        self._task = task
        self._before = task.cancelling()
        self._cancelled = False

    def cancel_task(self) -> None:
        """The moment has come."""
        self._cancelled = True
        self._task.cancel()

    def passed(self) -> bool:
        """Whether the task was cancelled for this deadline alone; asked once, since it takes that back."""
        return self._cancelled and self._task.uncancel() <= self._before

    @property
    def task_is_cancelled(self) -> bool:
        """Whether anybody cancelled the task."""
        return self._task.cancelling() > self._before


class Deadlines:
    """Of calls that each may take the same number of seconds.

    A time in which the loop was busy does not count: what arrived meanwhile could not be seen. A timer of the
    pool's own would go on running while an answer waits for us.
    """

    def __init__(self, seconds: float) -> None:
        """So many seconds after each call's beginning."""
        self._seconds = seconds
        self._open: dict[Deadline, None] = {}  # in the order of their beginning, which is that of their end
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> Deadline:
        """The deadline of the call that the current task begins now."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._seconds
        deadline = Deadline(due, loop)
        self._open[deadline] = None
        if self._timer is None:
            self._timer = loop.call_at(due, self._look, due)
        return deadline

    def lift(self, deadline: Deadline) -> None:
        """The call is over."""
        self._open.pop(deadline, None)

    def end(self) -> None:
        """No timer is left behind."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, wanted_at: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        next_look: float | None = None
        if now - wanted_at > _LATE:
            next_look = now + _GRACE
        else:
            while self._open:
                oldest = next(iter(self._open))
                if oldest.due > now:
                    next_look = oldest.due
                    break
                del self._open[oldest]
                oldest.cancel_task()
        self._timer = None if next_look is None else loop.call_at(next_look, self._look, next_look)
