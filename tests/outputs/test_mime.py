"""What a file is, its bytes say."""

import pytest

from tasks_lib.outputs.mime import is_whole, mime_of, suffix_of
from tests.outputs.pieces import FLAC, MP3, OGG, jpeg, png, wav, webp


@pytest.mark.parametrize(
    ("content", "mime_type", "suffix"),
    [
        (png(), "image/png", "png"),
        (jpeg(), "image/jpeg", "jpg"),
        (webp(), "image/webp", "webp"),
        (wav(), "audio/wav", "wav"),
        (MP3, "audio/mpeg", "mp3"),
        (OGG, "audio/ogg", "ogg"),
        (FLAC, "audio/flac", "flac"),
        (b"%PDF-1.7\n", "application/pdf", "pdf"),
        (b"\n <!DOCTYPE html><title>502</title>", "text/html", "bin"),
        (b'{"error": {}}', "application/json", "bin"),
        (b"\xef\xbb\xbf<svg xmlns='x'><script/></svg>", "image/svg+xml", "bin"),
        ("überall".encode(), "text/plain", "bin"),
        (("ü" * 128 + "x").encode() + b"\xff", "text/plain", "bin"),
        (b"\0\x01\x02", "application/octet-stream", "bin"),
        (b"ab\xff\xfe" + b"c" * 400, "application/octet-stream", "bin"),
        (b"", "text/plain", "bin"),
    ],
)
def test_the_bytes_tell_what_a_file_is(content: bytes, mime_type: str, suffix: str) -> None:
    """Nothing but the bytes is asked, and what runs in a browser has no suffix that would let it."""
    assert (mime_of(content), suffix_of(mime_of(content))) == (mime_type, suffix)


@pytest.mark.parametrize(
    ("content", "mime_type"),
    [
        (png(size=40), "image/png"),
        (jpeg(), "image/jpeg"),
        (webp(), "image/webp"),
        (wav(), "audio/wav"),
        (b"GIF89a" + b"\0" * 20 + b";", "image/gif"),
    ],
)
def test_a_file_that_was_cut_is_seen(content: bytes, mime_type: str) -> None:
    """Whole it is whole, and wherever it is cut it is not; a thumbnail's end is not the picture's."""
    assert is_whole(content, mime_type)
    assert [cut for cut in range(13, len(content)) if is_whole(content[:cut], mime_type)] == []


@pytest.mark.parametrize("told", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_recording_that_was_streamed_is_whole(told: int) -> None:
    """Who streams a WAV does not know its length when the header is written."""
    assert is_whole(wav(told=told), "audio/wav")
