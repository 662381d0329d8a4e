"""A sum of money that a batch never passes, however many calls are in flight."""

from decimal import Decimal

import anyio


class Spent(Exception):
    """The budget does not hold another call, and none under way may give anything back."""


class Budget:
    """Reserves the most that a call can cost before it is made, and settles what it did cost after."""

    def __init__(self, most: Decimal) -> None:
        """Begin with nothing spent of so many dollars."""
        self.most = most
        self.spent = Decimal(0)
        self._reserved = Decimal(0)
        self._settled = anyio.Event()

    async def reserve(self, worst: Decimal) -> None:
        """Set the worst case aside, waiting for calls under way to settle if need be.

        Raises:
            Spent: it cannot be had even when all of them have settled at nothing.
        """
        while self.spent + self._reserved + worst > self.most:
            if not self._reserved:
                raise Spent
            if self._settled.is_set():  # else others wait for it, who must not be left behind
                self._settled = anyio.Event()
            await self._settled.wait()
        self._reserved += worst

    def settle(self, worst: Decimal, cost: Decimal | None) -> None:
        """Give the reservation back and count the cost; an unknown one counts as the worst case."""
        self._reserved -= worst
        self.spent += worst if cost is None else cost
        self._settled.set()
