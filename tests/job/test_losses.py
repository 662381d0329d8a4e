"""When no other is had any more in the place of workers that come to their end."""

from dataclasses import replace

import pytest

from tasks_lib.domain.failure import FailureKind
from tasks_lib.job.counted import Counted
from tasks_lib.job.workers.losses import Losses
from tests.ledger.builders import answered, plan, run

ANSWERED = Counted.of(run(plan(), answered({})))
SET_ASIDE = replace(ANSWERED, kind=FailureKind.POISONED)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def losses(told: list[str]) -> Losses:
    return Losses(workers=2, warn=told.append)


def lose(losses: Losses, times: int) -> str | None:
    for _ in range(times):
        losses.add(0, "was killed by signal 9")
    return losses.too_many


def test_three_of_each_in_a_row_are_borne(losses: Losses) -> None:
    assert lose(losses, 6) is None
    assert (lose(losses, 1) or "").startswith("7 workers in a row came to their end")


def test_a_row_that_was_answered_begins_the_row_anew(losses: Losses) -> None:
    lose(losses, 6)
    losses.over([ANSWERED])
    assert lose(losses, 6) is None
    assert lose(losses, 1) is not None


def test_a_row_that_is_set_aside_is_forgiven_two_of_its_deaths(losses: Losses) -> None:
    """But not for ever: after sixteen with none answered in between it may be the program that kills."""
    for _ in range(16):
        assert lose(losses, 2) is None
        losses.over([SET_ASIDE])
    assert lose(losses, 6) is None
    losses.over([SET_ASIDE])
    assert lose(losses, 1) is not None


def test_ten_are_told_one_by_one_and_that_there_were_more_once(losses: Losses, told: list[str]) -> None:
    lose(losses, 20)
    assert told == ["worker 1 was killed by signal 9; others go on with its rows"] * 10 + [
        "and further workers came to their end"
    ]
