"""What sort of file some bytes are, told from the bytes and not from what anybody calls them."""

import codecs
import re
from typing import Final

import filetype

DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML: Final = "text/html"
PLAIN: Final = "text/plain"
UNKNOWN: Final = "application/octet-stream"

_LOOKED_AT: Final = 64_000  # bytes that tell text from anything else
_HTML: Final = re.compile(
    rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE | re.DOTALL
)
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BY_NAME: Final = {
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".json": "application/json",
    ".xml": "application/xml",
}


def mime_of(content: bytes, *, name: str = "") -> str:
    """The MIME type of a file's bytes; its name only tells one kind of text from another."""
    if content[:1024].lstrip().startswith(b"%PDF-"):
        return "application/pdf"
    found = filetype.guess(content[:8192])
    if found is not None:
        mime = str(found.mime)
        return DOCX if mime == "application/zip" and b"word/document.xml" in content else mime
    if _encoding_of(content) is None:
        return UNKNOWN
    if _HTML.match(content[:4096]):
        return HTML
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot >= 0 else ""
    if suffix in (".html", ".htm", ".xhtml"):
        return HTML
    return _BY_NAME.get(suffix, PLAIN)


def text_in(content: bytes, *, encoding: str | None = None) -> str | None:
    """The text that bytes hold, in the encoding that they tell, the one given, UTF-8 or Windows' own.

    None if they are no text.
    """
    told = _encoding_of(content)
    if told is None:
        return None
    for name in (told, encoding, "utf-8"):
        if name:
            try:
                return content.decode(name)
            except (LookupError, UnicodeDecodeError, ValueError):
                continue
    return content.decode("cp1252", errors="replace")


def _encoding_of(content: bytes) -> str | None:
    """The encoding that a mark at the beginning tells, "" without one; None if this is no text."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name
    return None if _NO_TEXT.search(content[:_LOOKED_AT]) else ""
