"""Programs in process groups of their own, none of which outlives its test."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def program(
    command: Sequence[str | Path], *, env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program from the project's root, ended with all that it started."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        end(child)


def end(child: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    """End a program's process group: asked first, then not."""
    for how, patience in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 15.0)):
        try:
            os.killpg(child.pid, how)
        except ProcessLookupError:
            break
        if gone(child, within=patience):
            break
    child.wait(timeout=15)


def gone(child: "subprocess.Popen[bytes] | subprocess.Popen[str]", *, within: float) -> bool:
    """Whether a program and all of its process group have ended, soon."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        child.poll()  # else it stays as a zombie
        try:
            os.killpg(child.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def left_over(mark: str) -> list[int]:
    """Living processes, but for this one, that have a text in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def soon(is_so: Callable[[], bool], *, within: float) -> None:
    """Return when it is so."""
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, *, within: float, child: subprocess.Popen[bytes], log: Path) -> None:
    """Return when an address answers."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        assert child.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=5):  # noqa: S310  # the address of what the test started
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer:\n{log.read_text()}")
