"""What happens to batches, as Prefect events that automations can hang on.

| event                                 | when                                                              |
|---------------------------------------|-------------------------------------------------------------------|
| rowmill.batch.begun                   | the first rows are about to be asked                              |
| rowmill.batch.completed               | every row is answered, at least one of them by this batch         |
| rowmill.batch.nothing-to-do           | every row was answered before                                     |
| rowmill.batch.completed-with-failures | every row came to its end, and some failed                        |
| rowmill.batch.stopped                 | a limit ended it                                                  |
| rowmill.batch.action-required         | its money is spent, and the flow run waits for more in Prefect    |
| rowmill.batch.refused                 | the provider refused us: key, permission, model, credit           |
| rowmill.batch.interrupted             | somebody cancelled it, or a signal did                            |
| rowmill.batch.failed                  | it could not begin, or could not write what it had                |

The resource is the batch, or the flow run of one that could not begin. Related to it are its job
(`rowmill.job.NAME`, role `job`), its ledger (`rowmill.ledger.PATH`, role `ledger`) and, by Prefect itself,
the flow run and its deployment. The payload has counts, tokens and costs. Nothing of a row and no key is in
an event.
"""

from typing import Final

from prefect.events import emit_event

from tasks_lib.domain.job import Job
from tasks_lib.job.tally import Outcome, Summary

BEGUN: Final = "rowmill.batch.begun"
NOTHING_TO_DO: Final = "rowmill.batch.nothing-to-do"
ACTION_REQUIRED: Final = "rowmill.batch.action-required"
FAILED: Final = "rowmill.batch.failed"

_OF_OUTCOME: Final = {
    Outcome.COMPLETED: "rowmill.batch.completed",
    Outcome.COMPLETED_WITH_FAILURES: "rowmill.batch.completed-with-failures",
    Outcome.STOPPED: "rowmill.batch.stopped",
    Outcome.REFUSED: "rowmill.batch.refused",
    Outcome.INTERRUPTED: "rowmill.batch.interrupted",
    Outcome.CRASHED: FAILED,
}
_COUNTS: Final = (
    "outcome",
    "reason",
    "rows",
    "completed",
    "failed",
    "skipped",
    "cancelled",
    "calls",
    "input_tokens",
    "output_tokens",
    "cost",
    "possible_cost",
    "calls_of_unknown_cost",
    "seconds",
    "failures",
)


def tell_begun(job: Job, *, batch_id: str, rows: int) -> None:
    """The first rows of a batch are about to be asked."""
    _emit(BEGUN, job, f"rowmill.batch.{batch_id}", payload={"rows": rows})


def tell_ended(job: Job, summary: Summary, *, waits_for_money: bool) -> None:
    """A batch has ended, or waits for somebody who gives it more money."""
    told = summary.as_json()
    _emit(
        event_of(summary, waits_for_money=waits_for_money),
        job,
        f"rowmill.batch.{summary.batch_id or 'none'}",
        payload={name: told[name] for name in _COUNTS},
    )


def tell_failed(job: Job | None, *, flow_run_id: str, batch_id: str | None) -> None:
    """A batch could not begin, or could not write what it had; why is in the flow run's state."""
    resource = f"rowmill.batch.{batch_id}" if batch_id is not None else f"prefect.flow-run.{flow_run_id}"
    _emit(FAILED, job, resource, payload={})


def event_of(summary: Summary, *, waits_for_money: bool) -> str:
    """The name of the event that tells a batch's end."""
    if waits_for_money:
        return ACTION_REQUIRED
    if summary.outcome is Outcome.COMPLETED and summary.rows == summary.skipped:
        return NOTHING_TO_DO
    return _OF_OUTCOME[summary.outcome]


def _emit(event: str, job: Job | None, resource: str, *, payload: dict[str, object]) -> None:
    related = []
    labels = {"prefect.resource.id": resource}
    if job is not None:
        labels["prefect.resource.name"] = job.name
        related = [
            {"prefect.resource.id": f"rowmill.job.{job.name}", "prefect.resource.role": "job"},
            {"prefect.resource.id": f"rowmill.ledger.{job.ledger}", "prefect.resource.role": "ledger"},
        ]
    emit_event(event, resource=labels, related=related, payload=payload)
