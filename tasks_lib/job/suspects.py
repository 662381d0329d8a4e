"""Rows that were under way when processes died: kept back, run in little company, or set aside."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from math import inf

import anyio

from tasks_lib.domain.deaths import is_poisoned, most_at_once, told
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.plan import Plan
from tasks_lib.engine.stop import Stop

Draw = Callable[[], Awaitable[Plan | None]]
_DEATHS_OF_WAITING = 4  # before one is suspected whose run goes on elsewhere: thousands wait so for minutes


class Suspects:
    """Sorts plans by their rows' deaths, and hands them out accordingly; see `domain.deaths`.

    A batch without a suspect pays for nothing here.
    """

    def __init__(self, stop: Stop, *, retry_poisoned: bool = False) -> None:
        """Suspect nobody; waiting for company to leave ends when the stop is called."""
        self._stop = stop
        self._retry_poisoned = retry_poisoned
        self._companies: Mapping[str, Sequence[int]] = {}
        self._held_back: list[Plan] = []
        self._under_way: dict[str, float] = {}  # task run -> how many rows at once it bears
        self._order = anyio.Lock()
        self._left = anyio.Event()

    def learn(self, companies: Mapping[str, Sequence[int]]) -> None:
        """Of identities: at each of its deaths, how many rows were under way."""
        self._companies = companies

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._companies)

    def sorted_out(self, plans: Sequence[Plan]) -> Sequence[Plan]:
        """Those of the plans to be run now; suspects are held back, and poisoned rows will not be asked."""
        if not self._companies:
            return plans
        now = []
        for plan in map(self.judged, plans):
            if self.bears(plan) < inf:
                self._held_back.append(plan)
            else:
                now.append(plan)
        return now

    def held_back(self) -> Sequence[Plan]:
        """What was held back, in the order in which it is to be run: whoever is likely to kill comes last."""
        held_back, self._held_back = self._held_back, []
        return self.in_order(held_back)

    def in_order(self, plans: Sequence[Plan]) -> list[Plan]:
        """Plans of suspects in the order in which they are to be run."""
        return sorted(plans, key=lambda plan: (-self.bears(plan), len(self._companies[plan.identity])))

    def judged(self, plan: Plan) -> Plan:
        """The plan, or that of a row that is not asked any more."""
        companies = self._companies.get(plan.identity, ())
        if self._retry_poisoned or plan.problem is not None or not is_poisoned(companies):
            return plan
        return replace(plan, problem=Failure(kind=FailureKind.POISONED, message=told(companies)))

    async def drawn(self, draw: Draw) -> Plan | None:
        """The next plan, once so few are under way that all of them bear it; None at the end or stop."""
        if not self._companies:
            return await draw()
        async with self._order:
            plan = await draw()
            if plan is None:
                return None
            bears = self.bears(plan)
            with self._stop.cuts_short():
                while len(self._under_way) >= min(bears, *self._under_way.values(), inf):
                    self._left = anyio.Event()
                    await self._left.wait()
            if self._stop.called:
                return None
            self._under_way[plan.task_run_id] = bears
            return plan

    def ended(self, plan: Plan) -> None:
        """A row is under way no more."""
        self._under_way.pop(plan.task_run_id, None)
        self._left.set()

    def bears(self, plan: Plan) -> float:
        """With how many rows at once, itself counted, a row may be run."""
        if plan.problem is not None:
            return inf  # it makes no call
        companies = self._companies.get(plan.identity, ())
        if plan.remote is not None and len(companies) < _DEATHS_OF_WAITING:
            return inf
        most = most_at_once(companies)
        return inf if most is None else most
