"""One attempt: waits, passes money and gate, has one exchange, and judges and prices what came of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum

import anyio

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.idempotency import idempotency_key
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Reply
from tasks_lib.domain.plan import Message, Plan
from tasks_lib.domain.policy import Call
from tasks_lib.domain.pricing import PriceList, Prices, cost_of
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.run import Attempt
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.domain.worst import worst_cost
from tasks_lib.engine.admission import Admission
from tasks_lib.engine.breaker import Entry
from tasks_lib.engine.breakers import Breakers, ModelWatch
from tasks_lib.engine.exchange import have
from tasks_lib.engine.forecast import Forecast, Likely
from tasks_lib.engine.hosted import RemoteBook, Sight, follow
from tasks_lib.engine.money import Purse, Reserved, Scope, Spent
from tasks_lib.engine.passed import Passed
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.engine.wakes import Wakes
from tasks_lib.providers.protocol import RunProtocol, Transport, WireProtocol
from tasks_lib.providers.rates import rates_of

_NOTHING = Decimal(0)
_UNTOLD = Usage(input_tokens=0, output_tokens=0)  # where tokens cost nothing
_UNASKED = Likely(0.0, 0.0)  # nobody counts tokens
_INTERRUPTED = Failure(
    kind=FailureKind.CANCELLED, message="interrupted while the answer was awaited", maybe_billed=True
)


Keep = Callable[[Plan, Answer], Awaitable[Answer | Failure]]
"""Makes the file that an answer is, and puts it where it stays; told before the run is recorded."""


async def keep_nothing(plan: Plan, answer: Answer) -> Answer | Failure:
    """For batches whose answers are no files."""
    raise NotImplementedError(f"nobody keeps files of modality {plan.output.modality.value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A provider, and all that it takes to call it."""

    provider: Provider
    protocol: WireProtocol | RunProtocol
    transport: Transport
    gate: Admission
    hosted: RunProtocol | None = field(init=False)  # the protocol, if it is one for hosted tasks
    wire: WireProtocol | None = field(init=False)  # the protocol, if it is one for models

    def __post_init__(self) -> None:
        hosted = isinstance(self.protocol, RunProtocol)  # slow, so it is asked once
        object.__setattr__(self, "hosted", self.protocol if hosted else None)
        object.__setattr__(self, "wire", None if hosted else self.protocol)

    def hear(self, headers: Mapping[str, str]) -> None:
        """Heed what a response's headers say about the account's limits."""
        rates = rates_of(headers)
        if rates is not None:
            self.gate.hear(rates)


@dataclass(frozen=True, slots=True)
class _Leave:
    """What a call was let in with."""

    passed: Passed
    reserved: Reserved | None


class _No(Enum):
    """Why a call is not made."""

    ENDED = "ended"  # the batch, or the money
    MODEL_IS_DOWN = "model is down"  # and the row has another one to go to


class Caller:
    """Makes calls: each within the money and through the gate of its model's account."""

    def __init__(
        self,
        *,
        accounts: Mapping[str, Account],  # by the provider's name
        prices: Mapping[Model, PriceList | None],
        stop: Stop,
        money: Purse | None,
        now: Callable[[], datetime],
        clock: Callable[[], float],  # seconds, of the event loop
        sleeping: Callable[[], AbstractContextManager[None]],  # entered by who only waits
        began: Callable[[Plan], None],  # told before the first call for a row
        keep: Keep,
        book: RemoteBook,
    ) -> None:
        """Call with these accounts."""
        self._accounts = accounts
        self._prices = prices
        self._stop = stop
        self._money = money
        self._now = now
        self._clock = clock
        self._sleeping = sleeping
        self._began = began
        self._keep = keep
        self._book = book
        self._forecasts: dict[tuple[str, Model], Forecast] = {}
        self.breakers = Breakers(clock=clock, now=now)
        self.wakes = Wakes()

    async def make(self, plan: Plan, call: Call, attempts: list[Attempt]) -> bool:
        """Have one attempt and append it; False if the stop or the end of the money came before that."""
        choice = plan.models[call.position]
        account = self._accounts[choice.model.provider]
        messages = corrected(plan.messages, call.correction)
        decided = self._clock()
        watch = self.breakers.of(choice.model)
        entry = watch.enter(plan, call.position, closed_for=account.gate.closed_for)
        if entry is None:
            attempts.append(watch.passed_by(call.position, waited=0.0))
            return True
        hosted = account.hosted
        # what was begun before is paid for by whoever began it
        known = _NOTHING if hosted is None else estimated_before(plan, call, attempts)
        leave = await self._entered(account.gate, plan, call, messages, watch, entry, is_paid=bool(known))
        if leave is _No.MODEL_IS_DOWN:
            attempts.append(watch.passed_by(call.position, waited=self._clock() - decided))
            return True
        if leave is _No.ENDED:
            return False
        if not any(attempt.is_call for attempt in attempts):
            self._began(plan)
        began = self._clock()
        started_at = self._now()
        outcome: Reply | Failure = _INTERRUPTED
        sight: Sight | None = None
        try:
            if account.wire is not None:
                outcome = await have(
                    account.wire.exchange(
                        messages,
                        choice,
                        plan.output,
                        idempotency_key=idempotency_key(plan, attempts, position=call.position)
                        if account.provider.idempotency_header
                        else None,
                        carried=plan.carried,
                    ),
                    account.transport,
                    listen=account.hear,
                )
            elif hosted is not None:
                sight = Sight.of(call)
                await follow(
                    sight,
                    hosted,
                    account.transport,
                    plan if messages is plan.messages else replace(plan, messages=tuple(messages)),
                    call,
                    book=self._book,
                    stop=self._stop,
                    seconds=self._left(account.provider, call, attempts),
                    listen=account.hear,
                    wakes=self.wakes,
                )
        finally:
            worked = self._clock() - began
            if sight is not None:
                outcome = sight.outcome
            account.gate.leave(leave.passed, outcome, worked=worked)
            watch.ended(
                entry,
                _of_model(outcome, sight),
                began=began,
                closed_for=account.gate.closed_for,
            )
            prices, cost = self._priced(account.provider, choice.model, outcome)
            if leave.reserved is not None and self._money is not None:
                self._money.settle(leave.reserved, cost)
            verdict = outcome if isinstance(outcome, Failure) else judge(plan.output, outcome)
            if isinstance(verdict, Answer) and plan.output.modality.is_file:
                with anyio.CancelScope(shield=True):  # it is paid for
                    verdict = await self._keep(plan, verdict)
            estimated = None if cost is not None else self._estimate(plan, choice, messages)
            if known and sight is not None and (sight.sees_end or cost is None):
                estimated = (estimated or _NOTHING) - known
            attempts.append(
                Attempt(
                    position=call.position,
                    model=choice.model,
                    started_at=started_at,
                    waited=began - decided,
                    worked=worked,
                    answer=verdict if isinstance(verdict, Answer) else None,
                    failure=verdict if isinstance(verdict, Failure) else None,
                    usage=outcome.usage,
                    prices=prices,
                    cost=cost,
                    estimated_cost=estimated,
                    remote_id=sight.remote_id if sight is not None else None,
                    remote=outcome.remote,
                    answered_by=outcome.model,
                    http_status=outcome.http_status,
                    request_id=outcome.request_id,
                )
            )
        if outcome.usage is not None:
            self._forecast(plan, choice.model).learn(messages, outcome.usage)
        return True

    async def _entered(
        self,
        gate: Admission,
        plan: Plan,
        call: Call,
        messages: Sequence[Message],
        watch: ModelWatch,
        entry: Entry,
        *,
        is_paid: bool,
    ) -> _Leave | _No:
        """Be let in, and leave the model's breaker as it was if that does not come about."""
        leave: _Leave | _No = _No.ENDED
        try:
            leave = await self._let_in(gate, plan, call, messages, watch, entry, is_paid=is_paid)
        finally:
            if isinstance(leave, _No):
                watch.breaker.give_back(entry)
        return leave

    async def _let_in(
        self,
        gate: Admission,
        plan: Plan,
        call: Call,
        messages: Sequence[Message],
        watch: ModelWatch,
        entry: Entry,
        *,
        is_paid: bool,
    ) -> _Leave | _No:
        """Wait out the backoff, set the money aside unless it is paid, pass the gate."""
        choice = plan.models[call.position]
        likely = _UNASKED
        if gate.counts_tokens:
            likely = self._forecast(plan, choice.model).likely(
                messages, most_output=self._bound(choice), among=gate.in_flight + 1
            )
        reserved: Reserved | None = None
        passed: Passed | None = None
        limited = self._money is not None and self._money.is_limited and not is_paid
        if not (call.wait or limited or self._stop.called):  # as most calls are: nothing to wait for
            passed = gate.enter_at_once(input_tokens=likely.input_tokens, output_tokens=likely.output_tokens)
            if passed is not None:
                return _Leave(passed, None)
        with self._stop.cuts_short(), watch.cuts_short(entry, plan, call.position):
            if call.wait > 0:
                with self._sleeping():
                    await anyio.sleep(call.wait)
            if limited and self._money is not None:
                try:
                    reserved = await self._money.reserve(
                        self._worst_cost(choice, plan, messages), group=plan.reporting_group
                    )
                except Spent as spent:
                    self._no_money(spent)
                    return _No.ENDED
            passed = await gate.enter(input_tokens=likely.input_tokens, output_tokens=likely.output_tokens)
        is_down = watch.turns_away(entry, plan, call.position)
        if passed is not None and not (self._stop.called or is_down):
            return _Leave(passed, reserved)
        if passed is not None:
            gate.give_back(passed)
        if reserved is not None and self._money is not None:
            self._money.settle(reserved, _NOTHING)
        return _No.ENDED if self._stop.called else _No.MODEL_IS_DOWN

    def _left(self, provider: Provider, call: Call, attempts: Sequence[Attempt]) -> float:
        """Seconds until a hosted run is given up: its time begins when this batch first sees it."""
        seen = [one.started_at for one in attempts if one.remote_id and one.remote_id == call.remote_id]
        gone = (self._now() - min(seen)).total_seconds() if seen else 0.0
        return max(0.0, provider.timeouts.run - gone)

    def _no_money(self, spent: Spent) -> None:
        """End the batch; but where only one group's money is gone, the others go on."""
        reason = str(spent)
        if spent.budget.scope is Scope.GROUP:
            self._stop.note(Why.MONEY, reason)
        else:
            self._stop.call(Why.MONEY, reason)

    def _bound(self, choice: ModelChoice) -> int | None:
        """Tokens that an answer has at most; None if nothing bounds it."""
        return self._accounts[choice.model.provider].provider.most_output_tokens(choice)

    def _priced(
        self, provider: Provider, model: Model, outcome: Reply | Failure
    ) -> tuple[Prices | None, Decimal | None]:
        """The prices that hold for what came, and its cost; none where a hosted task tells the cost."""
        reported = reported_cost(provider, outcome)
        if reported is not None:
            return None, reported
        prices = self._prices_for(model, outcome)
        return prices, self._cost(model, outcome, prices)

    def _prices_for(self, model: Model, outcome: Reply | Failure) -> Prices | None:
        """The prices that hold for what came; without usage only those of an answer paid by the call."""
        prices = self._prices.get(model)
        if prices is None:
            return None
        if outcome.usage is not None:
            return prices.for_usage(outcome.usage)
        return prices.steps[0][1] if isinstance(outcome, Reply) and prices.is_by_call else None

    def _cost(self, model: Model, outcome: Reply | Failure, prices: Prices | None) -> Decimal | None:
        """Dollars; None where tokens or prices are unknown, and nothing for what was surely not answered."""
        if prices is not None:
            return cost_of(outcome.usage or _UNTOLD, prices)
        of_model = self._prices.get(model)
        if of_model is not None and of_model.is_free:
            return _NOTHING
        surely_nothing = outcome.usage is None and isinstance(outcome, Failure) and not outcome.maybe_billed
        return _NOTHING if surely_nothing else None

    def _estimate(self, plan: Plan, choice: ModelChoice, messages: Sequence[Message]) -> Decimal | None:
        """Dollars that a call without an answer has likely cost, if it was billed; None without prices."""
        of_model = self._prices.get(choice.model)
        if of_model is None:
            return None
        likely = self._forecast(plan, choice.model).likely(messages, most_output=self._bound(choice))
        usage = Usage(input_tokens=round(likely.input_tokens), output_tokens=round(likely.output_tokens))
        return cost_of(usage, of_model.for_usage(usage))

    def _worst_cost(self, choice: ModelChoice, plan: Plan, messages: Sequence[Message]) -> Decimal:
        """What to set aside for a call; nothing where no worst case is known."""
        prices = self._prices.get(choice.model)
        if prices is None:
            return _NOTHING
        most_output = self._bound(choice)
        return worst_cost(messages, choice, plan.output, prices, most_output=most_output) or _NOTHING

    def _forecast(self, plan: Plan, model: Model) -> Forecast:
        key = (plan.revision.fingerprint, model)
        found = self._forecasts.get(key)
        if found is None:
            found = self._forecasts[key] = Forecast()
        return found


def estimated_before(plan: Plan, call: Call, attempts: Sequence[Attempt]) -> Decimal:
    """Dollars that attempts have put down as possibly spent on the run that a call takes up or looks for.

    The attempt that sees the run's end takes them back, and has its cost: so it is counted once, whatever
    is summed up.
    """
    if call.remote_id is None and not call.lost:
        return _NOTHING
    remote = plan.remote
    before = remote.estimated_cost if remote is not None and remote.position == call.position else _NOTHING
    here = (one.estimated_cost or _NOTHING for one in attempts if one.position == call.position)
    return sum(here, before)


def reported_cost(provider: Provider, outcome: Reply | Failure) -> Decimal | None:
    """Dollars for the credits that a hosted task tells of; None if none, or if their price is unknown."""
    rate = provider.hosted.dollars_per_credit if provider.hosted is not None else None
    charged = outcome.remote.charged_credits if outcome.remote is not None else None
    return None if rate is None or charged is None else charged * rate


def _of_model(outcome: Reply | Failure, sight: Sight | None) -> Failure | None:
    """What an outcome says of the model: of one whose runs end, however, that it is there."""
    if sight is None:
        return outcome if isinstance(outcome, Failure) else None
    if sight.sees_end or not isinstance(outcome, Failure):
        return None
    # a run that does not end says nothing of whether others would be begun
    return _INTERRUPTED if outcome.kind is FailureKind.GIVEN_UP else outcome


def corrected(messages: Sequence[Message], correction: str | None) -> Sequence[Message]:
    """The messages with the error of the last answer told; the history itself is not sent again."""
    if correction is None:
        return messages
    *before, last = messages
    told = f"{last.text}\n\nYour last answer was rejected: {correction}. Answer again, and correctly."
    return (*before, replace(last, text=told))
