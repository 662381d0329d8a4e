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


_IMPATIENT = frozenset({Why.INTERRUPTED, Why.LEDGER, Why.REFUSED})


class Stop:
    """Once called, no new call is made and all waiting ends; calls under way come to their end."""

    def __init__(self) -> None:
        """Begin with nothing stopped."""
        self.why: Why | None = None
        self.reason: str | None = None
        self.noted: tuple[Why, str] | None = None
        self.lets_go = False  # nobody waits for runs that go on elsewhere
        self._waits: set[anyio.CancelScope] = set()
        self._may_be_let_go: set[anyio.CancelScope] = set()

    def note(self, why: Why, reason: str) -> None:
        """Let the batch go on, and end as one that did not do all that it was to do."""
        if self.noted is None:
            self.noted = (why, reason)

    @property
    def called(self) -> bool:
        """Whether the batch is coming to its end."""
        return self.why is not None

    def call(self, why: Why, reason: str) -> None:
        """Let the batch come to its end; the first reason stands.

        Runs of hosted tasks go on without us. They are let go where somebody wants the batch to end, or
        nothing more can be had of it; where a limit ends it, what is paid for is waited for.
        """
        if self.why is None:
            self.why, self.reason = why, reason
            for wait in tuple(self._waits):
                wait.cancel()
        if why in _IMPATIENT and not self.lets_go:
            self.lets_go = True
            for run in tuple(self._may_be_let_go):
                run.cancel()

    def may_let_go(self, scope: anyio.CancelScope) -> None:
        """Cancel the scope as soon as nobody waits for what goes on elsewhere, which may be at once."""
        self._may_be_let_go.add(scope)
        if self.lets_go:
            scope.cancel()

    def is_over(self, scope: anyio.CancelScope) -> None:
        """What the scope holds has ended; it need not be let go any more."""
        self._may_be_let_go.discard(scope)

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
