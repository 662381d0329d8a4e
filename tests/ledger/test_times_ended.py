"""How often a row's run came to its end."""

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.run import conclude
from tasks_lib.ledger import Ledger
from tests.ledger.builders import NOON, begin, plan, refused, run

CANCELLED = Failure(kind=FailureKind.CANCELLED, message="the batch ended")


def test_runs_that_came_to_their_end_are_counted(ledger: Ledger) -> None:
    """Answered and failed ones count, those that were cut short do not."""
    one, other, third = (plan(key=key, text=key) for key in "abc")
    cut_short = conclude(third, [refused()], created_at=NOON, finished_at=NOON, cut_short=CANCELLED)
    assert ledger.times_ended([]) == {}
    ledger.add([run(one), run(one, refused()), run(other), cut_short], batch_id=begin(ledger))
    found = ledger.times_ended([one.identity, other.identity, third.identity])
    assert found == {one.identity: 2, other.identity: 1}
