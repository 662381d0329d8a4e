"""The money that a worker may spend before it asks for more."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

import anyio

from tasks_lib.engine.money import Budget, Reserved, Scope, Spent
from tasks_lib.job.workers.frames import Granted

_NOTHING = Decimal(0)


class Lease:
    """A part of the batch's money; reserves and settles as `engine.money.Money` does.

    The parts that are given out never make more than the limit, so that what workers reserve in theirs never
    passes it, either.
    """

    def __init__(self, ask: Callable[[Decimal], Awaitable[Granted]]) -> None:
        """Begin with nothing; `ask` gets more, at least what is asked for or nothing."""
        self._ask = ask
        self._budget = Budget(scope=Scope.BATCH, most=_NOTHING)
        self._turn = anyio.Lock(fast_acquire=True)
        self._settled = anyio.Event()

    @property
    def is_limited(self) -> bool:
        """A lease is had since there is a limit."""
        return True

    @property
    def unspent(self) -> Decimal:
        """What is left of all that was given."""
        return self._budget.most - self._budget.spent

    async def reserve(self, worst: Decimal, *, group: str | None) -> Reserved:  # noqa: ARG002 - groups have no limits of their own among workers
        """Set the worst case aside, asking for more money or waiting for calls to settle if need be.

        Raises:
            Spent: there is none left, here or elsewhere.
        """
        async with self._turn:
            while not self._budget.holds(worst):
                granted = await self._ask(worst)
                if granted.amount:
                    self._budget.most += granted.amount
                elif self._budget.reserved:
                    self._settled = anyio.Event()
                    await self._settled.wait()
                else:
                    raise Spent(self._budget, reason=granted.reason)
            self._budget.reserved += worst
        return Reserved(worst=worst, budgets=(self._budget,))

    def settle(self, reserved: Reserved, cost: Decimal | None) -> None:
        """Give the reservation back and count the cost; an unknown one counts as the worst case."""
        for one in reserved.budgets:
            one.reserved -= reserved.worst
            one.spent += reserved.worst if cost is None else cost
        self._settled.set()
