"""Rows that ask the same, in several processes: who has one of them gets the others.

A process joins rows that ask the same while one of them is under way. Were they given to several, each of
these would pay for one.
"""

from collections import deque
from collections.abc import Hashable

from tasks_lib.domain.plan import Plan

Who = int
"""A worker's number, or that of the batch's own process."""


class Twins:
    """Which questions somebody has, and the plans that wait for whoever has theirs."""

    def __init__(self, *, joins: bool) -> None:
        """Begin with none; without `joins` each row is asked for itself, wherever it is."""
        self._joins = joins
        self._had: dict[Hashable, tuple[Who, int]] = {}  # by whom, and how many plans of it
        self._waiting: dict[Who, deque[Plan]] = {}

    @property
    def any_wait(self) -> bool:
        """Whether a plan waits for somebody."""
        return bool(self._waiting)

    def wait_for(self, who: Who) -> bool:
        """Whether a plan waits for this one."""
        return who in self._waiting

    def claim(self, plan: Plan, who: Who) -> bool:
        """Whether it may have the plan; if not, the plan waits for the one that has its question."""
        asked = self._asked(plan)
        if asked is None:
            return True
        has, times = self._had.get(asked, (who, 0))
        if has != who:
            self._waiting.setdefault(has, deque()).append(plan)
            return False
        self._had[asked] = (who, times + 1)
        return True

    def next_for(self, who: Who) -> Plan | None:
        """A plan that waits for this one, which has it now."""
        waiting = self._waiting.get(who)
        if waiting is None:
            return None
        plan = waiting.popleft()
        if not waiting:
            del self._waiting[who]
        asked = self._asked(plan)
        self._had[asked] = (who, self._had.get(asked, (who, 0))[1] + 1)
        return plan

    def over(self, plan: Plan, who: Who) -> None:
        """It has the plan no more."""
        asked = self._asked(plan)
        has, times = self._had.get(asked, (who, 0))
        if asked is None or has != who:
            return
        if times > 1:
            self._had[asked] = (who, times - 1)
        else:
            self._had.pop(asked, None)

    def gone(self, who: Who) -> list[Plan]:
        """It has nothing any more; gives what waited for it."""
        self._had = {asked: had for asked, had in self._had.items() if had[0] != who}
        return list(self._waiting.pop(who, ()))

    def _asked(self, plan: Plan) -> Hashable:
        """What two rows have in common that share a call, see `Engine`; None: it shares none."""
        if not self._joins or plan.problem is not None or plan.stored is not None or plan.remote is not None:
            return None
        return (plan.revision.fingerprint, plan.input_hash, plan.begin_at)
