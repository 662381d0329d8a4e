"""The files that rows name, in all the ways that they can."""

import base64
from pathlib import Path

import pytest

from tasks_lib.domain.inputs import FileInput, FileMode, FileSources
from tasks_lib.domain.row import Row
from tasks_lib.inputs.row_files import FilesOfRows, plain_name
from tests.inputs.pieces import png

CONTENT = base64.b64encode(b"bytes").decode()


def row(value: object, blob: bytes | None = None) -> Row:
    """A row whose column `photo` has this."""
    return Row(number=1, key="1", values={"photo": value}, blobs={"photo": blob} if blob is not None else {})


def files(
    folder: Path, *, mode: FileMode = FileMode.ANY, required: bool = True, most: int = 1000
) -> FilesOfRows:
    """What finds files beside the source."""
    sources = FileSources(columns=("photo",), folders=(folder,), hosts=("example.com",))
    return FilesOfRows(sources, FileInput(mode=mode, required=required, max_bytes=most))


@pytest.mark.parametrize(
    ("value", "name", "content"),
    [
        ({"filename": "a/b.png", "content": CONTENT}, "b.png", b"bytes"),
        ({"name": "c.png", "data": f"data:image/png;base64,{CONTENT}"}, "c.png", b"bytes"),
        ({"content": CONTENT}, "photo", b"bytes"),
        (f'{{"filename": "d.png", "content": "{CONTENT}"}}', "d.png", b"bytes"),
        (f"data:image/png;base64,{CONTENT}", "photo", b"bytes"),
        ("data:text/plain,a%20b", "photo", b"a b"),
    ],
)
def test_content_in_a_value(tmp_path: Path, value: object, name: str, content: bytes) -> None:
    """R15: a file may stand in the row itself, as {filename, content} with base64 or as a data: URI."""
    (ref,) = files(tmp_path).of(row(value)).refs
    assert (ref.name, ref.content, ref.column) == (name, content, "photo")


def test_a_column_of_bytes(tmp_path: Path) -> None:
    """R15: bytes are a file, called as the table calls it or by the column."""
    (ref,) = files(tmp_path).of(row({"sha256": "x", "filename": "p.png"}, b"raw")).refs
    assert (ref.name, ref.content) == ("p.png", b"raw")
    (ref,) = files(tmp_path).of(row({"sha256": "x"}, b"raw")).refs
    assert ref.name == "photo"


def test_a_path_and_a_url(tmp_path: Path) -> None:
    """R15: a path beside the source, and a URL of an allowed host."""
    (tmp_path / "a.png").write_bytes(png())
    found = files(tmp_path).of(row("a.png"))
    (ref,) = found.refs
    assert (ref.name, ref.path, len(ref.sha256 or "")) == ("a.png", "a.png", 64)
    (ref,) = files(tmp_path).of(row("https://example.com/x/y.png?sig=1")).refs
    assert (ref.name, ref.url) == ("y.png", "https://example.com/x/y.png?sig=1")


def test_several_files(tmp_path: Path) -> None:
    """A list names several files, also where a CSV holds it as text."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    for value in (["a.txt", "b.txt"], '["a.txt", "b.txt"]'):
        assert [ref.name for ref in files(tmp_path).of(row(value)).refs] == ["a.txt", "b.txt"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("none.png", "photo: the file 'none.png' is not there"),
        ("../x.png", "photo: the file '../x.png' is not there"),
        ("/etc/passwd", "photo: the file '/etc/passwd' lies outside the folders"),
        ("https://evil.test/a.png", "photo: https://evil.test is not among the hosts"),
        ("data:image/png;base64,###", "photo: its content is not base64"),
        ("data:nothing", "photo: a data: URI without a comma"),
        ({"url": "x"}, "photo: an object that is a file has the keys filename and content"),
        (7, "photo: 7 names no file"),
        (None, "the row has no file in photo, and the task needs a file"),
        ("", "the row has no file in photo, and the task needs a file"),
        ([], "the row has no file in photo, and the task needs a file"),
        ({"content": base64.b64encode(b"x" * 1001).decode()}, "photo: it has more than 1,000 bytes"),
    ],
)
def test_problems(tmp_path: Path, value: object, problem: str) -> None:
    """R16: a row whose file is missing or may not be had says so, and asks nobody."""
    found = files(tmp_path).of(row(value))
    assert (found.problem or "").startswith(problem)
    assert found.digest == files(tmp_path).of(row(value)).digest


def test_a_file_that_need_not_be_there(tmp_path: Path) -> None:
    """Without file_required a row without a file is asked; one whose file is missing is not."""
    loose = files(tmp_path, required=False)
    assert loose.of(row(None)).problem is None
    assert loose.of(row("none.png")).problem is not None


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    """A row is another once its file's content is another, whatever the file is called."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    finder = files(tmp_path)
    before = finder.of(row("a.bin")).digest
    assert finder.of(row("a.bin")).digest == before
    assert finder.of(row({"content": base64.b64encode(b"one").decode()})).digest == before
    assert finder.of(row({"sha256": "x"}, b"one")).digest == before
    path.write_bytes(b"other")
    assert finder.of(row("a.bin")).digest != before
    path.unlink()
    assert finder.of(row("a.bin")).digest == ["missing"]
    url = finder.of(row("https://example.com/a")).digest
    assert url == ["url:https://example.com/a"]


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    """The size is looked at first."""
    with (tmp_path / "big").open("wb") as file:
        file.truncate(10**12)
    assert "has 1,000,000,000,000 bytes, 1,000 are allowed" in (files(tmp_path).of(row("big")).problem or "")


def test_a_document_that_is_missing_is_the_processors_affair(tmp_path: Path) -> None:
    """A processor has a word for what is missing; the row is not given up before it."""
    finder = FilesOfRows(FileSources(folders=(tmp_path,)), FileInput(), documents=("photo",))
    found = finder.of(row("none.pdf"))
    assert (found.refs, found.problem, found.digest) == ((), None, ["missing"])


@pytest.mark.parametrize(
    ("text", "name"),
    [("a/b.png", "b.png"), ("C:\\x\\y.png", "y.png"), ("/", ""), (None, ""), ("a\nb", "ab"), ("..", "..")],
)
def test_names(text: str | None, name: str) -> None:
    """A name is the last part of a path, and never one."""
    assert plain_name(text) == name
