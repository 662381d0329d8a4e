"""What a response's headers say about the rate limits of the account.

    x-ratelimit-{limit,remaining,reset}-{requests,tokens}                              durations: 6m0s, 12ms
    anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,...}       reset is a date
    ratelimit-{limit,remaining,reset}, of requests; reset in seconds, all at once

Names are as OpenAI, Anthropic and the IETF's draft on RateLimit header fields (03) have them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

A_DAY = 86_400.0  # seconds; a reset beyond it is a date of another sort, or a mistake
_MOST = 1e12  # of requests or tokens; what is beyond is no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One limit as it was told; None is not told, or nothing that can be understood."""

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None  # seconds from the response until all of it is there again


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """All limits that one response told of."""

    requests: Rate | None = None
    tokens: Rate | None = None  # input and output together
    input_tokens: Rate | None = None
    output_tokens: Rate | None = None
    closed_for: float | None = None  # seconds in which nothing more is let in, where that is sure


_OPENAI = {"requests": "x-ratelimit-{}-requests", "tokens": "x-ratelimit-{}-tokens"}
_ANTHROPIC = {
    "requests": "anthropic-ratelimit-requests-{}",
    "tokens": "anthropic-ratelimit-tokens-{}",
    "input_tokens": "anthropic-ratelimit-input-tokens-{}",
    "output_tokens": "anthropic-ratelimit-output-tokens-{}",
}
_WORDS = ("limit", "remaining", "reset")
_DIALECTS = tuple(
    {kind: tuple(name.format(word) for word in _WORDS) for kind, name in dialect.items()}
    for dialect in (_OPENAI, _ANTHROPIC)
)
_STEP = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s|d)")
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def rates_of(headers: Mapping[str, str]) -> Rates | None:
    """The limits that a response tells of; None where it tells of none.

    Dates are measured against the response's own `date`, so that clocks need not agree; without one they are
    not understood. A number that is negative, endless or absurdly large is as good as not told.
    """
    get = headers.get
    for dialect in _DIALECTS:
        found: dict[str, Rate] = {}
        for kind, (limit, remaining, reset) in dialect.items():
            said_limit, said_remaining = get(limit), get(remaining)
            if said_limit is None and said_remaining is None:
                continue
            found[kind] = Rate(
                limit=_number(said_limit),
                remaining=_number(said_remaining),
                reset=_reset(get(reset), get("date")),
            )
        if found:
            return Rates(
                requests=found.get("requests"),
                tokens=found.get("tokens"),
                input_tokens=found.get("input_tokens"),
                output_tokens=found.get("output_tokens"),
            )
    said_remaining = get("ratelimit-remaining")
    return None if said_remaining is None else _plain(said_remaining, headers)


def _plain(said_remaining: str, headers: Mapping[str, str]) -> Rates | None:
    """Of the plain form only that nothing is left is heeded: its limit is of a window of unknown length."""
    reset = _number(headers.get("ratelimit-reset"))
    if _number(said_remaining) != 0 or not reset or reset > A_DAY:
        return None
    return Rates(closed_for=reset)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number <= _MOST else None  # not a number compares as false


def _reset(text: str | None, sent: str | None) -> float | None:
    if text is None:
        return None
    seconds = _duration(text)
    if seconds is None:
        seconds = _until(text, sent)
    return seconds if seconds is not None and seconds <= A_DAY else None


@lru_cache(maxsize=1024)  # the same few are said again and again
def _duration(text: str) -> float | None:
    """Seconds out of 6m0s, 12ms, 1.5s or a bare number."""
    try:
        seconds = float(text)
    except ValueError:
        steps = _STEP.findall(text)
        if not steps or "".join(number + unit for number, unit in steps) != text.strip():
            return None
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in steps)
    return seconds if seconds >= 0 and math.isfinite(seconds) else None


@lru_cache(maxsize=1024)  # as above
def _until(text: str, sent: str | None) -> float | None:
    """Seconds from the one date to the other; both are known to the second, so one is added."""
    if sent is None:
        return None
    try:
        until = datetime.fromisoformat(text)
        now = parsedate_to_datetime(sent)
    except ValueError:
        return None
    if until.tzinfo is None or now.tzinfo is None:
        return None
    return max(0.0, (until.astimezone(UTC) - now.astimezone(UTC)).total_seconds()) + 1.0
