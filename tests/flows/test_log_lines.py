"""What a flow run says in its log."""

import logging

import pytest

from flows.log_lines import MOST_WARNINGS, LogLines
from tasks_lib.job.tally import Tally


@pytest.mark.parametrize("rows", [1, 50, 1_000, 200_000])
def test_lines_are_bounded(rows, caplog):
    """However many rows there are, a batch says at most a line for each tenth, and a few warnings."""
    tally = Tally(rows=rows)
    with caplog.at_level(logging.INFO):
        lines = LogLines(log=logging.getLogger("batch"), tally=tally, told_at=0.0)
        step = max(1, rows // 1_000)
        for moment, done in enumerate(range(0, rows + 1, step)):
            tally.completed = done
            tally.warnings.append(f"warning {moment}")
            lines.look(now=moment * 100.0)
        lines.close()
    told = [record.getMessage() for record in caplog.records]
    progress = [line for line in told if " done: " in line]
    assert len(progress) == min(9, max(0, rows - 1))  # the last tenth is told by the batch's end
    assert sum(line.startswith("warning ") for line in told) == min(MOST_WARNINGS, len(tally.warnings))
    assert len(told) <= 9 + MOST_WARNINGS + 1


def test_a_quick_batch_says_nothing_on_its_way(caplog):
    """No two lines come within a minute."""
    tally = Tally(rows=1_000)
    with caplog.at_level(logging.INFO):
        lines = LogLines(log=logging.getLogger("batch"), tally=tally, told_at=0.0)
        for second in range(59):
            tally.completed = second * 17
            lines.look(now=float(second))
        lines.close()
    assert caplog.records == []


def test_a_line_adds_up(caplog):
    """A line of progress tells what was asked, left and failed."""
    tally = Tally(rows=100, completed=30, failed=5, skipped=15)
    with caplog.at_level(logging.INFO):
        LogLines(log=logging.getLogger("batch"), tally=tally, told_at=0.0).look(now=61.0)
    assert [record.getMessage() for record in caplog.records] == [
        "50 of 100 rows done: 35 asked, 15 left as they were, 5 failed; $0.000000"
    ]
