"""A rate limit that nobody told us, found from what went through before the provider said no."""

import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

LATE, LEAST_LATE = (
    0.1,
    0.02,
)  # seconds for which calls that were late are made up for; more breaks small bursts
CLOSE = 1.08  # known-bad over known-good: from here the limit counts as known
UNDER_BAD = 0.985  # where to run below the lowest rate that was too much
UNDER_LONG = 0.93  # the same, where a rate went well for long and then did not
UNDER_SURPRISE = 0.85  # the same, where a rate that is well known is too much all at once: once, then search
LONGEST_STEP = 1.25  # upward, while looking for a limit
ENOUGH, TRIAL = 6, 6  # waves that tell whether slower is of use, and whether faster is
QUIET = 30.0  # seconds without a refusal, after which one is a new story
FIRST_HOLD, LONGEST_HOLD = 10.0, 120.0  # seconds at a well known rate before one percent more is tried
BUNCH = 0.02  # seconds; calls that go within them go at once
SHORTEST_PAUSE = 0.2  # seconds; what is taken for a pause where there was hardly any
_MARKS = 40  # how much of the past is kept to say at which rate calls went, at 0.25 s each


class Spell(NamedTuple):
    """What went through between one wave of refusals and the next."""

    paused: float  # seconds from the last refused call to the first one after it
    sent: float  # seconds from that first one to the next that was refused
    passed: float  # what was let through in those seconds


class LearnedPace:
    """Amounts a second (calls, or tokens) that get through: spaced, learned from refusals, probed upward.

    Whatever the provider's burst may be, its bucket is empty when it refuses. So what passed from one refusal
    to the next, over the time between, is never more than its rate (less, if the bucket overflowed during
    the pause): a lower bound. The rate at which calls were sent when it refused is an upper one. Between
    them it is searched; two spells after equal pauses give the rate itself, since what differs between them
    is the rate alone: passed = held + rate * sent.

    Times are given, never read.
    """

    __slots__ = (
        "_at", "_bad", "_brought", "_cuts", "_enough", "_good", "_hold", "_late", "_level", "_look_at",
        "_marks", "_next_mark", "_pause", "_refused_at", "_spells", "_stepped_at", "_stepped_total",
        "_stride", "_total", "_unit", "_went_on_at", "_went_on_total", "bound", "rate", "shaken",
        "why",
    )  # fmt: skip

    def __init__(self, *, now: float) -> None:
        """Begin without a pace."""
        self.rate = math.inf
        self.why = "began"  # why the rate is what it is: began, grew or 429
        self._level = 0.0
        self._at = now
        self._total = 0.0
        self._unit = 1.0  # what is common for one call
        self._late = LATE
        self._good = 0.0
        self._bad = math.inf
        self._spells: deque[Spell] = deque(maxlen=3)
        self._cuts: deque[tuple[float, Spell]] = deque()  # rates that were too much, and what they brought
        self._enough = ENOUGH
        self.shaken = False  # whether waves come whatever is done
        self.bound = False  # whether it was this pace that held calls back when the last wave came
        self._brought = 0.0  # amounts a second, pauses and all, that the pace before brought
        self._refused_at: float | None = None
        self._pause = SHORTEST_PAUSE
        self._went_on_at: float | None = now
        self._went_on_total = 0.0
        self._stepped_at = now
        self._stepped_total = 0.0
        self._look_at = math.inf
        self._hold = FIRST_HOLD
        self._stride = 0.01
        self._marks: deque[tuple[float, float]] = deque([(now, 0.0)], maxlen=_MARKS)
        self._next_mark = now + 0.25

    @property
    def total(self) -> float:
        """All that was sent so far, without what was refused."""
        return self._total

    def delay(self, amount: float, *, now: float) -> float:
        """Seconds until the amount may go; 0 if it may now."""
        if self.rate == math.inf:
            return 0.0
        holds = self._unit + self._late * self.rate
        level = min(holds, self._level + (now - self._at) * self.rate)
        missing = min(amount, holds) - level
        return missing / self.rate if missing > 1e-6 * holds else 0.0

    def take(self, amount: float, *, now: float) -> None:
        """Let the amount go."""
        if self._went_on_at is None:
            self._went_on(now)
        self._unit += 0.05 * (amount - self._unit)
        if self.rate != math.inf:
            holds = self._unit + self._late * self.rate
            self._level = min(holds, self._level + (now - self._at) * self.rate) - amount
            self._at = now
            if now >= self._look_at:
                self._look(now)
        self._total += amount
        if now >= self._next_mark:
            self._marks.append((now, self._total))
            self._next_mark = now + 0.25

    def settle(self, amount: float) -> None:
        """Add what was used beyond what was taken; less than nothing for what was not."""
        self._total += amount
        self._level -= amount

    def refused(self, *, at: float) -> None:
        """Another call of a wave that is known was refused; it had begun then."""
        if self._went_on_at is None and self._refused_at is not None:
            self._refused_at = max(self._refused_at, at)

    def wave(self, *, at: float, total: float, binding: bool) -> None:
        """A wave of refusals: the first had begun then, when so much had been sent before it.

        Where it is `binding`, a pace is set or lowered; else it is only remembered.
        """
        spell = self._spell(at, total)
        bad = self._sent_rate(at, total, spell)
        self._refused_at = at
        self._went_on_at = None
        self.bound = bad == self.rate
        if binding and self._useless(spell):
            self._good, self._bad = 0.0, math.inf
            return
        low = spell.passed / (spell.paused + spell.sent) if spell.paused > 0 else 0.0
        long = spell.sent > max(5.0, 5 * spell.paused)
        surprised = self._good > bad * 1.1 or (not long and self._good > bad * 0.95)
        well_known = self.bound and self._hold > FIRST_HOLD
        if surprised:  # the limit fell, or it is not of this kind; or calls that were late came all at once
            self._spells.clear()
            self._late = max(LEAST_LATE, self._late / 2)
            self._good = UNDER_SURPRISE * bad if well_known else 0.0
        self._good = max(min(self._good, bad * 0.97), min(low, bad * 0.97))
        self._bad = min(self._bad, bad) if self.bound else bad
        rate = self._good if surprised and well_known else self._next_rate(bad, spell, long=long)
        self._spells.append(spell)
        if binding or self.rate != math.inf:
            self.rate = rate
            self.why = "429"
        known = bad < self._good * CLOSE and not surprised
        self._hold = min(LONGEST_HOLD, self._hold * 2) if known else FIRST_HOLD
        self._stride = 0.01

    def _spell(self, at: float, total: float) -> Spell:
        since = self._went_on_at if self._went_on_at is not None else at
        paused = 0.0 if self._refused_at is None else max(SHORTEST_PAUSE, since - self._refused_at)
        if paused:
            self._pause = paused
        return Spell(paused, max(0.0, at - since), max(self._unit, total - self._went_on_total))

    def _sent_rate(self, at: float, total: float, spell: Spell) -> float:
        """At which rate amounts went when it was refused."""
        if spell.sent < BUNCH:  # a handful at once: nothing is known of what would have followed
            return min(self.rate, max(self._good, spell.passed / BUNCH))
        since, before = at - spell.sent, total - spell.passed
        for when, sum_then in reversed(self._marks):
            if when < since:
                break
            if at - when >= 1.0 and total - sum_then >= 0.1 * spell.passed:
                since, before = when, sum_then
                break
        measured = (total - before) / (at - since)
        if self.rate != math.inf and measured > 0.85 * self.rate:
            return self.rate
        return measured

    def _next_rate(self, bad: float, spell: Spell, *, long: bool) -> float:
        if self._good > 0 and bad <= self._good * CLOSE:
            return min(max(self._good, 0.97 * bad), UNDER_BAD * bad)
        if long:
            return UNDER_LONG * bad
        fitted = self._fitted(spell)
        if fitted is not None and self._good * 0.95 <= fitted <= bad:
            return UNDER_BAD * fitted
        if self._good <= 0:
            return 0.5 * bad
        return min(math.sqrt(self._good * bad), 0.9 * bad)

    def _useless(self, spell: Spell) -> bool:
        """Whether refusals come whatever is done, so that this one is not heeded.

        Down to a limit, slower brings no less: what is sent beyond it is refused. Where slower did bring
        less, the pace goes up again, and on up for as long as that brings more.
        """
        if (spell.sent > QUIET and spell.passed > 100 * self._unit) or self.rate == math.inf:
            self._cuts.clear()  # a new story
            self.shaken = False
            return False
        self._cuts.append((self.rate, spell))
        if self.shaken:
            brought = _brought(self._cuts)
            if len(self._cuts) < TRIAL and (len(self._cuts) < 2 or brought > 0.6 * self._brought):
                return True
            self._cuts.clear()
            self.shaken = brought > self._brought
            if self.shaken:
                self._brought = brought
                self.rate *= 1.5
                return True
            self._enough = min(2 * ENOUGH, self._enough + 2)
            if brought < 0.6 * self._brought:
                return False
            self.rate /= 1.5
            return True
        if len(self._cuts) < self._enough:
            return False
        cuts = list(self._cuts)
        early, late = cuts[: len(cuts) // 2], cuts[len(cuts) // 2 :]
        slowed = _mean(rate for rate, _ in early) / _mean(rate for rate, _ in late)
        if slowed < 1.3 or _brought(late) > _brought(early) / math.sqrt(slowed):
            self._cuts.popleft()
            return False
        self.shaken = True
        self._brought = _brought(late)
        self._cuts.clear()
        self.rate = max(rate for rate, _ in cuts)
        return True

    def _fitted(self, spell: Spell) -> float | None:
        """The rate by which two spells after equal pauses differ; None where they say too little."""
        for other in self._spells:
            longer = spell.sent - other.sent
            if other.paused <= 0 or not 0.8 < spell.paused / other.paused < 1.25 or abs(longer) < 0.2:
                continue
            rate = (spell.passed - other.passed) / longer
            if rate > 0 and 1.5 * self._unit / abs(longer) < 0.08 * rate:
                return rate
        return None

    def _went_on(self, now: float) -> None:
        self._went_on_at = now
        self._went_on_total = self._total
        self._level = self._unit
        self._at = now
        self._step(now)

    def _step(self, now: float) -> None:
        """Begin to try the present rate."""
        self._stepped_at = now
        self._stepped_total = self._total
        self._look_at = now + self._needs()

    def _needs(self) -> float:
        """Seconds for which a rate must go well before the next is tried."""
        if self._bad <= self.rate:
            return min(self._hold, max(FIRST_HOLD, 25 * self._pause))
        if self._bad <= self.rate * 1.04:
            return self._hold
        return min(self._hold, max(1.0, self._pause / (self._above() / self.rate - 1)))

    def _above(self) -> float:
        """The next rate to try."""
        if self._bad > self.rate * 1.04 and self._bad != math.inf:
            return min(math.sqrt(self.rate * self._bad), self.rate * LONGEST_STEP)
        return max(self._bad, self.rate) * 1.01 if self._bad != math.inf else self.rate * (1 + self._stride)

    def _look(self, now: float) -> None:
        """The rate has gone well for as long as it takes to believe it."""
        sent = (self._total - self._stepped_total) / (now - self._stepped_at)
        if sent < 0.9 * self.rate:  # it was not tried: there was less to do, or no room
            self._step(now)
            return
        self._good = max(self._good, self.rate)
        above = self._above()
        if self._bad <= self.rate:  # it went well beyond what once was too much: the limit rose
            self._bad = math.inf
            self._hold = FIRST_HOLD
            self._stride, above = 0.04, self.rate * 1.04
        elif self._bad == math.inf:
            self._stride = min(LONGEST_STEP - 1, self._stride * 2)
        self.rate = above
        self.why = "grew"
        self._step(now)


def _brought(cuts: Iterable[tuple[float, Spell]]) -> float:
    """Amounts a second, pauses and all."""
    spells = [spell for _, spell in cuts]
    return sum(spell.passed for spell in spells) / sum(spell.paused + spell.sent for spell in spells)


def _mean(values: Iterable[float]) -> float:
    """The geometric mean."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))
