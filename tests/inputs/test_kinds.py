"""Files are what their bytes say."""

import pytest

from tasks_lib.domain.file_tokens import likely_tokens, most_tokens
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.inputs import FileMode
from tasks_lib.inputs.kinds import DOCX, HTML, PLAIN, UNKNOWN, mime_of, text_in
from tests.inputs.pieces import pdf, png, word


@pytest.mark.parametrize(
    ("content", "name", "mime"),
    [
        (png(), "a.pdf", "image/png"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 20, "", "image/jpeg"),
        (b"GIF89a" + b"\0" * 20, "", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 20, "", "image/webp"),
        (pdf("x"), "a.png", "application/pdf"),
        (b"\n" + pdf("x"), "", "application/pdf"),
        (word("x"), "", DOCX),
        (b"<!DOCTYPE html><p>x", "", HTML),
        (b"  <!-- c --> <HTML lang=de>", "", HTML),
        (b"<p>x", "a.htm", HTML),
        (b"a,b\n1,2\n", "a.csv", "text/csv"),
        (b"plain", "", PLAIN),
        ("grüße".encode("utf-16"), "", PLAIN),
        (b"\0\1\2\3", "a.txt", UNKNOWN),
        (b"", "", PLAIN),
    ],
)
def test_mime(content: bytes, name: str, mime: str) -> None:
    """A name tells only one kind of text from another."""
    assert mime_of(content, name=name) == mime


def test_text() -> None:
    """Text is read by its mark, by what the server says, as UTF-8, or as Windows wrote it."""
    assert text_in("grüße".encode("utf-16")) == "grüße"
    assert text_in("grüße".encode("latin-1"), encoding="latin-1") == "grüße"
    assert text_in("grüße".encode()) == "grüße"
    assert text_in("grüße".encode(), encoding="no such") == "grüße"
    assert text_in("grüße".encode("cp1252")) == "grüße"
    assert text_in(b"\0\1") is None


def test_modes() -> None:
    """6.13: a mode takes what it says, and an image is one that every provider takes."""
    takes = {
        mode: [
            mime for mime in ("image/png", "image/tiff", "application/pdf", "text/plain") if mode.takes(mime)
        ]
        for mode in FileMode
    }
    assert takes == {
        FileMode.NONE: [],
        FileMode.IMAGE: ["image/png"],
        FileMode.PDF: ["application/pdf"],
        FileMode.IMAGE_OR_PDF: ["image/png", "application/pdf"],
        FileMode.ANY: ["image/png", "image/tiff", "application/pdf", "text/plain"],
    }


def test_tokens() -> None:
    """A bound of a file's tokens is never below what is likely."""
    for content, mime, pages in (
        (png(), "image/png", None),
        (b"x" * 100, "application/pdf", None),
        (b"x" * 100, "application/pdf", 3),
        (b"x" * 4000, "text/plain", None),
    ):
        file = Attachment(name="f", mime_type=mime, content=content, pages=pages)
        assert most_tokens(file, "gpt-5") >= likely_tokens(file) > 0
    picture = Attachment(name="f", mime_type="image/png", content=png())
    assert most_tokens(picture, "gpt-4o-mini-2024-07-18") > 8 * 5_667 > most_tokens(picture, "gpt-5-mini")
