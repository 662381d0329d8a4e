"""Workers that call in from elsewhere: they come when they come, die, and are replaced; the batch goes on."""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import duckdb
import pytest

from bench.project import FIRST_ID, make_project
from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.tally import Outcome, Summary, Tally
from tasks_lib.job.workers.recruiting import Listen, NoWorker, Pulse, Recruiter, Ticket
from tests.job.recruited import Late, Nobody, Processes, Threads
from tests.llmserver import Server, running_server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as started:
        yield started


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def setup_for(
    folder: Path, server: Server, *, rows: int, in_flight: int = 16, lat: float = 20, **overrides: Any
) -> Setup:
    server.reset()
    job = make_project(folder, base_url=server.base_url(lat=lat), rows=rows, in_flight=in_flight)
    return load_setup(job, environment=Environment.from_os(), overrides={"workers": 2, **overrides})


def _of(overrides: dict[str, Any]) -> dict[str, Any]:
    """Overrides whose names are no words of Python."""
    return overrides


async def ran(
    setup: Setup,
    recruiter: Recruiter,
    *,
    when_some: Callable[[], None] = lambda: None,
    some: int = 1,
    listen: Listen | None = None,
) -> Summary:
    """The summary of a batch; once some rows were answered something is done."""
    tally, summary = Tally(), None

    async def watch() -> None:
        while tally.completed < some:  # noqa: ASYNC110 - a tally is looked at, and tells nobody
            await anyio.sleep(0.01)
        when_some()

    async with anyio.create_task_group() as beside:
        beside.start_soon(watch)
        summary = await run_batch(setup, recruiter=recruiter, tally=tally, listen=listen)
        beside.cancel_scope.cancel()
    assert summary is not None
    return summary


def answered(setup: Setup) -> Counter[str]:
    """How often each row has an answer."""
    with duckdb.connect(str(setup.job.ledger), read_only=True) as connection:
        found = connection.execute("select row_key from task_runs where status = 'completed'").fetchall()
    return Counter(key for (key,) in found)


async def test_workers_in_threads_answer_every_row_once(tmp_path: Path, server: Server) -> None:
    """Over TCP, with the calls in flight of one process, and each tells what it has done."""
    setup, workers = setup_for(tmp_path, server, rows=300, in_flight=5), Threads()
    summary = await ran(setup, workers)
    assert (summary.outcome, summary.completed, summary.calls) == (Outcome.COMPLETED, 300, 300)
    assert summary.warnings == ()
    assert (server.stats()["billed"], set(answered(setup).values())) == (300, {1})
    assert server.stats()["inflight_max"] <= 5
    assert sum(int(said.split(" ")[0]) for said in workers.said) == 300


async def test_rows_that_ask_the_same_share_a_call(tmp_path: Path, server: Server) -> None:
    """Two workers pay once for eight rows that are under way at once, as one process would."""
    setup = setup_for(tmp_path, server, rows=8, lat=2_000)
    task = tmp_path / "task.yaml"
    task.write_text(task.read_text().replace("{{id}}", str(FIRST_ID)))
    assert setup.path is not None
    setup = load_setup(setup.path, environment=setup.environment, overrides=setup.overrides)
    summary = await ran(setup, Threads())
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 8)
    assert (server.stats()["billed"], len(answered(setup))) == (1, 8)


async def test_a_worker_may_be_late(tmp_path: Path, server: Server) -> None:
    """It takes part from the moment it comes."""
    setup, workers = setup_for(tmp_path, server, rows=400), Late()
    summary = await ran(setup, workers, when_some=workers.called.set, some=50)
    assert (summary.outcome, summary.completed, server.stats()["billed"]) == (Outcome.COMPLETED, 400, 400)
    assert len(workers.said) == 2


async def test_a_batch_without_workers_gives_up(tmp_path: Path, server: Server) -> None:
    """With the address that nobody has called, and nothing was paid."""
    setup = setup_for(tmp_path, server, rows=10)
    summary = await ran(setup, Nobody(), listen=Listen(absence=0.5))
    assert (summary.outcome, server.stats()["recv"]) == (Outcome.STOPPED, 0)
    assert "no worker has called in at 127.0.0.1 port" in (summary.reason or "")


class Full:
    """A cluster that has no room."""

    async def begin(self, ticket: Ticket) -> None:
        """There is none."""
        raise NoWorker("the cluster has no room")

    async def close(self) -> None:
        """Nothing is to be done."""


async def test_a_batch_that_can_have_no_worker_says_why(tmp_path: Path, server: Server) -> None:
    """At once, and without a call."""
    summary = await ran(setup_for(tmp_path, server, rows=10), Full())
    assert (summary.outcome, server.stats()["recv"]) == (Outcome.STOPPED, 0)
    assert "the cluster has no room" in (summary.reason or "")


async def test_workers_elsewhere_keep_the_money_limit_of_each_group(tmp_path: Path, server: Server) -> None:
    """No group passes it as far as the ledger knows, and the batch says that it is not whole."""
    setup = setup_for(tmp_path, server, rows=300, **_of({"limits.max_cost_per_group": "0.003"}))
    summary = await ran(setup, Threads())
    assert (summary.outcome, 0 < summary.completed < 300) == (Outcome.STOPPED, True)
    assert "0.003 for " in (summary.reason or "")
    with duckdb.connect(str(setup.job.ledger), read_only=True) as ledger:
        costs = ledger.execute("select sum(cost) from task_runs group by reporting_group").fetchall()
    assert max(costs)[0] <= Decimal("0.003")


async def test_a_job_made_in_python_has_no_workers(tmp_path: Path, server: Server) -> None:
    """Its processors could not travel; it is refused before anybody is asked."""
    setup = setup_for(tmp_path, server, rows=1)
    with pytest.raises(Mistake, match="a job made in Python"):
        await run_batch(replace(setup, path=None), recruiter=Nobody())


async def test_a_worker_that_is_killed_is_replaced(tmp_path: Path, server: Server) -> None:
    """Every row is answered, none twice, and what was paid in vain is what it had in flight."""
    setup, workers = setup_for(tmp_path, server, rows=400, lat=50, workers=1), Processes(tmp_path)
    summary = await ran(setup, workers, when_some=workers.kill_first, some=40)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 400)
    assert set(answered(setup).values()) == {1}
    assert server.stats()["billed"] <= 400 + 16
    assert [code for code, _ in await workers.ends()] == [-signal.SIGKILL, 0]
    assert any("worker 1 hung up" in warning for warning in summary.warnings)


@pytest.mark.crash
async def test_a_worker_that_stands_still_is_dead_and_stays_so(tmp_path: Path, server: Server) -> None:
    """Others have its rows; when it goes on it asks for no further call, hands nothing in, and ends.

    Calls that it had been let in for, and was about to make as it was stopped, are made then.
    """
    setup, workers = setup_for(tmp_path, server, rows=600, lat=50, workers=1), Processes(tmp_path)
    summary = await ran(
        setup,
        workers,
        when_some=lambda: os.kill(workers.workers[0].pid, signal.SIGSTOP),
        some=40,
        listen=Listen(pulse=Pulse(beat=0.5, lease=3.0)),
    )
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 600)
    assert set(answered(setup).values()) == {1}
    assert any("was not heard of" in warning for warning in summary.warnings)
    before = server.stats()["recv"]
    os.kill(workers.workers[0].pid, signal.SIGCONT)
    (code, said), *_ = await workers.ends()
    assert (code, "the calls under way dropped" in said) == (0, True)
    assert server.stats()["recv"] <= before + 16
    assert before <= 600 + 2 * 16  # what was in flight, and what waited for its commit


@pytest.mark.crash
async def test_workers_that_always_die_end_the_batch(tmp_path: Path, server: Server) -> None:
    """It gives up once many have died with nothing answered in between, and says how the last one ended."""
    setup = setup_for(tmp_path, server, rows=400, lat=60_000, workers=1)
    workers = Processes(tmp_path)
    is_over = threading.Event()

    def kill_all() -> None:
        asked = 0
        while not is_over.wait(0.05):
            if server.stats()["recv"] > asked:  # by the newest of them
                workers.workers[-1].kill()
                workers.workers[-1].wait()
                asked = server.stats()["recv"]

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        summary = await ran(setup, workers)
    finally:
        is_over.set()
        killer.join()
    assert (summary.outcome, summary.completed) == (Outcome.STOPPED, 0)
    assert "workers in a row came to their end with no row answered" in (summary.reason or "")
    assert len(await workers.ends()) == 4


@pytest.mark.crash
async def test_workers_end_when_their_batch_is_killed(tmp_path: Path, server: Server) -> None:
    """Without a signal of anybody's: who waits for all that hold its output waits for all of them."""
    setup = setup_for(tmp_path, server, rows=400, lat=50)
    command = [sys.executable, "-m", "tests.job.killed_batch", str(setup.path), str(tmp_path)]
    with anyio.fail_after(120):
        done = await anyio.run_process(command, check=False)
    assert done.returncode == -signal.SIGKILL
    again = await run_batch(replace(setup, job=replace(setup.job, workers=1)))
    assert again.completed + again.skipped == 400
    assert set(answered(setup).values()) == {1}
    assert (
        server.stats()["billed"] <= 400 + 16 + 8
    )  # and four rows each that wait at the gate, or for a commit


@pytest.mark.verdict
async def test_requests_a_minute_are_kept_over_all_workers(tmp_path: Path, server: Server) -> None:
    """As the server counts them: none in excess in any minute, and nearly all that there are."""
    setup = setup_for(tmp_path, server, rows=260, **_of({"limits.requests_per_minute": "200"}))
    workers = Threads()
    summary = await ran(setup, workers, listen=Listen())
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 260)
    assert 190 <= server.busiest(60.0) <= 200


async def test_a_stop_ends_workers_elsewhere_in_order(tmp_path: Path, server: Server) -> None:
    """The calls under way come to their end and are kept."""
    setup, workers, stop = setup_for(tmp_path, server, rows=400), Threads(), Stop()
    tally = Tally()
    async with anyio.create_task_group() as beside:
        beside.start_soon(_stopped, stop, tally)
        summary = await run_batch(setup, recruiter=workers, tally=tally, stop=stop)
    assert (summary.outcome, summary.reason) == (Outcome.INTERRUPTED, "enough")
    assert 0 < summary.completed == server.stats()["billed"] < 400
    assert all("rows were run: enough" in said for said in workers.said)


async def _stopped(stop: Stop, tally: Tally) -> None:
    while not tally.completed:  # noqa: ASYNC110 - a tally is looked at, and tells nobody
        await anyio.sleep(0.01)
    stop.call(Why.INTERRUPTED, "enough")
