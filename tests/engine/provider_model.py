"""A provider and its caller in virtual time: what the adaptive limits are proved against."""

import heapq
import math
import random
from collections import deque

from tasks_lib.engine.adaptive import Adaptive, End


class Bucket:
    """A token bucket that begins full."""

    def __init__(self, rate, depth):
        self.rate, self.depth, self.level, self.at = rate, depth, depth, 0.0

    def change(self, now, rate, depth):
        self.missing(0, now)
        self.rate, self.depth, self.level = rate, depth, min(self.level, depth)

    def missing(self, cost, now):
        """Seconds until the cost is there; 0 takes it."""
        self.level = min(self.depth, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level >= cost:
            self.level -= cost
            return 0.0
        return (cost - self.level) / self.rate


class Provider:
    """Limits, latency and slots of an account, whatever of them is given."""

    def __init__(
        self, *, rps=None, burst=None, tpm=None, most=None, slots=None, latency=0.1, sigma=0.0, noise=0.0,
        seed=1,
    ):  # fmt: skip
        self.requests = Bucket(rps, burst or rps) if rps else None
        self.tokens = Bucket(tpm / 60, tpm) if tpm else None
        self.most, self.slots, self.latency, self.sigma, self.noise = most, slots, latency, sigma, noise
        self.random = random.Random(seed)  # noqa: S311  # the same each time
        self.in_flight = 0
        self.free_at = [0.0] * slots if slots else None  # when each slot is done with what it was given

    def refuses(self, now, tokens):
        """The wait that is asked for, or None."""
        if self.noise and self.random.random() < self.noise:
            return 1.0
        if self.most and self.in_flight >= self.most:
            return 1.0
        if self.requests and (wait := self.requests.missing(1, now)):
            return math.ceil(wait)
        if self.tokens and (wait := self.tokens.missing(tokens, now)):
            return math.ceil(wait)
        return None

    def seconds(self, now):
        """How long an answer takes."""
        worked = self.latency * math.exp(self.sigma * self.random.gauss(0, 1))
        if self.free_at is None:
            return worked
        begins = max(now, heapq.heappop(self.free_at))
        heapq.heappush(self.free_at, begins + worked)
        return begins + worked - now


class Story:
    """What happened: the moments of answers and refusals, with tokens, and the limits over time."""

    def __init__(self):
        self.answered, self.refused, self.limits = [], [], []

    def rate(self, begin, end):
        """Answers begun a second."""
        return sum(begin <= at < end for at, _ in self.answered) / (end - begin)

    def token_rate(self, begin, end):
        """Tokens begun a second."""
        return sum(tokens for at, tokens in self.answered if begin <= at < end) / (end - begin)

    def refusals(self, begin=0.0, end=math.inf):
        """The share of calls that were refused."""
        refused = sum(begin <= at < end for at in self.refused)
        answered = sum(begin <= at < end for at, _ in self.answered)
        return refused / max(1, refused + answered)

    def limit_at(self, moment):
        """Calls that might be in flight then."""
        return [limit for at, limit in self.limits if at <= moment][-1]


def lived(
    provider, *, seconds, sizes=lambda _: 100.0, way=0.001, changes=(), most=1000, demand=None, heed=True,
    adaptive=None, late=None,
):  # fmt: skip
    """Call as often as is allowed for so many seconds, as the gate does; `changes` are (moment, callable)."""
    adaptive = adaptive or Adaptive(now=0.0, most=most)
    story, events, number = Story(), [], 0
    now, closed_until, in_flight, calls = 0.0, 0.0, 0, 0
    changes = deque(changes)
    chance = random.Random(7)  # noqa: S311  # the same each time
    while now < seconds:
        while changes and changes[0][0] <= now:
            changes.popleft()[1](now)
        wait = math.inf
        while True:  # the gate: whoever is next goes if all allow it
            size = sizes(calls)
            if in_flight >= adaptive.limit or (demand and in_flight >= demand):
                break
            wait = max(closed_until - now, adaptive.delay(now=now, tokens=size))
            if wait > 0:
                break
            in_flight += 1
            calls += 1
            ticket = adaptive.began(now=now, in_flight=in_flight, tokens=size)
            arrives = late(now) if late else now
            asked = provider.refuses(arrives, size)
            if asked is None:
                provider.in_flight += 1
                done = arrives + provider.seconds(arrives) + way
            else:
                done = arrives + way
            number += 1
            heapq.heappush(events, (done, number, ticket, asked, size))
            wait = math.inf
        at = events[0][0] if events else math.inf
        target = now + wait + chance.random() * 0.001  # a clock's grain
        if at > target:
            now = target
            continue
        now, _, ticket, asked, size = heapq.heappop(events)
        in_flight -= 1
        if asked is None:
            provider.in_flight -= 1
            story.answered.append((ticket.at, size))
            adaptive.ended(ticket, now=now, in_flight=in_flight, end=End.ANSWERED, tokens=size)
        else:
            story.refused.append(ticket.at)
            if heed:
                closed_until = max(closed_until, now + asked)
            adaptive.ended(ticket, now=now, in_flight=in_flight, end=End.RATE_LIMITED)
        if not story.limits or story.limits[-1][1] != adaptive.limit:
            story.limits.append((now, adaptive.limit))
    return story
