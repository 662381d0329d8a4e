"""Small true files: pictures of one colour and recordings of one tone, both by the row they are for."""

import array
import hashlib
import io
import math
import struct
import wave
import zlib
from functools import lru_cache
from typing import Final

_SIDE: Final = 16  # pixels
_HERTZ: Final = 8_000
_SECONDS: Final = 0.25


@lru_cache(maxsize=256)
def png(row_id: str) -> bytes:
    """A picture of 16 by 16 pixels."""
    line = b"\0" + _colour(row_id) * _SIDE
    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(line * _SIDE)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


@lru_cache(maxsize=256)
def jpeg(row_id: str) -> bytes:
    """The same picture as JPEG."""
    from PIL import Image  # noqa: PLC0415  # an optional package, and not needed for words

    made = io.BytesIO()
    red, green, blue = _colour(row_id)
    Image.new("RGB", (_SIDE, _SIDE), (red, green, blue)).save(made, "JPEG")
    return made.getvalue()


@lru_cache(maxsize=256)
def wav(row_id: str) -> bytes:
    """A quarter of a second of one tone: a channel of 16 bits."""
    pitch = 200 + 4 * _colour(row_id)[0]
    waves = (math.sin(2 * math.pi * pitch * frame / _HERTZ) for frame in range(int(_HERTZ * _SECONDS)))
    made = io.BytesIO()
    with wave.open(made, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(_HERTZ)
        recording.writeframes(array.array("h", (round(10_000 * height) for height in waves)).tobytes())
    return made.getvalue()


def _colour(row_id: str) -> bytes:
    return hashlib.md5(row_id.encode(), usedforsecurity=False).digest()[:3]
