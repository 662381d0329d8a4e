"""Several processes make a batch's calls, and all else is as with one."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path

import anyio
import duckdb
import pytest

from bench.project import make_project
from tasks_lib.configs import Environment
from tasks_lib.domain.job import Limits
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.provider import Provider
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.accounts import Part, limits_for
from tasks_lib.job.batch import Batch, run_batch
from tasks_lib.job.checks import planner_of
from tasks_lib.job.reading import open_to_read
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.stretches import Options, Stretches
from tasks_lib.job.tally import Outcome, Summary, Tally
from tasks_lib.ledger import open_ledger
from tasks_lib.ledger.under_way import UnderWay
from tasks_lib.rows import open_source
from tests.llmserver import Server, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as started:
        yield started


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def setup_for(
    folder: Path,
    server: Server,
    *,
    rows: int,
    in_flight: int = 16,
    lat: float = 20,
    environment: Environment | None = None,
    **overrides: object,
) -> Setup:
    server.reset()
    job = make_project(folder, base_url=server.base_url(lat=lat), rows=rows, in_flight=in_flight)
    return load_setup(
        job, environment=environment or Environment.from_os(), overrides={"workers": 2, **overrides}
    )


def without_state(folder: Path) -> Environment:
    """An environment in which processes cannot leave word for one another."""
    (folder / "no-folder").touch()
    return Environment.of({**os.environ, "XDG_STATE_HOME": str(folder / "no-folder")})


def rows_in(ledger: Path) -> Counter[str]:
    """How often each row has an answer."""
    with duckdb.connect(str(ledger), read_only=True) as connection:
        found = connection.execute("select row_key from task_runs where status = 'completed'").fetchall()
    return Counter(key for (key,) in found)


@pytest.mark.anyio
async def test_two_workers_answer_every_row_once(tmp_path: Path, server: Server) -> None:
    """Every row is answered and billed once, the output is whole, and a second run makes no call."""
    setup = setup_for(tmp_path, server, rows=600)
    summary = await run_batch(setup)
    assert (summary.outcome, summary.completed, summary.calls) == (Outcome.COMPLETED, 600, 600)
    assert server.stats()["billed"] == 600
    assert set(rows_in(setup.job.ledger).values()) == {1}
    again = await run_batch(setup)
    assert (again.skipped, again.calls, server.stats()["billed"]) == (600, 0, 600)


@pytest.mark.anyio
async def test_a_job_may_be_named_from_where_one_stands(tmp_path: Path, server: Server) -> None:
    """A path relative to the working directory means to workers what it means here."""
    path = setup_for(tmp_path, server, rows=40).path
    assert path is not None
    with chdir(tmp_path):
        here = path.relative_to(tmp_path)
        summary = await run_batch(
            load_setup(here, environment=Environment.from_os(), overrides={"workers": 2})
        )
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 40)


@pytest.mark.anyio
async def test_workers_share_the_calls_in_flight(tmp_path: Path, server: Server) -> None:
    """Both together never have more calls in flight than one might have."""
    await run_batch(setup_for(tmp_path, server, rows=300, in_flight=5))
    assert server.stats()["inflight_max"] <= 5


@pytest.mark.anyio
async def test_workers_keep_a_money_limit_together(tmp_path: Path, server: Server) -> None:
    """What the ledger knows never passes the limit, and what is left of it is less than one call of each."""
    setup = setup_for(tmp_path, server, rows=600, max_cost=0.02)
    summary = await run_batch(setup)
    assert (summary.outcome, "$0.02" in (summary.reason or "")) == (Outcome.STOPPED, True)
    assert 0 < summary.cost <= setup.job.limits.max_cost  # type: ignore[operator]  # it is set
    assert 0 < summary.completed < 600


@pytest.mark.anyio
async def test_a_stop_ends_all_workers_in_order(tmp_path: Path, server: Server) -> None:
    """The calls under way come to their end and are kept, and the next run asks for the rest alone."""
    setup, stop, tally = setup_for(tmp_path, server, rows=600), Stop(), Tally()

    async def stopped() -> Summary:
        async with anyio.create_task_group() as beside:
            beside.start_soon(_call_stop, stop, tally)
            return await run_batch(setup, stop=stop, tally=tally)

    summary = await stopped()
    assert (summary.outcome, summary.reason) == (Outcome.INTERRUPTED, "enough")
    assert 0 < summary.completed == server.stats()["billed"] < 600
    again = await run_batch(setup)
    assert (again.completed, again.skipped) == (600 - summary.completed, summary.completed)
    assert server.stats()["billed"] == 600


async def _call_stop(stop: Stop, tally: Tally) -> None:
    await _first_answer(tally)
    stop.call(Why.INTERRUPTED, "enough")


@pytest.mark.anyio
async def test_calls_that_are_dropped_are_recorded(tmp_path: Path, server: Server) -> None:
    """The hard end: what was answered is kept, what was under way is told, and nothing is left running."""
    setup, tally = setup_for(tmp_path, server, rows=600), Tally()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as beside:
            beside.start_soon(_cancel, scope, tally)
            await run_batch(setup, tally=tally)
    assert scope.cancelled_caught
    answered = rows_in(setup.job.ledger)
    assert set(answered.values()) == {1}
    assert len(answered) <= server.stats()["billed"] <= len(answered) + 16
    again = await run_batch(setup)
    assert again.completed + again.skipped == 600


async def _cancel(scope: anyio.CancelScope, tally: Tally) -> None:
    await _first_answer(tally)
    scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("is_shared", [True, False])
async def test_a_worker_that_is_killed_is_started_again(
    tmp_path: Path, server: Server, is_shared: bool
) -> None:
    """Every row is answered, none twice, and what was paid in vain is at most what the worker had in flight.

    So it is where processes keep limits together, and where each call asks for leave.
    """
    environment = None if is_shared else without_state(tmp_path)
    setup, tally = setup_for(tmp_path, server, rows=500, lat=100, environment=environment), Tally()
    async with anyio.create_task_group() as beside:
        beside.start_soon(_kill_one)
        summary = await run_batch(setup, tally=tally)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 500)
    assert set(rows_in(setup.job.ledger).values()) == {1}
    assert server.stats()["billed"] <= 500 + 16
    # the server goes on with what the dead one has asked, which nobody here can see
    assert server.stats()["inflight_max"] <= 16 + 16
    assert any("was killed by signal 9" in warning for warning in summary.warnings)
    assert any("limits hold for this process alone" in one for one in summary.warnings) is not is_shared
    assert left_in(tmp_path) == []


async def _first_answer(tally: Tally) -> None:
    while not tally.completed:  # noqa: ASYNC110 - a tally is looked at, and tells nobody
        await anyio.sleep(0.01)


async def _kill_one() -> None:
    while not (calling := [worker for worker in _children() if _is_calling(worker)]):  # noqa: ASYNC110
        await anyio.sleep(0.01)
    os.kill(calling[0], signal.SIGKILL)


def _children() -> list[int]:
    """The workers of this process."""
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in own if b"workers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _is_calling(process: int) -> bool:
    """Whether a process has a connection over TCP."""
    inodes = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    has = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            has.add(str(descriptor.readlink()))
    return any(f"socket:[{inode}]" in has for inode in inodes)


def left_in(folder: Path) -> list[Path]:
    """Files of rows under way."""
    return list(folder.glob("*under-way*"))


@pytest.mark.anyio
async def test_the_batch_has_one_worker_less_than_processes(tmp_path: Path, server: Server) -> None:
    """It runs rows itself; and where it is through with them, nobody waits for one that is not ready."""
    setup, tally, seen = setup_for(tmp_path, server, rows=8), Tally(), set[int]()
    async with anyio.create_task_group() as beside:

        async def look() -> None:
            while True:
                seen.update(_children())
                await anyio.sleep(0.005)

        beside.start_soon(look)
        summary = await run_batch(setup, tally=tally)
        beside.cancel_scope.cancel()
    assert (summary.completed, summary.warnings, server.stats()["billed"]) == (8, (), 8)
    assert (len(seen), _children(), left_in(tmp_path)) == (1, [], [])


@pytest.mark.anyio
async def test_an_error_of_this_process_ends_the_batch(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with one process: the calls of both are dropped and told, and the next batch goes on."""
    setup, began, broken = setup_for(tmp_path, server, rows=500, lat=100), UnderWay.began, list[Plan]()

    def breaks(under_way: UnderWay, plan: Plan) -> None:
        if not broken and any(map(_is_calling, _children())):
            broken.append(plan)
            raise ZeroDivisionError("nobody foresaw this")
        began(under_way, plan)

    with monkeypatch.context() as patched:
        patched.setattr(UnderWay, "began", breaks)  # of this process; its worker has its own
        with pytest.raises(ZeroDivisionError):
            await run_batch(setup)
    assert (_children(), len(left_in(tmp_path))) == ([], 1)
    with duckdb.connect(str(setup.job.ledger), read_only=True) as ledger:
        (told,) = ledger.execute("select count(*) from attempts").fetchone() or (0,)
    assert 0 < server.stats()["billed"] <= told < 500
    again = await run_batch(setup)
    assert again.completed + again.skipped == 500
    assert set(rows_in(setup.job.ledger).values()) == {1}
    assert left_in(tmp_path) == []


@pytest.mark.anyio
async def test_limits_are_changed_in_all_processes(tmp_path: Path, server: Server) -> None:
    """A pause holds for this process's own rows and its worker's, and other limits are theirs together."""
    setup, tally = setup_for(tmp_path, server, rows=400, lat=50), Tally()
    with (
        open_ledger(setup.job.ledger) as ledger,
        open_source(setup.job.source, folder=setup.folder) as source,
    ):
        batch = Batch(setup, ledger=ledger, tally=tally)
        stretches = Stretches(
            source.rows(size=100),
            planner=planner_of(setup.job),
            ledger=ledger,
            options=Options(),
            tally=batch.tally,
            books=batch.books,
            suspects=batch.suspects,
            batch_id=batch.id,
        )

        async def steer() -> None:
            while not any(map(_is_calling, _children())):  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
            batch.steering.pause()
            while batch.steering.snapshot().accounts[0].in_flight:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.01)
            batch.steering.change_limits({"in_flight": 4})
            server.reset()
            batch.steering.resume()

        async with anyio.create_task_group() as beside:
            beside.start_soon(steer)
            summary = await batch.run(stretches.fetch, rows=400)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 400)
    assert server.stats()["inflight_max"] <= 4


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"limits.in_flight": "1"}, "cannot share 1 calls in flight"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(
    tmp_path: Path, server: Server, overrides: dict[str, object], told: str
) -> None:
    """Before anything is opened, with what to do instead."""
    with pytest.raises(Mistake, match=told):
        setup_for(tmp_path, server, rows=1, **overrides)


def test_workers_end_with_whoever_started_them(tmp_path: Path, server: Server) -> None:
    """The batch's own process is killed: its workers are gone, without a word, and the next run goes on."""
    setup = setup_for(tmp_path, server, rows=600)
    command = [sys.executable, "-m", "tasks_lib.cli", "run", str(setup.path), "-q", "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not server.stats()["billed"]:
            time.sleep(0.01)
        process.kill()
        assert process.stderr is not None
        said = process.stderr.read()  # which ends when the last of them has ended
    assert said == ""
    before = server.stats()["billed"]
    assert subprocess.run(command, check=False).returncode == 0
    assert set(rows_in(setup.job.ledger).values()) == {1}
    assert server.stats()["billed"] <= 600 + 16
    assert before < 600


@pytest.mark.crash
def test_what_workers_had_written_is_known_after_the_batch_was_killed(tmp_path: Path, server: Server) -> None:
    """Whoever reads the ledger next has every row that was not in flight, and nobody asks for it again."""
    setup = setup_for(tmp_path, server, rows=1_000, lat=0)
    command = [sys.executable, "-m", "tasks_lib.cli", "run", str(setup.path), "-q", "--workers", "3"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while server.stats()["billed"] < 300:
            time.sleep(0.005)
        process.kill()
        assert process.stderr is not None
        process.stderr.read()  # which ends when the last of them has ended
    billed = server.stats()["billed"]
    assert list(tmp_path.glob("*journal-*")), "the one writer is not that quick"
    with open_to_read(setup.job.ledger) as ledger:
        (told,) = ledger.sql("select count(*) as answered from task_runs where not is_error").to_pylist()
    assert billed - 16 <= told["answered"] <= billed
    assert list(tmp_path.glob("*journal-*")) == []
    again = anyio.run(run_batch, setup)
    assert again.completed + again.skipped == 1_000
    assert set(rows_in(setup.job.ledger).values()) == {1}
    assert server.stats()["billed"] <= 1_000 + 16


def test_a_full_disk_ends_all_workers_without_a_word(tmp_path: Path, server: Server) -> None:
    """What was committed stands, the batch says why it stopped, and no worker has anything to add."""
    setup = setup_for(tmp_path, server, rows=3_000, in_flight=64)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2_200_000, 2_200_000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from tasks_lib.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "run", str(setup.path), "--json", "--workers", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    again = anyio.run(run_batch, setup)
    assert again.completed + again.skipped == 3_000


def test_calls_in_flight_are_shared_out() -> None:
    """All parts together make the whole; requests a minute are counted by all processes together."""
    provider = Provider(name="acme", protocol="openai", base_url="https://acme.test/v1")
    limits = Limits(requests_per_minute=100, in_flight=7)
    parts = [limits_for(provider, limits, Part(number=number, of=2)) for number in (0, 1)]
    assert [part.in_flight for part in parts] == [3, 4]
    assert [part.requests_per_minute for part in parts] == [100, 100]
