"""How a Retry-After is said, and the exact moment that saying it promises."""

import math
from email.utils import formatdate


def said(mode: str, seconds: float, *, monotonic: float, wall: float) -> tuple[str, float | None]:
    """The header lines, and the monotonic moment from which a retry is welcome (None: nothing promised)."""
    if mode == "none":
        return "", None
    if mode == "bad":
        return "Retry-After: soon\r\n", None
    if mode == "date":
        due = math.ceil(wall + seconds)  # dates are whole seconds; the later one keeps the promise
        return f"Retry-After: {formatdate(due, usegmt=True)}\r\n", monotonic + due - wall
    if mode == "frac":
        thousandths = math.ceil(seconds * 1000)
        return f"Retry-After: {thousandths / 1000:.3f}\r\n", monotonic + thousandths / 1000
    whole = math.ceil(seconds)
    if mode == "s":
        return f"Retry-After: {whole}\r\n", monotonic + whole
    thousandths = math.ceil(seconds * 1000)
    finer = f"retry-after-ms: {thousandths}\r\n"
    if mode == "both":
        finer += f"Retry-After: {whole}\r\n"  # the finer header is the promise
    return finer, monotonic + thousandths / 1000
