"""Runs that processes of this machine have written down, on their way into one ledger."""

from pathlib import Path

import anyio
import pytest

from tasks_lib.engine.stop import Stop
from tasks_lib.job.books import Books
from tasks_lib.job.causes import sole_cause
from tasks_lib.job.counted import Counted
from tasks_lib.job.tally import Tally
from tasks_lib.job.workers import merging as made
from tasks_lib.job.workers.merging import Merging, merging
from tasks_lib.ledger import Facts, Ledger, LedgerError, facts_of, open_ledger
from tasks_lib.ledger.journal import Journal
from tests.ledger.builders import answered, begin, end, plan, run

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Writer:
    """A worker that writes what it has to its journal, and tells it."""

    def __init__(self, ledger: Ledger, batch: str, *, worker: int | None) -> None:
        self.journal = Journal(ledger.path, batch_id=batch, worker=worker)
        self._worker = worker

    def write(self, keys: str, *, to: Merging | None) -> None:
        """Rows with these keys; told to nobody, if there is nobody."""
        runs = [run(plan(key=key, number=ord(key)), answered({"key": key})) for key in keys]
        facts = facts_of(runs, revision_ids={one.plan.revision.fingerprint: "0" * 32 for one in runs})
        entry = self.journal.append(facts)
        if to is not None:
            to.take([Counted.of(one) for one in runs], worker=self._worker, entry=entry)


def keys_in(ledger: Ledger) -> str:
    rows = ledger.sql("select row_key from task_runs order by row_key").to_pylist()
    return "".join(row["row_key"] for row in rows)


def left(folder: Path) -> list[str]:
    return sorted(path.name.rpartition("-journal-")[2][-8:] for path in folder.glob("*journal-*"))


async def test_what_is_told_is_durable_at_once_and_in_the_ledger_at_the_end(tmp_path: Path) -> None:
    """Of several workers and several files of one; nothing is left of them."""
    tally = Tally()
    with open_ledger(tmp_path / "ledger.duckdb") as ledger:
        batch = begin(ledger)
        writers = [Writer(ledger, batch, worker=worker) for worker in (0, 1, None)]
        async with merging(ledger, batch_id=batch, books=Books(tally, Stop())) as to:
            for writer, keys in zip(writers, ("abc", "d", "ef"), strict=True):
                writer.write(keys, to=to)
            writers[0].journal.close()  # so that what comes next is in another file
            writers[0].write("gh", to=to)
            assert (tally.completed, tally.durable_completed) == (8, 8)
        for writer in writers:
            writer.journal.close()
        assert keys_in(ledger) == "abcdefgh"
        assert left(tmp_path) == []
        end(ledger, batch)


async def test_the_ledger_has_runs_while_the_batch_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once when there are enough, after a moment when there are few; files that are done are removed."""
    monkeypatch.setattr(made, "_WORTH", 3)
    commits: list[int] = []
    committed = anyio.Event()

    def heard(facts: Facts) -> None:
        commits.append(facts.task_runs.num_rows)
        anyio.from_thread.run_sync(committed.set)

    with open_ledger(tmp_path / "ledger.duckdb") as ledger:
        batch = begin(ledger)
        ledger.listener = heard
        writer = Writer(ledger, batch, worker=0)
        async with merging(ledger, batch_id=batch, books=Books(Tally(), Stop())) as to:
            for keys in ("ab", "cd", "e"):
                writer.write(keys, to=to)
                writer.journal.close()
                if keys == "cd":
                    await committed.wait()
                    committed = anyio.Event()
            await committed.wait()
            assert commits == [4, 1]
            assert "0-000001" not in left(tmp_path)
        end(ledger, batch)


async def test_what_was_written_and_not_told_is_left_for_the_next(tmp_path: Path) -> None:
    """The end of a batch removes no file that has more than the ledger."""
    with open_ledger(tmp_path / "ledger.duckdb") as ledger:
        batch = begin(ledger)
        writer = Writer(ledger, batch, worker=0)
        async with merging(ledger, batch_id=batch, books=Books(Tally(), Stop())) as to:
            writer.write("ab", to=to)
            writer.write("c", to=None)
        assert (keys_in(ledger), left(tmp_path)) == ("ab", ["0-000001"])
        writer.journal.close()
        end(ledger, batch)
    with open_ledger(tmp_path / "ledger.duckdb") as ledger:
        assert (keys_in(ledger), left(tmp_path)) == ("abc", [])


class Full(Ledger):
    """A ledger on a full disk."""

    def __init__(self, ledger: Ledger) -> None:
        self.path = ledger.path

    def add_facts(self, facts: Facts, *, batch_id: str) -> None:
        """See `Ledger`."""
        raise LedgerError(f"no room for {facts.task_runs.num_rows} runs of {batch_id}")


async def test_what_the_ledger_does_not_take_stays_in_its_file(tmp_path: Path) -> None:
    """Whoever waits hears why, and the next who opens the ledger has it."""
    with open_ledger(tmp_path / "ledger.duckdb") as ledger:
        batch = begin(ledger)
        writer = Writer(ledger, batch, worker=0)

        async def go_on() -> None:
            async with merging(Full(ledger), batch_id=batch, books=Books(Tally(), Stop())) as to:
                writer.write("ab", to=to)
                await anyio.sleep_forever()

        with pytest.raises(BaseExceptionGroup) as told:
            await go_on()
        assert str(sole_cause(told.value)) == f"no room for 2 runs of {batch}"
        writer.journal.close()
        end(ledger, batch)
    with open_ledger(tmp_path / "ledger.duckdb") as ledger:
        assert (keys_in(ledger), left(tmp_path)) == ("ab", [])
