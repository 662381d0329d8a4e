"""How long a provider asks to be left alone."""

import math
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

LONGEST = 3600.0  # seconds; what is beyond an hour is a mistake, or as good as a refusal


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds from the response's arrival, out of `retry-after-ms` or `retry-after` (seconds or a date).

    None where nothing was asked, or nothing that can be understood. A date is measured against the
    response's own `date` header, so that clocks need not agree; it is known to the second only, so one
    second is added.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, LONGEST)
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None:
        return min(seconds, LONGEST)
    until, sent = _date(text), _date(headers.get("date"))
    if until is None or sent is None:
        return None
    return min(max(0.0, (until - sent).total_seconds()) + 1.0, LONGEST)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number >= 0 and math.isfinite(number) else None


def _date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else None
