"""One value of a table, for a reader, for a spreadsheet, and for a program."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from tasks_lib.cli.words import visible


def is_number(value: object) -> bool:
    """Whether a value belongs to the right of its column."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def keeps_its_width(value: object) -> bool:
    """Whether a value says something else, or nothing, when its end is cut off."""
    return isinstance(value, int | float | Decimal | datetime | date)


def readable(value: object) -> str:
    """A value as somebody reads it: NULL is nothing, floats are rounded, and nothing steers the terminal."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return _rounded(value)
        case Decimal():
            return _without_zeros(value)
        case datetime():
            return _moment(value)
        case Mapping() | list() | tuple():
            return visible(json_text(value))
    return visible(exact(value))


def readable_column(values: Sequence[object]) -> list[str]:
    """The values of a column as somebody reads them one below the other: decimals with the same places."""
    decimals = [value for value in values if isinstance(value, Decimal)]
    if not decimals or any(not isinstance(value, Decimal | None) for value in values):
        return [readable(value) for value in values]
    places = max(len(_without_zeros(value).partition(".")[2]) for value in decimals)
    return ["" if value is None else f"{value:.{places}f}" for value in values]


def exact(value: object) -> str:
    """A value as text that loses nothing: decimals in full, times with their zone; NULL is nothing."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case Mapping() | list() | tuple():
            return json_text(value)
    return str(value)


def json_text(value: object) -> str:
    """A value as one line of JSON: decimals and times are text, what JSON cannot say is null."""
    return json.dumps(_json_value(value), ensure_ascii=False)


def _json_value(value: object) -> object:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(key): _json_value(item) for key, item in value.items()}
        case list() | tuple():
            return [_json_value(item) for item in value]
    return exact(value)


def _rounded(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if abs(value) >= 1_000:
        return f"{value:.1f}"
    rounded = f"{value:.4g}"
    return rounded if abs(value) < 1e-9 else f"{Decimal(rounded):f}"  # 0.00003711 rather than 3.711e-05


def _without_zeros(value: Decimal) -> str:
    """Exact all the same: 0.012300000000 is 0.0123."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
