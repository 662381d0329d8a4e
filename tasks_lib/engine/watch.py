"""Whoever looks on while rows are run."""

from typing import Protocol

from tasks_lib.domain.plan import Plan


class RowWatch(Protocol):
    """Is told what becomes of each row that is drawn; it must be quick, since everybody waits."""

    def began(self, plan: Plan) -> None:
        """The first call for the row is about to be made."""
        ...

    def broke(self, plan: Plan, error: Exception) -> None:
        """The row brought forth an error that nobody foresaw, which ends the run; `ended` follows."""
        ...

    def ended(self, plan: Plan) -> None:
        """The row was recorded, or was given up without a call."""
        ...


class Unwatched:
    """Nobody looks on."""

    def began(self, plan: Plan) -> None:
        """See `RowWatch`."""

    def broke(self, plan: Plan, error: Exception) -> None:
        """See `RowWatch`."""

    def ended(self, plan: Plan) -> None:
        """See `RowWatch`."""
