"""Rows > row > attempt > exchange: each adds one concern to the one below.

run      draws plans for as many rows at once as it is told
_row     has attempts until `next_call` says that the run is over, and records it
_attempt waits, passes the gate, has one exchange, and judges and prices what came of it
have     drives the protocol's generator over the transport (exchange.py)
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import anyio
import httpx

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Answer, Reply, judge
from tasks_lib.domain.plan import Message, Plan
from tasks_lib.domain.policy import Call, next_call
from tasks_lib.domain.pricing import PriceList, Prices, cost_of
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.run import Attempt, TaskRun, conclude
from tasks_lib.domain.task import Model
from tasks_lib.domain.usage import Usage
from tasks_lib.domain.worst import worst_cost
from tasks_lib.engine.budget import Budget, Spent
from tasks_lib.engine.exchange import have
from tasks_lib.engine.forecast import Forecast
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.engine.window import Passed
from tasks_lib.providers.protocol import WireProtocol

Draw = Callable[[], Awaitable[Plan | None]]
Record = Callable[[TaskRun], Awaitable[None]]

_ENDED = Failure(kind=FailureKind.CANCELLED, message="the batch ended before this row did")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A provider, and all that it takes to call it."""

    provider: Provider
    protocol: WireProtocol
    transport: httpx.AsyncBaseTransport
    gate: Gate


def utc_now() -> datetime:
    """The time of day, with its zone."""
    return datetime.now(UTC)


class Engine:
    """Carries rows from plan to task run."""

    def __init__(
        self,
        *,
        accounts: Mapping[str, Account],  # by the provider's name
        prices: Mapping[Model, PriceList | None],
        record: Record,
        stop: Stop,
        budget: Budget | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Work with these accounts and hand each task run to `record` when it is over."""
        self._accounts = accounts
        self._prices = prices
        self._record = record
        self._stop = stop
        self._budget = budget
        self._now = now
        self._forecasts: dict[Model, Forecast] = {}
        self._at_once = 0
        self._awake = 0  # workers that are not waiting for a backoff to end
        self._asleep = 0  # those that are
        self._spare: Callable[[], object]  # starts another worker

    async def run(self, draw: Draw, *, at_once: int) -> None:
        """Run what is drawn until nothing is left or the stop is called; so many rows at once.

        A row that waits for its next try makes room for another, so that a wave of failures does not
        leave the line idle.
        """
        self._at_once = self._awake = at_once
        async with anyio.create_task_group() as workers:
            self._spare = partial(workers.start_soon, self._work, draw)
            for _ in range(at_once):
                self._spare()

    async def _work(self, draw: Draw) -> None:
        while not self._stop.called and self._awake <= self._at_once:
            plan = await draw()
            if plan is None:
                break
            await self._row(plan)
        self._awake -= 1

    async def _row(self, plan: Plan) -> None:
        created_at = self._now()
        attempts: list[Attempt] = []
        cut_short: Failure | None = _ENDED
        try:
            if await self._try(plan, attempts):
                cut_short = None
        finally:
            if attempts or cut_short is None:
                with anyio.CancelScope(shield=True):  # what was paid for is told, whatever comes
                    await self._conclude(plan, attempts, created_at, cut_short)

    async def _try(self, plan: Plan, attempts: list[Attempt]) -> bool:
        """Have attempts until the run is over; False if the stop came first."""
        while (call := next_call(plan, attempts)) is not None:
            if not await self._attempt(plan, call, attempts):
                return False
        return True

    async def _conclude(
        self, plan: Plan, attempts: Sequence[Attempt], created_at: datetime, cut_short: Failure | None
    ) -> None:
        task_run = conclude(
            plan, attempts, created_at=created_at, finished_at=self._now(), cut_short=cut_short
        )
        failure = task_run.failure
        if failure is not None and failure.kind.ends_batch:
            self._stop.call(Why.REFUSED, failure.reason)  # before the record, which may take its time
        await self._record(task_run)

    async def _attempt(self, plan: Plan, call: Call, attempts: list[Attempt]) -> bool:
        """Have one attempt and append it; False if the stop came before it was begun."""
        choice = plan.models[call.position]
        account = self._accounts[choice.model.provider]
        messages = corrected(plan.messages, call.correction)
        worst = self._worst_cost(plan, call, messages)
        tokens = self._likely_tokens(plan, call, messages) if account.gate.counts_tokens else 0.0
        decided = anyio.current_time()
        passed = await self._let_in(account.gate, wait=call.wait, worst=worst, tokens=tokens)
        if passed is None:
            return False
        began = anyio.current_time()
        started_at = self._now()
        outcome: Reply | Failure = Failure(
            kind=FailureKind.CANCELLED, message="interrupted while the answer was awaited", maybe_billed=True
        )
        usage: Usage | None = None
        cost: Decimal | None = None
        try:
            outcome = await have(account.protocol.exchange(messages, choice, plan.output), account.transport)
            if isinstance(outcome, Failure) and outcome.retry_after is not None:
                account.gate.hold_off(outcome.retry_after)
        finally:
            usage = outcome.usage
            prices = self._prices_for(choice.model, usage)
            cost = _cost(outcome, usage, prices)
            if cost is None and self._is_free(choice.model):
                cost = Decimal(0)
            account.gate.leave(passed, used=usage.total_tokens if usage else None)
            if self._budget is not None:
                self._budget.settle(worst, cost)
            verdict = outcome if isinstance(outcome, Failure) else judge(plan.output, outcome)
            attempts.append(
                Attempt(
                    position=call.position,
                    model=choice.model,
                    started_at=started_at,
                    waited=began - decided,
                    worked=anyio.current_time() - began,
                    answer=verdict if isinstance(verdict, Answer) else None,
                    failure=verdict if isinstance(verdict, Failure) else None,
                    usage=usage,
                    prices=prices,
                    cost=cost,
                    answered_by=outcome.model,
                    http_status=outcome.http_status,
                    request_id=outcome.request_id,
                )
            )
        if usage is not None and account.gate.counts_tokens:
            self._forecast(choice.model).learn(messages, usage)
        return True

    async def _let_in(self, gate: Gate, *, wait: float, worst: Decimal, tokens: float) -> Passed | None:
        """Wait out the backoff, set the money aside, pass the gate; None if the stop came first."""
        reserved = False
        passed: Passed | None = None
        with self._stop.cuts_short():
            if wait > 0:
                await self._sleep(wait)
            if self._budget is not None:
                try:
                    await self._budget.reserve(worst)
                except Spent:
                    self._stop.call(
                        Why.MONEY, f"the limit of ${self._budget.most} does not hold another call"
                    )
                else:
                    reserved = True
            if not self._stop.called:
                passed = await gate.enter(tokens=tokens)
        if not self._stop.called:
            return passed
        if passed is not None:
            gate.leave(passed, used=0)
        if reserved and self._budget is not None:
            self._budget.settle(worst, Decimal(0))
        return None

    async def _sleep(self, seconds: float) -> None:
        """Wait, and have another worker take a row meanwhile; at most as many wait as may work."""
        self._awake -= 1
        self._asleep += 1
        if self._awake < self._at_once and self._asleep <= self._at_once:
            self._awake += 1
            self._spare()
        try:
            await anyio.sleep(seconds)
        finally:
            self._asleep -= 1
            self._awake += 1

    def _prices_for(self, model: Model, usage: Usage | None) -> Prices | None:
        prices = self._prices.get(model)
        return prices.for_usage(usage) if prices is not None and usage is not None else None

    def _is_free(self, model: Model) -> bool:
        prices = self._prices.get(model)
        return prices is not None and prices.is_free

    def _worst_cost(self, plan: Plan, call: Call, messages: Sequence[Message]) -> Decimal:
        """What to set aside for a call; nothing where no worst case is known, or no money is limited."""
        choice = plan.models[call.position]
        prices = self._prices.get(choice.model)
        if self._budget is None or prices is None:
            return Decimal(0)
        return worst_cost(messages, choice, plan.output, prices) or Decimal(0)

    def _likely_tokens(self, plan: Plan, call: Call, messages: Sequence[Message]) -> float:
        choice = plan.models[call.position]
        return self._forecast(choice.model).of(messages, most_output=choice.most_output_tokens)

    def _forecast(self, model: Model) -> Forecast:
        return self._forecasts.setdefault(model, Forecast())


def corrected(messages: Sequence[Message], correction: str | None) -> Sequence[Message]:
    """The messages with the error of the last answer told; the history itself is not sent again."""
    if correction is None:
        return messages
    *before, last = messages
    told = f"{last.text}\n\nYour last answer was rejected: {correction}. Answer again, and correctly."
    return (*before, replace(last, text=told))


def _cost(outcome: Reply | Failure, usage: Usage | None, prices: Prices | None) -> Decimal | None:
    """Dollars; None where tokens or prices are unknown, and nothing for what was surely not answered."""
    if usage is not None:
        return None if prices is None else cost_of(usage, prices)
    surely_nothing = isinstance(outcome, Failure) and not outcome.maybe_billed
    return Decimal(0) if surely_nothing else None
