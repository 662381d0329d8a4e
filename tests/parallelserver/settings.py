"""What the server is told to do."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Final, TypeVar

from tests.llmserver.faults import RA_MODES

_Value = TypeVar("_Value", int, float, str)


def _setting(default: _Value, meaning: str, *, one_of: tuple[str, ...] = (), family: str = "") -> _Value:
    told = {"meaning": meaning, "one_of": one_of, "family": family}
    made: _Value = field(default=default, metadata=told)
    return made


def _fate(meaning: str) -> float:
    return _setting(0.0, f"share of runs {meaning}", family="fates")


def _create(meaning: str) -> float:
    return _setting(0.0, f"share of creating POSTs {meaning}", family="creates")


def _read(meaning: str) -> float:
    return _setting(0.0, f"share of GETs {meaning}", family="reads")


def _hook(meaning: str) -> float:
    return _setting(0.0, f"share of webhooks {meaning}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. A share lies in 0..1; the shares of a family add up to at most 1."""

    auth: str = _setting("", "the x-api-key that is expected; nothing takes any, and each has its own runs")
    row_key: str = _setting("row_key", "the metadata key that names a row, for counts and draws")
    seed: int = _setting(1, "seed of every draw; a draw follows from it, the row and the attempt alone")
    only: str = _setting(
        "", "regular expression of the rows that shares befall (group: groups); nothing: all"
    )
    first: int = _setting(0, "so many first draws of a row are all that befalls it; 0: no end")

    queue_ms: float = _setting(0.0, "a run waits so long in the queue, ms")
    lat: float = _setting(0.0, "median of a run's latency after that, ms")
    sigma: float = _setting(0.0, "sigma of the log-normal latency; 0 makes it constant")
    lat_max: float = _setting(600_000.0, "longest latency, ms")
    fail: float = _fate("that fail")
    cancel: float = _fate("that are cancelled, by way of cancelling")
    action: float = _fate("that come to action_required")
    never: float = _fate("that run and never end")
    action_ms: float = _setting(0.0, "action_required lasts so long, then it runs on; 0: for ever")
    fail_first: int = _setting(0, "this many first runs of every row fail")
    low: float = _setting(0.0, "share of completed runs with low confidence in every field")
    weak: str = _setting("", "only runs of these processors fail or are low (lite+base); nothing means all")
    warn: float = _setting(0.0, "share of runs with one more warning, of a type that nobody knows")
    element_basis: int = _setting(1, "0: no basis for the elements of lists")

    c429: float = _create("answered 429")
    c500: float = _create("answered 500")
    c503: float = _create("answered 503")
    c402: float = _create("answered 402 whatever the balance")
    c_html: float = _create("answered with a proxy's 502 page in HTML")
    c_early: float = _create("cut off before anything is made")
    c_lost: float = _create("cut off without an answer after the runs are made")
    c_trunc: float = _create("answered with half the JSON after the runs are made")
    c_slow: float = _create("answered slow_ms after the runs are made")
    c_first: int = _setting(0, "this many first creating POSTs of every row are answered c_first_status")
    c_first_status: int = _setting(503, "that status; nothing is made")
    c_ms: float = _setting(0.0, "every creating POST takes so long, ms")
    broke_n: int = _setting(0, "this many first creating POSTs of a key are answered 402")
    broke_s: float = _setting(0.0, "402 for so many seconds after a key's first creating POST")

    r429: float = _read("answered 429")
    r500: float = _read("answered 500")
    r503: float = _read("answered 503")
    r_html: float = _read("answered with a proxy's 502 page in HTML")
    r_cut: float = _read("cut off without an answer")
    r_trunc: float = _read("answered with half the JSON (a stream is cut)")
    r_slow: float = _read("answered slow_ms late")
    r_ms: float = _setting(0.0, "every GET takes so long, ms")
    result_ms: float = _setting(0.0, "a result comes so long after its run has ended, ms")
    slow_ms: float = _setting(5_000.0, "what slow means, ms")
    ra: float = _setting(1.0, "Retry-After of a 429 or 503, seconds")
    ra_mode: str = _setting("none", "how it is said: " + " ".join(RA_MODES), one_of=RA_MODES)
    poll_helper: int = _setting(1, "0: callers with x-stainless-poll-helper get a 408 as others do")

    sse_cut: float = _setting(0.0, "share of streams that are cut")
    sse_cut_after: int = _setting(3, "after so many events; a shorter stream is whole")
    sse_cut_how: str = _setting(
        "reset", "reset or close: in the midst of an event; end: in good order, and too early",
        one_of=("reset", "close", "end"),
    )  # fmt: skip
    sse_error: float = _setting(0.0, "share of streams with an error event after their first event")
    sse_ms: float = _setting(0.0, "pause between two events, ms")
    ping_ms: float = _setting(0.0, "a comment keeps a silent stream alive so often, ms; 0: never")
    comments: int = _setting(0, "1: a comment before every event")
    ended_only: int = _setting(0, "1: a group's runs are streamed only when they are not active any more")
    stream_s: float = _setting(570.0, "a run's events end after so long, seconds")
    group_stream_s: float = _setting(3_600.0, "a group's events end after so long, seconds")

    rpm: int = _setting(2_000, "creating POSTs that any window of rpm_window may hold, by key; 0 is off")
    rpm_window: float = _setting(60.0, "seconds of that window")
    rpm_runs: int = _setting(0, "1: a group's POST counts once for each of its runs")
    rpm_all: int = _setting(0, "1: GETs count too")
    group_max: int = _setting(1_000, "runs in one POST to a group")
    balance: float = _setting(0.0, "US dollars a key begins with; runs in flight reserve theirs; 0 is off")
    bill_failed: int = _setting(0, "1: runs that fail cost too")
    forbid: str = _setting("", "processors that this key may not use (ultra+ultra2x): 403")
    spec_max: int = _setting(15_000, "characters of a task_spec")
    total_max: int = _setting(25_000, "characters of task_spec and input")
    depth_max: int = _setting(5, "levels of objects and arrays in an output schema")
    keywords: str = _setting(
        "error", "what unsupported keywords in an output schema give", one_of=("error", "warning")
    )
    group_422: str = _setting(
        "envelope", "the shape of a 422 from a group: envelope, or detail as FastAPI's",
        one_of=("envelope", "detail"),
    )  # fmt: skip

    wh_secret: str = _setting("whsec_cm93bWlsbCBhbnN3ZXJzIHRvIGEgdGVzdA==", "the account's webhook secret")
    wh_key: str = _setting(
        "raw", "the HMAC's key: the secret's own bytes, base64: what it encodes, both: two signatures",
        one_of=("raw", "base64", "both"),
    )  # fmt: skip
    wh_delay_ms: float = _setting(5_000.0, "wait before the first retry, ms; it doubles")
    wh_tries: int = _setting(15, "tries of one webhook; fifteen are two days")
    wh_dup: float = _hook("sent twice")
    wh_lose: float = _hook("never sent")
    wh_bad: float = _hook("with a false signature, once, before the true one")
    wh_old_s: float = _setting(0.0, "webhook timestamps lie so many seconds in the past")

    def __post_init__(self) -> None:
        """Refuse what could not be meant.

        Raises:
            ValueError: A share outside 0..1 or a family above 1, an unknown word, a negative number.
        """
        for one in fields(self):
            choices, value = one.metadata["one_of"], getattr(self, one.name)
            if choices and value not in choices:
                raise ValueError(f"{one.name} is one of {', '.join(choices)}, not {value!r}")
            if isinstance(value, float | int) and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{one.name} is a number of at least 0, not {value}")
            if one.metadata["meaning"].startswith("share") and value > 1:
                raise ValueError(f"{one.name} is a share of at most 1, not {value}")
        for family, names in FAMILIES.items():
            if sum(getattr(self, name) for name in names) > 1 + 1e-9:
                raise ValueError(f"the shares of all {family} add up to more than 1")
        try:
            re.compile(self.only)
        except re.error as wrong:
            raise ValueError(f"only is a regular expression, not {self.only!r}: {wrong}") from None
        if not 400 <= self.c_first_status <= 599:
            raise ValueError("c_first_status is between 400 and 599")

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

    def shown(self) -> dict[str, object]:
        """All of them, by name."""
        return asdict(self)


_KINDS: Final[dict[str, Callable[[str], object]]] = {f.name: type(f.default) for f in fields(Settings)}
FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    family: tuple(f.name for f in fields(Settings) if f.metadata["family"] == family)
    for family in ("fates", "creates", "reads")
}
"""The shares of which one draw takes at most one, in the order in which they are drawn."""


def meanings() -> Iterator[tuple[str, object, str]]:
    """Name, default and meaning of every setting."""
    return ((f.name, f.default, f.metadata["meaning"]) for f in fields(Settings))
