"""From an answer to its file: looked at, made if need be, and stored."""

import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Answer, Media, Modality
from tasks_lib.outputs import FileStore, Keeper
from tests.outputs.pieces import MP3, OGG, facts, jpeg, pdf, plan_of, png, wav

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "ledger.duckdb")


def keeper_of(store: FileStore | None, told: list[str] | None = None) -> Keeper:
    return Keeper(store, title="letters", stop=(told if told is not None else []).append)


async def kept(store: FileStore, answer: Answer, modality: Modality, **output: Any) -> tuple[Answer, bytes]:
    """The answer as it is recorded, and the bytes that lie where it says."""
    found = await keeper_of(store).keep(plan_of(modality, **output), answer)
    assert isinstance(found, Answer)
    assert found.file is not None
    assert found.media is None, "its bytes are let go"
    content = (store.folder.parent / found.file.uri).read_bytes()
    assert found.file.sha256 == hashlib.sha256(content).hexdigest()
    return found, content


async def refused(answer: Answer, modality: Modality, store: FileStore) -> Failure:
    found = await keeper_of(store).keep(plan_of(modality), answer)
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.INVALID_OUTPUT
    assert not list(store.folder.rglob("*.*"))
    return found


def made(content: bytes, mime_type: str | None = None) -> Answer:
    return Answer(value=None, media=Media(content=content, mime_type=mime_type))


async def test_a_picture_is_kept_as_what_it_is(store: FileStore) -> None:
    """The bytes say what it is, whatever the provider says; the value describes the file."""
    answer, content = await kept(store, made(png(), "image/webp"), Modality.IMAGE)
    assert content == png()
    file = answer.file
    assert file is not None
    assert answer.value == {
        "file_name": file.name,
        "content_type": "image/png",
        "size_bytes": len(png()),
        "sha256": file.sha256,
        "download_url": file.uri,
    }
    assert (answer.warnings, file.name.endswith(".png")) == ((), True)


async def test_another_type_than_was_asked_for_is_kept_and_told(store: FileStore) -> None:
    """A JPEG that came for a PNG is paid for and shown: it keeps its own suffix, and the run a warning."""
    answer, _ = await kept(store, made(jpeg()), Modality.IMAGE, file_type="png")
    assert facts(answer.value)["content_type"] == "image/jpeg"
    assert facts(answer.value)["file_name"].endswith(".jpg")
    assert answer.warnings == ("png was asked for, and jpg came",)


@pytest.mark.parametrize(
    ("file_type", "content"), [("wav", wav()), ("mp3", MP3), ("opus", OGG), (None, wav(told=0xFFFFFFFF))]
)
async def test_recordings(store: FileStore, file_type: str | None, content: bytes) -> None:
    """A recording of the type that was asked for is kept without a word."""
    answer, bytes_kept = await kept(store, made(content), Modality.AUDIO, file_type=file_type)
    assert (answer.warnings, bytes_kept) == ((), content)


@pytest.mark.parametrize(
    ("content", "modality", "told"),
    [
        (b"<!doctype html><h1>502</h1>", Modality.IMAGE, "what came is no picture, but a web page"),
        (b'{"error": "busy"}', Modality.AUDIO, "what came is no recording, but JSON"),
        (png(size=40)[:-20], Modality.IMAGE, "the picture (image/png) has no end: "),
        (wav()[:-2], Modality.AUDIO, "the recording (audio/wav) has no end: "),
        (png(), Modality.AUDIO, "what came is no recording, but image/png"),
        (b"", Modality.IMAGE, "the picture is empty"),
        (b"<html>Not here</html>", Modality.PDF, "what came is no document, but a web page"),
        (pdf()[:-9], Modality.PDF, "the document (application/pdf) has no end: "),
        (b"\0" * 50, Modality.IMAGE, "what came is no picture, but something unknown"),
        (
            b"<svg><script>1</script></svg>",
            Modality.IMAGE,
            "a picture of type image/svg+xml, which is not kept",
        ),
    ],
)
async def test_what_is_no_such_file_is_no_answer(
    store: FileStore, content: bytes, modality: Modality, told: str
) -> None:
    """A web page, an error or half a file is refused in words, asked again, and leaves nothing behind."""
    failure = await refused(made(content), modality, store)
    assert told in failure.message


async def test_what_came_instead_is_kept_to_read(store: FileStore) -> None:
    """The attempt shows the beginning of the error that came for a picture."""
    failure = await refused(made(b'{"error": "busy"}' + b" " * 900), Modality.IMAGE, store)
    assert failure.text is not None
    assert failure.text.startswith('{"error": "busy"}')
    assert len(failure.text) <= 200


async def test_a_pdf_is_set_from_the_text(store: FileStore) -> None:
    """Its title is the task's name."""
    answer, content = await kept(store, Answer(value="# Dear Ada\n\nThank you."), Modality.PDF)
    reader = PdfReader(io.BytesIO(content))
    assert reader.metadata is not None
    assert reader.metadata.title == "letters"
    assert "Dear Ada" in reader.pages[0].extract_text()
    assert facts(answer.value)["content_type"] == "application/pdf"


async def test_r19_a_document_that_comes_as_a_file_is_kept_as_it_is(store: FileStore) -> None:
    """R19: a hosted task tells its pdf as a file, in which nothing is set anew; its end is looked for."""
    answer, content = await kept(store, made(pdf()), Modality.PDF)
    assert content == pdf()
    assert facts(answer.value)["content_type"] == "application/pdf"


async def test_a_csv_is_a_file_and_its_rows(store: FileStore) -> None:
    """R19: the value stays the rows, so that SQL can read them; the file is what RFC 4180 makes of them."""
    rows = [{"name": "Ada, Countess", "born": 1815}, {"name": "Grace", "born": None}]
    answer, content = await kept(store, Answer(value=rows), Modality.CSV)
    assert answer.value == rows
    told = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert told == [{"name": "Ada, Countess", "born": "1815"}, {"name": "Grace", "born": ""}]
    assert content == b'name,born\r\n"Ada, Countess",1815\r\nGrace,\r\n'


async def test_without_a_store_the_bytes_go_back(tmp_path: Path) -> None:
    """A ledger in memory has no folder: the caller gets the file itself, and no place where it would be."""
    answer = await keeper_of(None).keep(plan_of(Modality.PDF), Answer(value="Dear Ada"))
    assert isinstance(answer, Answer)
    assert answer.media is not None
    assert answer.media.content.startswith(b"%PDF-")
    assert (answer.media.mime_type, answer.file) == ("application/pdf", None)
    assert facts(answer.value)["download_url"] is None


async def test_warnings_add_up(store: FileStore) -> None:
    """What was said of the answer before its file was made is said still."""
    answer, _ = await kept(
        store, Answer(value="\U0001c900", warnings=("cut at the token limit",)), Modality.PDF
    )
    assert answer.warnings[0] == "cut at the token limit"
    assert "no font here has" in answer.warnings[1]


async def test_a_store_that_takes_no_more_ends_the_batch(store: FileStore) -> None:
    """The row is cancelled, not failed: the next run asks it again; what came stays to be read."""
    store.folder.write_text("in the way")
    told: list[str] = []
    found = await keeper_of(store, told).keep(plan_of(Modality.PDF), Answer(value="Dear Ada"))
    assert isinstance(found, Failure)
    assert (found.kind, found.text) == (FailureKind.CANCELLED, "Dear Ada")
    assert "the answer came and could not be kept" in found.message
    assert len(told) == 1
    assert "cannot be written" in told[0]
