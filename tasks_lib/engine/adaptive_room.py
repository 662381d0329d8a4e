"""How many calls in flight a provider has room for, found by trying."""

import math
from typing import NamedTuple

START = 16
SATURATED = 0.8  # of the limit: from here it is really used
GENTLE, RECOVERING = 1.08, 1.25  # growth a round after the first cut, and once a ceiling has proved wrong
WORTH, WORTH_SURE = 0.35, 0.2  # growth must bring answers: at least this power of what was added
TEST = 1.45  # growth after which answers a second are compared
FEWEST = 16  # answers whose rate is compared; fewer say too little
SURE = 96  # so many say it surely
FEWEST_UNJUDGED = 4  # the same, where no rates are compared
STRIKES = 2  # rounds that must agree that more brings nothing
FIRST_PATIENCE, MOST_PATIENCE = 2, 64  # rounds below a known ceiling before it is tried again
REST = 12  # rounds until less is tried again, twice as many each time that it failed
LONG_REST = 16  # rounds until more is tried again, the same
LONGEST_REST = 768


class Less(NamedTuple):
    """A try to do with less, where more brought nothing."""

    by: float  # the factor
    answers: int  # that are compared
    lost: float  # how much fewer may come a second, as a power of the factor


TRIES = (  # first by leaps, which few answers judge; a leap too far is followed by a shorter one
    Less(4.0, 32, 0.15),
    Less(2.0, 48, 0.2),
    Less(1.5, SURE, 0.15),
)


class Room:
    """The number of calls that may be in flight: doubled, then grown gently, cut by refusals, held by a knee.

    A round is as many answers as may be in flight (at least 32), counted after those are in that began
    before the last change. Only what was really used grows, and what brings no more answers a second is
    given back: answers a second are compared, never single latencies, since an answer's latency follows its
    length.
    """

    __slots__ = (
        "_answers", "_began_at", "_ceiling", "_cut_from", "_factor",
        "_leap", "_less_at", "_long", "_more_at", "_patience", "_peak",
        "_reference", "_refused", "_rested", "_skip",
        "_strikes", "_trying_less", "limit", "most", "why",
    )  # fmt: skip

    def __init__(self, *, most: int, start: int = START) -> None:
        """Begin small."""
        self.most = most
        self.limit = min(start, most)
        self.why = "began"
        self._factor = 2.0
        self._ceiling: int | None = None  # so many were refused
        self._patience = FIRST_PATIENCE
        self._reference: tuple[int, float] | None = None  # in flight, and answers a second
        self._strikes = 0
        self._trying_less: tuple[int, float] | None = None  # where to go back to
        self._rested = 0
        self._less_at, self._more_at = REST, LONG_REST
        self._leap = 0
        self._skip = 0
        self._answers = 0
        self._began_at: float | None = None
        self._peak = 0
        self._refused = False
        self._cut_from = 0  # the highest limit that was cut
        self._long = max(FEWEST, self.limit)

    @property
    def used(self) -> bool:
        """Whether the limit was reached, or nearly, in this round."""
        return self._peak >= SATURATED * self.limit

    @property
    def held(self) -> bool:
        """Whether more brought nothing."""
        return self.why == "throughput"

    def began(self, in_flight: int) -> None:
        """A call began; so many are in flight with it."""
        self._peak = max(self._peak, in_flight)

    def answered(self, *, now: float) -> None:
        """A call was answered."""
        if self._skip > 0:
            self._skip -= 1
            return
        if self._began_at is None:
            self._began_at = now
            self._answers = 0
            return
        self._answers += 1
        if self._answers >= self._long and now > self._began_at:
            self._round(self._answers / (now - self._began_at))

    def refused(self, in_flight: int) -> None:
        """So many in flight were too many: cut once, and remember them."""
        again = self._ceiling is not None and abs(in_flight - self._ceiling) <= max(1, 0.1 * self._ceiling)
        self._patience = min(MOST_PATIENCE, self._patience * 2) if again else FIRST_PATIENCE
        self._ceiling = max(2, in_flight)
        self._cut(min(in_flight - 1, int(self.limit * 0.95)))

    def cut(self, factor: float, *, growing: float) -> None:
        """Cut by a factor, without a ceiling, and grow by another for each round from there."""
        self._cut(round(self.limit * factor))
        self._factor = growing

    def restore(self) -> None:
        """Take back the cuts: what they were made for comes whatever is done."""
        if self._cut_from > self.limit:
            self._set(self._cut_from)
        self._cut_from = 0

    def again(self) -> None:
        """Begin the round anew: something came between."""
        self._began_at = None
        self._peak = 0

    def _cut(self, to: int) -> None:
        self._cut_from = max(self._cut_from, self.limit)
        self.limit = max(1, min(self.limit, to))
        self.why = "429"
        self._refused = True
        self._factor = GENTLE
        self._reference = self._trying_less = None
        self._rested = self._leap = 0
        self._less_at, self._more_at = REST, LONG_REST
        self._changed(before=0)

    def _changed(self, *, before: int) -> None:
        """Count anew, once the calls are in that began before."""
        self._long = max(self._fewest(), self.limit)
        self._skip = before
        self._strikes = 0
        self.again()

    def _fewest(self) -> int:
        """Answers that make a round, however few may be in flight."""
        if self._trying_less is not None:
            return TRIES[self._leap].answers
        return FEWEST_UNJUDGED if self._speaks else FEWEST

    @property
    def _speaks(self) -> bool:
        """Whether the provider says by itself when it is too much, and few answers need be compared."""
        return self._refused and self.limit < 2 * FEWEST

    def _round(self, rate: float) -> None:
        used = self.used
        self.again()
        if not used:
            self._go_back()
            return
        if self._trying_less is not None:
            self._judge_less(self._trying_less, rate)
        elif self.held:
            self._rest(rate)
        elif self._brings_more(rate):
            self._grow()

    def _brings_more(self, rate: float) -> bool:
        """Whether what was added since the reference gave more answers a second; if not, give it back."""
        if self._speaks:
            return True
        if self._reference is None:
            self._reference = (self.limit, rate)
            return True
        calls, before = self._reference
        grown = self.limit / calls
        if grown < TEST:
            return True
        worth = WORTH if self._long < SURE else WORTH_SURE
        if math.log(rate / before) >= worth * math.log(grown):
            self._reference = (self.limit, rate)
            self._strikes = 0
            return True
        self._strikes += 1
        if self._strikes < STRIKES:
            return False
        self.why = "throughput"
        self._reference = (calls, (rate + before) / 2)  # both are what it gives when it is full
        self._rested = 0
        self._more_at = min(LONGEST_REST, 2 * self._more_at)
        self._less_at = 1  # soon: the knee may be far below
        self._set(calls)
        return False

    def _grow(self) -> None:
        grown = min(self.most, max(self.limit + 1, int(self.limit * self._factor)))
        if self._ceiling is not None and grown >= self._ceiling:
            if self.limit >= self._ceiling:  # it went well where it once did not
                self._ceiling, self._patience, self._factor = None, FIRST_PATIENCE, RECOVERING
            elif self._rested < self._patience:
                self._rested += 1
                grown = max(self.limit, self._ceiling - 1)
            else:
                self._rested = 0
                grown = self._ceiling
        if grown > self.limit:
            self.why = "grew"
            self._set(grown)

    def _rest(self, rate: float) -> None:
        """At the knee: take the rate in, and see now and then whether less, or more, is better."""
        calls, before = self._reference or (self.limit, rate)
        before += 0.15 * (rate - before)
        self._reference = (calls, before)
        self._rested += 1
        if self._rested >= self._more_at:
            self._rested = 0
            self._factor = TEST + 0.05
            self.why = "grew"
            self._grow()
        elif self._rested >= self._less_at and self.limit > 1:
            self._try_less(before)

    def _judge_less(self, more: tuple[int, float], rate: float) -> None:
        calls, before = more
        if math.log(rate / before) < -TRIES[self._leap].lost * math.log(calls / self.limit):
            if self._leap + 1 < len(TRIES):
                self._leap += 1
                self._less_at = self._rested + 1
            else:
                self._less_at = self._rested + max(REST, min(LONGEST_REST, 2 * self._less_at))
            self._go_back()
            return
        self._reference = (self.limit, (rate + before) / 2)
        self._trying_less = None
        if self.limit > 1:  # and still less?
            self._try_less((rate + before) / 2)
        else:
            self._less_at = LONGEST_REST
            self._changed(before=0)

    def _try_less(self, rate: float) -> None:
        self._trying_less = (self.limit, rate)
        self._set(min(self.limit - 1, math.ceil(self.limit / TRIES[self._leap].by)))

    def _go_back(self) -> None:
        if self._trying_less is None:
            return
        calls, _ = self._trying_less
        self._trying_less = None
        self._set(calls)

    def _set(self, limit: int) -> None:
        before, self.limit = self.limit, limit
        gently = before < limit <= before * RECOVERING + 1
        judged = self._reference is not None and limit >= TEST * self._reference[0]
        self._changed(before=0 if gently and not judged else before)
