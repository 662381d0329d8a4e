"""What the ledger says of revisions, held against figures that numpy reckons from the same runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tasks_lib.domain.assignment import NO_REVISION
from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.fingerprint import identity_of
from tasks_lib.domain.run import TaskRun, conclude_joined
from tasks_lib.domain.task import Revision
from tasks_lib.domain.usage import Usage
from tasks_lib.ledger import Ledger
from tests.ledger.builders import NOON, answered, begin, job, plan, refused, revision, run, task, with_problem

V1, V2 = revision("v1", weight=0.75), revision("v2", prompt="Judge: {{text}}", weight=0.25)
BOTH = task(revisions=[V1, V2])
Z = 1.959963984540054
STUDENT = {2: 12.706205, 3: 4.302653, 10: 2.262157, 30: 2.045230}  # by the number of values, from tables
INVALID, SERVER_ERROR = FailureKind.INVALID_OUTPUT, FailureKind.SERVER_ERROR


def one(
    number: int, of: Revision, *, tokens: int = 100, worked: float = 1.0, value: object = "positive"
) -> TaskRun:
    usage = Usage(input_tokens=tokens, output_tokens=tokens // 2)
    answer = answered({"sentiment": value}, usage=usage, worked=worked)  # type: ignore[dict-item]  # as tests say
    return run(plan(key=str(number), number=number, text=f"review {number}", asked=of), answer)


def lost(number: int, of: Revision) -> TaskRun:
    return run(plan(key=str(number), number=number, text=f"review {number}", asked=of), refused())


def wilson(found: int, size: int) -> tuple[float, float]:
    share = found / size
    middle = (share + Z**2 / (2 * size)) / (1 + Z**2 / size)
    half = Z / (1 + Z**2 / size) * math.sqrt(share * (1 - share) / size + Z**2 / (4 * size**2))
    return middle - half, middle + half


def mean(values: Sequence[float]) -> tuple[float, float, float]:
    found = np.asarray(values, dtype=np.float64)
    half = STUDENT[found.size] * found.std(ddof=1) / math.sqrt(found.size)
    return float(found.mean()), float(found.mean() - half), float(found.mean() + half)


def told(row: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    return row[name], row[f"{name}_low"], row[f"{name}_high"]


def compared(ledger: Ledger) -> dict[str, dict[str, Any]]:
    return {row["revision_tag"]: row for row in ledger.report("revision_comparison").to_pylist()}


def test_revisions_stand_side_by_side_with_their_bounds(ledger: Ledger) -> None:
    """R28: success, invalid answers, cost, tokens and time of each revision, as numpy has them."""
    tokens, worked = [100 + 7 * n**2 for n in range(30)], [0.5 + 0.1 * (n * 7 % 30) for n in range(30)]
    runs = [one(n, V1, tokens=tokens[n], worked=worked[n]) for n in range(30)]
    dearer = [one(n, V2, tokens=1000 + n, worked=2 + n) for n in range(8)]
    again = plan(key="8", asked=V2)
    mended = run(again, replace(refused(INVALID, cost=Decimal("0.001")), worked=1.0), answered(worked=1.0))
    failed = [lost(9, V2), lost(10, V2)]
    ledger.add([*runs, *dearer, mended, *failed], batch_id=begin(ledger, job(BOTH)))
    first, second = compared(ledger)["v1"], compared(ledger)["v2"]
    assert (first["runs"], second["runs"]) == (30, 11)
    assert told(first, "success") == pytest.approx((1.0, wilson(30, 30)[0], 1.0))
    assert told(second, "success") == pytest.approx((9 / 11, *wilson(9, 11)))
    assert told(second, "invalid") == pytest.approx((1 / 11, *wilson(1, 11)))
    assert told(first, "invalid") == pytest.approx((0.0, 0.0, wilson(0, 30)[1]))
    costs = [float(one.data.cost or 0) for one in runs]
    assert told(first, "cost") == pytest.approx(mean(costs), rel=1e-5)
    assert told(first, "input_tokens") == pytest.approx(mean(tokens), rel=1e-5)
    assert told(first, "output_tokens") == pytest.approx(mean([n // 2 for n in tokens]), rel=1e-5)
    assert told(first, "seconds") == pytest.approx(mean(worked), rel=1e-5)
    assert first["seconds_p50"] == pytest.approx(np.percentile(worked, 50))
    assert first["seconds_p95"] == pytest.approx(np.percentile(worked, 95))
    assert second["revision_id"] is not None


@pytest.mark.parametrize("size", [2, 3, 10])
def test_few_runs_have_wide_bounds(ledger: Ledger, size: int) -> None:
    """The bounds of a mean are Student's, from two values on; one value has none."""
    worked = [1.0, 2.0, 4.0, 3.0, 7.0, 1.5, 2.5, 6.0, 1.25, 5.0][:size]
    batch = begin(ledger, job(BOTH))
    ledger.add([one(n, V1, worked=seconds) for n, seconds in enumerate(worked)], batch_id=batch)
    ledger.add([one(0, V2, worked=3.0)], batch_id=batch)
    found = compared(ledger)
    assert told(found["v1"], "seconds") == pytest.approx(mean(worked), rel=2e-4)
    assert told(found["v2"], "seconds") == (3.0, None, None)


def test_what_is_unknown_is_null_and_what_is_shared_costs_nothing(ledger: Ledger) -> None:
    """A run of unknown cost, one that shared a call, a cancelled one and one that named no revision."""
    asked = one(1, V1, tokens=200)
    shared = conclude_joined(
        plan(key="2", text="review 1", asked=V1), asked, created_at=NOON, finished_at=NOON
    )
    unknown = run(plan(key="3", asked=V1), answered(usage=None, prices=None))
    nobody = with_problem(plan(key="4", asked=replace(V1, tag="v9", fingerprint=NO_REVISION)), "no revision")
    cancelled = run(plan(key="5", asked=V1), refused(FailureKind.CANCELLED))
    ledger.add([asked, shared, unknown, nobody, cancelled], batch_id=begin(ledger, job(BOTH)))
    (row,) = ledger.report("revision_comparison").to_pylist()
    assert (row["runs"], row["priced_runs"], row["success"]) == (3, 1, 1.0)
    assert row["cost"] == pytest.approx(float(asked.data.cost or 0))
    assert row["cost_low"] is None
    ids = ledger.sql(
        "select task_revision_id::varchar as id from task_runs where revision_tag = 'v9'"
    ).to_pylist()
    assert ids == [{"id": "00000000-0000-0000-0000-000000000000"}]


def test_pairs_are_of_the_same_rows(ledger: Ledger) -> None:
    """R28: rows that both revisions were run with, by key and inputs, and what stands for each of them."""
    batch = begin(ledger, job(BOTH))
    seconds = [(1.0 + 0.1 * n, 1.5 + 0.03 * n**2) for n in range(10)]
    same = [value for n in range(10) for value in [("positive", "positive" if n % 5 else "negative")]]
    ledger.add([one(n, V1, worked=seconds[n][0], value=same[n][0]) for n in range(10)], batch_id=batch)
    ledger.add(
        [one(n, V2, worked=seconds[n][1], tokens=200, value=same[n][1]) for n in range(10)], batch_id=batch
    )
    ledger.add(
        [lost(10, V1), one(10, V2), one(11, V1), lost(11, V2), one(12, V1), lost(12, V2)], batch_id=batch
    )
    ledger.add(
        [lost(13, V1), lost(13, V2), lost(14, V1), one(15, V2)], batch_id=batch
    )  # the last two: no pair
    ledger.add([lost(0, V2)], batch_id=batch)  # it was answered before, which stands
    other_text = plan(key="16", text="one", asked=V1), plan(key="16", text="another", asked=V2)
    ledger.add([run(made) for made in other_text], batch_id=batch)  # one key, two inputs: no pair
    (row,) = ledger.report("revision_pairs").to_pylist()
    assert (row["revision_tag"], row["against_tag"], row["rows"]) == ("v2", "v1", 14)
    assert (row["both_completed"], row["wins"], row["losses"], row["both_failed"]) == (10, 1, 2, 1)
    assert row["success_difference"] == pytest.approx((1 - 2) / 14)
    centre, spread = (1 - 2) / 16, math.sqrt((1 + 2 + 1) - (1 - 2) ** 2 / 16) / 16
    assert row["success_difference_low"] == pytest.approx(centre - Z * spread, rel=1e-6)
    assert row["success_difference_high"] == pytest.approx(centre + Z * spread, rel=1e-6)
    assert told(row, "win") == pytest.approx((1 / 3, *wilson(1, 3)), rel=1e-6)
    assert row["answers"] == 10
    assert told(row, "equal_answers") == pytest.approx((0.8, *wilson(8, 10)), rel=1e-6)
    assert row["timed_rows"] == 14  # failed ones took their time, too


def test_paired_means_are_of_the_differences(ledger: Ledger) -> None:
    """R28: what a row costs more and takes longer: the mean of the rows' own differences, with bounds."""
    batch = begin(ledger, job(BOTH))
    first = [one(n, V1, tokens=100 + 10 * n, worked=1 + n % 3) for n in range(30)]
    second = [one(n, V2, tokens=150 + 11 * n, worked=1.5 + n % 4) for n in range(30)]
    ledger.add([*first, *second], batch_id=batch)
    (row,) = ledger.report("revision_pairs").to_pylist()
    costs = [float((b.data.cost or 0) - (a.data.cost or 0)) for a, b in zip(first, second, strict=True)]
    seconds = [(1.5 + n % 4) - (1 + n % 3) for n in range(30)]
    assert told(row, "cost_difference") == pytest.approx(mean(costs), rel=1e-5)
    assert told(row, "seconds_difference") == pytest.approx(mean(seconds), rel=1e-5)
    assert row["seconds_difference_p50"] == pytest.approx(np.median(seconds))
    assert (row["wins"], row["losses"], row["win"], row["win_low"]) == (0, 0, None, None)


def test_answers_are_equal_whatever_the_order_of_their_keys(ledger: Ledger) -> None:
    """Models that fill in an object in another order have said the same; another value is another answer."""
    batch = begin(ledger, job(BOTH))
    values = [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": "\ud800"}, {"a": "\ud800"}),  # which no UTF-8 can say
    ]
    for number, (mine, yours) in enumerate(values):
        for of, value in ((V1, mine), (V2, yours)):
            made = plan(key=str(number), text=str(number), asked=of)
            ledger.add([run(made, answered(value))], batch_id=batch)  # type: ignore[arg-type]  # lists in it
    (row,) = ledger.report("revision_pairs").to_pylist()
    assert (row["answers"], row["equal_answers"]) == (3, pytest.approx(2 / 3))


def test_three_revisions_make_three_pairs_each_against_the_older(ledger: Ledger) -> None:
    """Every two revisions that share rows are a pair, the newer one against the older."""
    third = revision("v0", prompt="Third: {{text}}")
    early = begin(ledger, job(BOTH))
    ledger.add([one(1, V1), one(1, V2)], batch_id=early)
    asked = task(revisions=[V1, V2, third])
    later = job(asked)
    ledger.begin_batch(
        later, batch_id=(batch := "01a20000-0000-7000-8000-000000000001"), rows=None,
        started_at=NOON + timedelta(days=1), user_id=None, host="h", pid=1, version="0",
    )  # fmt: skip
    ledger.add([one(1, third)], batch_id=batch)
    pairs = ledger.report("revision_pairs").to_pylist()
    assert [(row["revision_tag"], row["against_tag"]) for row in pairs] == [
        ("v0", "v1"),
        ("v0", "v2"),
        ("v2", "v1"),
    ]


def test_the_report_has_figures_and_differences_below_one_another(ledger: Ledger) -> None:
    """R28: `revisions` tells each figure of each revision with its bounds, and the differences row by row."""
    batch = begin(ledger, job(BOTH))
    ledger.add([one(n, of, worked=2 + n) for n in range(3) for of in (V1, V2)], batch_id=batch)
    report = ledger.report("revisions").to_pylist()
    assert list(report[0]) == ["task", "figure", "revision", "less", "value", "low", "high", "runs"]
    assert [(row["figure"], row["revision"], row["less"]) for row in report[:2]] == [
        ("success", "v1", None), ("success", "v2", None),
    ]  # fmt: skip
    differences = {row["figure"]: row for row in report if row["less"] == "v1"}
    assert set(differences) == {
        "success",
        "wins of wins and losses",
        "equal answers",
        "cost",
        "seconds",
        "seconds_p50",
    }
    assert (differences["equal answers"]["value"], differences["equal answers"]["runs"]) == (1.0, 3)
    assert len(report) == 2 * 9 + 6
    assert ledger.report("revisions", since=NOON + timedelta(days=1)).num_rows == 0


def test_traffic_over_all_batches_says_how_rows_were_assigned(ledger: Ledger) -> None:
    """R29: configured against observed share, by batch and over all, and how revisions were chosen."""
    by_weight, pinned = (
        begin(ledger, job(BOTH, name="a")),
        begin(ledger, job(BOTH, name="b", revision_tag="v2")),
    )

    def chosen(made: TaskRun, by: str) -> TaskRun:
        return replace(made, plan=replace(made.plan, chosen_by=by))

    ledger.add([chosen(one(n, V1), "weight") for n in range(3)], batch_id=by_weight)
    ledger.add([chosen(one(n, V2), "weight") for n in range(3, 5)], batch_id=by_weight)
    ledger.add([chosen(one(n, V2), "tag") for n in range(5, 8)], batch_id=pinned)
    by_batch = ledger.sql(
        "select job, revision_tag, chosen_by, observed_share from revision_traffic order by all"
    )
    assert [tuple(row.values()) for row in by_batch.to_pylist()] == [
        ("a", "v1", "weight", 0.6),
        ("a", "v2", "weight", 0.4),
        ("b", "v1", None, 0.0),
        ("b", "v2", "tag", 1.0),
    ]  # fmt: skip
    overall = ledger.sql("from revision_traffic_overall order by revision_tag").to_pylist()
    assert [(row["revision_tag"], row["runs"], row["chosen_by"]) for row in overall] == [
        ("v1", 3, "weight"), ("v2", 5, "tag, weight"),
    ]  # fmt: skip
    assert [row["observed_share"] for row in overall] == [3 / 8, 5 / 8]
    expected = (5 * 0.75 + 3 * 0) / 8  # each batch's share by its runs
    assert [row["configured_share"] for row in overall] == pytest.approx([expected, 1 - expected])


def test_identities_differ_by_revision_alone() -> None:
    """What pairs two runs is not their identity, which has the revision in it."""
    made = [plan(key="1", asked=of) for of in (V1, V2)]
    assert made[0].identity != made[1].identity
    assert made[0].input_hash == made[1].input_hash
    assert made[0].identity == identity_of("1", made[0].input_hash, V1.fingerprint)
