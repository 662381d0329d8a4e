"""Names of files for people, made from rows: safe on every system, and no two alike."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+')
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # to Windows
_LONGEST: Final = 180  # bytes; systems take 255, and what is appended comes on top


def safe_names(wanted: Iterable[tuple[str, str]]) -> list[str]:
    """Of each stem and suffix a name that can be written anywhere; the second of two alike ends with -2.

    Two that differ in case alone are alike, since some systems take them for one.
    """
    taken: set[str] = set()
    counts: dict[str, int] = {}
    names = []
    for stem, suffix in wanted:
        safe = _safe(stem)
        name, times = f"{safe}.{suffix}", counts.get(safe.casefold(), 1)
        while name.casefold() in taken:
            times += 1
            name = f"{safe}-{times}.{suffix}"
        counts[safe.casefold()] = times
        taken.add(name.casefold())
        names.append(name)
    return names


def _safe(stem: str) -> str:
    text = unicodedata.normalize("NFC", stem.encode(errors="replace").decode())
    text = _UNSAFE.sub("_", text).strip().strip(".").strip()
    text = text.encode()[:_LONGEST].decode(errors="ignore").rstrip(" .")
    if not text:
        return "_"
    return f"_{text}" if _RESERVED.match(text) or text.startswith("-") else text
