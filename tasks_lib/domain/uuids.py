"""Ids that follow from what they name, as everybody writes UUIDs."""

import re

from tasks_lib.domain.fingerprint import content_hash

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def id_of(named: object) -> str:
    """The id of what a JSON value names, in the five groups of a UUID."""
    return grouped(content_hash(named))


def grouped(digits: str) -> str:
    """32 hexadecimal digits in the five groups of a UUID."""
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parsed_id(text: str) -> str | None:
    """The id that a text spells, in groups or as 32 digits, in either case; None if it is no UUID."""
    lower = text.strip().lower()
    return grouped(lower.replace("-", "")) if _UUID.fullmatch(lower) else None
