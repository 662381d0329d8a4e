"""A team's ledger that is served by a process of its own.

`python -m tests.ledger.team_server LEDGER PORT` serves it until it is killed, with the tokens below.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from threading import Event

from tasks_lib.ledger.team import QuackUri, Tokens
from tasks_lib.ledger.team.server import team_server

ROOT = Path(__file__).parents[2]
READ, WRITE = "analysts-" + "r" * 24, "writers-" + "w" * 24
TOKENS = Tokens(read=(READ,), write=(WRITE,))


def free_address() -> QuackUri:
    """An address of this machine at which nobody listens."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return QuackUri(host="127.0.0.1", port=probe.getsockname()[1])


@contextmanager
def serving(ledger: Path, at: QuackUri) -> Iterator[subprocess.Popen[str]]:
    """The process that serves; it is killed at the end, if it was not before."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.team_server", str(ledger), str(at.port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "served\n"
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    address = QuackUri(host="127.0.0.1", port=int(sys.argv[2]))
    with team_server(Path(sys.argv[1]), at=address, tokens=TOKENS):
        print("served", flush=True)  # noqa: T201  # the test waits for it
        Event().wait()
