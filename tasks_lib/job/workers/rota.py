"""Which plans are still to be run, and which of them a worker may have next."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import ceil, inf

import uuid_utils

from tasks_lib.domain.plan import Plan
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.workers.twins import Twins, Who

_LOW = 128  # plans; a round trip of a worker's takes as long as some of them


class Rota:
    """The plans that wait: others first, and last those whose rows were under way when processes died.

    A suspect has no more company, in the worker that runs it, than `domain.deaths` allows: whoever dies, it
    is one of few, and at last the only one. With `joins` rows that ask the same go to the same process, as
    long as it has one of them.
    """

    def __init__(self, suspects: Suspects, *, joins: bool = True) -> None:
        """Begin with none."""
        self._suspects = suspects
        self._twins = Twins(joins=joins)
        self._ready: deque[Plan] = deque()
        self._held: list[Plan] = []

    @property
    def is_empty(self) -> bool:
        """Whether no plan waits."""
        return not (self._ready or self._held or self._twins.any_wait)

    @property
    def owes(self) -> bool:
        """Whether plans wait for somebody in particular."""
        return self._twins.any_wait

    def has_for(self, who: Who) -> bool:
        """Whether anything but suspects waits that this one may have."""
        return bool(self._ready) or self._twins.wait_for(who)

    @property
    def runs_low(self) -> bool:
        """Whether it will run dry soon."""
        return len(self._ready) < _LOW

    def bring(self, plans: Iterable[Plan]) -> None:
        """More plans are to be run, after those that wait."""
        for plan in plans:
            if self._suspects.bears(plan) < inf:
                self._hold((plan,))
            else:
                self._ready.append(plan)

    def bring_back(self, plans: Sequence[Plan], *, begun: Collection[str]) -> None:
        """Plans that a worker had are to be run by others, before those that wait.

        Those that it had begun are runs of their own from now on: the old ones are known as dead.
        """
        back = [
            replace(plan, task_run_id=str(uuid_utils.uuid7())) if plan.task_run_id in begun else plan
            for plan in sorted(map(self._suspects.judged, plans), key=lambda plan: plan.row_number)
        ]
        self._hold([plan for plan in back if self._suspects.bears(plan) < inf])
        self._ready.extendleft(plan for plan in reversed(back) if self._suspects.bears(plan) == inf)

    def over(self, plan: Plan, who: Who) -> None:
        """A plan that this one had is at its end."""
        self._twins.over(plan, who)

    def gone(self, who: Who) -> None:
        """This one has nothing any more; to be told before what it had is brought back."""
        self._ready.extendleft(reversed(self._twins.gone(who)))

    def next_harmless(self, who: Who) -> Plan | None:
        """The next plan of a row that no process is known to have died of; it waits no more."""
        while (plan := self._next_ready(who)) is not None:
            if not self._suspects.any or self._suspects.bears(plan) == inf:
                return plan
            self._twins.over(plan, who)
            self._hold((plan,))
        return None

    def next_for(
        self, who: Who, given: Mapping[str, Plan], *, most: int, among: int, is_all: bool
    ) -> list[Plan]:
        """The next plans of a worker that has been given some already; they wait no more.

        Args:
            who: the worker.
            given: what it has, by task run.
            most: how many it wants.
            among: workers that share what waits, so that in the end none has much while others have nothing.
            is_all: whether none will come but those that wait, and those that are brought back.
        """
        most = min(most, max(1, ceil(len(self._ready) / max(1, among))))
        chosen: list[Plan] = []
        if not self._suspects.any:
            while len(chosen) < most and (plan := self._next_ready(who)) is not None:
                chosen.append(plan)
            return chosen
        bears = min((self._suspects.bears(plan) for plan in given.values()), default=inf)
        while len(chosen) < most and len(given) + len(chosen) < bears:
            plan = self._next(who, company=len(given) + len(chosen) + 1, is_all=is_all)
            if plan is None:
                break
            chosen.append(plan)
            bears = min(bears, self._suspects.bears(plan))
        return chosen

    def _next_ready(self, who: Who) -> Plan | None:
        """The next plan that this one may have; those that others must have wait for them."""
        plan = self._twins.next_for(who)
        while plan is None and self._ready:
            first = self._ready.popleft()
            plan = first if self._twins.claim(first, who) else None
        return plan

    def _next(self, who: Who, *, company: int, is_all: bool) -> Plan | None:
        plan = self._next_ready(who)
        if plan is not None or not is_all:
            return plan
        at = next((at for at, one in enumerate(self._held) if self._suspects.bears(one) >= company), None)
        return self._held.pop(at) if at is not None else None

    def _hold(self, plans: Sequence[Plan]) -> None:
        if plans:
            self._held = self._suspects.in_order([*self._held, *plans])
