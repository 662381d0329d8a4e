"""How often the answers are right, where the source holds the right ones."""

from collections.abc import Mapping

import orjson

from tasks_lib.domain.job import Job
from tasks_lib.job.checks import columns_of, planner_of
from tasks_lib.job.tally import Accuracy
from tasks_lib.ledger import Ledger
from tasks_lib.rows import OpenSource

_ROWS = 5_000  # at a time


def accuracy_of(job: Job, *, source: OpenSource, ledger: Ledger, limit: int | None) -> tuple[Accuracy, ...]:
    """The accuracy of each field that the job has an expectation for, by revision where they are compared.

    A value is right if it is written like the expected one, but for space around it and case; rows without
    an answer, or without an expected value, are not compared.
    """
    planner = planner_of(job)
    revisions: tuple[str | None, ...] = job.assignment.compare or (None,)
    fields = [(field, revision) for field in job.expected for revision in revisions]
    compared, right = dict.fromkeys(fields, 0), dict.fromkeys(fields, 0)
    for rows in source.rows(size=_ROWS, limit=limit, columns=columns_of(job)):
        charted = [one for row in rows for one in planner.charts(row)]
        found = ledger.results_table([one.identity for one in charted])
        told = (found.column(name).to_pylist() for name in ("identity", "status", "response"))
        responses = {
            identity: text for identity, status, text in zip(*told, strict=True) if status == "completed"
        }
        for one in charted:
            response = responses.get(one.identity)
            if response is None:
                continue
            answer = orjson.loads(response)
            for field, column in job.expected.items():
                expected = one.row.values[column]
                if expected is None or not isinstance(answer, Mapping):
                    continue
                of = (field, one.revision.tag if job.assignment.compare else None)
                compared[of] += 1
                right[of] += _written(answer.get(field)) == _written(expected)
    return tuple(
        Accuracy(field=of[0], revision=of[1], compared=compared[of], right=right[of]) for of in fields
    )


def _written(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return " ".join(text.split()).casefold()
