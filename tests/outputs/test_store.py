"""Files beside the ledger: whole or not at all, and swept where a batch was killed."""

import hashlib
import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest
import uuid_utils

from tasks_lib.domain.files import FileFact
from tasks_lib.outputs import FilesError, FileStore, sweep, writing
from tasks_lib.outputs.store import PART, shards_of
from tests.outputs.pieces import KnownHere, png

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "rowmill.duckdb")


def new_id() -> str:
    return str(uuid_utils.uuid7())


def crash(store: FileStore, batch: str) -> FileFact:
    """The file of a batch that came to no orderly end."""
    with suppress(RuntimeError), writing(store, batch_id=batch):
        kept = store.put(png(), task_run_id=new_id(), mime_type="image/png")
        raise RuntimeError
    return kept


def in_it(store: FileStore) -> list[Path]:
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def test_a_file_is_kept_under_its_runs_name(store: FileStore) -> None:
    """It lies beside the ledger, its URI is relative to the ledger's folder, and its facts are its own."""
    run, content = new_id(), png()
    fact = store.put(content, task_run_id=run, mime_type="image/png")
    assert fact.name == f"{run}.png"
    assert fact.uri == f"rowmill.files/{run[:6]}/{run[6:8]}{run[9]}/{run}.png"
    assert (fact.size, fact.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (store.folder.parent / fact.uri).read_bytes() == content
    assert len(in_it(store)) == 1


def test_no_folder_grows_without_bound() -> None:
    """A folder is one of four seconds in one of five hours, whatever is random about an id."""
    assert shards_of("019f3c5a-7b00-7000-8000-000000000000") == ("019f3c", "5a7")
    assert shards_of("019f3c5a-7b00-7fff-bfff-ffffffffffff") == ("019f3c", "5a7")


def test_a_ledger_in_memory_has_no_store() -> None:
    """There is no folder beside it."""
    assert FileStore.beside(Path(":memory:")) is None


def test_a_store_proves_that_it_can_write(store: FileStore, tmp_path: Path) -> None:
    """The proof leaves nothing, and a folder that is a file is told with what to do."""
    store.prove_writable()
    assert list(tmp_path.iterdir()) == []
    store.folder.write_text("in the way")
    with pytest.raises(FilesError, match=r"rowmill\.files cannot be written: .*name another ledger"):
        store.prove_writable()


def test_a_full_disk_leaves_nothing(store: FileStore) -> None:
    """What does not fit is told in words, and neither it nor a part of it stays; what fits is kept."""
    script = (
        "import resource, sys; from pathlib import Path; from tasks_lib.outputs import *;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "store = FileStore(Path(sys.argv[1]));"
        "store.put(b'small', task_run_id=sys.argv[2], mime_type='text/csv');"
        "store.put(b'x' * 10_000, task_run_id=sys.argv[3], mime_type='text/csv')"
    )
    small, large = new_id(), new_id()
    ledger = store.folder.parent / "rowmill.duckdb"
    done = subprocess.run(
        [sys.executable, "-c", script, str(ledger), small, large],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "FilesError: no room left on the disk of" in done.stderr
    assert [path.name for path in in_it(store)] == [f"{small}.csv"]


_WRITER = """
import sys, uuid_utils
from pathlib import Path
from tasks_lib.outputs import FileStore, writing
store = FileStore(Path(sys.argv[1]))
content = bytes(range(256)) * 4096
with writing(store, batch_id=sys.argv[2]):
    while True:
        fact = store.put(content, task_run_id=str(uuid_utils.uuid7()), mime_type="image/png")
        print(fact.name, fact.sha256, flush=True)
"""


@pytest.fixture
def killed(store: FileStore) -> tuple[str, list[str]]:
    """A batch that was killed while it wrote files: its id, and the files that it told of."""
    batch = new_id()
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(store.folder.parent / "rowmill.duckdb"), batch],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().splitlines(keepends=True)
    return batch, [line for line in told if line.endswith("\n")]


def test_a_kill_leaves_whole_files_alone(store: FileStore, killed: tuple[str, list[str]]) -> None:
    """After a kill -9 in the middle of writing every file that has its name is whole."""
    _, told = killed
    hashes = dict(line.split() for line in told)
    found = [path for path in in_it(store) if path.suffix == ".png"]
    assert {path.name for path in found} >= set(hashes)
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in found} == set(hashes.values())


def test_what_a_kill_left_is_swept(store: FileStore, killed: tuple[str, list[str]]) -> None:
    """Files that the ledger knows stay; whole ones that it never got go, and so do half ones and the mark."""
    batch, told = killed
    names = [line.split()[0] for line in told]
    half = in_it(store)[1].parent / f".{new_id()}.png{PART}"
    half.write_bytes(b"half")
    known = KnownHere(batches={batch}, files=set(names[:3]))
    assert sweep(store, known=known) >= len(names) - 3 + 1
    assert [path.name for path in in_it(store)] == sorted(names[:3])
    assert sweep(store, known=known) == 0


def test_a_batch_that_ended_in_order_leaves_nothing_to_sweep(store: FileStore) -> None:
    """Without a mark no file is looked at, so that a beginning costs nothing however many there are."""
    with writing(store, batch_id=new_id()):
        store.put(png(), task_run_id=new_id(), mime_type="image/png")
    known = KnownHere(batches=set(), files=set())
    assert (sweep(store, known=known), known.asked, len(in_it(store))) == (0, [], 1)


def test_a_batch_that_kept_nothing_leaves_no_folder(store: FileStore) -> None:
    """Mark and folder go with it."""
    with writing(store, batch_id=new_id()):
        assert store.folder.is_dir()
    assert not store.folder.exists()


def test_what_is_older_than_a_dead_batch_is_not_looked_at(store: FileStore) -> None:
    """Only what the dead batch may have made is held against the ledger."""
    old = store.put(png(), task_run_id="019f3c5a-7b00-7000-8000-000000000000", mime_type="image/png")
    batch = new_id()
    young = crash(store, batch)
    known = KnownHere(batches={batch}, files=set())
    assert sweep(store, known=known) == 1
    assert known.asked == [young.name]
    assert [path.name for path in in_it(store)] == [old.name]


def test_another_ledgers_files_are_not_swept(store: FileStore) -> None:
    """A ledger that does not know the dead batch, such as an older copy of itself, removes nothing of it."""
    batch = new_id()
    crash(store, batch)
    before = in_it(store)
    assert sweep(store, known=KnownHere(batches=set(), files=set())) == 0
    assert in_it(store) == before


def test_nothing_is_swept_while_a_batch_of_this_process_writes(store: FileStore) -> None:
    """Its files are written before the ledger knows them."""
    dead = new_id()
    crash(store, dead)
    known = KnownHere(batches={dead}, files=set())
    with writing(store, batch_id=new_id()):
        kept = store.put(png(), task_run_id=new_id(), mime_type="image/png")
        assert sweep(store, known=known) == 0
        assert (store.folder.parent / kept.uri).is_file()


def test_two_processes_write_at_once(store: FileStore) -> None:
    """Workers share the folder; each file is there with its own bytes."""
    script = (
        "import sys, uuid_utils; from pathlib import Path; from tasks_lib.outputs import FileStore;"
        "store = FileStore(Path(sys.argv[1]));"
        "[print(store.put(sys.argv[2].encode() * n, task_run_id=str(uuid_utils.uuid7()),"
        " mime_type='text/csv').uri, n) for n in range(1, 40)]"
    )
    ledger = store.folder.parent / "rowmill.duckdb"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(ledger), text],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for text in "ab"
    ]
    for text, process in zip("ab", running, strict=True):
        assert process.stdout is not None
        with process, closing(process.stdout) as told:
            for line in told:
                uri, times = line.split()
                assert (store.folder.parent / uri).read_text() == text * int(times)
    assert len(in_it(store)) == 2 * 39
