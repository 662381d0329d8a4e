"""Programs of ours as child processes, each with its own memory and its own core."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def json_of(
    module: str, *arguments: str, core: int | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What `python -m module arguments` prints as one JSON object; pinned to a core if one is named.

    `environment` lies over our own.

    Raises:
        RuntimeError: it failed; with the end of what it complained of.
    """
    done = subprocess.run(
        command(module, *arguments, core=core),
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def command(module: str, *arguments: str, core: int | None = None) -> Sequence[str]:
    """The command line of a module of ours."""
    pinned = ["taskset", "-c", str(core)] if core is not None and (os.cpu_count() or 1) > 1 else []
    return [*pinned, sys.executable, "-m", module, *arguments]


def children_of(pid: int) -> list[int]:
    """The processes that a process has begun and that live; none of one that has ended."""
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(one) for one in told.split()]
