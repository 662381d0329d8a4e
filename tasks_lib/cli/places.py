"""Where things are: how a path is shown, and which ledger is meant."""

import warnings
from pathlib import Path

from tasks_lib.configs import load_job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.place import Address, Place, is_address

_JOBS = Path("configs/jobs")
_USUAL = Path("data/rowmill.duckdb")
_YAML = (".yaml", ".yml")


def nearby(path: Place | str) -> str:
    """The path as it would be typed here; an address as it may be shown."""
    if isinstance(path, Address) or (isinstance(path, str) and is_address(path)):
        return str(path)
    path = Path(path)
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def ledger_of(*, named: Path | None = None, job: Path | None = None) -> Path:
    """The ledger that is named, or the job's, or else the one that all jobs in ./configs/jobs share.

    Raises:
        Mistake: there is none, or there are several.
    """
    if named is not None:
        return named
    if job is not None:
        return _ledger_of_job(job)
    jobs = sorted(path for path in _JOBS.glob("*") if path.suffix in _YAML) if _JOBS.is_dir() else []
    ledgers = list(dict.fromkeys(_ledger_of_job(path) for path in jobs))
    if len(ledgers) == 1:
        return ledgers[0]
    if not ledgers and _USUAL.is_file():
        return _USUAL
    if not ledgers:
        raise Mistake(f"which ledger? There is no job in {_JOBS}/ to tell; give --job FILE or --ledger FILE")
    several = ", ".join(nearby(ledger) for ledger in ledgers)
    raise Mistake(f"which ledger? The jobs in {_JOBS}/ have {several}; give --job FILE or --ledger FILE")


def job_or_ledger(path: Path | None) -> Path:
    """The ledger that a path means: that of a job (.yaml, .yml), or itself; for None see `ledger_of`."""
    if path is not None and path.suffix.lower() in _YAML:
        return ledger_of(job=path)
    return ledger_of(named=path)


def _ledger_of_job(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # doubts about a task are no matter of who reads its ledger
        return load_job(path, missing_source="allowed").ledger
