"""A clock that is set back between batches: what was added last is the latest, whatever its time says."""

from datetime import timedelta

from tasks_lib.ledger import Ledger
from tests.ledger.builders import NOON, answered, begin, end, plan, refused, run

EARLIER = NOON - timedelta(hours=3)  # of the second batch, which runs after the clock was set back


def test_the_last_answer_is_the_latest(ledger: Ledger) -> None:
    """A row that was asked again has its new answer in results and in the view, and needs no new call."""
    asked = plan(key="1")
    ledger.add([run(asked, answered({"sentiment": "positive"}))], batch_id=begin(ledger))
    again = plan(key="1")
    ledger.add(
        [run(again, answered({"sentiment": "negative"}, at=EARLIER), at=EARLIER)], batch_id=begin(ledger)
    )
    stored = ledger.results([asked.identity])[asked.identity]
    assert (stored.task_run_id, stored.response) == (again.task_run_id, '{"sentiment":"negative"}')
    assert ledger.sql("select sentiment from results_sentiment").to_pylist() == [{"sentiment": "negative"}]
    assert ledger.answered([asked.identity]) == {asked.identity}


def test_the_last_failure_is_the_one_that_is_told(ledger: Ledger) -> None:
    """A row that failed twice is a dead letter for its last reason."""
    ledger.add([run(plan(key="1"), refused(message="the first reason"))], batch_id=begin(ledger))
    later = run(plan(key="1"), refused(message="the last reason", at=EARLIER), at=EARLIER)
    ledger.add([later], batch_id=begin(ledger))
    (row,) = ledger.report("dead_letters").to_pylist()
    assert row["error"] == "the last reason"
    assert ledger.results([later.plan.identity])[later.plan.identity].error == "the last reason"


def test_a_batch_that_ends_before_it_began(ledger: Ledger) -> None:
    """A batch during which the clock was set back is kept as it was told, with all its rows."""
    batch = begin(ledger, rows=1)
    ledger.add([run(plan(key="1"), at=EARLIER)], batch_id=batch)
    end(ledger, batch, rows=1, completed=1)
    (row,) = ledger.batches().to_pylist()
    assert (row["completed"], row["status"]) == (1, "completed")
