"""What a file is, told from its bytes and from nothing else."""

from collections.abc import Mapping
from typing import Final

import filetype

PDF: Final = "application/pdf"
CSV: Final = "text/csv"
_UNKNOWN: Final = "application/octet-stream"

_USUAL: Final[Mapping[str, str]] = {  # what IANA or browsers call what `filetype` has another word for
    "audio/x-wav": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "image/apng": "image/png",
}
_SUFFIXES: Final[Mapping[str, str]] = {
    PDF: "pdf",
    CSV: "csv",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
}
_OF_FILE_TYPE: Final[Mapping[str, str]] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
}
_MPEG_LAYERS: Final = (0b01, 0b10, 0b11)
_PDF_TAIL: Final = 1024  # bytes in which readers look for the end of a document
_HEAD = 256  # bytes that tell a text from a file


def mime_of(content: bytes) -> str:
    """The MIME type that the bytes show; text and JSON have theirs, and what nobody knows is octets."""
    guessed = filetype.guess_mime(content)
    if guessed is not None:
        return _USUAL.get(guessed, guessed)
    if _is_mpeg(content):
        return "audio/mpeg"
    return _as_text(content) or _UNKNOWN


def suffix_of(mime_type: str) -> str:
    """What a file of this type ends with, without the dot."""
    return _SUFFIXES.get(mime_type, "bin")


def is_kept(mime_type: str) -> bool:
    """Whether an answer may be such a file: one that is seen or heard, and that runs nothing."""
    return mime_type in _SUFFIXES


def mime_of_file_type(file_type: str) -> str:
    """The MIME type that an output's `file_type` asks for."""
    return _OF_FILE_TYPE[file_type]


def is_whole(content: bytes, mime_type: str) -> bool:
    """Whether a file has its end; true of formats that do not tell."""
    match mime_type:
        case "image/png":
            return _png_is_whole(content)
        case "image/jpeg":
            return _jpeg_is_whole(content)
        case "image/webp":
            return int.from_bytes(content[4:8], "little") + 8 <= len(content)
        case "image/gif":
            return content.rstrip(b"\0").endswith(b";")
        case "audio/wav":
            return _wav_is_whole(content)
        case "application/pdf":
            return b"%%EOF" in content[-_PDF_TAIL:]
    return True


def _is_mpeg(content: bytes) -> bool:
    """Whether it begins with an MPEG audio frame; `filetype` knows three of its headers."""
    if len(content) < 4 or content[0] != 0xFF or content[1] & 0xE0 != 0xE0:
        return False
    version, layer, rate = content[1] >> 3 & 0b11, content[1] >> 1 & 0b11, content[2] >> 4
    return version != 0b01 and layer in _MPEG_LAYERS and rate not in {0, 0b1111}


def _as_text(content: bytes) -> str | None:
    """The type of a text; None of what is none."""
    try:
        head = content[:_HEAD].decode()
    except UnicodeDecodeError as error:
        if error.start < _HEAD - 4:
            return None
        head = content[: error.start].decode()
    if "\0" in head:
        return None
    begins = head.lstrip("\ufeff \t\r\n").lower()
    if begins.startswith(("<!doctype html", "<html", "<head", "<body")):
        return "text/html"
    if begins.startswith(("<svg", "<?xml")):
        return "image/svg+xml" if "<svg" in begins else "text/xml"
    return "application/json" if begins.startswith(("{", "[")) else "text/plain"


def _png_is_whole(content: bytes) -> bool:
    at = 8
    while at + 12 <= len(content):
        if content[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + int.from_bytes(content[at : at + 4])
    return False


def _jpeg_is_whole(content: bytes) -> bool:
    """Whether the end marker follows the scan, which itself holds none; a thumbnail's stands before it."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        if content[at + 1] == 0xDA:
            return content.find(b"\xff\xd9", at) > 0
        filled = content[at + 1] == 0xFF
        at += 1 if filled else 2 + int.from_bytes(content[at + 2 : at + 4])
    return False


def _wav_is_whole(content: bytes) -> bool:
    """Whether the samples that the header tells of are there; one written as a stream tells 0 or the most."""
    at = 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if content[at : at + 4] == b"data":
            return size >= 0x7FFFFFFF or at + 8 + size <= len(content)
        at += 8 + size + size % 2
    return False
