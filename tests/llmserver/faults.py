"""What the server is told to do, and the fault that one attempt of one row draws from it."""

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from statistics import NormalDist
from typing import Final, TypeVar

RA_MODES: Final = ("s", "date", "ms", "both", "frac", "bad", "none")


_Value = TypeVar("_Value", int, float, str)


def _setting(default: _Value, meaning: str) -> _Value:
    made: _Value = field(default=default, metadata={"meaning": meaning})
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; a probability lies in 0..1, and the probabilities together in 0..1."""

    lat: float = _setting(0.0, "median latency, ms")
    sigma: float = _setting(0.0, "sigma of the log-normal latency; 0 makes it constant")
    lat_max: float = _setting(600_000.0, "longest latency, ms")
    e429: float = _setting(0.0, "probability of a 429 at once")
    e500: float = _setting(0.0, "of a 500 after the latency")
    e503: float = _setting(0.0, "of a 503 after the latency")
    e529: float = _setting(0.0, "of a 529 after the latency")
    e400: float = _setting(0.0, "of a 400 at once")
    e401: float = _setting(0.0, "of a 401 at once")
    e404: float = _setting(0.0, "of a 404 (no such model) at once")
    e_html: float = _setting(0.0, "of a proxy's 502 page in HTML")
    e_malformed: float = _setting(0.0, "of a 200 whose body is cut JSON (billed)")
    e_badcontent: float = _setting(0.0, "of a 200 whose content is not the JSON asked for (billed)")
    e_empty: float = _setting(0.0, "of a 200 without content, stopped by a content filter (billed)")
    e_refusal: float = _setting(0.0, "of a 200 with a refusal (billed)")
    e_length: float = _setting(0.0, "of a 200 with half the content, stopped by length (billed)")
    e_trunc: float = _setting(0.0, "of half a body, then an orderly end of the connection (billed)")
    e_trunc_rst: float = _setting(0.0, "of half a body, then a reset (billed)")
    e_garbage: float = _setting(0.0, "of bytes that are not HTTP (billed)")
    e_reset: float = _setting(0.0, "of a reset before any work")
    e_reset_late: float = _setting(0.0, "of a reset after the completion was made (billed)")
    e_hang: float = _setting(0.0, "of nothing at all for hang_s, then a closed connection")
    e_drip: float = _setting(0.0, "of a good body in five pieces over drip_s (billed)")
    hang_s: float = _setting(600.0, "seconds that a hanging answer hangs")
    drip_s: float = _setting(5.0, "seconds that a dripping answer takes")
    det: int = _setting(0, "1: fault and latency follow from seed, row and attempt, the same in every run")
    seed: int = _setting(1, "seed of every draw")
    fail_first: int = _setting(0, "this many first attempts of every row fail")
    fail_status: int = _setting(500, "with this status")
    ra: float = _setting(1.0, "Retry-After of an injected 429, 503 or 529, seconds")
    ra_mode: str = _setting("s", "how it is said: " + " ".join(RA_MODES))
    rps: float = _setting(0.0, "requests a second, a token bucket; 0 is off")
    burst: float = _setting(0.0, "its depth; 0 takes rps")
    rpm: int = _setting(0, "requests that any window of rpm_window may hold; 0 is off")
    rpm_window: float = _setting(60.0, "seconds of that window")
    tpm: float = _setting(0.0, "tokens a minute, a token bucket as deep as a minute; 0 is off")
    tell: int = _setting(1, "0: no answer says anything of these limits but a 429's Retry-After")
    out_tokens: int = _setting(8, "answer tokens that tpm reserves for a request")
    max_inflight: int = _setting(0, "more requests at once than this get a 429; 0 is off")
    strict_ra: int = _setting(0, "1: a row that comes back too early gets another 429")
    pause_grace: float = _setting(0.0, "ms after a 429 in which requests already sent break no pause")
    auth: str = _setting("", "the bearer token that is expected; 1 takes any, nothing asks for none")
    content: str = _setting("echo", "answer without a schema: echo (`row ID`), json, or this text itself")
    cached: float = _setting(0.0, "fraction of the prompt's tokens that was cached")
    reasoning: int = _setting(0, "reasoning tokens of every completion")

    def __post_init__(self) -> None:
        """Refuse what could not be meant.

        Raises:
            ValueError: Probabilities outside 0..1 or above 1 together, an unknown ra_mode, a negative number.
        """
        if self.ra_mode not in RA_MODES:
            raise ValueError(f"ra_mode is one of {', '.join(RA_MODES)}, not {self.ra_mode!r}")
        for name, value in asdict(self).items():
            if isinstance(value, float | int) and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is a number of at least 0, not {value}")
        if sum(getattr(self, name) for name in FAULTS) > 1 + 1e-9:
            raise ValueError("the probabilities of all faults add up to more than 1")
        if not 400 <= self.fail_status <= 599:
            raise ValueError("fail_status is between 400 and 599")
        if self.cached > 1:
            raise ValueError("cached is a fraction of at most 1")

    def changed(self, pairs: Mapping[str, str]) -> "Settings":
        """These settings with others in place of some.

        Raises:
            ValueError: An unknown name, or a value that is not of its kind.
        """
        made: dict[str, object] = {}
        for name, text in pairs.items():
            if name not in _KINDS:
                raise ValueError(f"there is no setting {name!r}")
            try:
                made[name] = _KINDS[name](text)
            except ValueError:
                raise ValueError(f"{name} is a {_KINDS[name].__name__}, not {text!r}") from None
        return replace(self, **made)  # type: ignore[arg-type]  # each was made by its own field's type


_KINDS: Final[dict[str, Callable[[str], object]]] = {f.name: type(f.default) for f in fields(Settings)}
FAULTS: Final = tuple(name for name in _KINDS if name.startswith("e") and name[1] in "_45")
"""The faults in the order in which they are drawn."""


def meanings() -> Iterator[tuple[str, object, str]]:
    """Name, default and meaning of every setting."""
    return ((f.name, f.default, f.metadata["meaning"]) for f in fields(Settings))


def pairs_of(text: str) -> dict[str, str]:
    """The pairs of `lat=200,e429=0.05`.

    Raises:
        ValueError: A part without an equals sign.
    """
    made = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"settings read name=value,name=value; {part!r} has no equals sign")
        made[name.strip()] = value
    return made


class Draw:
    """The faults and latencies of one set of settings."""

    __slots__ = ("_chance", "_ladder", "_settings")

    def __init__(self, settings: Settings, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance
        top, ladder = 0.0, []
        for name in FAULTS:
            probability = getattr(settings, name)
            if probability:
                top += probability
                ladder.append((top, name))
        self._ladder = ladder

    def fault(self, row_id: str, attempt: int) -> str | None:
        """The name of this attempt's fault (`e429`), or None for a good answer."""
        settings = self._settings
        if attempt <= settings.fail_first:
            return f"e{settings.fail_status}"
        if not self._ladder:
            return None
        drawn = self._fraction("fault", row_id, attempt)
        return next((name for top, name in self._ladder if drawn < top), None)

    def latency(self, row_id: str, attempt: int) -> float:
        """This attempt's latency in seconds."""
        settings = self._settings
        if not settings.lat or not settings.sigma:
            return min(settings.lat, settings.lat_max) / 1000
        drawn = min(
            max(self._fraction("latency", row_id, attempt), 1e-12), 1 - 1e-12
        )  # the ends are infinite
        return min(settings.lat * math.exp(settings.sigma * _NORMAL.inv_cdf(drawn)), settings.lat_max) / 1000

    def _fraction(self, purpose: str, row_id: str, attempt: int) -> float:
        if not self._settings.det:
            return self._chance.random()
        told = f"{purpose}\0{self._settings.seed}\0{row_id}\0{attempt}".encode()
        return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest()) / 2**64


_NORMAL: Final = NormalDist()
