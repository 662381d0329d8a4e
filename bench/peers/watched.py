"""A child process under watch: its time, its CPU and that of its own children, its peak of memory."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_LOOKS_EVERY = 0.02


class End(Enum):
    """How a child ended."""

    WELL = "well"
    FAILED = "failed"
    LATE = "late"
    """It was killed when its time was over."""
    KILLED = "killed"
    """It was killed at the moment that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a child took from its start to its end."""

    end: End
    seconds: float
    cpu_seconds: float
    """User and system, its own and that of the children it waited for."""
    peak_mb: float
    """The most memory that the child itself held at once (resident), MiB."""
    output: str
    complaints: str


def watch(
    command: Sequence[str],
    *,
    folder: Path,
    environ: Mapping[str, str],
    limit: float,
    kill_when: Callable[[], bool] | None = None,
) -> Watched:
    """Run a command in `folder` until it ends, its time is over, or `kill_when` says so.

    What it prints goes through files in that folder. It is the first of a process group, which is killed (-9)
    as a whole.
    """
    out, err = folder / "stdout", folder / "stderr"
    peak = 0.0
    with out.open("wb") as stdout, err.open("wb") as stderr:
        began = time.perf_counter()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        end: End | None = None
        gone = 0
        try:
            while True:
                gone, status, usage = os.wait4(child.pid, os.WNOHANG)
                if gone:
                    break
                peak = max(peak, _peak_of(child.pid))
                if end is None and kill_when is not None and kill_when():
                    end = End.KILLED
                elif end is None and time.perf_counter() - began > limit:
                    end = End.LATE
                if end is not None:
                    os.killpg(child.pid, signal.SIGKILL)
                time.sleep(_LOOKS_EVERY)
        finally:
            if not gone:  # whoever watches was interrupted
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if end is None or child.returncode >= 0:  # it may have ended by itself a moment before it was killed
        end = End.FAILED if child.returncode else End.WELL
    return Watched(
        end=end,
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=peak or usage.ru_maxrss / 1024,
        output=out.read_text(encoding="utf-8", errors="replace"),
        complaints=err.read_text(encoding="utf-8", errors="replace"),
    )


def _peak_of(pid: int) -> float:
    """The peak of a running process, or 0 where it cannot be seen; rusage would count its parent's, too."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines.splitlines() if line.startswith("VmHWM")), 0.0)
