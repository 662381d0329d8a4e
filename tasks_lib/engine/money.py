"""Sums of money that a batch never passes, however many calls are in flight."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_DOWN, Decimal
from enum import Enum
from typing import Protocol

import anyio

_NOTHING = Decimal(0)
_SMALLEST = Decimal("0.000001")


class Scope(Enum):
    """What a sum of money is for."""

    BATCH = "batch"
    GROUP = "group"
    DAY = "day"


class Spent(Exception):
    """A budget does not hold another call, and none under way may give anything back."""

    def __init__(self, budget: "Budget", *, reason: str | None = None) -> None:
        super().__init__(reason or budget.exhausted)
        self.budget = budget


@dataclass(slots=True, kw_only=True)
class Budget:
    """One sum, what of it is gone, and what is set aside for calls under way; in dollars."""

    scope: Scope
    most: Decimal
    of: str | None = None  # the reporting group
    spent: Decimal = _NOTHING
    reserved: Decimal = _NOTHING

    def holds(self, worst: Decimal) -> bool:
        """Whether a call may be begun that may cost so much."""
        return self.spent + self.reserved + worst <= self.most

    @property
    def exhausted(self) -> str:
        """What is said when it does not hold another call."""
        match self.scope:
            case Scope.BATCH:
                return f"the limit of ${self.most} does not hold another call"
            case Scope.GROUP:
                whose = f"the reporting group {self.of!r}" if self.of is not None else "rows of no group"
                return f"the limit of ${self.most} for {whose} does not hold another call"
            case Scope.DAY:
                return f"the limit of ${self.most} a day (UTC) does not hold another call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """What was set aside for one call, and where."""

    worst: Decimal
    budgets: tuple[Budget, ...]


@dataclass(slots=True, kw_only=True)
class Sums:
    """The limits in dollars; None is no limit."""

    batch: Decimal | None = None
    group: Decimal | None = None  # for each reporting group
    day: Decimal | None = None  # for the ledger, on a day of UTC
    spent_today: Decimal = _NOTHING  # by earlier batches
    today: Callable[[], date] = field(default=lambda: datetime.now(UTC).date())


class Purse(Protocol):
    """Where money for calls comes from."""

    @property
    def is_limited(self) -> bool:
        """Whether it has to be asked at all."""
        ...

    async def reserve(self, worst: Decimal, *, group: str | None) -> Reserved:
        """Set aside what a call of a reporting group can cost.

        Raises:
            Spent: it cannot be had.
        """
        ...

    def settle(self, reserved: Reserved, cost: Decimal | None) -> None:
        """Give back what was set aside, and count what the call did cost; None: nobody knows."""
        ...


class Money:
    """Reserves the most that a call can cost before it is made, and settles what it did cost after.

    First come, first served: a call that waits for others to settle is not overtaken by cheaper ones.
    """

    def __init__(self, sums: Sums) -> None:
        """Begin with nothing spent but what the day has seen."""
        self._sums = sums
        self._batch = _with(None, sums.batch, _NOTHING)
        self._day = (
            None if sums.day is None else Budget(scope=Scope.DAY, most=sums.day, spent=sums.spent_today)
        )
        self._date = sums.today()
        self._groups: dict[str | None, Budget] = {}
        self._turn = anyio.Lock(fast_acquire=True)
        self._settled = anyio.Event()

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit at this moment."""
        return self._batch is not None or self._day is not None or self._sums.group is not None

    @property
    def spent(self) -> Decimal:
        """Dollars of the batch's own limit that are gone."""
        return self._batch.spent if self._batch is not None else _NOTHING

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """All sums that are kept at this moment."""
        return tuple(one for one in (self._batch, self._day, *self._groups.values()) if one is not None)

    async def reserve(self, worst: Decimal, *, group: str | None) -> Reserved:
        """Set the worst case aside in every budget it counts for, waiting for others to settle if need be.

        Raises:
            Spent: it cannot be had even when all of them have settled at nothing.
        """
        async with self._turn:
            while True:
                budgets = self._of(group)
                full = [one for one in budgets if not one.holds(worst)]
                if not full:
                    break
                for one in full:
                    if not one.reserved:
                        raise Spent(one)
                self._settled = anyio.Event()
                await self._settled.wait()
            for one in budgets:
                one.reserved += worst
        return Reserved(worst=worst, budgets=budgets)

    def reserve_at_once(self, worst: Decimal, *, group: str | None) -> Reserved | None:
        """As `reserve`, if nobody waits and every budget holds it at this moment; else None."""
        if self._turn.locked():
            return None
        budgets = self._of(group)
        if not all(one.holds(worst) for one in budgets):
            return None
        for one in budgets:
            one.reserved += worst
        return Reserved(worst=worst, budgets=budgets)

    def settle(self, reserved: Reserved, cost: Decimal | None) -> None:
        """Give the reservation back and count the cost; an unknown one counts as the worst case."""
        for one in reserved.budgets:
            one.reserved -= reserved.worst
            one.spent += reserved.worst if cost is None else cost
        self._settled.set()

    def lease(self, worst: Decimal, *, among: int) -> Reserved:
        """Set a part aside for one of so many who spend it elsewhere: at least the worst case of a call.

        The parts become smaller as the money does, so that in the end little lies idle with others.

        Raises:
            Spent: there is not so much left.
        """
        budgets = self._of(None)
        full = next((one for one in budgets if not one.holds(worst)), None)
        if full is not None:
            raise Spent(full)
        left = min(one.most - one.spent - one.reserved for one in budgets)
        part = max(worst, (left / (2 * among)).quantize(_SMALLEST, ROUND_DOWN))
        for one in budgets:
            one.reserved += part
        return Reserved(worst=part, budgets=budgets)

    def change(self, *, batch: Decimal | None, spent: Decimal) -> None:
        """Have another limit for the batch; `spent` counts if there was none before."""
        self._batch = _with(self._batch, batch, spent)
        self._settled.set()

    def _of(self, group: str | None) -> tuple[Budget, ...]:
        """The budgets that a call of a group counts for."""
        if (
            self._day is not None and (today := self._sums.today()) > self._date
        ):  # a clock set back is no new day
            self._date, self._day = today, Budget(scope=Scope.DAY, most=self._day.most)
        of_group = self._groups.get(group)
        if of_group is None and self._sums.group is not None:
            of_group = self._groups[group] = Budget(scope=Scope.GROUP, most=self._sums.group, of=group)
        return tuple(one for one in (self._batch, self._day, of_group) if one is not None)


def _with(budget: Budget | None, most: Decimal | None, spent: Decimal) -> Budget | None:
    """The batch's budget with another limit."""
    if most is None:
        return None
    if budget is None:
        return Budget(scope=Scope.BATCH, most=most, spent=spent)
    budget.most = most
    return budget
