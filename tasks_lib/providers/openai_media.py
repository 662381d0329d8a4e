"""Pictures and recordings within JSON answers: Base64, alone or as a data URI."""

import binascii
from base64 import b64decode
from typing import Final

from tasks_lib.domain.output import Media

_KNOWN: Final = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
}


def media_of(told: object, *, format: object = None) -> Media | None:  # noqa: A002  # the APIs' own word
    """The bytes that a Base64 text or a data URI holds; None if it holds none."""
    if not isinstance(told, str):
        return None
    mime_type = _KNOWN.get(format) if isinstance(format, str) else None
    if told.startswith("data:"):
        head, _, told = told.partition(",")
        sort, _, way = head.removeprefix("data:").partition(";")
        if not way.endswith("base64"):
            return None
        mime_type = sort or mime_type
    try:
        content = b64decode(told, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Media(content=content, mime_type=mime_type) if content else None
