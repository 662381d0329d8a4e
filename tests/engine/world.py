"""A world for the engine to live in: rows, models that do as they are told, and a record of what happened.

world = World(retries=Retries(transient=1))
world.row(3, status(503), says("at last"))
await world.run(rows=10)
assert world.run_of(3).response == "at last"
"""

import re
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from math import inf
from typing import NamedTuple

import anyio
import httpx
import orjson

from tasks_lib.domain.failure import ANY_FAILURE
from tasks_lib.domain.job import Limits
from tasks_lib.domain.provider import Provider
from tasks_lib.engine.attempt import Account
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.money import Money, Sums
from tasks_lib.engine.run import Engine
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.providers.openai import OpenAI
from tests.domain.pieces import BIG, NOON, plan

Step = Callable[[httpx.Request], Awaitable[httpx.Response]]
"""What a model does with one call."""


def says(text="yes", *, input_tokens=10, output_tokens=5, usage=True, finish="stop") -> Step:
    """An answer, with the tokens that it took."""
    body = {"model": "m-1", "choices": [{"message": {"content": text}, "finish_reason": finish}]}
    if usage:
        body["usage"] = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens}
    return _responds(200, body)


def status(code, *, retry_after=None, error="no") -> Step:
    """An error, perhaps with a wait in seconds."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return _responds(code, {"error": {"message": error}}, headers)


def reset() -> Step:
    """The connection is lost while the answer is awaited."""

    async def step(request):
        raise httpx.ReadError("connection reset", request=request)

    return step


def unreachable() -> Step:
    """No connection comes about."""

    async def step(request):
        raise httpx.ConnectError("connection refused", request=request)

    return step


def hangs(seconds=float("inf")) -> Step:
    """No answer for so long, or until the timeout that the request asks for."""

    async def step(request):
        with anyio.move_on_after(request.extensions["timeout"]["read"]):
            await anyio.sleep(seconds)
            return httpx.Response(500)
        raise httpx.ReadTimeout("timed out", request=request)

    return step


def after(seconds, step) -> Step:
    """The same, so much later."""

    async def later(request):
        await anyio.sleep(seconds)
        return await step(request)

    return later


def _responds(code, body, headers=None) -> Step:
    content = orjson.dumps(body)

    async def step(_request):
        return httpx.Response(code, headers=headers, content=content)

    return step


class Arrival(NamedTuple):
    """A call, as a provider sees it come."""

    at: float
    row: int
    model: str
    prompt: str


class World:
    """Rows and models; what is not told otherwise is answered at once with "yes"."""

    def __init__(
        self,
        *models,
        limits=None,
        prices=None,
        most_cost=None,
        most_per_group=None,
        retries=None,
        output=None,
        step=None,
        recording=0.0,
        joins=True,
        preparing=None,
        **parameters,
    ):
        self.models = models or (BIG,)
        self.limits = (
            limits if isinstance(limits, dict) else defaultdict(lambda: limits or Limits(in_flight=10_000))
        )
        self.prices = prices or {}
        limited = most_cost is not None or most_per_group is not None
        self.money = Money(Sums(batch=most_cost, group=most_per_group)) if limited else None
        self.groups: dict[int, str] = {}
        self.same_as: dict[int, int] = {}
        self.fallback_on = ANY_FAILURE
        self.asked = {"retries": retries, **({"output": output} if output else {}), **parameters}
        self.step = step or says()
        self.recording = recording
        self.joins = joins
        self.preparing = preparing
        self.stop = Stop()
        self.arrivals: list[Arrival] = []
        self.in_flight = self.most_in_flight = 0
        self.most_under_way = 0
        self.runs = []
        self.ended_at: float | None = None
        self.on_record = lambda run: None
        self._of_row = defaultdict(deque)
        self._of_model = {}

    def row(self, number, *steps):
        """The first calls of a row, in order; further ones are as everybody's."""
        self._of_row[number].extend(steps)

    def model(self, model, step):
        """What a model always does."""
        self._of_model[model.name] = step

    async def run(self, rows, *, at_once=None, in_outages=None, stop_at=None, cancel_at=None):
        """Run so many rows; at these seconds the stop is called, or everything cancelled the hard way."""
        self.began_at = anyio.current_time()
        numbers = iter(range(1, rows + 1))

        async def draw():
            number = next(numbers, None)
            if number is None:
                return None
            self.most_under_way = max(self.most_under_way, number - len(self.runs))
            made = plan(*self.models, number=number, **self.asked)
            same_as = self.same_as.get(number)
            if same_as is not None:  # this row asks what that one asks
                other = plan(*self.models, number=same_as, **self.asked)
                made = replace(made, input_hash=other.input_hash, messages=other.messages)
            is_prepared = self.preparing is None
            return replace(
                made,
                reporting_group=self.groups.get(number),
                fallback_on=self.fallback_on,
                is_prepared=is_prepared,
            )

        engine = Engine(
            accounts={name: self._account(name) for name in {model.provider for model in self.models}},
            prices={model: self.prices.get(model) for model in self.models},
            record=self._record,
            stop=self.stop,
            money=self.money,
            joins=self.joins,
            prepare=self.preparing,
            now=self.wall,
        )
        self.breakers = engine.breakers
        async with anyio.create_task_group() as others:
            if stop_at is not None:
                others.start_soon(self._call_stop, stop_at)
            with anyio.move_on_after(inf if cancel_at is None else cancel_at):
                await engine.run(
                    draw,
                    at_once=lambda: at_once or rows,
                    in_outages=None if in_outages is None else lambda: in_outages,
                )
            self.ended_at = self.now()
            others.cancel_scope.cancel()
        return self

    async def _call_stop(self, at):
        await anyio.sleep(at)
        self.stop.call(Why.INTERRUPTED, "enough")

    def wall(self):
        """What the clock on the wall shows."""
        return NOON + timedelta(seconds=self.now())

    def now(self):
        """Seconds since the beginning."""
        return anyio.current_time() - self.began_at

    def run_of(self, row):
        """The one run that was recorded of a row."""
        (found,) = [run for run in self.runs if run.plan.row_number == row]
        return found

    def times_of(self, row):
        """When the calls of a row arrived."""
        return [arrival.at for arrival in self.arrivals if arrival.row == row]

    @property
    def statuses(self):
        """How many runs ended how."""
        return dict(Counter(run.status.value for run in self.runs))

    @property
    def gate(self):
        """The gate of the primary's account."""
        return self.gates[self.models[0].provider]

    def _account(self, name):
        self.gates = getattr(self, "gates", {})
        self.gates[name] = Gate(self.limits[name], now=anyio.current_time())
        provider = Provider(name=name, protocol="openai", base_url=f"https://{name}.test/v1")
        return Account(
            provider=provider,
            protocol=OpenAI(provider, None),
            transport=httpx.MockTransport(self._answer),
            gate=self.gates[name],
        )

    async def _answer(self, request):
        body = orjson.loads(request.content)
        content = body["messages"][-1]["content"]
        prompt = content if isinstance(content, str) else content[0]["text"]  # files follow the text
        row = int(re.search(r"row (\d+)", prompt)[1])
        self.arrivals.append(Arrival(self.now(), row, body["model"], prompt))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            told = self._of_row.get(row)
            step = told.popleft() if told else self._of_model.get(body["model"], self.step)
            return await step(request)
        finally:
            self.in_flight -= 1

    async def _record(self, run):
        if self.recording:
            await anyio.sleep(self.recording)
        self.runs.append(run)
        self.on_record(run)


def most_in_a_minute(times):
    """The most arrivals that any window of 60 seconds holds, ends included."""
    ordered = sorted(times)
    most, first = 0, 0
    for last, at in enumerate(ordered):
        while at - ordered[first] > 60:
            first += 1
        most = max(most, last - first + 1)
    return most
