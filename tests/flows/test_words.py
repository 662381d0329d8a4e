"""Batches in words."""

from decimal import Decimal
from pathlib import Path

from flows.words import dollars, told
from tasks_lib.job.tally import Outcome, Summary


def summary(outcome=Outcome.COMPLETED, **changed) -> Summary:
    counts = {"rows": 0, "completed": 0, "failed": 0, "skipped": 0, "cancelled": 0, **changed}
    return Summary(
        batch_id="b",
        job="echo",
        outcome=outcome,
        calls=1,
        input_tokens=1,
        output_tokens=1,
        cost=Decimal(0),
        calls_of_unknown_cost=0,
        seconds=1.0,
        ledger=Path("ledger.duckdb"),
        output=None,
        **{"reason": None, "failures": {}, **counts},
    )


def test_failed_rows_are_told_by_kind():
    """A batch with failures says how many rows failed, and of what."""
    batch = summary(
        Outcome.COMPLETED_WITH_FAILURES,
        rows=500,
        completed=480,
        failed=20,
        failures={"rate_limited": 15, "refused": 5},
    )
    assert told(batch) == "480 of 500 rows answered, 20 failed: rate_limited 15, refused 5"


def test_a_repeated_batch_has_nothing_to_do():
    """A batch whose rows were all answered before says so, and not that none of them was answered."""
    assert told(summary(rows=500, skipped=500)) == "Nothing to do: all 500 rows were answered before"


def test_an_empty_file_has_nothing_to_do_either():
    """No rows are no contradiction."""
    assert told(summary()) == "Nothing to do: all 0 rows were answered before"


def test_an_interrupted_batch_says_how_to_go_on():
    """Who reads that a batch was interrupted reads what is kept and what to do."""
    batch = summary(
        Outcome.INTERRUPTED, rows=10, completed=3, skipped=2, cancelled=5, reason="SIGTERM was received"
    )
    assert told(batch) == (
        "3 of 10 rows answered, 2 left as they were, 5 not asked. Stopped: SIGTERM was received. "
        "Everything answered is kept; run it again to go on"
    )


def test_unknown_money_is_not_nothing():
    """A cost that is unknown is never shown as zero."""
    assert (dollars(None), dollars(Decimal(0))) == ("unknown", "$0.000000")


def test_a_comparison_counts_runs():
    """R28: where every row is run with several revisions, what is counted are runs."""
    batch = summary(rows=20, completed=20, compared=("v1", "v2"))
    assert (told(batch), batch.source_rows) == ("20 of 20 runs answered", 10)
