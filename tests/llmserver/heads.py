"""The heads of answers: status line, date, and what a provider says about its limits."""

import math
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from tests.llmserver.limits import Room


def head(status: int, length: int, *, more: str = "", kind: str = "application/json") -> bytes:
    """The head of an answer of so many bytes; more is further lines, each with its end."""
    known = f"Date: {_date(int(time.time()))}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
    return f"{_status_line(status)}{known}{more}\r\n".encode("latin-1")


def limit_lines(what: str, room: Room) -> str:
    """What is left of a limit on `requests` or `tokens`, as OpenAI says it; reset: all is free again."""
    return (
        f"x-ratelimit-limit-{what}: {room.limit:.0f}\r\n"
        f"x-ratelimit-remaining-{what}: {int(room.left)}\r\n"
        f"x-ratelimit-reset-{what}: {_duration(room.whole)}\r\n"
    )


def _duration(seconds: float) -> str:
    """As OpenAI writes it: 120ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, left = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{left}s"


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    known = {member.value: member.phrase for member in HTTPStatus}
    return f"HTTP/1.1 {status} {known.get(status, 'Overloaded')}\r\n"
