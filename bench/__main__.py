"""All benchmarks: `python -m bench [SECTION …]`, against a loopback server that is started for them.

Sections: overhead, latency, rate, adaptive, money, faults, breaker, crash, ledger, memory, parallel, team,
leases, workers, merge.
Three sections are run if they are named: scale, which takes 5 GB of disk and many minutes; spread, which
kills workers and drivers on `--runner hand dask ray`, some minutes each; and peers, which makes environments:
`python -m bench peers [--quick] [--only NAME …] [--json FILE]`.
`--url http://127.0.0.1:PORT` uses a server that runs already and speaks the same settings; `--quick` is for a
look, not for a claim.
"""

import argparse
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from bench.adaptive import adaptive
from bench.breaker import breaker
from bench.crash import crash
from bench.crews import RUNNERS, Runner
from bench.faults import faults
from bench.leases import leases
from bench.ledger import ledger
from bench.limits import latency, rate
from bench.memory import memory
from bench.merge import merge
from bench.money import money
from bench.overhead import overhead
from bench.parallel import parallel
from bench.peers.run import NAMES, peers
from bench.scale import scale
from bench.spread import spread
from bench.team import team
from bench.workers import workers
from tests.llmserver import Server, running_server
from tests.llmserver.running import EVERYWHERE

SECTIONS = (
    "overhead",
    "latency",
    "rate",
    "adaptive",
    "money",
    "faults",
    "breaker",
    "crash",
    "ledger",
    "memory",
    "parallel",
    "team",
    "leases",
    "workers",
    "merge",
)
APART = ("scale", "spread", "peers")


def main() -> None:
    """Run the sections that are asked for, in order, and print what they find."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", default=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS + APART)
    )
    parser.add_argument("--url", help="a server that runs already")
    parser.add_argument("--pid", type=int, default=0, help="of that server, whose CPU is then told, too")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="of the peers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="of the peers: a JSON line a cell is added")
    parser.add_argument("--runner", nargs="+", choices=RUNNERS, default=RUNNERS, help="of the section spread")
    given = parser.parse_args()
    unknown = [section for section in given.sections if section not in SECTIONS + APART]
    if unknown:
        parser.error(f"no section is called {', '.join(unknown)}; there are {', '.join(SECTIONS + APART)}")
    print(
        f"rowmill {version('rowmill')}, Python {platform.python_version()}, duckdb {version('duckdb')}, "
        f"pyreqwest {version('pyreqwest')}, {platform.machine()}"
    )
    with ExitStack() as stack:
        # hosts that are network namespaces do not reach this one's loopback
        host = EVERYWHERE if "spread" in given.sections else "127.0.0.1"
        server = Server(given.url, given.pid) if given.url else stack.enter_context(running_server(host=host))
        for section in given.sections:
            print(f"\n## {section}")
            lines = (
                peers(server, quick=given.quick, only=given.only, record=given.json)
                if section == "peers"
                else _spread(server, given.runner, quick=given.quick)
                if section == "spread"
                else _section(section, server, quick=given.quick)
            )
            for line in lines:
                print(line)
                sys.stdout.flush()


def _spread(server: Server, runners: Sequence[Runner], *, quick: bool) -> Iterator[str]:
    for runner in runners:
        yield from spread(server, runner=runner, rows=5_000 if quick else 50_000)


def _section(section: str, server: Server, *, quick: bool) -> Iterator[str]:
    if section == "overhead":
        sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
        return overhead(server.base_url(), sizes=sizes, at_once=256, repeats=1 if quick else 3)
    if section == "latency":
        return latency(server, rows=4_000 if quick else 20_000)
    if section == "rate":
        return rate(server, per_minute=600, minutes=1.2 if quick else 2.5)
    if section == "adaptive":
        return adaptive(server, seconds=100 if quick else 180)
    if section == "money":
        return money(server)
    if section == "faults":
        return faults(server, rows=2_000 if quick else 20_000)
    if section == "breaker":
        return breaker(server, seconds=10, rows=1_000) if quick else breaker(server)
    if section == "workers":
        return workers(server, rows=4_000 if quick else 100_000, at_once=256, repeats=1 if quick else 3)
    if section in ("ledger", "team", "leases", "parallel", "merge", "scale"):
        return _without_a_server(section, quick=quick)
    if section == "memory":
        return memory(server, sizes=(1_000, 10_000) if quick else (10_000, 100_000, 1_000_000))
    return _crash(server, quick=quick)


def _crash(server: Server, *, quick: bool) -> Iterator[str]:
    rows = 3_000 if quick else 60_000
    yield from crash(server, kills=3 if quick else 100, rows=rows)
    yield from crash(server, kills=3 if quick else 30, rows=rows, workers=3)


def _without_a_server(section: str, *, quick: bool) -> Iterator[str]:
    if section == "ledger":
        return (
            ledger(rows=5_000, sizes=(50_000,)) if quick else ledger(rows=50_000, sizes=(100_000, 1_000_000))
        )
    if section == "team":
        return team(rows=5_000, reported=20_000) if quick else team(rows=20_000, reported=1_000_000)
    if section == "leases":
        return leases(calls=5_000, seconds=1.0) if quick else leases()
    if section == "parallel":
        return parallel(rows=600 if quick else 3_000, kills=3)
    if section == "merge":
        return merge(rows=500, groups=(100,)) if quick else merge(rows=20_000)
    sizes = (10_000, 20_000) if quick else (300_000, 1_000_000, 3_000_000, 10_000_000)
    return scale(rows=2_000 if quick else 20_000, sizes=sizes)


if __name__ == "__main__":
    main()
