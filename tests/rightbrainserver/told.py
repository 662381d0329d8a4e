"""What a task server is told to do: the faults and limits of `tests.llmserver`, and settings of its own."""

import hashlib
import math
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Any, Final, Generic, TypeVar, cast

from tests.llmserver.faults import Settings as Faults
from tests.llmserver.faults import meanings

FAULTS: Final = frozenset(
    (
        "lat", "sigma", "lat_max", "e429", "e500", "e503", "e529", "e400", "e401", "e404", "e_html",
        "e_malformed", "e_badcontent", "e_trunc", "e_trunc_rst", "e_garbage", "e_reset", "e_reset_late",
        "e_hang", "hang_s", "det", "seed", "fail_first", "fail_status", "ra", "ra_mode", "rps", "burst",
        "rpm", "rpm_window", "max_inflight", "strict_ra",
    )
)  # fmt: skip  # many of them
"""The settings of `tests.llmserver` that mean something to a task server; they apply to starting a run."""
_Value = TypeVar("_Value", int, float, str)


def setting(default: _Value, meaning: str, *, among: str = "", most: float = math.inf) -> _Value:
    """A setting of a server's own: one of the words among, parted by spaces, or a number from 0 to most."""
    told = {"meaning": meaning + (f": {among}" if among else ""), "among": among.split(), "most": most}
    made: _Value = field(default=default, metadata=told)
    return made


def probability(meaning: str) -> float:
    """A setting between 0 and 1 that is 0 unless told otherwise."""
    return setting(0.0, meaning, most=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Whom misfortune befalls, be it a fault or a server's own; limits hold for everybody."""

    only: str = setting("", "regular expression of the markers that anything befalls; nothing: all")
    first: int = setting(0, "attempts of a marker that anything befalls; 0: all")

    def include(self, marker: str, attempt: int) -> bool:
        """Whether this attempt is among them."""
        if self.first and attempt > self.first:
            return False
        return not self.only or re.search(self.only, marker) is not None


Own = TypeVar("Own", bound=Whom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told(Generic[Own]):
    """All settings of a server, or of one base URL of it."""

    faults: Faults
    own: Own

    def changed(self, pairs: Mapping[str, str]) -> "Told[Own]":
        """These settings with others in place of some.

        Raises:
            ValueError: An unknown name, or a value that is not of its kind.
        """
        own = {f.name: f for f in fields(self.own)}
        made: dict[str, object] = {}
        for name in pairs.keys() & own.keys():
            made[name] = _value(own[name], pairs[name])
        rest = {name: text for name, text in pairs.items() if name not in made}
        strange = rest.keys() - FAULTS
        if strange:
            raise ValueError(f"there is no setting {min(strange)!r}")
        return Told(faults=self.faults.changed(rest), own=replace(self.own, **made))  # type: ignore[arg-type]  # each was made by its own field's type

    def listed(self) -> dict[str, object]:
        """Every setting that counts, by name."""
        shared = {name: value for name, value in asdict(self.faults).items() if name in FAULTS}
        return {**asdict(self.own), **shared}

    def lines(self) -> Iterator[tuple[str, object, str]]:
        """Name, value and meaning of every setting."""
        for f in fields(self.own):
            yield f.name, getattr(self.own, f.name), f.metadata["meaning"]
        for name, _, meaning in meanings():
            if name in FAULTS:
                yield name, getattr(self.faults, name), meaning


def _value(f: "Field[Any]", text: str) -> object:
    kind = cast("type[int] | type[float] | type[str]", type(f.default))
    try:
        made = kind(text)
    except ValueError:
        raise ValueError(f"{f.name} is a {kind.__name__}, not {text!r}") from None
    if f.metadata["among"] and made not in f.metadata["among"]:
        raise ValueError(f"{f.name} is one of {', '.join(f.metadata['among'])}, not {text!r}")
    if not isinstance(made, str) and not 0 <= made <= f.metadata["most"]:
        raise ValueError(f"{f.name} is a number between 0 and {f.metadata['most']}, not {text}")
    return made


class Chance:
    """Draws between 0 and 1 for one base URL; with det they follow from seed, purpose, marker and attempt."""

    __slots__ = ("_faults", "_random")

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = random.Random(faults.seed)  # noqa: S311  # pretend faults, no secret

    def fraction(self, purpose: str, marker: str, attempt: int) -> float:
        """One draw."""
        if not self._faults.det:
            return self._random.random()
        told = f"{purpose}\0{self._faults.seed}\0{marker}\0{attempt}".encode()
        return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest()) / 2**64
