"""Workers of a batch that is spread, as a benchmark has them: started by hand on hosts, on Dask, or on Ray.

Hosts are network namespaces of this machine (see `bench.hosts`). The clusters of Dask and Ray are there
before the batch begins and after its driver was killed, as those of other machines would be; a cluster that
has lost a worker begins another one by itself.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, Protocol
from uuid import uuid4

from bench.children import ROOT
from bench.hosts import Host, hosts
from tests.flows.processes import end, free_port, left_over, program, wait_for

Runner = Literal["hand", "dask", "ray"]
RUNNERS: Final[tuple[Runner, ...]] = ("hand", "dask", "ray")
WORKERS: Final = 2
_PATIENCE: Final = 240.0  # seconds until a server or a cluster has begun, on a busy machine
_NEEDS: Final[Mapping[Runner, str]] = {"hand": "", "dask": "prefect_dask", "ray": "prefect_ray"}


class Crew(Protocol):
    """Whoever works for a batch, and can be killed."""

    words: Sequence[str]  # for `rowmill run`
    environment: Mapping[str, str]  # of the driver

    def tend(self) -> None:
        """Begin again what has ended, as far as no engine does that."""
        ...

    def kill(self) -> None:
        """Kill one that works."""
        ...

    def cut(self) -> None:
        """Pull the link of one."""
        ...

    def join(self) -> None:
        """Put it back."""
        ...


def lacks(runner: Runner) -> str | None:
    """What such workers need and is not here; None: they can be had."""
    package = _NEEDS[runner]
    if package and find_spec(package) is None:
        return f"the package {package.replace('_', '-')}"
    if runner == "hand" and os.geteuid() != 0:
        return "root, for hosts that are network namespaces"
    if runner == "hand" and not any((Path(at) / "ip").exists() for at in ("/usr/sbin", "/sbin", "/usr/bin")):
        return "the command ip (iproute2), for hosts that are network namespaces"
    return None


@contextmanager
def crew_of(runner: Runner, folder: Path) -> Iterator[Crew]:
    """Workers that such a runner begins, gone afterwards; logs are written into the folder."""
    with ExitStack() as stack:
        if runner == "hand":
            by_hand = ByHand(folder, at=stack.enter_context(hosts(WORKERS)))
            stack.callback(by_hand.end)
            yield by_hand
            return
        mark = f"rowmill-bench-{uuid4()}"
        environment = stack.enter_context(_prefect(folder, mark=mark))
        made = stack.enter_context((_dask if runner == "dask" else _ray)(folder, environment))
        yield OnCluster(runner, address=made, mark=mark, environment=environment)


class ByHand:
    """Workers that a loop begins on two hosts, as a service would; each takes tickets from one folder."""

    def __init__(self, folder: Path, *, at: tuple[Host, ...]) -> None:
        """Nothing is started."""
        self.environment: Mapping[str, str] = {}
        self._folder = folder
        self._at = at
        self._tickets = folder / "tickets"
        self._tickets.mkdir()
        self._workers: dict[Host, subprocess.Popen[bytes]] = {}
        self._killed = 0
        self.words = (
            *("--runner", "hand", "--no-prefect"),
            *("--listen", at[0].here, "--tickets", str(self._tickets)),
        )

    def tend(self) -> None:
        """See `Crew`."""
        for host in self._at:
            worker = self._workers.get(host)
            if worker is None or worker.poll() is not None:
                self._workers[host] = begun(
                    host.command(), "worker", str(self._tickets), "--wait", "60", log=self._folder / host.name
                )

    def kill(self) -> None:
        """See `Crew`; each time another one."""
        self._workers[self._at[self._killed % len(self._at)]].kill()
        self._killed += 1

    def cut(self) -> None:
        """See `Crew`."""
        self._at[-1].cut()

    def join(self) -> None:
        """See `Crew`."""
        self._at[-1].join()

    def end(self) -> None:
        """Leave nothing running."""
        for worker in self._workers.values():
            worker.kill()
            worker.wait()


class OnCluster:
    """Workers on a cluster of Dask or Ray."""

    def __init__(self, runner: Runner, *, address: str, mark: str, environment: Mapping[str, str]) -> None:
        """Its processes have the mark in their environment."""
        self.environment = environment
        self._mark = mark
        self._title = b"ray::worker" if runner == "ray" else b"spawn_main"
        self.words = ("--runner", runner, "--runner-address", address, "--prefect")

    def tend(self) -> None:
        """See `Crew`; a cluster does it."""

    def kill(self) -> None:
        """See `Crew`; each time whichever is the oldest."""
        until = time.monotonic() + 30
        while not (found := [pid for pid in left_over(self._mark) if self._works(pid)]):
            if time.monotonic() > until:
                raise RuntimeError("no worker is to be found")
            time.sleep(0.1)
        os.kill(min(found), signal.SIGKILL)

    def cut(self) -> None:
        """See `Crew`; here there is none."""

    def join(self) -> None:
        """See `Crew`."""

    def _works(self, pid: int) -> bool:
        with suppress(OSError):
            return self._title in (Path("/proc") / str(pid) / "cmdline").read_bytes()
        return False


def begun(before: Sequence[str], *words: str, log: Path, **environment: str) -> "subprocess.Popen[bytes]":
    """The command `rowmill`, begun; what it says is added to a log."""
    with log.with_suffix(".log").open("ab") as said:
        return subprocess.Popen(
            [*before, sys.executable, "-m", "tasks_lib.cli", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


@contextmanager
def _prefect(folder: Path, *, mark: str) -> Iterator[Mapping[str, str]]:
    """The environment of programs that use a Prefect server, which is gone afterwards."""
    port = free_port()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = {
        **ours,
        "PYTHONPATH": str(ROOT),
        "ROWMILL_BENCH": mark,
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "RAY_AUTH_MODE": "disabled",  # else a token of this user's, if there is one, is asked for
    }
    log = folder / "prefect.log"
    words = ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    with program([sys.executable, *words], env=environment, log=log) as child:
        wait_for(f"http://127.0.0.1:{port}/api/health", within=_PATIENCE, child=child, log=log)
        yield environment


@contextmanager
def _dask(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a Dask cluster."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    one = (sys.executable, "-m", "dask")
    scheduler = [*one, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = [*one, "worker", address, "--nworkers", str(WORKERS), "--nthreads", "1", "--memory-limit", "0"]
    scratch = ["--no-dashboard", "--local-directory", str(folder / "dask")]
    with (
        program(scheduler, env=environment, log=folder / "scheduler.log"),
        program([*worker, *scratch], env=environment, log=folder / "cluster.log"),
    ):
        yield address


@contextmanager
def _ray(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a Ray cluster."""
    port = free_port()
    words = [
        *("start", "--head", "--block", "--node-ip-address", "127.0.0.1", "--port", str(port)),
        *("--num-cpus", str(WORKERS), "--include-dashboard", "false", "--disable-usage-stats"),
        *("--temp-dir", str(folder / "ray")),
    ]
    log = folder / "cluster.log"
    with log.open("wb") as said:
        child = subprocess.Popen(
            [str(Path(sys.executable).parent / "ray"), *words],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + _PATIENCE
        while b"Ray runtime started" not in log.read_bytes():
            if child.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Ray did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        end(child)
        for pid in left_over(environment["ROWMILL_BENCH"]):  # Ray's have groups of their own
            with suppress(OSError):
                if b"ray" in (Path("/proc") / str(pid) / "cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
