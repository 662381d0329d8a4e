"""Admission to one provider account: who may call now, in the order in which they came."""

from collections.abc import Callable

import anyio

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.engine.pace import Pace
from tasks_lib.engine.window import Passed, Window
from tasks_lib.providers.rates import Rates

AT_ONCE = 32  # calls in flight where nothing else is said


class Gate:
    """Requests and tokens a minute, calls in flight, and pauses that the provider asked for: one decision.

    First come, first served: only the head of the queue is looked at, and it alone waits on a timer. Who
    comes when nobody waits and everything allows it passes at once.
    """

    def __init__(self, limits: Limits, *, now: float) -> None:
        """Open for a provider's limits; `now` is the event loop's clock."""
        self.most_in_flight = limits.in_flight or AT_ONCE
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = Pace.keeping(requests, now=now) if requests else None
        self._tokens = Pace.spreading(tokens, now=now) if tokens else None
        self._minute = Window(tokens) if tokens else None
        self._closed_until = now
        self._turn = anyio.Lock(fast_acquire=True)  # held by the head of the queue; first in, first out
        self._changed = anyio.Event()  # something may now pass that could not
        self.in_flight = 0
        self.waiting = 0
        self.on_change: Callable[[], None] | None = None

    @property
    def counts_tokens(self) -> bool:
        """Whether a forecast of tokens matters."""
        return self._tokens is not None

    def closed_for(self) -> float:
        """Seconds for which nobody is let in, because the provider asked for it."""
        return max(0.0, self._closed_until - anyio.current_time())

    async def enter(
        self, *, input_tokens: float = 0.0, output_tokens: float = 0.0, tokens: float = 0.0
    ) -> Passed:
        """Wait for leave to have one call in flight that is likely to use so many tokens.

        What is returned is to be given back to `leave` when the call has ended.
        """
        tokens += input_tokens + output_tokens
        self.waiting += 1
        try:
            async with self._turn:
                while (wait := self._wait(tokens)) > 0:
                    self._changed = anyio.Event()
                    with anyio.move_on_after(wait):
                        await self._changed.wait()
                now = anyio.current_time()
                if self._requests is not None:
                    self._requests.take(1, now=now)
                self.in_flight += 1
                if self._tokens is None or self._minute is None:
                    return Passed(now, 0.0)
                self._tokens.take(tokens, now=now)
                return self._minute.take(tokens, now=now)
        finally:
            self.waiting -= 1

    def leave(
        self,
        passed: Passed,
        outcome: Reply | Failure | None = None,
        *,
        worked: float = 0.0,  # noqa: ARG002  # the face that is being moved to
        used: float | None = None,
    ) -> None:
        """End a call that entered; its usage settles its tokens, without one those that were taken stay."""
        if outcome is not None and outcome.usage is not None:
            used = outcome.usage.total_tokens
        if isinstance(outcome, Failure) and outcome.retry_after is not None:
            self.hold_off(outcome.retry_after)
        self.in_flight -= 1
        if self._tokens is not None and self._minute is not None and used is not None:
            self._tokens.settle(taken=passed.amount, used=used)
            self._minute.settle(passed, used=used)
        self._changed.set()

    def give_back(self, passed: Passed) -> None:
        """End a call that entered and was never made."""
        self.leave(passed, used=0)

    def hear(self, rates: Rates) -> None:
        """Heed what a response says about the account's limits."""

    def hold_off(self, seconds: float) -> None:
        """Let nobody in for so long; a longer pause that is under way stands."""
        self._closed_until = max(self._closed_until, anyio.current_time() + seconds)

    def _wait(self, tokens: float) -> float:
        """Seconds until the head may pass, for all that is known now."""
        if self.in_flight >= self.most_in_flight:
            return float("inf")  # until a call ends
        now = anyio.current_time()
        wait = self._closed_until - now
        if self._requests is not None:
            wait = max(wait, self._requests.delay(1, now=now))
        if self._tokens is not None and self._minute is not None:
            wait = max(wait, self._tokens.delay(tokens, now=now), self._minute.delay(tokens, now=now))
        return wait
