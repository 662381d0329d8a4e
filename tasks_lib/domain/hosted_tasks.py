"""Hosted tasks: a row is a run there, and the model's name is that of a processor or the id of a task."""

import re
from typing import Final

HOSTED_PROTOCOLS: Final = frozenset({"parallel", "rightbrain", "webagent"})

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_PROCESSOR: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_CLOUD_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID, in letters of either size."""
    return _UUID.fullmatch(text) is not None


def wrong_with_name(name: str, *, protocol: str, edition: str | None = None) -> str | None:
    """What a hosted task's name must be, if it is not; None if it can be one, or the protocol has no such.

    Names become parts of addresses, so nothing else may stand in them.
    """
    match protocol:
        case "parallel" if not _PROCESSOR.fullmatch(name):
            return "must be the name of a processor, such as lite, base or core-fast"
        case "rightbrain" if not is_uuid(name):
            return (
                "must be the id of a task there, which is a UUID such as 7e2c1d3a-9f40-4c5b-8a61-0d9e5b7f2c18"
            )
        case "webagent" if edition == "cloud" and not _CLOUD_ID.fullmatch(name):
            return "must be the id of a task there, of letters, digits, '-' and '_'"
        case "webagent" if edition != "cloud" and not _NUMBER.fullmatch(name):
            return "must be the id of a task there, which is a whole number such as 7"
        case _:
            return None
