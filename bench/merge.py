"""How results reach the one ledger: Arrow over a socket, journals, inserts over Quack, Parquet parts.

`python -m bench merge`; `python -m bench.merge --way frames --rows 20000 --group 100` measures one case.

Two processes, as a batch and one of its workers. The worker has task runs as facts in its memory and makes
them durable; what is counted begins there: its own CPU, that of the process that has the ledger, and the time
until the worker knows that a group cannot be lost. Making the facts is the same for all, and is left out.

- frames: the worker sends facts, the other end commits each group and says so.
- journal: the worker appends facts to its journal, synced; the other takes in 2,000 rows at a time.
- quack: the worker inserts them itself, in a transaction of its own, into the ledger that the other serves.
- parts: the worker writes Parquet files, synced and renamed whole; the other merges them in large pieces.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bench.children import ROOT, command, json_of
from tasks_lib.ledger import Facts, Ledger, facts_of, open_ledger, together
from tasks_lib.ledger.extensions import load_extensions
from tasks_lib.ledger.journal import Entry, Journal, WrittenJournal, journal_path
from tasks_lib.ledger.statements import literal, statement
from tests.ledger.builders import answered, begin, plan, run, task

_REVIEW = "The phone arrived quickly and the battery lasts two days. " * 6
_GROUPS = (100, 1_000, 10_000)
_MERGED_AT_ONCE = 10_000  # rows of parts that are merged in one commit
_TAKEN_IN_AT_ONCE = 2_000  # rows of a journal, as a batch does
_EXTENSIONS = ("httpfs", "quack")
_NO_FETCHING: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": "1",
}


def merge(*, rows: int, groups: Sequence[int] = _GROUPS) -> Iterator[str]:
    """Lines of a table: CPU on both sides and the wait until a group is durable, by way and group."""
    yield "CPU µs a row from facts in a worker's memory to the ledger, and ms until a group is durable"
    yield "| way | rows a group | worker | ledger's process | together | ms, median | ms, 95 of 100 |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for group in groups:
        for way in _WAYS:
            found = json_of(
                "bench.merge", "--way", way, "--rows", str(max(rows, 3 * group)), "--group", str(group)
            )
            there, here = found["worker_us_per_row"], found["ledger_us_per_row"]
            yield (
                f"| {way} | {group:,} | {there:,.1f} | {here:,.1f} | {there + here:,.1f} "
                f"| {found['ms_median']:,.1f} | {found['ms_95']:,.1f} |"
            )


def _measured(way: str, *, rows: int, group: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name, open_ledger(Path(name) / "ledger.duckdb") as ledger:
        folder = Path(name)
        batch = begin(ledger)
        setting = {"batch_id": batch, "folder": str(folder), **(_serve(ledger) if way == "quack" else {})}
        with Listener(str(folder / "socket"), "AF_UNIX") as listener:
            sizes = ("--rows", str(rows), "--group", str(group))
            worker = subprocess.Popen(
                command("bench.merge", "--join", str(listener.address), "--way", way, *sizes), cwd=ROOT
            )
            try:
                with listener.accept() as worker_end:
                    worker_end.send(setting)
                    assert worker_end.recv() == "ready"
                    worker_end.send("go")
                    cpu = time.process_time()
                    told = _TAKERS[way](worker_end, ledger, batch)
                    cpu = time.process_time() - cpu
            finally:
                worker.wait(timeout=60)
        found = ledger.cursor().execute("select count(*), count(distinct identity) from task_runs").fetchone()
        assert found == (rows, rows), f"{found} of {rows} rows"
        (attempts,) = ledger.cursor().execute("select count(*) from attempts").fetchone() or (0,)
        assert attempts == rows
    took = sorted(told["seconds"])
    return {
        "worker_us_per_row": told["cpu"] / rows * 1e6,
        "ledger_us_per_row": cpu / rows * 1e6,
        "ms_median": median(took) * 1e3,
        "ms_95": (quantiles(took, n=20)[-1] if len(took) > 1 else took[0]) * 1e3,
    }


# the ledger's end


def _take_frames(worker: Connection, ledger: Ledger, batch: str) -> dict[str, Any]:
    while isinstance(frame := worker.recv(), Facts):
        ledger.add_facts(frame, batch_id=batch)
        worker.send(True)
    return dict(frame)


def _take_nothing(worker: Connection, ledger: Ledger, batch: str) -> dict[str, Any]:
    del ledger, batch  # the worker does it all
    told: dict[str, Any] = worker.recv()
    return told


def _take_journal(worker: Connection, ledger: Ledger, batch: str) -> dict[str, Any]:
    waiting: list[Facts] = []
    rows = 0
    journal = WrittenJournal(journal_path(ledger.path, batch, 0, 1))
    while isinstance(entry := worker.recv(), Entry):
        waiting.append(journal.facts(entry.at, entry.end))
        rows += waiting[-1].task_runs.num_rows
        if rows >= _TAKEN_IN_AT_ONCE:
            ledger.add_facts(together(waiting), batch_id=batch)
            waiting, rows = [], 0
    if waiting:
        ledger.add_facts(together(waiting), batch_id=batch)
    journal.remove()
    return dict(entry)


def _take_parts(worker: Connection, ledger: Ledger, batch: str) -> dict[str, Any]:
    waiting: list[Path] = []
    rows = 0
    while isinstance(part := worker.recv(), tuple):
        waiting.append(Path(part[0]))
        rows += part[1]
        if rows >= _MERGED_AT_ONCE:
            _merge(waiting, ledger, batch)
            waiting, rows = [], 0
    if waiting:
        _merge(waiting, ledger, batch)
    return dict(part)


def _merge(parts: Sequence[Path], ledger: Ledger, batch: str) -> None:
    """Commit what is in the parts; their names would have to be committed with it, and are not here."""
    facts = [_read(part) for part in parts]
    ledger.add_facts(together(facts), batch_id=batch)
    for part in parts:
        for file in part.iterdir():
            file.unlink()
        part.rmdir()


def _read(part: Path) -> Facts:
    runs, attempts = (pq.read_table(part / f"{name}.parquet") for name in ("task_runs", "attempts"))
    empty = facts_of((), revision_ids={})
    return Facts(
        task_runs=runs.cast(empty.task_runs.schema),
        attempts=attempts.cast(empty.attempts.schema),
        files=empty.files,
        groups={},
    )


def _serve(ledger: Ledger) -> dict[str, str]:
    """Serve the ledger to somebody who may write to it, as no batch of ours does."""
    connection = ledger.cursor()
    load_extensions(connection, *_EXTENSIONS, extra="live")
    ledger._connections.allow_memory(longest_text=None)  # noqa: SLF001 - as `ledger.serve` does
    token = "bench-" + os.urandom(16).hex()
    connection.execute("set global quack_authorization_function = ''")
    for port in range(18_790, 18_799):
        uri = f"quack:127.0.0.1:{port}"
        try:
            connection.execute(f"call quack_serve({literal(uri)}, token => {literal(token)})")
        except duckdb.Error:
            continue
        return {"uri": uri, "token": token}
    raise RuntimeError("no port is free")


# the worker's end


def _work(address: str, way: str, *, rows: int, group: int) -> None:
    with Client(address, "AF_UNIX") as ledger_end:
        setting = ledger_end.recv()
        all_facts = _facts(rows=rows, group=group)
        send = _SENDERS[way](ledger_end, setting)
        ledger_end.send("ready")
        ledger_end.recv()
        seconds: list[float] = []
        cpu = time.process_time()
        for facts in all_facts:
            began = time.perf_counter()
            send(facts)
            seconds.append(time.perf_counter() - began)
        cpu = time.process_time() - cpu
        ledger_end.send({"cpu": cpu, "seconds": seconds})


def _facts(*, rows: int, group: int) -> list[Facts]:
    ids = {one.fingerprint: task().revision_id(one) for one in task().revisions}
    return [
        facts_of(
            [
                run(
                    plan(key=str(number), number=number, text=f"{_REVIEW}{number}"),
                    answered({"row_id": str(number), "sentiment": "positive", "score": 0.5}),
                )
                for number in range(first, min(first + group, rows + 1))
            ],
            revision_ids=ids,
        )
        for first in range(1, rows + 1, group)
    ]


def _by_frames(ledger_end: Connection, setting: dict[str, str]) -> Callable[[Facts], None]:
    del setting

    def send(facts: Facts) -> None:
        ledger_end.send(facts)
        ledger_end.recv()

    return send


def _by_journal(ledger_end: Connection, setting: dict[str, str]) -> Callable[[Facts], None]:
    ledger = Path(setting["folder"]) / "ledger.duckdb"
    journal = Journal(ledger, batch_id=setting["batch_id"], worker=0, large=1 << 40)  # all in one file

    def send(facts: Facts) -> None:
        ledger_end.send(journal.append(facts))

    return send


def _by_quack(ledger_end: Connection, setting: dict[str, str]) -> Callable[[Facts], None]:
    del ledger_end
    connection = duckdb.connect(config=_NO_FETCHING)
    load_extensions(connection, *_EXTENSIONS, extra="live")
    connection.execute(f"create secret (type quack, token {literal(setting['token'])})")
    connection.execute(f"attach {literal(setting['uri'])} as ledger")
    inserts = []
    for table in ("task_runs", "attempts"):
        text = statement("queries", f"add_{table}").replace(
            f"insert into {table}", f"insert into ledger.{table}"
        )
        for parameter, value in (
            ("$batch_id", literal(setting["batch_id"])),
            ("$task_id", literal(task().id)),
            ("$user_id", "'ada'"),
        ):
            text = text.replace(parameter, value)
        inserts.append(text)

    def send(facts: Facts) -> None:
        connection.register("arriving_task_runs", facts.task_runs)
        connection.register("arriving_attempts", facts.attempts)
        connection.execute("begin")
        for text in inserts:
            connection.execute(text)
        connection.execute("commit")

    return send


def _by_parts(ledger_end: Connection, setting: dict[str, str]) -> Callable[[Facts], None]:
    folder = Path(setting["folder"]) / "parts"
    folder.mkdir()
    numbers = iter(range(1_000_000))

    def send(facts: Facts) -> None:
        number = next(numbers)
        part = folder / f"{number}.arriving"
        part.mkdir()
        for name, table in (("task_runs", facts.task_runs), ("attempts", facts.attempts)):
            _write_synced(part / f"{name}.parquet", table)
        _sync(part)
        whole = part.rename(folder / f"{number}")
        _sync(folder)
        ledger_end.send((str(whole), facts.task_runs.num_rows))

    return send


def _write_synced(path: Path, table: pa.Table) -> None:
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", use_dictionary=False)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_TAKERS: Final = {
    "frames": _take_frames,
    "journal": _take_journal,
    "quack": _take_nothing,
    "parts": _take_parts,
}
_SENDERS: Final = {"frames": _by_frames, "journal": _by_journal, "quack": _by_quack, "parts": _by_parts}
_WAYS = tuple(_TAKERS)


def main() -> None:
    """Measure one case and print it, or be its worker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=_WAYS, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--group", type=int, required=True)
    parser.add_argument("--join", help="be the worker of who listens there")
    given = parser.parse_args()
    if given.join:
        _work(given.join, given.way, rows=given.rows, group=given.group)
    else:
        print(json.dumps(_measured(given.way, rows=given.rows, group=given.group)))


if __name__ == "__main__":
    main()
