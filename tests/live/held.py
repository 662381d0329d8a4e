"""Another process that holds a ledger, writes to it, and can be reached."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """The process, once it can be reached; it is ended by and by."""
    command = [sys.executable, "-m", "tests.live.child", str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            assert child.stdin is not None
            child.stdin.close()
            child.wait(timeout=30)
