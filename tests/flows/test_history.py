"""What has become of a flow run before a process takes it up."""

from datetime import UTC, datetime, timedelta

import pytest
from prefect import State
from prefect.client.schemas.objects import StateType

from flows.history import end_before

_TYPES = {
    "AfterCrash": StateType.SCHEDULED,
    "AwaitingRetry": StateType.SCHEDULED,
    "Cancelled": StateType.CANCELLED,
    "Completed": StateType.COMPLETED,
    "Crashed": StateType.CRASHED,
    "Late": StateType.SCHEDULED,
    "Pending": StateType.PENDING,
    "Running": StateType.RUNNING,
    "Scheduled": StateType.SCHEDULED,
    "StoppedByLimit": StateType.FAILED,
    "Suspended": StateType.PAUSED,
}


def states(told: str) -> list[State[object]]:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        State(type=_TYPES[name], name=name, message=f"as {name}", timestamp=began + timedelta(seconds=second))
        for second, name in enumerate(told.split())
    ]


@pytest.mark.parametrize(
    ("told", "end"),
    [
        ("Scheduled Pending Running StoppedByLimit AfterCrash Pending Running", "StoppedByLimit"),
        ("Scheduled Running Completed AfterCrash Late Pending Running", "Completed"),
        ("Scheduled Running Crashed AfterCrash Running Completed AfterCrash Running", "Completed"),
        ("Scheduled Running Completed AfterCrash Running Crashed AfterCrash Running", "Completed"),
        ("Scheduled Running Cancelled AfterCrash Running", "Cancelled"),
    ],
)
def test_a_flow_run_that_has_ended_is_not_run_again_by_an_automation(told, end):
    """An automation that missed the end is not heeded: the flow run would begin with fresh money."""
    found = end_before(list(reversed(states(told))))  # in whatever order they are told
    assert found is not None
    assert (found.name, found.type, found.message) == (end, _TYPES[end], f"as {end}")


@pytest.mark.parametrize(
    "told",
    [
        "Scheduled Pending Running",
        "Scheduled Running Crashed AfterCrash Pending Running",
        "Scheduled Running AfterCrash Running",
        "Scheduled Running Suspended AfterCrash Running",
        "Scheduled Running StoppedByLimit AwaitingRetry Running",  # somebody means it
        "Scheduled Running StoppedByLimit Scheduled Running Crashed AfterCrash Running",
    ],
)
def test_one_that_crashed_or_that_somebody_runs_again_goes_on(told):
    """What has not ended is taken up; whoever runs an ended one again means it."""
    assert end_before(states(told)) is None
