"""The end of a batch as the end state of a flow run.

| outcome                 | type      | name                  |
|-------------------------|-----------|-----------------------|
| completed               | COMPLETED | Completed             |
| some rows failed        | COMPLETED | CompletedWithFailures |
| every row failed        | FAILED    | Failed                |
| stopped by a limit      | FAILED    | StoppedByLimit        |
| refused by the provider | FAILED    | Refused               |
| interrupted             | CANCELLED | Cancelled             |
| could not begin         | FAILED    | Failed                |
| another run waits       | CANCELLED | Skipped               |
| its money is spent      | PAUSED    | Suspended             |
| its process died        | CRASHED   | Crashed, or TakenOver |

A batch that found nothing to do is Completed, and says so in its message and by its event (`flows.events`).
How a flow run comes to the last three is told in `flows.turns`, `flows.money` and `flows.dead`.

Prefect's automations match a state's name by the event (`prefect.flow-run.StoppedByLimit`) or its type by the
event's label `prefect.state-type`: an alarm for all that goes wrong matches FAILED, not the name Failed.
"""

from prefect import State
from prefect.states import Cancelled, Completed, Failed

from flows.words import told
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.tally import Outcome, Summary, Tally


def state_of(summary: Summary) -> State[dict[str, object]]:
    """The state that tells how a batch ended; the summary is the data of a completed one."""
    message = told(summary)
    match summary.outcome:
        case Outcome.COMPLETED:
            return Completed(message=message, data=summary.as_json())
        case Outcome.COMPLETED_WITH_FAILURES:
            if not summary.completed and not summary.skipped:
                return Failed(message=message)
            return Completed(name="CompletedWithFailures", message=message, data=summary.as_json())
        case Outcome.STOPPED:
            return Failed(name="StoppedByLimit", message=message)
        case Outcome.REFUSED:
            return Failed(name="Refused", message=message)
        case Outcome.INTERRUPTED:
            return Cancelled(message=message)
        case Outcome.CRASHED:
            return Failed(message=message)


def state_of_mistake(mistake: Mistake, tally: Tally) -> State[dict[str, object]]:
    """The state of a flow run that could not begin its batch, or could not write the output of one."""
    if tally.batch_id is None:
        return Failed(message=f"Nothing was run. {mistake}")
    done = tally.durable_completed
    return Failed(message=f"{done} of {tally.rows} rows answered and in the ledger, but: {mistake}")


def skipped() -> State[dict[str, object]]:
    """The state of a flow run that has nothing to add to one that waits."""
    message = (
        "Nothing was run: another run of the same job waits for the ledger, and will do what this one would"
    )
    return Cancelled(name="Skipped", message=message)


def crashed_too_often(times: int) -> State[dict[str, object]]:
    """The state of a flow run that is not run again any more."""
    return Failed(
        message=f"Its process has died {times} times. Everything answered is kept; see the log for why, "
        "and run it again to go on"
    )
