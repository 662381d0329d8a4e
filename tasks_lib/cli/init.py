"""Begins a project."""

from pathlib import Path

from tasks_lib.cli.places import nearby
from tasks_lib.cli.words import tell
from tasks_lib.configs import scaffold
from tasks_lib.domain.mistake import Mistake


def make_scaffold(folder: Path) -> None:
    """Write the first files into a folder and tell which, and what to do next.

    Raises:
        Mistake: the folder cannot be written.
    """
    try:
        made = scaffold(folder)
    except OSError as error:
        raise Mistake(f"{error.filename or folder}: cannot be written ({error.strerror})") from error
    for path in made.written:
        tell(f"wrote  {nearby(folder / path)}")
    for path in made.kept:
        tell(f"kept   {nearby(folder / path)}, which was there")
    job = nearby(folder / made.job)
    tell(f"\nLook at {job}, then check it with:\n  rowmill plan {job}")
