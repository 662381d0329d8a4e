"""The breakers of all models that an engine asks, who waits for them, and what they have come to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import anyio

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.run import Attempt
from tasks_lib.domain.task import Model
from tasks_lib.engine.breaker import PLAIN, Breaker, Entry, State

_MOST_OUTAGES = 100  # of a model that are remembered each for itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time in which a model was left alone."""

    model: str
    began_at: datetime
    ended_at: datetime | None  # None: it was down to the end
    rows: int  # that went by it
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """A model's breaker at one moment."""

    model: str
    state: State
    failures: int  # calls since the last answer
    tried_in: float  # seconds until it is asked again
    outages: int
    rows: int  # that went by it
    why: str | None  # of one that is not closed


class ModelWatch:
    """A model's breaker in use."""

    def __init__(
        self,
        model: Model,
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        turned: Callable[[], None],  # told whenever the model went down or came back
    ) -> None:
        """Begin with a model that is taken to be up."""
        self.model = model
        self.breaker = Breaker()
        self.outages: list[Outage] = []
        self._clock = clock
        self._now = now
        self._turned = turned
        self._waits: dict[anyio.CancelScope, Plan] = {}

    def enter(self, plan: Plan, position: int, *, closed_for: float) -> Entry | None:
        """Leave to wait for a call; None: the plan is to go to its next model."""
        if self.breaker.cause is None and not closed_for:  # as it mostly is
            return PLAIN
        now = self._clock()
        if not may_leave(plan, position):
            return self.breaker.insist(now)
        if closed_for:
            self.breaker.heed(closed_for, now=now)
            self._note()
        if self.breaker.cause not in plan.fallback_on:
            return self.breaker.insist(now)
        return self.breaker.enter(now)

    def turns_away(self, entry: Entry, plan: Plan, position: int) -> bool:
        """Whether the model went down while a plan waited that has another one to go to."""
        return (
            self.breaker.shuts_out(entry)
            and self.breaker.cause in plan.fallback_on
            and may_leave(plan, position)
        )

    def ended(self, entry: Entry, failure: Failure | None, *, began: float, closed_for: float) -> None:
        """A call came to its end."""
        was = self.breaker.cause
        self.breaker.ended(entry, failure, began=began, now=self._clock(), closed_for=closed_for)
        if was is not self.breaker.cause:
            self._note()

    @contextmanager
    def cuts_short(self, entry: Entry, plan: Plan, position: int) -> Iterator[None]:
        """Waiting inside ends at once when the model goes down and the plan has another one to go to."""
        if entry.is_probe or not may_leave(plan, position):
            yield
            return
        with anyio.CancelScope() as scope:
            if self.turns_away(entry, plan, position):
                scope.cancel()
            self._waits[scope] = plan
            try:
                yield
            finally:
                del self._waits[scope]

    def passed_by(self, position: int, *, waited: float) -> Attempt:
        """What is noted of a plan that goes to its next model."""
        last = self.outages[-1]
        self.outages[-1] = replace(last, rows=last.rows + 1)
        again = self.breaker.tried_in(self._clock())
        why = last.why if self.breaker.cause is None else self.breaker.why()
        when = f"it is tried again in {again:.0f} s" if again else "another call is trying it"
        return Attempt(
            position=position,
            model=self.model,
            started_at=self._now(),
            waited=waited,
            worked=0.0,
            failure=Failure(kind=FailureKind.CIRCUIT_OPEN, message=f"not asked: {why}; {when}"),
            cost=Decimal(0),
        )

    def state(self) -> BreakerState:
        """How the model does."""
        now, breaker = self._clock(), self.breaker
        return BreakerState(
            model=str(self.model),
            state=breaker.state(now),
            failures=breaker.failures,
            tried_in=breaker.tried_in(now),
            outages=len(self.outages),
            rows=sum(outage.rows for outage in self.outages),
            why=None if breaker.cause is None else breaker.why(),
        )

    def _note(self) -> None:
        """Write down when the model went down or came back, and wake those who can go elsewhere."""
        is_down = bool(self.outages) and self.outages[-1].ended_at is None
        cause = self.breaker.cause
        if cause is not None and not is_down:
            why = self.breaker.why()
            if len(self.outages) >= _MOST_OUTAGES:  # the last one stands for all that follow
                self.outages[-1] = replace(self.outages[-1], ended_at=None, why=why)
            else:
                self.outages.append(
                    Outage(model=str(self.model), began_at=self._now(), ended_at=None, rows=0, why=why)
                )
            for scope, plan in tuple(self._waits.items()):
                if cause in plan.fallback_on:
                    scope.cancel()
            self._turned()
        elif cause is None and is_down:
            self.outages[-1] = replace(self.outages[-1], ended_at=self._now())
            self._turned()


def may_leave(plan: Plan, position: int) -> bool:
    """Whether a plan has a further model, and may go there without having asked this one."""
    return position + 1 < len(plan.models) and FailureKind.CIRCUIT_OPEN in plan.fallback_on


class Breakers:
    """Those of all models; each is made when its model is first asked."""

    def __init__(self, *, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        """Begin with no model known."""
        self._clock = clock
        self._now = now
        self._of: dict[Model, ModelWatch] = {}
        self.any_is_down = False
        self.on_change: Callable[[], None] = lambda: None

    def of(self, model: Model) -> ModelWatch:
        """A model's."""
        found = self._of.get(model)
        if found is None:
            found = self._of[model] = ModelWatch(model, clock=self._clock, now=self._now, turned=self._turned)
        return found

    def _turned(self) -> None:
        self.any_is_down = any(watch.breaker.cause is not None for watch in self._of.values())
        self.on_change()

    @property
    def states(self) -> tuple[BreakerState, ...]:
        """How all models do that were asked."""
        return tuple(watch.state() for watch in self._of.values())

    @property
    def outages(self) -> tuple[Outage, ...]:
        """When which model was down, in the order of their beginnings."""
        found = [outage for watch in self._of.values() for outage in watch.outages]
        return tuple(sorted(found, key=lambda outage: outage.began_at))
