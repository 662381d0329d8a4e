"""Which files a glob means: `*`, `?` and `[...]` within a name, `**` for folders of any depth."""

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import cache
from pathlib import PurePath
from typing import Final

ANY_DEPTH: Final = "**"
_WILD: Final = frozenset("*?[")


def is_glob(text: str) -> bool:
    """Whether a path or a key has wildcards."""
    return not _WILD.isdisjoint(text)


def fixed_part(path: PurePath) -> PurePath:
    """The folders of a glob before its first wildcard, which it is searched in."""
    parts = path.parts
    first = next((at for at, part in enumerate(parts) if is_glob(part)), len(parts))
    return type(path)(*parts[:first])


def is_left_out(name: str) -> bool:
    """Whether a file or folder of this name holds no rows: `.hidden`, `_SUCCESS`, `_delta_log`."""
    return name.startswith((".", "_"))


def is_meant(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a file below the fixed part of a glob is one of those that the rest of the glob means."""
    if not (parts and pattern):
        return not (parts or pattern)
    if pattern[0] != ANY_DEPTH:
        return fits(parts[0], pattern[0]) and is_meant(parts[1:], pattern[1:])
    if len(pattern) == 1:
        return not any(map(is_left_out, parts))
    return is_meant(parts, pattern[1:]) or (not is_left_out(parts[0]) and is_meant(parts[1:], pattern))


def may_hold(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a folder below the fixed part of a glob may hold what the rest of the glob means."""
    if not (parts and pattern):
        return bool(pattern)
    if pattern[0] != ANY_DEPTH:
        return fits(parts[0], pattern[0]) and may_hold(parts[1:], pattern[1:])
    return may_hold(parts, pattern[1:]) or (not is_left_out(parts[0]) and may_hold(parts[1:], pattern))


def fits(name: str, pattern: str) -> bool:
    """Whether one part of a path fits one part of a glob."""
    if is_left_out(name) and not is_left_out(pattern):
        return False
    return _regex(pattern).match(name) is not None


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))
