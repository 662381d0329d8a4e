"""All tables of the peers, with versions and machine, from one run against one server."""

import os
import platform
from collections.abc import Collection, Iterator
from importlib.metadata import version
from pathlib import Path

from bench.peers.environments import NotInstalled, python_of
from bench.peers.measures import FULL, QUICK, Bench
from bench.peers.systems import SYSTEMS
from tests.llmserver import Server

NAMES = tuple(system.name for system in SYSTEMS)


def peers(
    server: Server, *, quick: bool = False, only: Collection[str] = NAMES, record: Path | None = None
) -> Iterator[str]:
    """The lines of a report: what could not be run, the tables, and in the last line what was measured where.

    Args:
        server: it gives settings in the base URL, and counts.
        quick: small sizes, for a look.
        only: the names of the systems to run.
        record: a file that gets a JSON line for every cell.
    """
    pythons = {}
    for system in SYSTEMS:
        if system.name not in only:
            continue
        try:
            pythons[system] = python_of(system)
        except NotInstalled as why:
            yield f"{system.name} is left out, it could not be installed: {why}"
    bench = Bench(pythons, server, sizes=QUICK if quick else FULL, record=record)
    yield from bench.all()
    own = {"rowmill": version("rowmill"), "bare-pyreqwest": version("pyreqwest")}
    told = {**bench.versions, **{name: own[name] for name in only if name in own}}
    yield (
        f"{', '.join(f'{name} {told[name]}' for name in NAMES if name in told)}; Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}, {_processor()}, "
        f"{os.cpu_count()} cores, the client on one of them; {'quick' if quick else 'full'} sizes."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "?")
