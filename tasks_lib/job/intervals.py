"""What a sample says of the rows that are not in it, and how far it may be wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from tasks_lib.domain.chance import fraction

_RESAMPLES = 2_000
_LEAST_SPREAD = 0.2  # of the sample's own: a resample of nothing but like values must not stand for certainty
_TAIL = 2.5  # per cent of the resamples left out at either end
_Z = 1.959964  # standard deviations that hold 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure that is not known yet; `low` to `high` holds it 19 times in 20, None where nothing says."""

    likely: float
    low: float | None
    high: float | None

    def plus(self, known: float) -> "Estimate":
        """The same with something on top that is known."""
        return Estimate(
            likely=self.likely + known,
            low=None if self.low is None else self.low + known,
            high=None if self.high is None else self.high + known,
        )

    def times(self, factor: float) -> "Estimate":
        """The same in another unit."""
        return Estimate(
            likely=self.likely * factor,
            low=None if self.low is None else self.low * factor,
            high=None if self.high is None else self.high * factor,
        )

    def as_json(self, *, digits: int = 0) -> dict[str, float | int | None]:
        """What `--json` prints."""
        told = {"likely": self.likely, "low": self.low, "high": self.high}
        return {
            name: None if value is None else round(value, digits) if digits else round(value)
            for name, value in told.items()
        }


def rest_of(values: Sequence[float], *, rows: int) -> Estimate:
    """What the other rows of `rows` come to together, by the values of those that were drawn by chance.

    The interval is a studentised bootstrap: it leans to the side on which the values are spread, as costs
    are, where a mean with its standard error would be too low too often. It narrows as fewer rows are left.
    """
    drawn = np.asarray(values, dtype=np.float64)
    others = rows - drawn.size
    if others <= 0:
        return Estimate(likely=0.0, low=0.0, high=0.0)
    mean = float(drawn.mean()) if drawn.size else 0.0
    if drawn.size < 2:
        return Estimate(likely=others * mean, low=None, high=None)
    spread = float(drawn.std(ddof=1))
    low, high = _studentised(drawn, mean=mean, spread=spread) if spread else (0.0, 0.0)
    scale = spread * sqrt(others * rows)
    return Estimate(
        likely=others * mean,
        low=max(0.0, others * mean - high * scale),
        high=others * mean - low * scale,
    )


def share_of(drawn: int, *, found: int, rows: int) -> Estimate:
    """The share among all `rows` of what was found so often among those drawn; after Wilson.

    It says something even where nothing was found: that it may not be rarer than the sample can tell.
    """
    if not drawn:
        return Estimate(likely=0.0, low=None, high=None)
    share = found / drawn
    if drawn >= rows:
        return Estimate(likely=share, low=share, high=share)
    size = drawn * (rows - 1) / (rows - drawn)  # of a sample of as many others that would say as much
    middle = (share + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    half = _Z / (1 + _Z**2 / size) * sqrt(share * (1 - share) / size + _Z**2 / (4 * size**2))
    return Estimate(likely=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def _studentised(drawn: np.ndarray, *, mean: float, spread: float) -> tuple[float, float]:
    """Where resamples' means lie about the sample's, in their own standard deviations."""
    seed = int(fraction("resample", str(drawn.size), repr(mean)) * 2**53)  # the same sample says the same
    chance = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    at_once = max(1, min(_RESAMPLES, 1_000_000 // drawn.size))  # bounds the memory of a large sample
    for begin in range(0, _RESAMPLES, at_once):
        again = drawn[chance.integers(0, drawn.size, (min(at_once, _RESAMPLES - begin), drawn.size))]
        spreads = np.maximum(again.std(axis=1, ddof=1), _LEAST_SPREAD * spread)
        found.append((again.mean(axis=1) - mean) / spreads)
    low, high = np.percentile(np.concatenate(found), (_TAIL, 100 - _TAIL))
    return float(low), float(high)
