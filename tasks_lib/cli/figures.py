"""Counts, money, tokens and time as people read them."""

from decimal import ROUND_HALF_EVEN, Decimal


def count(number: int) -> str:
    """A whole number with its thousands parted: 12,345."""
    return f"{number:,}"


def short_count(number: int) -> str:
    """A whole number in at most five characters: 999, 12.3k, 4.5M."""
    if number < 1_000:
        return str(number)
    for size, letter in ((1_000, "k"), (1_000_000, "M"), (1_000_000_000, "G")):
        scaled = number / size
        if scaled < 999.5:
            return f"{scaled:.1f}{letter}" if scaled < 99.95 else f"{scaled:.0f}{letter}"
    return f"{number / 1e9:.0f}G"


_NOTHING = Decimal(0)


def dollars(amount: Decimal) -> str:
    """An amount with as many decimals as it needs to be read: $12.35, $0.0123, $0.0000042."""
    if amount == 0:
        return "$0"
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    digits = max(4, 1 - amount.adjusted())  # two that say something, however small the amount
    rounded = amount.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    return f"${rounded:f}"


def cost(amount: Decimal, *, calls_of_unknown_cost: int, possible: Decimal = _NOTHING) -> str:
    """What is sure of a cost, what may come on top of it, and of how many calls nothing is known."""
    text = dollars(amount)
    if possible > 0:  # below 0 it takes back what earlier batches told
        text += f", and perhaps {dollars(possible)} for answers that never arrived"
    if not calls_of_unknown_cost:
        return text
    unknown = "1 call" if calls_of_unknown_cost == 1 else f"{count(calls_of_unknown_cost)} calls"
    return f"{text} + {unknown} of unknown cost"


def duration(seconds: float) -> str:
    """A stretch of time in its two largest units: 0.8 s, 42 s, 2 min 05 s, 3 h 20 min, 2 d 4 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def rate(per_second: float) -> str:
    """Rows a second, or a minute where they are slow: 812/s, 3.4/s, 20/min."""
    if per_second >= 99.95:
        return f"{per_second:,.0f}/s"
    if per_second >= 0.95:
        return f"{per_second:.1f}/s"
    return f"{per_second * 60:.1f}/min"


def percent(part: int, whole: int) -> str:
    """A share in whole per cent; 100 only if nothing is missing."""
    return f"{100 * part // whole} %" if whole else "100 %"


def growth(*, new: int, changed: int) -> str | None:
    """How many of the rows that are to be asked are new or changed; None where none is either."""
    told = [f"{count(number)} {what}" for number, what in ((new, "new"), (changed, "changed")) if number]
    return ", ".join(told) or None
