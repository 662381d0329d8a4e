"""Writes the enriched rows from what the ledger has."""

from collections.abc import Mapping
from pathlib import Path

from tasks_lib.cli.figures import count
from tasks_lib.cli.places import nearby
from tasks_lib.cli.words import note
from tasks_lib.configs import Environment
from tasks_lib.job.export import export_rows
from tasks_lib.job.setup import load_setup


def write_rows(path: Path, *, overrides: Mapping[str, object], limit: int | None) -> None:
    """Write a job's enriched rows to its output and tell how many.

    Raises:
        Mistake: source, ledger or destination is not as it must be.
    """
    setup = load_setup(path, overrides=overrides, environment=Environment.from_os())
    rows = export_rows(setup, limit=limit)
    assert setup.job.output is not None  # noqa: S101  # or there was nowhere to write to
    note(f"wrote {count(rows)} rows to {nearby(setup.job.output.path)}")
