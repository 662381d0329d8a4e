"""Room for connections: many systems allow a program 256 or 1,024 open files until it asks for more."""

import sys
from contextlib import suppress
from typing import Final

_ENOUGH: Final = 65_536


def allow_many_open_files() -> None:
    """Raise this process's own limit as far as it may; one that is high enough stays as it is."""
    if sys.platform == "win32":  # has no such limit
        return
    import resource  # noqa: PLC0415  # there is none on Windows

    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if most == resource.RLIM_INFINITY else min(most, _ENOUGH)
    if now == resource.RLIM_INFINITY or now >= wanted:
        return
    with suppress(ValueError, OSError):  # macOS has a lower one still, which it does not tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
