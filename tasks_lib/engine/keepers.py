"""What keeps the limits of an account, put together."""

import math
from collections.abc import Callable, Sequence

from tasks_lib.engine.cells import Cells
from tasks_lib.engine.layout import DAY, KINDS, REQUESTS, TOKENS, pace_at, window_at
from tasks_lib.engine.pace import Pace
from tasks_lib.engine.quota import Day
from tasks_lib.engine.window import Window

LIMIT_NAMES = (
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "requests_per_day",
    "tokens_per_day",
    "in_flight",
)
REQUESTS_A_DAY, TOKENS_A_DAY, AT_ONCE_OF_ALL = KINDS, KINDS + 1, KINDS + 2  # their places in it


class Keepers:
    """A pace for each kind that is limited, windows for tokens, and the day, over an array of cells."""

    __slots__ = ("day", "day_limits", "keepers", "paces", "windows")

    def __init__(self, limits: Sequence[float], cells: Cells) -> None:
        """Keep these limits, in the order of `LIMIT_NAMES`; 0 is none.

        Raises:
            ValueError: a limit lets nothing pass.
        """
        for name, limit in zip(LIMIT_NAMES, limits, strict=True):
            if limit and limit < 1:
                raise ValueError(f"{name} of {limit:g} lets nothing pass")
        requests, *tokens = limits[:KINDS]
        self.paces: list[tuple[Pace, int]] = []
        self.windows: list[tuple[Window, int]] = []
        if requests:
            self.paces.append((Pace.keeping(requests, cells=cells, at=pace_at(REQUESTS)), REQUESTS))
        for kind, limit in enumerate(tokens, start=TOKENS):
            if limit:
                self.paces.append((Pace.spreading(limit, cells=cells, at=pace_at(kind)), kind))
                self.windows.append((Window(limit, cells=cells, at=window_at(kind)), kind))
        self.keepers: list[tuple[Pace | Window, int]] = [*self.paces, *self.windows]
        self.day = Day(cells, DAY)
        requests_a_day, tokens_a_day = limits[REQUESTS_A_DAY], limits[TOKENS_A_DAY]
        self.day_limits: tuple[float, float] | None = None
        if requests_a_day or tokens_a_day:
            self.day_limits = requests_a_day or math.inf, tokens_a_day or math.inf

    def delay(
        self, amounts: tuple[float, ...], *, now: float, wall: Callable[[], float]
    ) -> tuple[float, int]:
        """Seconds until all of them let the amounts pass, and the limit that is behind it."""
        wait, why = 0.0, REQUESTS
        for keeper, kind in self.keepers:
            delay = keeper.delay(amounts[kind], now=now)
            if delay > wait:
                wait, why = delay, kind
        if self.day_limits is not None:
            moment = wall()
            most_requests, most_tokens = self.day_limits
            delay = self.day.delay(
                requests=amounts[REQUESTS],
                tokens=amounts[TOKENS],
                most_requests=most_requests,
                most_tokens=most_tokens,
                moment=moment,
            )
            if delay > wait:
                used, _ = self.day.used(moment=moment)
                wait, why = delay, REQUESTS_A_DAY if used >= most_requests else TOKENS_A_DAY
        return wait, why

    def take(self, amounts: tuple[float, ...], *, now: float) -> None:
        """Let the amounts pass."""
        for keeper, kind in self.keepers:
            keeper.take(amounts[kind], now=now)

    def fit(self, amounts: tuple[float, ...], *, now: float) -> bool:
        """Whether all the amounts may pass now, and none of them leaves a debt."""
        return all(keeper.fits(amounts[kind], now=now) for keeper, kind in self.keepers)

    def settle(self, taken: tuple[float, ...], used: tuple[float, ...], *, at: float, now: float) -> None:
        """Take what was used for what was taken then."""
        for pace, kind in self.paces:
            pace.settle(taken=taken[kind], used=used[kind], now=now)
        for window, kind in self.windows:
            window.settle(at=at, taken=taken[kind], used=used[kind])

    def left(self, *, now: float, wall: Callable[[], float]) -> dict[str, float]:
        """What may still pass now, by the limit's name: a burst's requests, a minute's tokens, a day's."""
        left = {LIMIT_NAMES[kind]: pace.left(now=now) for pace, kind in self.paces}
        left |= {LIMIT_NAMES[kind]: window.left(now=now) for window, kind in self.windows}
        if self.day_limits is not None:
            counted = zip(
                (REQUESTS_A_DAY, TOKENS_A_DAY), self.day_limits, self.day.used(moment=wall()), strict=True
            )
            left |= {LIMIT_NAMES[kind]: most - used for kind, most, used in counted if most < math.inf}
        return left
