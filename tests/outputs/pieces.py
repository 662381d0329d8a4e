"""Files as providers send them, made by hand, and plans of tasks whose answers they are."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.plan import Plan
from tests.ledger.builders import plan


def png(*, size: int = 1) -> bytes:
    """A grey square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + b"\x80" * size for _ in range(size))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def jpeg() -> bytes:
    """The frame of a JPEG, with a thumbnail that has an end of its own."""
    thumbnail = b"\xff\xd8\xff\xda\0\x02thumb\xff\xd9"
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    return b"\xff\xd8" + app1 + b"\xff\xda\0\x02" + b"scan\xff\0data" + b"\xff\xd9"


def pdf() -> bytes:
    """What looks like a document from outside."""
    return b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"


def webp() -> bytes:
    data = b"WEBPVP8 " + struct.pack("<I", 4) + b"\0" * 4
    return b"RIFF" + struct.pack("<I", len(data)) + data


def wav(*, told: int | None = None) -> bytes:
    """Eight samples; `told` is the size that the header gives of them."""
    samples = b"\0\x01" * 8
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 16_000, 2, 16)
    size = len(samples) if told is None else told
    data = head + b"data" + struct.pack("<I", size) + samples
    return b"RIFF" + struct.pack("<I", len(data)) + data


MP3 = b"\xff\xe3\x48\xc4" + b"\0" * 60  # MPEG 2.5, which `filetype` does not know
OGG = b"OggS" + b"\0" * 60
FLAC = b"fLaC" + b"\0" * 60


def plan_of(modality: Modality, *, key: str = "1", **output: Any) -> Plan:
    """A plan whose answer is a file of this modality."""
    asked = plan(key=key)
    return replace(asked, output=Output.of(modality, **output))


class KnownHere:
    """What a ledger knows, by hand."""

    def __init__(self, *, batches: set[str], files: set[str]) -> None:
        self.batches = batches
        self.files = files
        self.asked: list[str] = []

    def batches_known(self, ids: Any) -> set[str]:
        return self.batches & set(ids)

    def files_known(self, names: Any) -> set[str]:
        self.asked.extend(names)
        return self.files & set(names)


def facts(value: object) -> Mapping[str, Any]:
    assert isinstance(value, Mapping)
    return value
