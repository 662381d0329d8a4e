"""Server-sent events out of the pieces in which they come."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

_LONGEST_LINE: Final = 64 * 1024 * 1024  # bytes; an event beyond that is no event


class Events:
    """Gives the objects that whole events hold; comments, and what is cut short, it leaves out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def of(self, piece: bytes | memoryview) -> Iterator[dict[str, Any]]:
        """The objects of the events that end in this piece."""
        self._rest += bytes(piece)
        *lines, self._rest = self._rest.split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            self._rest = b""
        for line in lines:
            told = line.removesuffix(b"\r")
            if told.startswith(b"data:"):
                self._data.append(told[5:].removeprefix(b" "))
            elif not told and self._data:
                event = _object(b"\n".join(self._data))
                self._data.clear()
                if event is not None:
                    yield event


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None
