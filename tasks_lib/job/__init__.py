"""Floor 4: puts the parts together: check, run, resume, export; and the Python face of rowmill."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks_lib.job.library import RowAnswer, answers, ask, enrich, run_job

__all__ = ["RowAnswer", "answers", "ask", "enrich", "run_job"]


def __getattr__(name: str) -> object:
    """A name of the Python face, imported when it is asked for, since it brings pandas along."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tasks_lib.job import library  # noqa: PLC0415  # see above

    value: object = getattr(library, name)
    return value
