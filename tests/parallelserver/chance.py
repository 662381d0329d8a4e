"""Draws that follow from the seed, their purpose, their subject and how often it was drawn."""

import hashlib
import math
import re
from collections import Counter
from statistics import NormalDist
from typing import Final

from tests.parallelserver.settings import FAMILIES, Settings

_NORMAL: Final = NormalDist()


class Chance:
    """What has been drawn so far."""

    __slots__ = ("_drawn",)

    def __init__(self) -> None:
        self._drawn: Counter[tuple[str, str]] = Counter()

    def number(self, purpose: str, subject: str) -> int:
        """The how manyth draw of this subject this is; 1 is the first."""
        self._drawn[purpose, subject] += 1
        return self._drawn[purpose, subject]

    def hits(self, settings: Settings, share: float, purpose: str, subject: str) -> bool:
        """Whether this draw falls into the share."""
        return share > 0 and self._fraction(settings, purpose, subject) < share

    def one_of(self, settings: Settings, family: str, subject: str, *, about: str = "") -> str:
        """The name of the share of the family that this draw falls into, or nothing.

        Draws about one thing and another are counted apart.
        """
        shares = [(name, getattr(settings, name)) for name in FAMILIES[family]]
        if not any(share for _, share in shares):
            return ""
        drawn, top = self._fraction(settings, f"{family}{about}", subject), 0.0
        for name, share in shares:
            top += share
            if drawn < top:
                return name
        return ""

    def latency(self, settings: Settings, subject: str) -> float:
        """A run's latency in seconds."""
        if not settings.lat or not settings.sigma:
            return min(settings.lat, settings.lat_max) / 1000
        drawn = min(
            max(self._fraction(settings, "latency", subject), 1e-12), 1 - 1e-12
        )  # the ends are infinite
        return min(settings.lat * math.exp(settings.sigma * _NORMAL.inv_cdf(drawn)), settings.lat_max) / 1000

    def _fraction(self, settings: Settings, purpose: str, subject: str) -> float:
        """In 0..1; above all shares for whom nothing shall befall."""
        number = self.number(purpose, subject)
        is_spared = (settings.first and number > settings.first) or (
            settings.only and not re.search(settings.only, subject)
        )
        if is_spared and purpose != "latency":
            return math.inf
        told = f"{purpose}\0{settings.seed}\0{subject}\0{number}".encode()
        return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest()) / 2**64
