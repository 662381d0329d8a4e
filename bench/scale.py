"""How far one process with one ledger goes: 100 workers and 100 million rows, as far as that can be measured.

`python -m bench scale`. Providers cost nothing here, since there are none: what is measured is the CPU of the
batch's own process, by what it does, in real code. What grows with the ledger is measured at several sizes;
what stands for 100 million rows is the slope of these, as the table says.

- a row's way through that process: read, charted, planned, sent, let in, received, committed.
- a ledger of n rows: a commit, a look-up, a checkpoint, opening, a report, bytes of the file.
- n keys that are looked through for duplicates.
"""

import argparse
import json
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from typing import Final

import anyio
import numpy as np
import pyarrow as pa

from bench.children import json_of
from bench.peak import own_peak_mb
from bench.project import make_project
from tasks_lib.configs import Environment
from tasks_lib.domain.job import Limits
from tasks_lib.domain.packed import packed
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.planner import Charted
from tasks_lib.domain.row import Row
from tasks_lib.domain.run import TaskRun
from tasks_lib.domain.usage import Usage
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.leases import Answer, Ask, Ended, LetIn
from tasks_lib.engine.lessor import Lessor
from tasks_lib.job.checks import columns_of, planner_of
from tasks_lib.job.counted import Counted
from tasks_lib.job.garbage import collect_seldom
from tasks_lib.job.setup import load_setup
from tasks_lib.ledger import Facts, Ledger, facts_of, open_ledger, together
from tasks_lib.rows import open_source
from tasks_lib.rows.scratch import open_scratch
from tasks_lib.rows.seen import Seen
from tests.ledger.builders import answered, begin, plan, run, task

_WORKERS: Final = 100
_ALL: Final = 100_000_000
_AT_ONCE: Final = 20_000  # identities of one look-up, as `job.stretches` has them at most
_STEP: Final = 10_000  # rows a commit while a ledger is filled
_USAGE: Final = Usage(input_tokens=100, output_tokens=20)
_REVIEW: Final = "The phone arrived quickly and the battery lasts two days. "


def scale(*, rows: int, sizes: Sequence[int]) -> Iterator[str]:
    """Lines of three tables; the way of `rows` rows, and ledgers and keys of these sizes."""
    yield f"CPU µs a row in the batch's own process, {_WORKERS} workers elsewhere"
    yield "| what | µs a row |"
    yield "|---|---:|"
    way = json_of("bench.scale", "--way", str(rows))
    for name, microseconds in way.items():
        yield f"| {name} | {microseconds:,.1f} |"
    whole = sum(way.values())
    yield f"| together: {1e6 / whole:,.0f} rows/s a core | {whole:,.1f} |"
    yield ""
    yield from _of_sizes("a ledger of n rows", "--ledger", sizes)
    yield ""
    yield from _of_sizes("n keys, looked through for duplicates", "--keys", sizes)


def _of_sizes(what: str, flag: str, sizes: Sequence[int]) -> Iterator[str]:
    found = json_of("bench.scale", flag, *map(str, sizes))
    yield f"| {what} | {' | '.join(f'{size:,}' for size in sizes)} | at {_ALL:,}, by the slope |"
    yield "|---" + "|---:" * (len(sizes) + 1) + "|"
    for name, values in found.items():
        at_all = np.polyval(np.polyfit(sizes, values, 1), _ALL) if len(sizes) > 1 else float("nan")
        yield f"| {name} | {' | '.join(f'{value:,.1f}' for value in values)} | {at_all:,.0f} |"


# a row's way


def _way(rows: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = make_project(
            folder, base_url="http://127.0.0.1:9/v1", rows=rows, in_flight=64, source="rows.parquet"
        )
        setup = load_setup(job, environment=Environment.of({}))
        took: dict[str, float] = {}
        with open_source(setup.job.source, folder=setup.folder) as source:
            columns = columns_of(setup.job)
            took["the source proved, keys looked through"] = _cpu(
                lambda: source.check(needed=columns, limit=None)
            )
            found: list[Row] = []
            took["rows read"] = _cpu(
                lambda: found.extend(row for some in source.rows(size=2_500, columns=columns) for row in some)
            )
        planner = planner_of(setup.job)
        charted: list[Charted] = []
        took["charted: which answers would do"] = _cpu(
            lambda: charted.extend(one for row in found for one in planner.charts(row))
        )
        plans: list[Plan] = []
        took["planned"] = _cpu(
            lambda: plans.extend(
                planner.plan(one, task_run_id=f"{at:032x}") for at, one in enumerate(charted)
            )
        )
        frames = [plans[first : first + 256] for first in range(0, rows, 256)]
        took["plans sent"] = _cpu(lambda: [pickle.dumps(packed(Plan, frame), protocol=5) for frame in frames])
        took["calls let in and ended, by leases"] = _leased(rows)
        took |= _received_and_committed(folder, rows)
    return {name: seconds / rows * 1e6 for name, seconds in took.items()}


def _leased(rows: int) -> float:
    """CPU seconds for so many calls of all workers, words of theirs and answers to them as bytes."""

    async def lease() -> float:
        gate = Gate(Limits(requests_per_minute=60_000_000, in_flight=1_000_000), now=anyio.current_time())
        lessor = Lessor({"bench": gate})
        let_in: list[int] = []

        def tell(answer: Answer) -> None:
            if isinstance(answer, LetIn):
                let_in.append(answer.number)
                pickle.dumps(answer, protocol=5)

        holders = [lessor.holder(tell) for _ in range(_WORKERS)]
        cpu = time.process_time()
        for number in range(rows):
            holder = holders[number % _WORKERS]
            asked = Ask(number=number, account="bench", input_tokens=100.0, output_tokens=20.0)
            holder.heed(pickle.loads(pickle.dumps(asked, protocol=5)))  # noqa: S301 - our own, of this line
            over = Ended(number=number, made=True, usage=_USAGE, worked=1.0)
            if number % 256 == 255:
                await anyio.sleep(0.005)  # the burst of a tenth of a second comes back
            if let_in:
                holder.heed(pickle.loads(pickle.dumps(over, protocol=5)))  # noqa: S301 - as above
        return time.process_time() - cpu

    return anyio.run(lease)


def _received_and_committed(folder: Path, rows: int) -> dict[str, float]:
    """CPU seconds for the runs of so many rows, in groups of 100 that are committed ten at a time."""
    ids = {one.fingerprint: task().revision_id(one) for one in task().revisions}
    groups = [_runs(first, first + 100) for first in range(0, rows, 100)]
    frames = [
        pickle.dumps(
            (packed(Counted, tuple(map(Counted.of, group))), facts_of(group, revision_ids=ids)), protocol=5
        )
        for group in groups
    ]
    arrived: list[Facts] = []

    def receive() -> None:
        for frame in frames:
            counted, facts = pickle.loads(frame)  # noqa: S301 - our own, of a few lines above
            counted.unpacked()
            arrived.append(facts)

    took = {"answers received": _cpu(receive)}
    with open_ledger(folder / "ledger.duckdb") as ledger:
        batch = begin(ledger)
        pieces = [together(arrived[at : at + 10]) for at in range(0, len(arrived), 10)]
        took["committed, 1,000 rows at a time"] = _cpu(lambda: _commit(ledger, pieces, batch))
    return took


def _commit(ledger: Ledger, pieces: Sequence[Facts], batch: str) -> None:
    for piece in pieces:
        ledger.add_facts(piece, batch_id=batch)


def _runs(first: int, end: int) -> list[TaskRun]:
    return [
        run(
            plan(
                key=str(number), number=number + 1, text=f"{_REVIEW}{number}", group=f"customer-{number % 7}"
            ),
            answered({"row_id": str(number), "sentiment": "positive", "score": 0.5}),
        )
        for number in range(first, end)
    ]


# a ledger of n rows


def _ledger(sizes: Sequence[int]) -> dict[str, list[float]]:
    """Figures of one ledger that grows, at each of the sizes."""
    found: dict[str, list[float]] = {}
    ids = {one.fingerprint: task().revision_id(one) for one in task().revisions}
    like, few = (facts_of(_runs(0, count), revision_ids=ids) for count in (_STEP, 100))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ledger.duckdb"
        rows = 0
        for size in sizes:
            with open_ledger(path) as ledger:
                batch = begin(ledger)
                cpu = 0.0
                for first in range(rows, size, _STEP):
                    piece = _numbered(like, first)
                    before = time.process_time()
                    ledger.add_facts(piece, batch_id=batch)
                    cpu += time.process_time() - before
                figures = {"CPU µs a row while it is filled, 10,000 rows a commit": cpu / (size - rows) * 1e6}
                figures |= _at_size(ledger, batch, size=size, few=_numbered(few, 2 * _ALL))
            rows = size
            figures["MB of the file"] = path.stat().st_size / 1e6
            figures["CPU ms to open it"] = _cpu(lambda: open_ledger(path).close()) * 1e3
            for what, value in figures.items():
                found.setdefault(what, []).append(value)
    return found


def _at_size(ledger: Ledger, batch: str, *, size: int, few: Facts) -> dict[str, float]:
    """What takes longer the more there is in a ledger, or does not."""
    known, others = _identities(0, min(_AT_ONCE, size)), _identities(_ALL, _AT_ONCE)
    acts: dict[str, Callable[[], object]] = {
        "20 commits of 100 rows": lambda: _commit(ledger, [few] * 20, batch),
        "a look-up of 20,000 rows, all answered": lambda: ledger.answered(known),
        "a look-up of 20,000 rows, none answered": lambda: ledger.answered(others),
        "the same, without the batch's own": lambda: ledger.answered(others, but_of=batch),
        "what 20,000 rows have come to, for the output": lambda: ledger.results_table(known),
        "cost_by_reporting_group": lambda: ledger.cursor().execute("from cost_by_reporting_group").fetchall(),
        "latency": lambda: ledger.cursor().execute("from latency").fetchall(),
        "the checkpoint after it": lambda: ledger.cursor().execute("checkpoint"),
    }
    found = {f"CPU ms of {name}": _cpu(act) * 1e3 for name, act in acts.items()}
    return {**found, "peak MB of the process": own_peak_mb()}


def _numbered(facts: Facts, first: int) -> Facts:
    """The same facts of other rows, numbered from `first`."""
    count = facts.task_runs.num_rows
    ids = pa.array([f"{number & (1 << 128) - 1:032x}" for number in range(first, first + count)])
    runs = facts.task_runs
    for name, values in (
        ("id", ids),
        ("identity", pa.array(_identities(first, count))),
        ("input_hash", pa.array(_identities(first + 7 * _ALL, count))),
        ("row_key", pa.array([str(number) for number in range(first, first + count)])),
        ("row_number", pa.array(range(first, first + count), pa.int64())),
    ):
        runs = runs.set_column(runs.schema.get_field_index(name), runs.schema.field(name), values)
    attempts = facts.attempts
    at = attempts.schema.get_field_index("task_run_id")
    return replace(facts, task_runs=runs, attempts=attempts.set_column(at, attempts.schema.field(at), ids))


def _identities(first: int, count: int) -> list[str]:
    """Hashes as those of rows are: in no order."""
    return [
        md5(str(number).encode(), usedforsecurity=False).hexdigest() for number in range(first, first + count)
    ]


# keys


def _keys(sizes: Sequence[int]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"CPU s": [], "peak MB of the process": []}
    for size in sizes:
        with open_scratch(memory="256MB", threads=1) as scratch:
            seen = Seen.of_keys(scratch)

            def look(seen: Seen = seen, size: int = size) -> None:
                for first in range(0, size, 10_000):
                    seen.add([f"customer-{number}" for number in range(first, min(first + 10_000, size))])
                assert seen.duplicates(at_most=3).total == 0

            found["CPU s"].append(_cpu(look))
        found["peak MB of the process"].append(own_peak_mb())
    return found


def _cpu(act: Callable[[], object]) -> float:
    """Seconds of CPU of all threads of this process."""
    before = time.process_time()
    act()
    return time.process_time() - before


def main() -> None:
    """Measure one of the three, and print it as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", type=int, metavar="ROWS")
    parser.add_argument("--ledger", type=int, nargs="+", metavar="ROWS")
    parser.add_argument("--keys", type=int, nargs="+", metavar="ROWS")
    given = parser.parse_args()
    collect_seldom()  # as the command does
    if given.way:
        print(json.dumps(_way(given.way)))
    elif given.ledger:
        print(json.dumps(_ledger(given.ledger)))
    else:
        print(json.dumps(_keys(given.keys)))


if __name__ == "__main__":
    main()
