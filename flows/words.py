"""A batch in words, for states and artifacts."""

from decimal import Decimal

from tasks_lib.job.tally import Outcome, Summary


def told(summary: Summary) -> str:
    """How a batch ended, in a sentence: `480 of 500 rows answered, 20 failed: rate_limited 15, refused 5`."""
    if summary.outcome is Outcome.COMPLETED and summary.rows == summary.skipped:
        return f"Nothing to do: all {summary.rows} {summary.counted} were answered before"
    parts = [f"{summary.completed} of {summary.rows} {summary.counted} answered"]
    if summary.skipped:
        parts.append(f"{summary.skipped} left as they were")
    if summary.cancelled:
        parts.append(f"{summary.cancelled} not asked")
    if summary.failed:
        kinds = ", ".join(f"{kind} {count}" for kind, count in summary.failures.items())
        parts.append(f"{summary.failed} failed: {kinds}" if kinds else f"{summary.failed} failed")
    sentence = ", ".join(parts)
    if summary.reason:
        sentence = f"{sentence}. Stopped: {summary.reason}"
    if summary.outcome is Outcome.INTERRUPTED:
        sentence = f"{sentence}. Everything answered is kept; run it again to go on"
    return sentence


def dollars(cost: Decimal | None) -> str:
    """Money as people read it; unknown stays unknown."""
    return "unknown" if cost is None else f"${cost:,.6f}"
