"""Floor 4: puts the parts together: check, run, resume, export; and the Python face of rowmill."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks_lib.job.library import RowAnswer, answers, ask, enrich, run_job
    from tasks_lib.job.single import fetch_task_run, run_task

_OF_SINGLE = ("fetch_task_run", "run_task")
__all__ = ["RowAnswer", "answers", "ask", "enrich", "fetch_task_run", "run_job", "run_task"]


def __getattr__(name: str) -> object:
    """A name of the Python face, imported when it is asked for, since it brings pandas along."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _OF_SINGLE:
        from tasks_lib.job import single  # noqa: PLC0415  # see above

        face: object = getattr(single, name)
        return face
    from tasks_lib.job import library  # noqa: PLC0415  # see above

    value: object = getattr(library, name)
    return value
