"""Opening a ledger, and everything that can be wrong with the file."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from tasks_lib.domain.mistake import Mistake
from tasks_lib.ledger import Ledger, LedgerError, LedgerInUse, LedgerTooNew, open_ledger
from tests.ledger.builders import begin, plan, run, runs

HOLD = """
import sys
from pathlib import Path
from tasks_lib.ledger import open_ledger
with open_ledger(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_new_file_is_a_ledger(path: Path) -> None:
    """Opening a path where nothing is makes a ledger there, which can be opened again."""
    with open_ledger(path) as ledger:
        begun = begin(ledger)
        ledger.add(list(runs(3)), batch_id=begun)
    with open_ledger(path, read_only=True) as ledger:
        assert ledger.sql("select count(*) as n from task_runs").to_pylist() == [{"n": 3}]


@pytest.mark.parametrize("read_only", [True, False])
def test_another_process_has_it(path: Path, read_only: bool) -> None:
    """While a process has the ledger open for writing, others are told its pid, even if they only read."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(LedgerInUse, match=rf"{path.name} is in use by .*\(pid {child.pid}\)") as caught:
            open_ledger(path, read_only=read_only)
        assert caught.value.pid == child.pid
        child.communicate(input="")
    with open_ledger(path, read_only=read_only):
        pass


def test_readers_share_it(path: Path) -> None:
    """A ledger that nobody writes can be read by several processes."""
    with open_ledger(path):
        pass
    with open_ledger(path, read_only=True):
        code = (
            f"import duckdb; print(duckdb.connect({str(path)!r}, read_only=True).sql('select 1').fetchone())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "(1,)\n"


def test_this_process_has_it(path: Path) -> None:
    """Opening for reading what this process has open for writing says that it is this process."""
    with open_ledger(path), pytest.raises(LedgerInUse, match="open in this process already") as caught:
        open_ledger(path, read_only=True)
    assert caught.value.pid == os.getpid()


def test_closing_lets_go(path: Path) -> None:
    """A closed ledger can be moved by another process, and says that it is closed when it is used."""
    with open_ledger(path) as ledger:
        pass
    with pytest.raises(LedgerError, match="is closed"):
        ledger.sql("select 1")
    code = f"import duckdb; duckdb.connect({str(path)!r}).sql('create table mine (a int)')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_to_read(path: Path) -> None:
    """Reading a ledger that is not there does not make one."""
    with pytest.raises(LedgerError, match="there is no ledger at"):
        open_ledger(path, read_only=True)
    assert not path.exists()


def test_no_folder(tmp_path: Path) -> None:
    """A ledger in a folder that is not there names the folder."""
    with pytest.raises(LedgerError, match=r"the folder .*nowhere of the ledger x\.duckdb does not exist"):
        open_ledger(tmp_path / "nowhere" / "x.duckdb")


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    """A folder in the ledger's place is told as such."""
    with pytest.raises(LedgerError, match="Is a directory"):
        open_ledger(tmp_path)


@pytest.mark.parametrize("content", [b"", b"id,text\n1,good\n", b"SQLite format 3\0" * 1000])
@pytest.mark.parametrize("read_only", [True, False])
def test_not_a_database(path: Path, content: bytes, read_only: bool) -> None:
    """A file that is something else is left as it is."""
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="is not a DuckDB database"):
        open_ledger(path, read_only=read_only)
    assert path.read_bytes() == content


def test_a_database_that_is_no_ledger(path: Path) -> None:
    """A DuckDB database without our tables is not read as an empty ledger."""
    duckdb.connect(path).execute("create table mine (a int)").close()
    with pytest.raises(LedgerError, match="no ledger of rowmill"):
        open_ledger(path, read_only=True)


def test_a_damaged_file(path: Path) -> None:
    """A ledger with overwritten blocks gives one clear error, at the latest when it is read."""
    with open_ledger(path) as ledger:
        begun = begin(ledger)
        ledger.add(list(runs(5_000)), batch_id=begun)
    content = bytearray(path.read_bytes())
    content[12_288:] = b"\xff" * (len(content) - 12_288)  # all but DuckDB's three headers
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger\.duckdb") as caught, open_ledger(path) as ledger:
        ledger.sql("select sum(length(response)) from task_runs")
    assert "\n" not in str(caught.value)


def test_a_ledger_that_is_too_new(path: Path) -> None:
    """A ledger of a later version is refused, for reading and for writing."""
    with open_ledger(path) as ledger:
        ledger.cursor().execute("insert into schema_migrations values (9000, '9000_future', now())")
    for read_only in (True, False):
        with pytest.raises(LedgerTooNew, match="schema version 9000"):
            open_ledger(path, read_only=read_only)


def test_it_is_a_mistake(path: Path) -> None:
    """Whoever tells the user's mistakes tells the ledger's as well."""
    with pytest.raises(Mistake):
        open_ledger(path, read_only=True)


def test_how_it_is_set(path: Path) -> None:
    """Times are UTC whatever the zone, nothing is fetched, nothing is drawn, and memory is bounded."""
    with open_ledger(path) as ledger:
        assert settings(ledger) == {
            "timezone": "UTC",
            "enable_progress_bar": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "checkpoint_threshold": "953.6 MiB",
            "memory_limit": "61.0 MiB",
            "disabled_compression_methods": "Dictionary",
            "threads": "1",
            "enable_external_access": "true",
        }
    with open_ledger(path, read_only=True) as ledger:
        assert settings(ledger)["timezone"] == "UTC"
        assert settings(ledger)["enable_external_access"] == "false"


def settings(ledger: Ledger) -> dict[str, str]:
    names = (
        "timezone",
        "enable_progress_bar",
        "autoinstall_known_extensions",
        "autoload_known_extensions",
        "checkpoint_threshold",
        "memory_limit",
        "disabled_compression_methods",
        "threads",
        "enable_external_access",
    )
    columns = ", ".join(f"current_setting('{name}')::varchar as {name}" for name in names)
    (row,) = ledger.sql(f"select {columns}").to_pylist()
    return row


def test_longer_texts_get_more_memory(path: Path) -> None:
    """The longer the texts that a ledger gets or has, the more memory it takes, and at last what it needs."""
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        limits = []
        for length in (1_400, 3_900, 1_400, 4_100, 10):
            ledger.add([run(plan(text="x" * length))], batch_id=batch)
            limits.append(settings(ledger)["memory_limit"])
    assert limits[:3] == ["61.0 MiB", "152.5 MiB", "152.5 MiB"]
    assert limits[3] == limits[4]
    assert "GiB" in limits[3]
    with open_ledger(path) as ledger:
        assert "GiB" in settings(ledger)["memory_limit"]


def test_more_large_texts_than_the_memory_limit(path: Path) -> None:
    """A commit that needs more memory than we allow DuckDB is made all the same, and in parts."""
    commits: list[int] = []
    large = [run(plan(key=str(n), text=str(n) * 3_000_000)) for n in range(1, 8)]
    with open_ledger(path) as ledger:
        ledger.add(large, batch_id=begin(ledger), on_commit=commits.append)
        assert sum(commits) == 7
        assert len(commits) > 1
        assert len(ledger.answered([one.plan.identity for one in large])) == 7


def test_threads_leave_no_connections_behind(path: Path) -> None:
    """Connections of threads that have ended are closed when another thread comes."""
    with open_ledger(path) as ledger:
        for _ in range(5):
            thread = threading.Thread(target=ledger.batches)
            thread.start()
            thread.join()
        assert len(ledger._connections._cursors) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder without write permission is told as such."""
    folder = tmp_path / "fixed"
    folder.mkdir(mode=0o500)
    with pytest.raises(LedgerError, match="cannot be written"):
        open_ledger(folder / "ledger.duckdb")
