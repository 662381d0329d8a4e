"""Files as the ledger tells of them: checked, and copied for people."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks_lib.domain.files import FileFact
from tasks_lib.outputs import FilesError, FileStore, State, Stocked, copied, path_of, state_of

RUN = "019f3c5a-7b00-7000-8000-000000000000"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "data" / "rowmill.duckdb"


def stocked(fact: FileFact, stem: str = "1") -> Stocked:
    return Stocked(stem=stem, name=fact.name, size=fact.size, sha256=fact.sha256, uri=fact.uri)


@pytest.fixture
def file(ledger: Path) -> Stocked:
    ledger.parent.mkdir()
    return stocked(FileStore(ledger).put(b"a,b\r\n", task_run_id=RUN, mime_type="text/csv"), "../Ada/1")


def test_what_became_of_a_file(ledger: Path, file: Stocked) -> None:
    """Whole, altered in its length or in a single byte, or missing."""
    path = path_of(file.uri, ledger=ledger)
    assert path is not None
    assert state_of(file, ledger=ledger) is State.WHOLE
    for content in (b"a,b", b"a,c\r\n"):
        path.write_bytes(content)
        assert state_of(file, ledger=ledger) is State.ALTERED
    path.unlink()
    assert state_of(file, ledger=ledger) is State.MISSING


def test_copies_are_whole_and_have_names_for_people(ledger: Path, file: Stocked, tmp_path: Path) -> None:
    """A copy is named by its row and lies in the folder that was named; a second time it is replaced."""
    to = tmp_path / "for" / "people"
    for _ in range(2):
        ((_, state, name),) = copied([file], ledger=ledger, folder=to)
        assert (state, name) == (State.WHOLE, "_Ada_1.csv")
        assert [path.name for path in to.iterdir()] == ["_Ada_1.csv"]
        assert (to / name).read_bytes() == b"a,b\r\n"


def test_what_was_altered_is_not_copied(ledger: Path, file: Stocked, tmp_path: Path) -> None:
    """What nobody can vouch for is told."""
    found = copied([replace(file, sha256="0" * 64)], ledger=ledger, folder=tmp_path / "to")
    assert [state for _, state, _ in found] == [State.ALTERED]
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("uri", ["/etc/passwd", "../../etc/passwd", "a/../../b", "", "C:/x"])
def test_a_ledger_leads_nowhere_else(ledger: Path, file: Stocked, uri: str) -> None:
    """A ledger that came from elsewhere cannot have other files copied."""
    assert path_of(uri, ledger=ledger) is None
    assert state_of(replace(file, uri=uri), ledger=ledger) is State.MISSING


def test_a_copy_that_cannot_be_written_is_told(ledger: Path, file: Stocked, tmp_path: Path) -> None:
    """With its name, and without half a file."""
    (tmp_path / "to" / "_Ada_1.csv").mkdir(parents=True)
    with pytest.raises(FilesError, match=r"_Ada_1\.csv cannot be written"):
        copied([file], ledger=ledger, folder=tmp_path / "to")
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["_Ada_1.csv"]


def test_a_file_that_is_there_no_more_is_not_copied(ledger: Path, file: Stocked, tmp_path: Path) -> None:
    """It is missing, and the others are copied all the same."""
    gone = replace(file, uri="rowmill.files/none.csv", stem="gone")
    found = copied([gone, file], ledger=ledger, folder=tmp_path / "to")
    assert [state for _, state, _ in found] == [State.MISSING, State.WHOLE]
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["_Ada_1.csv"]
