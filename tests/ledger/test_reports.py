"""Views and reports: every figure follows from the runs that were added."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.run import Attempt, Status, TaskRun
from tasks_lib.domain.usage import Usage
from tasks_lib.ledger import Ledger, NotInLedger, open_ledger
from tasks_lib.ledger.statements import statements
from tests.ledger.builders import (
    NOON,
    answered,
    batch_id,
    begin,
    end,
    job,
    plan,
    refused,
    revision,
    run,
    runs,
    task,
    with_problem,
)

REPORTS = [name for name, _ in Ledger.reports()]


def costing(attempt: Attempt, cost: Decimal | None, *, estimated: Decimal | None = None) -> Attempt:
    return replace(attempt, cost=cost, estimated_cost=estimated)


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_runs_on_an_empty_ledger(ledger: Ledger, name: str) -> None:
    """A report of nothing has columns and no rows, with and without a date."""
    for since in (None, date(2026, 11, 1)):
        report = ledger.report(name, since=since)
        assert report.num_rows == 0
        assert report.num_columns > 2


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_runs_on_a_read_only_ledger(path: Path, name: str) -> None:
    """A report needs no permission to write."""
    with open_ledger(path) as ledger:
        begin(ledger)
    with open_ledger(path, read_only=True) as ledger:
        ledger.report(name)


def test_every_report_tells_what_it_answers() -> None:
    """Each report begins with the question that it answers."""
    assert {"cost_by_reporting_group", "cost_by_model", "failures", "latency", "batches"} <= set(REPORTS)
    for name, question in Ledger.reports():
        assert question.endswith("?"), name


def test_every_view_has_a_report() -> None:
    """What can be selected can be reported."""
    texts = " ".join(one.text for one in statements("reports"))
    for view in statements("views"):
        assert f"from {view.name}\n" in texts


def test_a_report_that_is_not_there(ledger: Ledger) -> None:
    """A misspelt report names the one that was meant; a name is never a path."""
    with pytest.raises(NotInLedger, match="Did you mean 'latency'"):
        ledger.report("latancy")
    with pytest.raises(NotInLedger, match="there is no report"):
        ledger.report("../views/latency")


GROUPS = st.sampled_from([None, "acme", "globex", "ACME", 'o\'brien "&" co; --'])
COSTS = st.none() | st.decimals(0, 999, places=12)
TOKENS = st.none() | st.tuples(st.integers(0, 10**9), st.integers(0, 10**9))


@st.composite
def attempts(draw: st.DrawFn) -> list[Attempt]:
    made = []
    for last in [False] * draw(st.integers(0, 3)) + [True]:
        tokens = draw(TOKENS)
        usage = Usage(input_tokens=tokens[0], output_tokens=tokens[1]) if tokens is not None else None
        fails = not last or draw(st.booleans())
        position = int(last)
        one = refused(usage=usage, position=position) if fails else answered(usage=usage, position=position)
        cost = draw(COSTS)
        made.append(costing(one, cost, estimated=draw(COSTS) if cost is None else None))
    return made


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(st.tuples(GROUPS, attempts()), min_size=1, max_size=12))
def test_sums_are_exact(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str | None, list[Attempt]]]
) -> None:
    """Dollars and tokens of the views are those of the runs, to the last digit, and unknown is not zero."""
    task_runs = [run(plan(key=str(n), group=group), *tried) for n, (group, tried) in enumerate(drawn)]
    with open_ledger(tmp_path_factory.mktemp("sums") / "ledger.duckdb") as ledger:
        ledger.add(task_runs, batch_id=begin(ledger))
        by_group = {
            row["reporting_group"]: row for row in ledger.report("cost_by_reporting_group").to_pylist()
        }
        by_model = {row["model"]: row for row in ledger.report("cost_by_model").to_pylist()}
        days = ledger.report("spend_by_day").to_pylist()
        (batch,) = ledger.report("batches").to_pylist()
    groups: dict[str | None, list[TaskRun]] = defaultdict(list)
    models: dict[str, list[Attempt]] = defaultdict(list)
    for one in task_runs:
        groups[one.plan.reporting_group].append(one)
        for attempt in one.attempts:
            models[str(attempt.model)].append(attempt)
    assert by_group.keys() == groups.keys()
    for group, members in groups.items():
        tried = [attempt for member in members for attempt in member.attempts]
        assert (by_group[group]["completed"], by_group[group]["failed"]) == (
            sum(member.status is Status.COMPLETED for member in members),
            sum(member.status is Status.FAILED for member in members),
        )
        check(by_group[group], tried)
    assert by_model.keys() == models.keys()
    for model, tried in models.items():
        check(by_model[model], tried)
    everything = [attempt for one in task_runs for attempt in one.attempts]
    assert [day["day"] for day in days] == [date(2026, 11, 22)]
    check(days[0], everything)
    check(batch, everything)


def check(row: dict[str, object], tried: list[Attempt]) -> None:
    costs = [attempt.cost for attempt in tried if attempt.cost is not None]
    usages = [attempt.usage for attempt in tried if attempt.usage is not None]
    assert row["calls"] == len(tried)
    assert row["cost"] == (sum(costs) if costs else None)
    estimates = [attempt.estimated_cost for attempt in tried if attempt.estimated_cost is not None]
    assert row["possible_cost"] == sum(estimates)
    assert row["calls_of_unknown_cost"] == len(tried) - len(costs) - len(estimates)
    assert row["input_tokens"] == (sum(usage.input_tokens for usage in usages) if usages else None)
    assert row["output_tokens"] == (sum(usage.output_tokens for usage in usages) if usages else None)


def test_a_mean_is_money_too(ledger: Ledger) -> None:
    """The cost of an answered row is a decimal, and is unknown where no row was answered."""
    ledger.add(
        [
            run(plan(group="a"), costing(answered(), Decimal("0.1"))),
            run(plan(group="a"), costing(answered(), Decimal("0.2"))),
            run(plan(group="b"), costing(refused(), Decimal("0.7"))),
        ],
        batch_id=begin(ledger),
    )
    found = ledger.report("cost_by_reporting_group").to_pylist()
    assert [(row["reporting_group"], row["cost_per_completed"]) for row in found] == [
        ("b", None),
        ("a", Decimal("0.15")),
    ]


def test_days_are_utc(ledger: Ledger) -> None:
    """A call belongs to its day in UTC, the latest day first."""
    before, after = datetime(2026, 11, 21, 23, 59, tzinfo=UTC), datetime(2026, 11, 22, 0, 1, tzinfo=UTC)
    ledger.add([run(plan(), answered(at=before), answered(at=after), at=before)], batch_id=begin(ledger))
    assert [row["day"] for row in ledger.report("spend_by_day").to_pylist()] == [
        date(2026, 11, 22),
        date(2026, 11, 21),
    ]


def test_since(ledger: Ledger) -> None:
    """A report since a time is about that time and later; the next report is about everything again."""
    batch = begin(ledger)
    for hours in (0, 1, 2):
        at = NOON + timedelta(hours=hours)
        ledger.add([run(plan(), answered(at=at), at=at)], batch_id=batch)
    since = NOON + timedelta(hours=1)
    for name in ("cost_by_model", "cost_by_reporting_group", "spend_by_day"):
        assert [row["calls"] for row in ledger.report(name, since=since).to_pylist()] == [2], name
        assert [row["calls"] for row in ledger.report(name).to_pylist()] == [3], name
        assert ledger.report(name, since=date(2026, 11, 23)).num_rows == 0, name
    assert ledger.report("latency", since=since.replace(tzinfo=None)).to_pylist()[0]["answered"] == 2


def test_failures(ledger: Ledger) -> None:
    """Failures are counted by kind: calls that failed, rows that came to nothing, the latest example."""
    later = NOON + timedelta(minutes=5)
    ledger.add(
        [
            run(plan(), refused(FailureKind.TIMEOUT, "first"), answered()),
            run(
                plan(),
                refused(FailureKind.TIMEOUT, "latest", at=later, cost=None),
                refused(FailureKind.REFUSED, "no"),
            ),
            with_problem(plan(), "no text"),
        ],
        batch_id=begin(ledger),
    )
    found = {row["failure_kind"]: row for row in ledger.report("failures").to_pylist()}
    assert {kind: (row["calls"], row["failed_rows"], row["example"]) for kind, row in found.items()} == {
        "timeout": (2, 0, "latest"),
        "refused": (1, 1, "no"),
        "bad_row": (0, 1, "no text"),
    }
    assert found["timeout"]["last_seen"] == later
    assert (found["timeout"]["cost"], found["timeout"]["calls_of_unknown_cost"]) == (Decimal(0), 1)


def test_latency(ledger: Ledger) -> None:
    """Percentiles are those of calls that were answered, by model."""
    batch = begin(ledger)
    ledger.add([run(plan(), answered(worked=n / 100, waited=n / 10)) for n in range(101)], batch_id=batch)
    ledger.add([run(plan(), refused(), answered(position=1, worked=9.0))], batch_id=batch)
    first, second = ledger.report("latency").to_pylist()
    assert (first["model"], first["answered"]) == ("openai:gpt-5-mini", 101)
    assert [first[name] for name in ("worked_p50", "worked_p95", "worked_p99")] == pytest.approx(
        [0.5, 0.95, 0.99]
    )
    assert [first[name] for name in ("waited_p50", "waited_p95", "waited_p99")] == pytest.approx(
        [5.0, 9.5, 9.9]
    )
    assert (second["model"], second["worked_p50"]) == ("anthropic:claude-haiku-4-5", 9.0)


def test_fallbacks(ledger: Ledger) -> None:
    """Runs that fell back are counted by model, stand-in and reason, with what the stand-in cost."""
    stand_in = costing(answered(position=1), Decimal("0.5"))
    ledger.add(
        [
            run(plan(), refused(FailureKind.TIMEOUT, "slow: very"), stand_in),
            run(plan(), refused(FailureKind.TIMEOUT, "slower"), costing(refused(position=1), None)),
            run(plan(), refused(FailureKind.TIMEOUT, "slow"), answered()),
        ],
        batch_id=begin(ledger),
    )
    assert ledger.report("fallbacks").to_pylist() == [
        {
            "task": "sentiment",
            "revision_tag": "v1",
            "primary_model": "openai:gpt-5-mini",
            "fallback_model": "anthropic:claude-haiku-4-5",
            "reason": "timeout",
            "runs": 2,
            "completed": 1,
            "cost": Decimal("0.5"),
            "possible_cost": Decimal(0),
            "calls_of_unknown_cost": 1,
        }
    ]


def moments(*fails: bool, key: str) -> list[TaskRun]:
    """Runs of one row, a minute apart, of which some fail."""
    return [
        run(
            plan(key=key),
            refused(FailureKind.REFUSED, f"no, at {minute}") if failed else answered(),
            at=NOON + timedelta(minutes=minute),
        )
        for minute, failed in enumerate(fails)
    ]


def test_dead_letters(ledger: Ledger) -> None:
    """A row is a dead letter if its latest run failed and its question was never answered."""
    cut = run(plan(key="failed then cut"), refused(), at=NOON + timedelta(hours=1))
    object.__setattr__(cut, "status", Status.CANCELLED)
    object.__setattr__(cut, "failure", Failure(kind=FailureKind.CANCELLED, message="the batch ended"))
    ledger.add(
        [
            *moments(True, key="failed"),
            *moments(True, True, key="failed twice"),
            *moments(True, False, key="answered at last"),
            *moments(False, True, key="answered before"),
            *moments(True, key="failed then cut"),
            cut,
        ],
        batch_id=begin(ledger),
    )
    dead = {row["row_key"]: row for row in ledger.report("dead_letters").to_pylist()}
    assert {key: row["error"] for key, row in dead.items()} == {
        "failed": "no, at 0",
        "failed twice": "no, at 1",
        "failed then cut": "no, at 0",
    }
    assert dead["failed"]["submitted"] == '{"text":"good"}'
    assert (dead["failed"]["job"], dead["failed"]["task"]) == ("reviews", "sentiment")


def test_a_dead_letter_that_another_revision_answered(ledger: Ledger) -> None:
    """A row that a later revision answered is no dead letter; another job's row of that key still is one."""
    first, second = revision("v1"), revision("v2", prompt="Judge: {{text}}")
    asked = task(revisions=[first, second])
    later = NOON + timedelta(hours=1)
    ledger.add(
        [run(plan(asked=first), refused(FailureKind.REFUSED))], batch_id=begin(ledger, job(asked, name="a"))
    )
    ledger.add(
        [run(plan(asked=first), refused(FailureKind.REFUSED))], batch_id=begin(ledger, job(asked, name="b"))
    )
    ledger.add([run(plan(asked=second), answered(), at=later)], batch_id=begin(ledger, job(asked, name="a")))
    assert [row["job"] for row in ledger.report("dead_letters").to_pylist()] == ["b"]


def test_a_revision_that_failed_in_a_comparison_is_a_dead_letter(ledger: Ledger) -> None:
    """R28: that another revision answered the row in the same batch does not mend it; its own answer does."""
    first, second = revision("v1"), revision("v2", prompt="Judge: {{text}}")
    asked = job(task(revisions=[first, second]))
    batch = begin(ledger, asked)
    ledger.add([run(plan(asked=second), refused(FailureKind.REFUSED))], batch_id=batch)
    ledger.add([run(plan(asked=first), answered())], batch_id=batch)
    assert [row["revision_tag"] for row in ledger.report("dead_letters").to_pylist()] == ["v2"]
    ledger.add([run(plan(asked=second), answered())], batch_id=begin(ledger, asked))
    assert ledger.report("dead_letters").num_rows == 0


def test_revision_traffic(ledger: Ledger) -> None:
    """Configured and observed shares stand side by side, by batch; a revision that got no row has 0."""
    versions = [revision("v1", weight=3), revision("v2", prompt="Judge: {{text}}", weight=1)]
    asked = task(revisions=versions)
    by_weight, pinned = (
        begin(ledger, job(asked, name="a")),
        begin(ledger, job(asked, name="b", revision_tag="v2")),
    )
    ledger.add([*runs(3, asked=versions[0]), *runs(2, asked=versions[1])], batch_id=by_weight)
    ledger.add(list(runs(2, asked=versions[1])), batch_id=pinned)
    shares = ledger.sql(
        "select job, revision_tag, configured_share, observed_share, runs from revision_traffic order by all"
    )
    assert [tuple(row.values()) for row in shares.to_pylist()] == [
        ("a", "v1", 0.75, 0.6, 3),
        ("a", "v2", 0.25, 0.4, 2),
        ("b", "v1", 0.0, 0.0, 0),
        ("b", "v2", 1.0, 1.0, 2),
    ]


def test_a_batch_that_runs_is_counted_live(ledger: Ledger) -> None:
    """The summary of a running batch shows what is committed, that of an ended one what it was ended with."""
    batch = begin(ledger, rows=10)
    ledger.add(list(runs(3)), batch_id=batch)
    (row,) = ledger.report("batches").to_pylist()
    assert (row["status"], row["rows"], row["completed"], row["skipped"]) == ("running", 10, 3, None)
    end(ledger, batch, rows=10, completed=9)
    (row,) = ledger.report("batches").to_pylist()
    assert (row["status"], row["completed"], row["cancelled"], row["seconds"]) == ("completed", 9, 1, 60.0)


def test_the_latest_batches(ledger: Ledger) -> None:
    """Batches come newest first, as many as are asked for."""
    for hours, name in enumerate("abc"):
        ledger.begin_batch(
            job(name=name),
            batch_id=batch_id(),
            rows=None,
            started_at=NOON + timedelta(hours=hours),
            user_id=None,
            host="engine",
            pid=1,
            version="0.1.0",
        )
    assert [row["job"] for row in ledger.batches(2).to_pylist()] == ["c", "b"]
