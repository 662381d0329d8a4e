from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tasks_lib.cli.summary import Again, show_summary
from tasks_lib.engine.breakers import Outage
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Accuracy, Outcome, Summary, Tally


def summary(outcome: Outcome = Outcome.COMPLETED_WITH_FAILURES, **changes: object) -> Summary:
    facts: dict[str, object] = {
        "batch_id": "b",
        "job": "reviews",
        "outcome": outcome,
        "reason": None,
        "rows": 1_000,
        "completed": 950,
        "failed": 3,
        "skipped": 47,
        "cancelled": 0,
        "calls": 1_012,
        "input_tokens": 120_000,
        "output_tokens": 8_000,
        "cost": Decimal("0.1234"),
        "calls_of_unknown_cost": 2,
        "seconds": 10.0,
        "failures": {"invalid_output": 2, "refused": 1},
        "ledger": Path("/somewhere/rowmill.duckdb"),
        "output": Path("/somewhere/reviews.csv"),
    }
    return Summary(**{**facts, **changes})  # type: ignore[arg-type]  # each by its own name


TALLY = Tally(retries=59, last_failure="refused: \x1b[31mno\nI won't")


def again(options: Options | None = None, **overrides: object) -> Again:
    return Again.of(Path("jobs/a b.yaml"), overrides=overrides, options=options or Options(), prefect=None)


def told(
    capsys: pytest.CaptureFixture[str], one: Summary, command: Again | None = None, tally: Tally = TALLY
) -> str:
    show_summary(one, tally=tally, again=command or again(), aside=False)
    return capsys.readouterr().out


def test_the_counts_add_up_before_the_readers_eyes(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are the sum of what became of them, in one line."""
    assert "rows       1,000 = 950 completed + 3 failed + 47 skipped + 0 cancelled" in told(capsys, summary())


def test_failures_are_told_by_kind_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """Failed rows are counted by kind, and one is shown without what would steer the terminal."""
    text = told(capsys, summary())
    assert "failures   2 invalid_output, 1 refused\n" in text
    assert "such as refused: \\x1b[31mno I won't\n" in text


def test_an_unknown_cost_is_no_part_of_the_sum(capsys: pytest.CaptureFixture[str]) -> None:
    """Calls of unknown cost are told beside what is known."""
    assert "cost       $0.1234 + 2 calls of unknown cost" in told(capsys, summary())


def test_a_run_with_nothing_to_do_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """When everything was answered before, one sentence says that no call was made."""
    idle = summary(
        Outcome.COMPLETED, completed=0, failed=0, skipped=1_000, calls=0, failures={}, calls_of_unknown_cost=0
    )
    text = told(capsys, idle, tally=Tally())
    assert "Nothing to do: all 1,000 rows were answered before; no call was made." in text


def test_nothing_to_try_again(capsys: pytest.CaptureFixture[str]) -> None:
    """With --retry-failed rows that were never asked do not count as answered."""
    idle = summary(
        Outcome.COMPLETED,
        completed=0,
        failed=0,
        skipped=6,
        rows=6,
        calls=0,
        failures={},
        calls_of_unknown_cost=0,
    )
    text = told(capsys, idle, again(Options(retry_failed=True)), tally=Tally())
    assert text.startswith("Nothing to do: none of the 6 rows has failed and is still without an answer;")


def test_accuracy_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the file holds right answers, the summary says how many were given."""
    one = summary(accuracy=(Accuracy(field="sentiment", compared=40, right=31),))
    assert "accuracy   sentiment: 31 of 40 right (77 %)" in told(capsys, one)


def test_failed_rows_can_be_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    """After failures the command to ask them again is given, with the same flags."""
    command = again(Options(limit=5), **{"input": Path("x.csv"), "limits.in_flight": "2"})
    assert (
        "rowmill run 'jobs/a b.yaml' --input x.csv --set limits.in_flight=2 --limit 5 --retry-failed"
        in told(capsys, summary(), command)
    )


@pytest.mark.parametrize("outcome", [Outcome.INTERRUPTED, Outcome.STOPPED, Outcome.REFUSED])
def test_a_batch_that_was_ended_says_why_and_how_to_go_on(
    capsys: pytest.CaptureFixture[str], outcome: Outcome
) -> None:
    """Whatever ended a batch, the reason is told and the command that goes on."""
    text = told(capsys, summary(outcome, reason="because of that", cancelled=5, output=None))
    assert "because of that" in text.splitlines()[0]
    assert "resume with: rowmill run 'jobs/a b.yaml'\n" in text
    assert "output     not written" in text


def test_a_forced_batch_cannot_be_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    """What --force had asked again is known as answered, and the reader is told the choice."""
    text = told(capsys, summary(Outcome.INTERRUPTED, reason="x", cancelled=5), again(Options(force=True)))
    assert "resume" not in text
    assert "ask every row once more with: rowmill run 'jobs/a b.yaml' --force\n" in text
    assert "no answer at all with: rowmill run 'jobs/a b.yaml'\n" in text


def test_the_flow_is_gone_through_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was told how to run is resumed in the same way."""
    command = Again.of(Path("j.yaml"), overrides={}, options=Options(), prefect=False)
    assert command.command == "rowmill run j.yaml --no-prefect"


def test_a_model_that_was_down_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Since when, for how long, why, and how many rows went by it."""
    began = datetime(2026, 11, 22, 12, tzinfo=UTC)
    outages = tuple(
        Outage(model=model, began_at=began, ended_at=ended, rows=rows, why="its last 8 calls failed")
        for model, ended, rows in (
            ("acme:big", began + timedelta(seconds=90), 4_800),
            ("acme:small", None, 0),
        )
    )
    text = told(capsys, summary(outages=outages))
    at = f"{began.astimezone():%H:%M:%S}"
    assert f"acme:big from {at} for 1 min 30 s; 4,800 rows went by it: its last 8 calls failed" in text
    assert f"acme:small from {at} to the end; its last 8 calls failed" in text


def test_secrets_of_addresses_are_not_shown() -> None:
    """The command that takes a run up again has neither the query of an address nor the path of a webhook."""
    command = again(
        input="https://files.example.com/a.csv?X-Amz-Signature=5e1f", webhook="https://example.com/5e1f"
    ).command
    assert "--input 'https://files.example.com/a.csv?…'" in command
    assert "webhook=https://example.com/…" in command
    assert "5e1f" not in command
    assert again(input="s3://bucket/?.csv").command.endswith("--input 's3://bucket/?.csv'")
