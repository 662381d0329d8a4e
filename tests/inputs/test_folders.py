"""Paths of rows stay within the folders that the job allows."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks_lib.inputs.folders import Folders, digest_of, read_file
from tasks_lib.inputs.unusable import Refused, Unusable


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder `in` with files and links, beside a file that is nobody's business."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "in" / "deep" / "b.txt").write_text("b")
    (tmp_path / "in" / ".env").write_text("KEY=secret")
    (tmp_path / "in" / ".git").mkdir()
    (tmp_path / "in" / ".git" / "config").write_text("secret")
    (tmp_path / "out" / "secret.txt").write_text("secret")
    (tmp_path / "in" / "way-out").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "inner.txt").symlink_to("deep/b.txt")
    (tmp_path / "in" / "loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a.txt", "a.txt"),
        ("./deep/../a.txt", "a.txt"),
        ("deep/b.txt", "b.txt"),
        ("inner.txt", "b.txt"),
        ("../in/a.txt", "a.txt"),
    ],
)
def test_what_lies_inside_is_found(place: Path, written: str, name: str) -> None:
    """Steps back and links are fine as long as they end inside; so is an absolute path."""
    folders = Folders([place / "in"])
    found = folders.find(written)
    assert found.name == name
    assert folders.find(str(found)) == found


@pytest.mark.parametrize(
    "written",
    [
        "../out/secret.txt",
        "way-out/secret.txt",
        "/etc/passwd",
        "deep/../../out/secret.txt",
        ".env",
        ".git/config",
    ],
)
def test_what_lies_outside_or_is_hidden_is_refused(place: Path, written: str) -> None:
    """R15: a row's path leads out of its folders neither by .. nor by a link, and to no hidden file."""
    with pytest.raises(Refused):
        Folders([place / "in"]).find(written)


@pytest.mark.parametrize(
    "written", ["none.txt", "loop", "deep", "a.txt/b", "x" * 5000, "a\0b", "~/a.txt", "."]
)
def test_what_is_no_file_is_told(place: Path, written: str) -> None:
    """A path that is none, or leads to none, is the row's problem and no error of ours."""
    with pytest.raises(Unusable):
        Folders([place / "in"]).find(written)


def test_folders_in_turn(place: Path) -> None:
    """A relative path is looked for in each folder in turn, and what one allows another need not."""
    folders = Folders([place / "in", place / "out"])
    assert folders.find("secret.txt").parent.name == "out"
    assert folders.find("way-out/secret.txt").name == "secret.txt"
    with pytest.raises(Refused, match="no folder"):
        Folders([]).find("a.txt")


_PARTS = st.sampled_from(
    ["..", ".", "in", "out", "deep", "a.txt", "secret.txt", "way-out", "/", "", "b.txt", ".env"]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=st.lists(_PARTS, min_size=1, max_size=8), absolute=st.booleans())
def test_containment(place: Path, parts: list[str], absolute: bool) -> None:
    """Whatever a path is made of: what is found lies inside, and is not the secret."""
    written = "/".join(parts)
    folder = place / "in"
    try:
        found = Folders([folder]).find(f"{folder}/{written}" if absolute else written)
    except Unusable:
        return
    assert found.resolve().is_relative_to(folder.resolve())
    assert "secret" not in found.read_text()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(written=st.text(max_size=60))
def test_any_text_is_a_path_or_none(place: Path, written: str) -> None:
    """No text breaks the look-up."""
    try:
        found = Folders([place / "in"]).find(written)
    except Unusable:
        return
    assert found.is_relative_to((place / "in").resolve())


def test_digest_and_content(place: Path) -> None:
    """A digest follows the content, and is not read again while the file stays as it is."""
    path = place / "in" / "a.txt"
    before = digest_of(path)
    assert digest_of(path) == before
    path.write_text("another")
    os.utime(path, ns=(1, 1))
    assert digest_of(path) != before
    assert read_file(path, most=7) == b"another"
    with pytest.raises(Unusable, match="more than 6 bytes"):
        read_file(path, most=6)


def test_a_pipe_holds_nobody_up(place: Path) -> None:
    """What is no regular file is not opened for reading."""
    os.mkfifo(place / "in" / "pipe")
    with pytest.raises(Unusable, match="no file"):
        Folders([place / "in"]).find("pipe")
    with pytest.raises(Unusable, match="no file"):
        read_file(place / "in" / "pipe", most=1)
