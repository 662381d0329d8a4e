"""What others see of a batch while it runs, and what they can do to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from os import getpid
from time import monotonic
from typing import Any, Protocol

from tasks_lib.configs import limits_given
from tasks_lib.domain.job import Limits
from tasks_lib.domain.mistake import Mistake
from tasks_lib.engine.admission import Admission
from tasks_lib.engine.attempt import Account
from tasks_lib.engine.breakers import BreakerState
from tasks_lib.engine.money import Money
from tasks_lib.engine.run import Engine
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.accounts import Part, limits_for
from tasks_lib.job.setup import Setup, check_money
from tasks_lib.job.tally import Tally
from tasks_lib.live import AccountNow, BudgetNow, GroupNow, ModelNow, Phase, Snapshot

_FIXED = ("max_cost_per_group", "max_cost_per_day")  # which begin with a batch


class Crew(Protocol):
    """Whoever runs a batch's rows, in this process or in others."""

    @property
    def accounts(self) -> tuple[AccountNow, ...]:
        """How things stand at the accounts that are called."""
        ...

    @property
    def models(self) -> tuple[ModelNow, ...]:
        """How the models do that were asked."""
        ...

    @property
    def under_way(self) -> int:
        """Rows that were drawn and are not settled."""
        ...

    def pause(self, *, paused: bool) -> None:
        """Begin no more calls, or go on."""
        ...

    def change(self, limits: Limits) -> None:
        """Keep other limits of calls and tokens from now on."""
        ...

    def news(self, remote_ids: Sequence[str]) -> None:
        """Look at these hosted runs now, where they are waited for."""
        ...


class CrewHere:
    """An engine of this process."""

    def __init__(self, accounts: Mapping[str, Account], engine: Engine, *, part: Part | None = None) -> None:
        """Speak for an engine and its accounts, of whose limits it may have a part."""
        self._accounts = accounts
        self._engine = engine
        self._part = part

    @property
    def accounts(self) -> tuple[AccountNow, ...]:
        """See `Crew`."""
        return tuple(account_now(name, account.gate) for name, account in self._accounts.items())

    @property
    def models(self) -> tuple[ModelNow, ...]:
        """See `Crew`."""
        return tuple(map(model_now, self._engine.breakers.states))

    @property
    def under_way(self) -> int:
        """See `Crew`."""
        return self._engine.rows_under_way

    def pause(self, *, paused: bool) -> None:
        """See `Crew`."""
        for account in self._accounts.values():
            (account.gate.pause if paused else account.gate.resume)()

    def change(self, limits: Limits) -> None:
        """See `Crew`."""
        for account in self._accounts.values():
            account.gate.change(limits_for(account.provider, limits, self._part))

    def news(self, remote_ids: Sequence[str]) -> None:
        """See `Crew`."""
        for remote_id in remote_ids:
            self._engine.wakes.wake(remote_id)


class Steering:
    """A batch as `tasks_lib.live` wants it: looked at, paused, ended, and given other limits."""

    def __init__(
        self,
        setup: Setup,
        *,
        batch_id: str,
        tally: Tally,
        stop: Stop,
        money: Money,
        limit_failures: Callable[[int | None], None],
    ) -> None:
        """Steer a batch that is being prepared."""
        self._setup = setup
        self._limits = setup.job.limits
        self._batch_id = batch_id
        self._tally = tally
        self._stop = stop
        self._money = money
        self._limit_failures = limit_failures
        self._began = monotonic()
        self._crew: Crew | None = None
        self._paused = False
        self.quack: str | None = None

    def runs(self, crew: Crew) -> None:
        """The batch's rows are being run by these from now on."""
        self._crew = crew
        if self._paused:
            crew.pause(paused=True)

    def snapshot(self) -> Snapshot:
        """The batch at this moment."""
        tally, crew = self._tally, self._crew
        return Snapshot(
            batch_id=self._batch_id,
            job=self._setup.job.name,
            phase=self._phase(),
            seconds=monotonic() - self._began,
            pid=getpid(),
            reason=self._stop.reason,
            rows=tally.rows,
            counted=tally.counted,
            completed=tally.completed,
            failed=tally.failed,
            skipped=tally.skipped,
            joined=tally.joined,
            stored=tally.stored,
            under_way=crew.under_way if crew is not None else 0,
            calls=tally.calls,
            retries=tally.retries,
            input_tokens=tally.input_tokens,
            output_tokens=tally.output_tokens,
            cost=tally.cost,
            possible_cost=tally.possible_cost,
            calls_of_unknown_cost=tally.calls_of_unknown_cost,
            failures=dict(tally.failures),
            last_failure=tally.last_failure,
            accounts=crew.accounts if crew is not None else (),
            models=crew.models if crew is not None else (),
            budgets=tuple(
                BudgetNow(
                    scope=one.scope.value, of=one.of, most=one.most, spent=one.spent, reserved=one.reserved
                )
                for one in self._money.budgets
            ),
            groups=tuple(GroupNow(name=name, cost=cost) for name, cost in tally.cost_by_group.items()),
            limits=_told(self._limits),
            quack=self.quack,
        )

    def pause(self) -> None:
        """Begin no more calls until `resume`."""
        self._paused = True
        if self._crew is not None:
            self._crew.pause(paused=True)

    def resume(self) -> None:
        """Begin calls again."""
        self._paused = False
        if self._crew is not None:
            self._crew.pause(paused=False)

    def cancel(self) -> None:
        """Come to an orderly end: no new call is made, and those under way are finished."""
        self._stop.call(Why.INTERRUPTED, "cancelled by rowmill cancel")

    def change_limits(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have other limits from now on (None: no limit of that sort), and give those in force.

        Raises:
            Mistake: there is no such limit, or it cannot have that value; nothing is changed then.
        """
        fixed = next((name for name in _FIXED if name in changes), None)
        if fixed is not None:
            raise Mistake(f"{fixed} is given when a batch begins, and stays: `rowmill cancel`, and run again")
        wanted = limits_given({**_told(self._limits), **changes})
        check_money(self._setup, wanted)
        crew = self._crew
        if crew is not None:
            crew.change(wanted)
        self._money.change(batch=wanted.max_cost, spent=self._tally.cost + self._tally.possible_cost)
        self._limit_failures(wanted.max_failures)
        self._limits = wanted
        return _told(wanted)

    def news(self, remote_ids: Sequence[str]) -> None:
        """There are said to be news of these hosted runs; those that nobody waits for are ignored."""
        if self._crew is not None:
            self._crew.news(remote_ids)

    def _phase(self) -> Phase:
        tally = self._tally
        if self._stop.called:
            return Phase.ENDING
        if self._crew is None:
            return Phase.PREPARING
        if tally.rows and tally.settled >= tally.rows:
            return Phase.WRITING
        return Phase.PAUSED if self._paused else Phase.RUNNING


def account_now(provider: str, gate: Admission) -> AccountNow:
    """How things stand at an account."""
    state = gate.state()
    found = state.adaptive
    per_minute = found.calls_per_second * 60 if found and found.calls_per_second else None
    tokens = found.tokens_per_second * 60 if found and found.tokens_per_second else None
    return AccountNow(
        provider=provider,
        in_flight=state.in_flight,
        most_in_flight=state.most_in_flight,
        waiting=state.waiting,
        adaptive=found is not None,
        limits={name: int(limit) for name, limit in {**state.limits, **state.learned}.items()},
        closed_for=state.closed_for,
        closed_why="the provider asked for it" if state.closed_for else None,
        requests_per_minute=per_minute or state.limits.get("requests_per_minute"),
        tokens_per_minute=tokens or state.limits.get("tokens_per_minute"),
        waits_for=state.waits_for,
        waits_seconds=state.head_waits,
        left=state.left,
        found_why=found.why if found else None,
        waves=found.waves if found else 0,
        processes=state.processes,
        in_flight_of_all=state.in_flight_of_all,
    )


def model_now(state: BreakerState) -> ModelNow:
    """How a model does."""
    return ModelNow(
        model=state.model,
        breaker=state.state.value,
        failures=state.failures,
        tried_in=state.tried_in,
        outages=state.outages,
        passed_by=state.rows,
        why=state.why,
    )


def _told(limits: Limits) -> dict[str, Any]:
    told = {one.name: getattr(limits, one.name) for one in fields(limits)}
    return {
        name: str(value) if name.startswith("max_cost") and value is not None else value
        for name, value in told.items()
    }
