"""The end of a batch before the end of its rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import anyio


class Why(Enum):
    """What ended a batch early."""

    INTERRUPTED = "interrupted"  # somebody asked for it
    MONEY = "money"
    FAILURES = "failures"
    LEDGER = "ledger"  # it cannot take any more, as on a full disk
    REFUSED = "refused"  # the provider does not let us in, or does not know what we ask for


class Stop:
    """Once called, no new call is made and all waiting ends; calls under way come to their end."""

    def __init__(self) -> None:
        """Begin with nothing stopped."""
        self.why: Why | None = None
        self.reason: str | None = None
        self.noted: tuple[Why, str] | None = None
        self._waits: set[anyio.CancelScope] = set()

    def note(self, why: Why, reason: str) -> None:
        """Let the batch go on, and end as one that did not do all that it was to do."""
        if self.noted is None:
            self.noted = (why, reason)

    @property
    def called(self) -> bool:
        """Whether the batch is coming to its end."""
        return self.why is not None

    def call(self, why: Why, reason: str) -> None:
        """Let the batch come to its end; the first reason stands."""
        if self.why is not None:
            return
        self.why, self.reason = why, reason
        for wait in tuple(self._waits):
            wait.cancel()

    @contextmanager
    def cuts_short(self) -> Iterator[None]:
        """Waiting inside ends at once when the stop is called; see `called` afterwards."""
        with anyio.CancelScope() as scope:
            if self.called:
                scope.cancel()
            self._waits.add(scope)
            try:
                yield
            finally:
                self._waits.discard(scope)
