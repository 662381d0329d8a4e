"""Pictures and speech within Gemini's answers: Base64, of files or of bare samples."""

import binascii
import io
import re
import wave
from collections.abc import Iterable, Mapping
from typing import Any

from tasks_lib.domain.output import Media

_PCM = re.compile(r"audio/(l16|pcm)\b", re.IGNORECASE)
_RATE = re.compile(r"\brate=([0-9]{1,6})\b", re.IGNORECASE)
_CHANNELS = re.compile(r"\bchannels=([1-8])\b", re.IGNORECASE)
_USUAL_RATE = 24_000  # samples a second


def media_of(parts: Iterable[Mapping[str, Any]], *, speech: bool) -> Media | None:
    """The first picture, or the whole recording, which may come in several parts of bare samples.

    Raises:
        ValueError: a file is not base64.
    """
    wanted = "audio/" if speech else "image/"
    samples: list[bytes] = []
    form = ""
    for part in parts:
        data = part.get("inlineData")
        mime_type, content = _string(data, "mimeType"), _string(data, "data")
        if mime_type is None or not content or not mime_type.lower().startswith(wanted):
            continue
        decoded = _unpacked(content)
        if not _PCM.match(mime_type):
            return Media(content=decoded, mime_type=mime_type)
        form = form or mime_type
        samples.append(decoded)
    return Media(content=_wav(b"".join(samples), form), mime_type="audio/wav") if samples else None


def _unpacked(content: str) -> bytes:
    """Bytes out of base64, in either of its alphabets, as JSON of protocol buffers may have it."""
    text = content.replace("-", "+").replace("_", "/")
    if not text.isascii():
        raise ValueError("not base64")
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _wav(samples: bytes, mime_type: str) -> bytes:
    """Bare samples of 16 bits, least byte first, with the header that players need.

    The type's L16 would have the greatest byte first (RFC 2586); what comes is the other way round.
    """
    rate, channels = _RATE.search(mime_type), _CHANNELS.search(mime_type)
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(int(channels[1]) if channels else 1)
        recording.setsampwidth(2)
        recording.setframerate((int(rate[1]) if rate else 0) or _USUAL_RATE)
        recording.writeframes(samples)
    return file.getvalue()


def _string(within: object, name: str) -> str | None:
    value = within.get(name) if isinstance(within, dict) else None
    return value if isinstance(value, str) else None
