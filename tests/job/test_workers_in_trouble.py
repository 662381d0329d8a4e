"""Workers elsewhere, and what may come between them and their batch: no row lost, no limit broken."""

import hashlib
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from typing import Any

import anyio
import duckdb
import pytest
from anyio.lowlevel import checkpoint

from bench.project import FIRST_ID, make_project
from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.tally import Outcome, Tally
from tasks_lib.job.workers.calling import NotLetIn, call_in
from tasks_lib.job.workers.recruiting import Listen, Pulse, Ticket
from tests.job.deadly import Deadly, deadly_provider, owner_of
from tests.job.line import FirstByLine
from tests.job.recruited import Late, Processes, Threads
from tests.job.test_workers_elsewhere import answered, ran, setup_for
from tests.llmserver import Server, running_server

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as started:
        yield started


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def found(setup: Setup, query: str) -> Any:
    with duckdb.connect(str(setup.job.ledger), read_only=True) as ledger:
        return ledger.execute(query).fetchall()


class OfOld:
    """Workers of another version, which call in and are sent away."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def begin(self, ticket: Ticket) -> None:
        """Call in."""
        with pytest.raises(NotLetIn) as told:
            await call_in(ticket, made="rowmill 0.1 on Python 3.9")
        self.said.append(str(told.value))

    async def close(self) -> None:
        """Nothing is to be done."""


async def test_workers_of_another_version_are_sent_away_and_the_batch_says_why(
    tmp_path: Path, server: Server
) -> None:
    """Both ends tell what each of them runs, and nothing is paid."""
    workers = OfOld()
    summary = await ran(setup_for(tmp_path, server, rows=10), workers, listen=Listen(absence=0.5))
    assert (summary.outcome, server.stats()["recv"]) == (Outcome.STOPPED, 0)
    assert "at 127.0.0.1 has rowmill 0.1 on Python 3.9, and this batch rowmill" in (summary.reason or "")
    assert len(workers.said) == 2
    assert all("this worker has rowmill 0.1 on Python 3.9" in said for said in workers.said)


async def test_a_batch_that_is_cancelled_while_somebody_calls_in_ends(tmp_path: Path, server: Server) -> None:
    """What was answered is kept, whoever comes is sent home, and the next run asks for the rest."""
    setup, workers, tally = setup_for(tmp_path, server, rows=400), Late(), Tally()

    async def cancel(scope: anyio.CancelScope) -> None:
        while not tally.completed:  # noqa: ASYNC110 - a tally is looked at, and tells nobody
            await anyio.sleep(0.01)
        workers.called.set()
        await checkpoint()  # it is on its way
        scope.cancel()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as beside:
            beside.start_soon(cancel, scope)
            await run_batch(setup, recruiter=workers, tally=tally)
    assert scope.cancelled_caught
    kept = answered(setup)
    assert set(kept.values()) == {1}
    assert len(kept) <= server.stats()["billed"] <= len(kept) + 16
    again = await run_batch(setup, recruiter=Threads())
    assert again.completed + again.skipped == 400
    assert set(answered(setup).values()) == {1}


class Taking(Threads):
    """Workers on machines that lack a file which the batch's own has."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    async def begin(self, ticket: Ticket) -> None:
        """Start one there."""
        self._file.unlink(missing_ok=True)
        await super().begin(ticket)


async def test_a_file_that_a_worker_lacks_is_told_with_its_host(tmp_path: Path, server: Server) -> None:
    """The row fails and says on which machine the file was looked for; the others are answered."""
    job = make_project(tmp_path, base_url=server.base_url(), rows=3, in_flight=4)
    for row in range(3):
        (tmp_path / f"{FIRST_ID + row}.png").write_bytes(_PNG)
    task, rows = tmp_path / "task.yaml", tmp_path / "rows.csv"
    task.write_text("file_input_mode: image\n" + task.read_text())
    rows.write_text("id,customer,review,picture\n" + "".join(f"{n},c,fine,{n}.png\n" for n in _THREE))
    job.write_text(job.read_text() + "files: [picture]\n")
    setup = load_setup(job, environment=Environment.from_os(), overrides={"workers": 2})
    summary = await ran(setup, Taking(tmp_path / f"{FIRST_ID + 1}.png"), some=0)
    assert (summary.completed, summary.failed) == (2, 1)
    ((key, error),) = found(setup, "select row_key, error from task_runs where is_error")
    assert key == str(FIRST_ID + 1)
    assert f"(as a worker on {gethostname()} found it)" in str(error)


_THREE = range(FIRST_ID, FIRST_ID + 3)
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060"
    "000000050001a5f645400000000049454e44ae426082"
)


@pytest.mark.crash
@pytest.mark.parametrize("deadly", [(20,), (1, 2, 20, 21)])
async def test_rows_that_kill_whoever_calls_for_them_are_set_aside(
    tmp_path: Path, deadly: tuple[int, ...]
) -> None:
    """Within one batch: each of them kills a bounded number of workers, and all others are answered once."""
    with deadly_provider(*(FIRST_ID + row for row in deadly)) as provider:
        job = make_project(tmp_path, base_url=provider.url, rows=60, in_flight=8)
        setup = load_setup(job, environment=Environment.from_os(), overrides={"workers": 2})
        workers = Processes(tmp_path)
        _arm(provider, workers)
        summary = await ran(setup, workers, some=0)
    assert summary.failures == {"poisoned": len(deadly)}, summary.reason
    assert (summary.completed, summary.outcome) == (60 - len(deadly), Outcome.COMPLETED_WITH_FAILURES)
    assert set(answered(setup).values()) == {1}
    ends = Counter(code for code, _ in await workers.ends())
    assert ends.keys() <= {0, 1, -signal.SIGKILL}  # 1: the last of them called in when all was over
    assert 4 <= ends[-signal.SIGKILL] <= 4 * len(deadly)
    assert all(provider.calls[FIRST_ID + row] <= 4 for row in deadly)
    in_vain = sum(provider.calls.values()) - 60
    assert in_vain <= ends[-signal.SIGKILL] * 8 + 3 * len(deadly)


def _arm(provider: Deadly, workers: Processes) -> None:
    def kill(port: int) -> None:
        by_pid = {worker.pid: worker for worker in workers.workers if worker.poll() is None}
        pid = owner_of(port, by_pid)
        assert pid is not None
        by_pid[pid].kill()

    provider.kill = kill


@pytest.mark.crash
async def test_files_of_a_worker_that_is_killed_are_whole(tmp_path: Path, server: Server) -> None:
    """Answers that are files lie beside the batch's own ledger: one for each row, and each of them whole."""
    setup = setup_for(tmp_path, server, rows=300, in_flight=8, lat=30, workers=1)
    task = tmp_path / "task.yaml"
    text = task.read_text()
    task.write_text(text[: text.index("output:")] + "output: {modality: pdf}\n" + text[text.index("revis") :])
    assert setup.path is not None
    setup = load_setup(setup.path, environment=Environment.from_os(), overrides={"workers": 1})
    workers = Processes(tmp_path)
    summary = await ran(setup, workers, when_some=workers.kill_first, some=30)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 300)
    assert [code for code, _ in await workers.ends()] == [-signal.SIGKILL, 0]
    known = dict(found(setup, "select uri, sha256 from produced_files"))
    assert len(known) == 300
    assert _files(tmp_path) == known  # nothing of runs that the dead worker did not hand in


def _files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "ledger.files").rglob("*")
        if path.is_file()
    }


@pytest.mark.crash
async def test_a_line_that_breaks_without_a_word(tmp_path: Path, server: Server) -> None:
    """The worker behind it drops its calls before others have its places; nothing is committed twice."""
    server.reset()
    job = make_project(tmp_path, base_url=server.base_url(), rows=300, in_flight=8)
    setup = load_setup(job, environment=Environment.from_os(), overrides={"workers": 2})
    workers, breaking = FirstByLine(), list[threading.Thread]()
    server.config(lat=20)

    def break_line() -> None:
        calls = -1
        while server.stats()["inflight"] < 8 or server.stats()["recv"] != calls:  # until all of them hang
            calls = server.stats()["recv"]
            time.sleep(0.3)
        assert workers.line is not None
        workers.line.cut()
        server.config(e_hang=0)

    def when_some() -> None:
        server.config(e_hang=1, hang_s=15)
        breaking.append(threading.Thread(target=break_line))
        breaking[0].start()

    try:
        summary = await ran(
            setup, workers, when_some=when_some, some=60, listen=Listen(pulse=Pulse(beat=0.5, lease=6.0))
        )
        breaking[0].join()
    finally:
        server.config(clear=1)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 300)
    assert set(answered(setup).values()) == {1}
    assert any("worker 1 was not heard of" in warning for warning in summary.warnings)
    assert sum("was not heard of" in said for said in workers.said) == 1
    assert server.stats()["inflight_max"] <= 8


@pytest.mark.crash
def test_a_batch_that_stands_still_for_a_moment_goes_on(tmp_path: Path, server: Server) -> None:
    """For three seconds, as where memory is short: nobody is given up, and no limit is broken."""
    setup = setup_for(tmp_path, server, rows=400, in_flight=8, lat=100)
    script = [sys.executable, "-m", "tests.job.stalled_batch", str(setup.path), str(tmp_path)]
    with subprocess.Popen(script, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while server.stats()["billed"] < 60:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=120)
    assert said == "completed 400 0 warnings\n"
    assert (set(answered(setup).values()), len(answered(setup))) == ({1}, 400)
    assert server.stats()["billed"] == 400
    assert server.stats()["inflight_max"] <= 8
