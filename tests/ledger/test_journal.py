"""Runs that are over and not yet in the ledger, in files that outlive whoever wrote them."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from tasks_lib.ledger import Facts, Ledger, LedgerError, facts_of, journal, open_ledger, together
from tasks_lib.ledger.journal import Entry, Journal, WrittenJournal, entries_after, journal_path
from tests.ledger.builders import answered, batch_id, begin, end, plan, run

ROOT = Path(__file__).parents[2]


def facts(keys: str, *, first: int = 1) -> Facts:
    """Runs of these rows, each with a group of its own."""
    runs = [
        run(plan(key=key, number=number, group=f"group {key}"), answered({"key": key}))
        for number, key in enumerate(keys, start=first)
    ]
    return facts_of(runs, revision_ids={one.plan.revision.fingerprint: "0" * 32 for one in runs})


def keys(of: Facts) -> str:
    return "".join(str(key) for key in of.task_runs.column("row_key").to_pylist())


def begun(path: Path) -> str:
    """A ledger in which a batch was begun, by a process that is dead."""
    id_ = batch_id()
    with open_ledger(path) as ledger:
        begin(ledger, id_=id_)
    return id_


def written(path: Path, batch: str, *groups: str, worker: int | None = 0) -> list[Entry]:
    """Where a worker that is gone has these rows."""
    made = Journal(path, batch_id=batch, worker=worker)
    entries = [made.append(facts(group)) for group in groups]
    made.close()
    return entries


def in_ledger(path: Path) -> str:
    with open_ledger(path) as ledger:
        return "".join(row["row_key"] for row in ledger.sql(IN_ORDER).to_pylist())


def beside(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*journal-*"))


IN_ORDER = "select row_key from task_runs order by row_key"


def test_what_was_appended_can_be_read_as_it_was(path: Path) -> None:
    """Tables with their types, empty ones among them, and groups with their times; entry by entry."""
    batch = batch_id()
    some = [facts("ab"), facts("c"), together([facts("d"), facts("ef")])]
    made = Journal(path, batch_id=batch, worker=3)
    entries = [made.append(one) for one in some]
    there = WrittenJournal(journal_path(path, batch, 3, 1))  # while its writer goes on
    assert there.batch_id == batch
    for entry, one in zip(entries, some, strict=True):
        found = there.facts(entry.at, entry.end)
        assert found.task_runs.equals(one.task_runs)
        assert found.attempts.equals(one.attempts)
        assert found.groups == one.groups
        assert {name: table.schema for name, table in found.told_by_hosts.items()} == {
            name: table.schema for name, table in one.told_by_hosts.items()
        }
    assert list(there.places()) == [(entry.at, entry.end) for entry in entries]
    made.close()
    there.close()


@pytest.mark.parametrize(("large", "files"), [(1, [1, 2, 3]), (1 << 20, [1, 1, 1])])
def test_what_nobody_heard_of_is_found_from_there_on(path: Path, large: int, files: list[int]) -> None:
    """Of a worker alone, after what it told last, in its next files too; nothing, where it never wrote."""
    batch = batch_id()
    made = Journal(path, batch_id=batch, worker=1, large=large)
    entries = [made.append(facts(group)) for group in ("ab", "c", "d")]
    made.close()
    written(path, batch, "x", worker=11)
    assert [entry.file for entry in entries] == files
    for told, left in ((None, ["ab", "c", "d"]), (entries[0], ["c", "d"]), (entries[2], [])):
        found = entries_after(path, batch_id=batch, worker=1, last=told)
        assert [keys(one) for _, one in found] == left
    assert entries_after(path, batch_id=batch, worker=2, last=None) == []


@pytest.mark.parametrize("worker", [0, None])
def test_whoever_opens_the_ledger_has_what_a_dead_batch_left(path: Path, worker: int | None) -> None:
    """Once, with its groups and attempts, whatever of it was committed before; the files are gone then."""
    batch = begun(path)
    made = Journal(path, batch_id=batch, worker=worker)
    one, other = facts("ab"), facts("cd")
    made.append(one)
    made.append(other)
    made.close()
    with open_ledger(path) as ledger:  # the batch had gone so far
        assert in_order(ledger) == "abcd"
        assert beside(path) == []
    made = Journal(path, batch_id=batch, worker=worker)
    made.append(other)
    made.append(facts("e", first=5))
    made.close()
    assert in_ledger(path) == "abcde"
    with open_ledger(path) as ledger:
        (told,) = ledger.sql(
            "select count(distinct id) as ids, count(*) as runs, count(distinct reporting_group) as groups, "
            "(select count(*) from attempts) as attempts from task_runs"
        ).to_pylist()
    assert told == {"ids": 5, "runs": 5, "groups": 5, "attempts": 5}


def in_order(ledger: Ledger) -> str:
    return "".join(row["row_key"] for row in ledger.sql(IN_ORDER).to_pylist())


def test_who_only_reads_has_it_too(path: Path) -> None:
    """And so has whoever begins the next batch: the dead one counts all of its runs."""
    batch = begun(path)
    written(path, batch, "ab", "c")
    with open_ledger(path, read_only=True) as ledger:
        assert in_order(ledger) == "abc"
    written(path, batch, "d")
    with open_ledger(path) as ledger:
        begin(ledger)
        (dead,) = ledger.sql("select completed from batches where status = 'interrupted'").to_pylist()
    assert dead == {"completed": 4}


def test_a_batch_that_runs_keeps_its_journals(path: Path) -> None:
    """Its own process takes them in; until then nobody else does."""
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        written(path, batch, "ab")
        with open_ledger(path) as other:
            assert in_order(other) == ""
        end(ledger, batch)
    assert in_ledger(path) == "ab"


def test_journals_of_a_ledger_that_is_gone_are_left(path: Path) -> None:
    """They are no runs of the one that took its place."""
    batch = begun(path)
    written(path, batch, "ab")
    path.unlink()
    assert in_ledger(path) == ""
    assert len(beside(path)) == 1


@pytest.mark.parametrize("cut", [1, 12, 700])
def test_a_torn_end_is_none(path: Path, cut: int) -> None:
    """A worker was killed as it wrote: what it had written before is whole."""
    batch = begun(path)
    *_, last = written(path, batch, "ab", "c", "d")
    file = beside(path)[0]
    with file.open("r+b") as opened:
        opened.truncate(last.end - cut)
    assert in_ledger(path) == "abc"


@pytest.mark.parametrize("left", [0, 20, 4_000])
def test_a_file_that_was_hardly_begun_holds_nothing(path: Path, left: int) -> None:
    """Not even what it is of, or what its tables have."""
    batch = begun(path)
    written(path, batch, "ab")
    with beside(path)[0].open("r+b") as opened:
        opened.truncate(left)
    assert in_ledger(path) == ""


def change(file: Path, at: int, by: bytes | None = None) -> None:
    """Have other bytes there, or one bit changed."""
    with file.open("r+b") as opened:
        opened.seek(at)
        (byte,) = opened.read(1)
        opened.seek(at)
        opened.write(by if by is not None else bytes([byte ^ 1]))


@pytest.mark.parametrize("at", [9, 600])
def test_a_last_entry_that_is_wrong_is_none(path: Path, at: int) -> None:
    """As after a loss of power; whoever was told of it hears that."""
    batch = begun(path)
    entries = written(path, batch, "ab", "c")
    change(beside(path)[0], entries[1].at + at)
    there = WrittenJournal(beside(path)[0])
    with pytest.raises(LedgerError, match="is damaged at byte"):
        there.facts(entries[1].at, entries[1].end)
    there.close()
    assert (in_ledger(path), beside(path)) == ("ab", [])


def test_zeros_at_the_end_are_no_entry(path: Path) -> None:
    """A file system may have made a file longer than what it wrote to it."""
    batch = begun(path)
    written(path, batch, "ab")
    with beside(path)[0].open("ab") as opened:
        opened.write(bytes(5_000))
    assert (in_ledger(path), beside(path)) == ("ab", [])


@pytest.mark.parametrize(("at", "left"), [(7_000, ""), (None, "ab")])
def test_what_is_damaged_in_the_middle_is_set_aside_and_told(path: Path, at: int | None, left: str) -> None:
    """What is before the damage is taken in; that something is lost is told once."""
    batch = begun(path)
    entries = written(path, batch, "ab", "c", "d")
    change(beside(path)[0], entries[1].at + 600 if at is None else at, b"!")
    with pytest.raises(LedgerError, match=r"is damaged: .*damaged-journal-.* at byte"):
        open_ledger(path)
    assert in_ledger(path) == left
    assert [one.name.startswith("ledger.duckdb.damaged-journal-") for one in beside(path)] == [True]


def test_a_file_of_another_format_is_left_and_told(path: Path) -> None:
    """It may be a later version's, and hold what was paid."""
    batch = begun(path)
    written(path, batch, "ab")
    change(beside(path)[0], 7, b"9")
    with pytest.raises(LedgerError, match="was written by a later version of rowmill"):
        open_ledger(path)
    with open_ledger(path, read_only=True) as ledger:
        assert in_order(ledger) == ""
    change(beside(path)[0], 7, b"1")
    assert in_ledger(path) == "ab"


def test_a_later_version_reads_what_an_earlier_one_wrote(path: Path) -> None:
    """A column that is new is null, one that is no more is left out, and a number may be of another type."""
    batch = begun(path)
    written(path, batch, "ab")
    file = beside(path)[0]
    there = WrittenJournal(file)
    (place,) = there.places()
    before = there.facts(*place)
    there.close()

    def older(schema: pa.Schema) -> pa.Schema:
        schema = schema.remove(schema.get_field_index("revision_tag"))
        number = schema.get_field_index("row_number")
        return schema.set(number, schema.field(number).with_type(pa.int32())).append(
            pa.field("mood", pa.string())
        )

    schemas = {**journal.SCHEMAS, "task_runs": older(journal.SCHEMAS["task_runs"])}
    columns = {name: before.task_runs.column(name) for name in before.task_runs.column_names}
    columns |= {
        "mood": pa.chunked_array([pa.array(["good", "bad"])]),
        "row_number": columns["row_number"].cast(pa.int32()),
    }
    table = pa.Table.from_arrays(
        [columns[name] for name in schemas["task_runs"].names], schema=schemas["task_runs"]
    )
    messages = (table.to_batches()[0].serialize().to_pybytes(), *before.messages()[1:])
    told = orjson.dumps({"lengths": list(map(len, messages)), "groups": {}})
    body = journal._BODY.pack(len(told)) + told + b"".join(messages)
    head = orjson.dumps({name: schema.serialize().to_pybytes().hex() for name, schema in schemas.items()})
    whole = file.read_bytes()
    magic, id_, _ = journal._HEAD.unpack_from(whole)
    file.write_bytes(
        journal._HEAD.pack(magic, id_, len(head))
        + head
        + journal._ENTRY.pack(len(body), journal.crc32(body))
        + body
    )
    with open_ledger(path) as ledger:
        found = ledger.sql("select row_key, row_number, revision_tag from task_runs order by 1").to_pylist()
    assert found == [
        {"row_key": "a", "row_number": 1, "revision_tag": None},
        {"row_key": "b", "row_number": 2, "revision_tag": None},
    ]


def test_a_worker_that_outlives_its_batch_is_waited_for(path: Path) -> None:
    """What it still writes is not asked again."""
    batch = begun(path)
    made = Journal(path, batch_id=batch, worker=0)
    made.append(facts("ab"))

    def go_on() -> None:
        time.sleep(0.3)
        made.append(facts("c"))
        made.close()

    worker = threading.Thread(target=go_on)
    worker.start()
    assert in_ledger(path) == "abc"
    worker.join()


def test_one_that_does_not_end_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do; who only reads has what is there."""
    monkeypatch.setattr(journal, "_PATIENCE", 0.2)
    batch = begun(path)
    made = Journal(path, batch_id=batch, worker=0)
    made.append(facts("ab"))
    with pytest.raises(LedgerError, match="is still being written, by a worker whose batch is dead"):
        open_ledger(path)
    with open_ledger(path, read_only=True) as ledger:
        assert in_order(ledger) == ""
    made.close()
    assert in_ledger(path) == "ab"


_KILLED = """
import os, signal, sys
from pathlib import Path
from tasks_lib.ledger.journal import Journal
from tests.ledger.test_journal import facts
journal = Journal(Path(sys.argv[1]), batch_id=sys.argv[2], worker=0)
for key in "abcdefgh":
    journal.append(facts(key))
os.kill(os.getpid(), signal.SIGKILL)
"""
_FULL = """
import resource, signal, sys
from pathlib import Path
from tasks_lib.ledger import LedgerError
from tasks_lib.ledger.journal import Journal
from tests.ledger.test_journal import facts
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]), batch_id=sys.argv[2], worker=0)
at = journal.append(facts("a")).end
resource.setrlimit(resource.RLIMIT_FSIZE, (at + 1000, resource.RLIM_INFINITY))
try:
    journal.append(facts("b"))
except LedgerError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(facts("c"))
"""


def child(script: str, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_was_appended_outlives_a_kill(path: Path) -> None:
    """Every entry whose append came back is there."""
    batch = begun(path)
    assert child(_KILLED, path, batch).returncode == -signal.SIGKILL
    assert in_ledger(path) == "abcdefgh"


def test_a_full_disk_is_told_and_hides_nothing(path: Path) -> None:
    """The runs that found no room are refused, and those before and after it are there."""
    batch = begun(path)
    done = child(_FULL, path, batch)
    assert "cannot be written: File too large. What was written before is safe" in done.stdout, done.stderr
    assert in_ledger(path) == "ac"


def test_times_of_groups_are_kept(path: Path) -> None:
    """A group's first use is what the run says, not when it was taken in."""
    batch = begun(path)
    written(path, batch, "a")
    with open_ledger(path) as ledger:
        (told,) = ledger.sql(
            "select groups.created_at = runs.created_at as same from reporting_groups groups, task_runs runs"
        ).to_pylist()
    assert told == {"same": True}
