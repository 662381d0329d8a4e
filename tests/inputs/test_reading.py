"""Documents are read by processes that no document can hold up."""

import io
import zipfile
from collections.abc import AsyncIterator

import anyio
import pytest

from tasks_lib.inputs.kinds import DOCX, HTML
from tasks_lib.inputs.reading import Bounds, Readers, open_readers
from tasks_lib.inputs.unusable import Unusable
from tests.inputs.pieces import pdf, word

pytestmark = pytest.mark.anyio
PDF = "application/pdf"


@pytest.fixture
async def readers() -> AsyncIterator[Readers]:
    """Readers with little time and memory."""
    async with open_readers(Bounds(seconds=20, megabytes=400, processes=1)) as opened:
        yield opened


async def test_what_documents_say(readers: Readers) -> None:
    """2.2: the text of PDFs, Word documents and pages, page by page and as Markdown."""
    assert await readers.text_of(pdf("first page", "second page"), kind=PDF, most=999) == (
        "first page\n\nsecond page"
    )
    assert await readers.text_of(word("one", "two"), kind=DOCX, most=999) == "one\n\ntwo\n\nleft | right"
    page = (
        b"<html><head><title>T</title><style>x{}</style></head><body><script>evil()</script>"
        b"<h1>H</h1><p>a <a href='u'>b</a></p><ul><li>c</ul>"
    )
    assert await readers.text_of(page, kind=HTML, most=999) == "T\n\n# H\n\na [b](u)\n\n* c"
    assert (
        await readers.text_of("<p>grüße".encode("latin-1"), kind=HTML, most=99, encoding="latin-1") == "grüße"
    )
    assert await readers.pages_of(pdf("a", "b", "c")) == 3
    assert len(readers._idle) == 1, "one process has read them all"


async def test_so_many_characters(readers: Readers) -> None:
    """A text is cut, and pages beyond the cut are not read."""
    assert await readers.text_of(pdf("0123456789", "more"), kind=PDF, most=5) == "01234"
    assert await readers.text_of(word("0123456789"), kind=DOCX, most=5) == "01234"
    assert await readers.text_of(b"<p>0123456789", kind=HTML, most=5) == "01234"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%PDF-1.4 broken", PDF),
        (pdf("x")[:200], PDF),
        (b"PK\3\4 broken", DOCX),
        (b"<div>" * 50_000, HTML),
        (b"text", "audio/mpeg"),
    ],
)
async def test_broken_documents(readers: Readers, content: bytes, kind: str) -> None:
    """What is broken is told, and the next document is read all the same."""
    package_less = kind == "audio/mpeg"
    with pytest.raises(Unusable):
        await readers.text_of(content, kind=kind, most=999)
    assert await readers.text_of(pdf("fine"), kind=PDF, most=999) == "fine"
    assert package_less or len(readers._idle) == 1
    assert await readers.pages_of(b"%PDF- no") is None


async def test_a_document_that_unpacks_to_too_much(readers: Readers) -> None:
    """A bomb fills neither the disk nor our memory."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("word/document.xml", b"\0")
        packed.infolist()[0].file_size = 10**10  # as the directory will have it
    with pytest.raises(Unusable, match="unpacks to too much"):
        await readers.text_of(made.getvalue(), kind=DOCX, most=999)


async def test_a_document_that_keeps_its_reader_busy() -> None:
    """A reader that is busy for too long is ended, and another one takes the next document."""
    text = " ".join(f"({at}) Tj" for at in range(400_000))
    slow = pdf("x").replace(b"BT /F1 12 Tf 20 100 Td (x) Tj ET", f"BT /F1 12 Tf {text} ET".encode())
    async with open_readers(Bounds(seconds=1.5, megabytes=1024, processes=1)) as readers:
        with pytest.raises(Unusable, match=r"not read within 1\.5 seconds"):
            await readers.text_of(slow, kind=PDF, most=10**9)
        assert readers._idle == []
        assert await readers.text_of(b"<p>next", kind=HTML, most=99) == "next"


async def test_a_document_that_fills_the_memory() -> None:
    """A reader has only so much memory."""
    async with open_readers(Bounds(seconds=30, megabytes=200, processes=1)) as readers:
        with pytest.raises(Unusable, match=r"memory|ended the process"):
            await readers.text_of(b"<p>" + b"<b>x</b>" * 200_000, kind=HTML, most=999)
        assert await readers.text_of(b"<p>next", kind=HTML, most=99) == "next"


async def test_a_reader_that_dies(readers: Readers) -> None:
    """A reader that is gone is nobody's misfortune: another one reads."""
    assert await readers.text_of(b"<p>a", kind=HTML, most=99) == "a"
    (child,) = readers._idle
    child.process.kill()
    assert await readers.text_of(b"<p>b", kind=HTML, most=99) == "b"


async def test_who_leaves_ends_the_reader() -> None:
    """A row that is dropped while its document is read leaves no process behind."""
    async with open_readers(Bounds(processes=1)) as readers:
        assert await readers.text_of(b"<p>a", kind=HTML, most=99) == "a"
        (child,) = readers._idle
        with anyio.CancelScope() as scope:
            scope.cancel()
            await readers.text_of(b"<p>b", kind=HTML, most=99)
        assert readers._idle in ([], [child])
    assert child.process.returncode is not None
