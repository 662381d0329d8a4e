"""A virtual environment for every peer, made once and kept until its requirements change."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.children import ROOT
from bench.peers.systems import System

KEPT_IN = ROOT / "data" / "peers"
"""Ignored by git."""


class NotInstalled(Exception):
    """An environment could not be made; the message says why in one line."""


def python_of(system: System, *, kept_in: Path = KEPT_IN) -> Path:
    """The Python that runs a system; its environment is made if there is none, or an outdated one.

    Raises:
        NotInstalled: the packages could not be had.
    """
    if system.requirements is None:
        return Path(sys.executable)
    wanted = _fingerprint(system.requirements)
    folder = kept_in / system.name
    python, mark = folder / "bin" / "python", folder / "made-of"
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    print(f"making an environment for {system.name}", file=sys.stderr, flush=True)
    _done([sys.executable, "-m", "venv", str(folder)])
    _done([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(system.requirements)])
    mark.write_text(wanted, encoding="utf-8")
    return python


def _fingerprint(requirements: Path) -> str:
    return hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()


def _done(command: list[str]) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            done.stderr.strip()
        ]
        raise NotInstalled(told[-1][:200])
