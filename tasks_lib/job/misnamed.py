"""Rows that name a revision which the task does not have: found before they fail."""

from tasks_lib.domain.assignment import Assigner
from tasks_lib.domain.job import Job
from tasks_lib.rows import OpenSource

_AT_A_TIME = 10_000
_SHOWN = 3  # wrong names that are told one by one
_KEPT = 1_000  # wrong names that are counted one by one


def misnamed_revisions(job: Job, source: OpenSource, *, limit: int | None) -> tuple[str, ...]:
    """A warning for each name that rows give and the task does not know; the source is read for it.

    The first tells of the name with the most rows; what is beyond a few is summed up.
    """
    if not job.assignment.columns:
        return ()
    assigner = Assigner(job.task, job.assignment, seed=job.seed)
    rows: dict[str, int] = {}  # by what is wrong
    first: dict[str, int] = {}
    others = 0
    for stretch in source.rows(size=_AT_A_TIME, limit=limit, columns=job.assignment.columns):
        for row in stretch:
            problem = assigner.of(row)[0].problem
            if problem is None:
                continue
            if problem.message in rows or len(rows) < _KEPT:
                rows[problem.message] = rows.get(problem.message, 0) + 1
                first.setdefault(problem.message, row.number)
            else:
                others += 1
    by_rows = sorted(rows, key=lambda message: (-rows[message], first[message]))
    others += sum(rows[message] for message in by_rows[_SHOWN:])
    told = [
        f"{rows[message]:,} {'row' if rows[message] == 1 else 'rows'} will fail, first row "
        f"{first[message]:,}: {message}"
        for message in by_rows[:_SHOWN]
    ]
    return (
        (*told, f"{others:,} more rows name other unknown revisions, and will fail") if others else (*told,)
    )
