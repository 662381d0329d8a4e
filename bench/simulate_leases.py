"""Leases among many workers in virtual time: `python -m bench.simulate_leases --workers 100 --calls 50000`.

The driver's `Lessor` and `Gate` are the real ones, on a real event loop whose clock jumps to the next thing
to happen. The workers, the net and the provider are played: each worker asks for as many calls as it has room
for, and each call is answered after the provider's latency.
"""

import argparse
import asyncio
import heapq
import json
import random
import selectors
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from time import process_time
from typing import Any

from tasks_lib.domain.job import Limits
from tasks_lib.domain.usage import Usage
from tasks_lib.engine.adaptive import Adaptive
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.leased_gate import FRESH
from tasks_lib.engine.leases import Answer, Ask, Ended, LetIn, Room, Word
from tasks_lib.engine.lessor import Holder, Lessor

_UNCOMMITTED = 240  # rows that a worker has beside those in flight, where their number is found out
_USAGE = Usage(input_tokens=120, output_tokens=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a simulation came to."""

    workers: int
    calls: int
    deaths: int
    seconds: float  # of virtual time, from the first call to the last
    calls_per_second: float
    share_of_limit: float | None  # of the requests a minute that were used; None without a limit
    most_in_a_minute: int  # calls that any 60 seconds saw, where they are sent
    most_in_flight: int
    given_back: int  # grants that came too late
    words_per_call: float  # of both ends
    driver_us_per_call: float  # CPU without what it takes to send words
    driver_cores: float  # that is, of a core while virtual time goes by


def simulate(
    *,
    workers: int = 100,
    calls: int = 50_000,
    requests_per_minute: int | None = 60_000,
    in_flight: int | None = None,
    latency: float = 1.0,
    way: float = 0.005,
    deaths: int = 0,
    seed: int = 1,
) -> Figures:
    """Let so many calls of so many workers in.

    `latency` is the provider's, in seconds, give or take a half; words take up to twice `way`. Without
    `in_flight` there are as many places as the limit needs, and half as many more; without either of the
    limits it is found out how many there may be. `deaths` workers die, evenly over the calls, and are
    replaced.
    """
    loop = _JumpingLoop()
    try:
        story = _Story(
            loop,
            calls=calls,
            requests_per_minute=requests_per_minute,
            in_flight=in_flight
            or (requests_per_minute and max(workers, int(1.5 * latency * requests_per_minute / 60))),
            latency=latency,
            way=way,
            seed=seed,
        )
        return loop.run_until_complete(story.run(workers, deaths))
    finally:
        loop.close()


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: it tells how long it would have waited."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("the simulation stands still")
        if timeout > 0:
            self._jump(timeout)
        return super().select(0)


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next thing to happen."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        return self._now

    def _jump(self, seconds: float) -> None:
        self._now += seconds


class _Worker:
    """As many calls as it has room for."""

    def __init__(self, story: "_Story") -> None:
        self.story = story
        self.is_dead = False
        self.room = 1
        self.rows = 0
        self.asked: dict[int, float] = {}
        self.last_up = self.last_down = 0.0
        self.holder: Holder = story.lessor.holder(self.hear)

    def hear(self, answer: Answer) -> None:
        """On its way to us."""
        self.last_down = max(self.last_down, self.story.after_a_way())
        self.story.at(self.last_down, self.heed, answer)

    def heed(self, answer: Answer) -> None:
        if self.is_dead:
            return
        if isinstance(answer, LetIn):
            self.call(answer)
        elif isinstance(answer, Room):
            self.room = answer.most_in_flight + (_UNCOMMITTED if answer.is_adaptive else 0)
            self.grow()

    def call(self, let_in: LetIn) -> None:
        story = self.story
        now = story.now()
        if now - self.asked.pop(let_in.number) - let_in.waited > FRESH:
            story.given_back += 1
            self.say(Ended(let_in.number, made=False))
            self.ask()
            return
        story.sent.append(now)
        story.at(story.answered_at(), self.answered, let_in.number)

    def answered(self, number: int) -> None:
        if self.is_dead:
            return
        self.say(Ended(number, made=True, usage=_USAGE, worked=1.0))
        self.story.answered += 1
        self.rows -= 1
        self.grow()

    def grow(self) -> None:
        while self.rows < self.room and self.story.draw():
            self.rows += 1
            self.ask()

    def ask(self) -> None:
        number = next(self.story.numbers)
        self.asked[number] = self.story.now()
        self.say(Ask(number, "a", 120.0, 20.0))

    def say(self, word: Word) -> None:
        self.last_up = max(self.last_up, self.story.after_a_way())
        self.story.at(self.last_up, self.heard, word)

    def heard(self, word: Word) -> None:
        """At the driver."""
        if not self.is_dead:
            with_driver = process_time()
            self.holder.heed(word)
            self.story.drivers += process_time() - with_driver

    def die(self) -> None:
        self.is_dead = True
        self.story.left += self.rows
        self.holder.gone()


class _Story:
    def __init__(
        self,
        loop: _JumpingLoop,
        *,
        calls: int,
        requests_per_minute: int | None,
        in_flight: int | None,
        latency: float,
        way: float,
        seed: int,
    ) -> None:
        self.now = loop.time
        self.calls = self.left = calls
        self.per_minute = requests_per_minute
        self.latency = latency
        self.way = way
        self.dice = random.Random(seed)  # noqa: S311 - the same each time
        adaptive = Adaptive(now=0.0) if in_flight is None else None
        limits = Limits(requests_per_minute=requests_per_minute, in_flight=in_flight)
        self.gate = Gate(limits, now=0.0, adaptive=adaptive, clock=loop.time)
        self.lessor = Lessor({"a": self.gate}, clock=loop.time)
        self.numbers = count()
        self.sent: list[float] = []
        self.answered = self.given_back = self.words = self.most_in_flight = 0
        self.drivers = 0.0  # seconds of CPU
        self.played = 0.0  # the same of what is no driver
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = count()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def draw(self) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return True

    def after_a_way(self) -> float:
        return self.now() + 2 * self.way * self.dice.random()

    def answered_at(self) -> float:
        return self.now() + self.latency * (0.5 + self.dice.random())

    def at(self, moment: float, act: Callable[[Any], None], what: Any) -> None:  # noqa: ANN401 - word or number
        self.words += 1
        heapq.heappush(self._heap, (moment, next(self._order), act, what))
        self._wake_at(moment)

    def _wake_at(self, moment: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= moment:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(moment, self._play)

    async def run(self, workers: int, deaths: int) -> Figures:
        began = process_time()
        crew = [_Worker(self) for _ in range(workers)]
        letting = asyncio.get_running_loop().create_task(self.lessor.run())
        dead = 0
        while self.answered < self.calls:
            await asyncio.sleep(0.1)
            while deaths > dead and self.answered >= self.calls * (dead + 1) / (deaths + 1):
                crew.pop(0).die()
                crew.append(_Worker(self))
                dead += 1
        letting.cancel()
        total = process_time() - began
        self.words -= len(self.sent)  # those that were answers of the provider
        seconds = self.sent[-1] - self.sent[0]
        rate = (len(self.sent) - 1) / seconds
        driver = total - self.played
        return Figures(
            workers=workers,
            calls=len(self.sent),
            deaths=dead,
            seconds=seconds,
            calls_per_second=rate,
            share_of_limit=rate * 60 / self.per_minute if self.per_minute else None,
            most_in_a_minute=_most_in_a_minute(self.sent),
            most_in_flight=self.most_in_flight,
            given_back=self.given_back,
            words_per_call=self.words / len(self.sent),
            driver_us_per_call=driver / len(self.sent) * 1e6,
            driver_cores=driver / seconds,
        )

    def _play(self) -> None:
        """All that happens at this moment; what the driver has of it is not counted as played."""
        began, drivers = process_time(), self.drivers
        self._timer = None
        now, heap = self.now(), self._heap
        while heap and heap[0][0] <= now:
            _, _, act, what = heapq.heappop(heap)
            act(what)
        if heap:
            self._wake_at(heap[0][0])
        self.most_in_flight = max(self.most_in_flight, self.gate.in_flight)
        self.played += process_time() - began - (self.drivers - drivers)


def _most_in_a_minute(ordered: list[float]) -> int:
    most = first = 0
    for last, at in enumerate(ordered):
        while at - ordered[first] > 60:
            first += 1
        most = max(most, last - first + 1)
    return most


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--requests-per-minute", type=int, default=60_000)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds")
    parser.add_argument("--deaths", type=int, default=0)
    given: Mapping[str, Any] = vars(parser.parse_args())
    print(json.dumps(asdict(simulate(**given))))


if __name__ == "__main__":
    _main()
