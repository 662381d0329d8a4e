"""What is known of rows by their identity: the resume's question, and the export's."""

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.run import Status, TaskRun
from tasks_lib.ledger import Ledger, StoredResult
from tasks_lib.ledger.results import RESULTS
from tests.ledger.builders import NOON, answered, begin, plan, refused, run, runs, task_run_id


def at(minutes: int, asked: Plan, *, fails: bool = False, answer: str = "positive") -> TaskRun:
    """A run of a row at some minutes past noon."""
    when = NOON + timedelta(minutes=minutes)
    attempt = (
        refused(FailureKind.REFUSED, f"no, at {minutes}", at=when)
        if fails
        else answered({"sentiment": answer})
    )
    return run(again(asked), attempt, at=when)


def again(asked: Plan) -> Plan:
    """The same question under another run's id."""
    return plan(key=asked.row_key, number=asked.row_number)


def cancelled(minutes: int, asked: Plan) -> TaskRun:
    """A run that the end of a batch cut short."""
    one = run(again(asked), refused(), at=NOON + timedelta(minutes=minutes))
    object.__setattr__(one, "status", Status.CANCELLED)
    object.__setattr__(one, "failure", Failure(kind=FailureKind.CANCELLED, message="the batch ended"))
    return one


def test_which_rows_need_no_call(ledger: Ledger) -> None:
    """A row is answered if any of its runs completed, failed if none did, and unknown rows are neither."""
    good, bad, mixed, cut, unknown = (plan(key=key) for key in ("good", "bad", "mixed", "cut", "unknown"))
    ledger.add(
        [
            at(0, good),
            at(0, bad, fails=True),
            at(1, bad, fails=True),
            cancelled(2, bad),
            at(0, mixed),
            at(1, mixed, fails=True),
            cancelled(0, cut),
        ],
        batch_id=begin(ledger),
    )
    identities = [one.identity for one in (good, bad, mixed, cut, unknown)]
    assert ledger.answered(identities) == {good.identity, mixed.identity}
    assert ledger.failed(identities) == {bad.identity}


def test_no_rows_at_all(ledger: Ledger) -> None:
    """Nothing asked is nothing found, and an empty ledger knows nothing."""
    assert (ledger.answered([]), ledger.failed([]), ledger.results([])) == (set(), set(), {})
    identities = [uuid4().hex, uuid4().hex]
    assert (ledger.answered(identities), ledger.results(identities)) == (set(), {})


def test_what_a_batch_has_answered_itself(ledger: Ledger) -> None:
    """A batch may leave its own answers out, and finds those of all others."""
    here, there, both = runs(3)
    own, other = begin(ledger), begin(ledger)
    ledger.add([here, both], batch_id=own)
    ledger.add([there, run(replace(both.plan, task_run_id=task_run_id()))], batch_id=other)
    identities = [one.plan.identity for one in (here, there, both)]
    assert ledger.answered(identities, but_of=own) == {there.plan.identity, both.plan.identity}
    assert ledger.answered(identities, but_of=other) == {here.plan.identity, both.plan.identity}


def test_an_identity_that_is_asked_twice(ledger: Ledger) -> None:
    """Two rows with one identity are one question."""
    (one,) = runs(1)
    ledger.add([one], batch_id=begin(ledger))
    identity = one.plan.identity
    assert ledger.answered([identity, identity]) == {identity}
    assert set(ledger.results([identity, identity])) == {identity}


def test_the_latest_answer_stands(ledger: Ledger) -> None:
    """Of several answers the latest counts, and an answer counts more than a later failure."""
    asked = plan()
    batch = begin(ledger)
    later = at(5, asked, answer="negative")
    ledger.add([at(1, asked), later, at(9, asked, fails=True), cancelled(10, asked)], batch_id=batch)
    assert ledger.results([asked.identity]) == {
        asked.identity: StoredResult(
            task_run_id=later.plan.task_run_id,
            status="completed",
            response='{"sentiment":"negative"}',
            error_kind=None,
            error=None,
            model="openai:gpt-5-mini",
            input_tokens=100,
            output_tokens=20,
            cost=Decimal("0.000065"),
            possible_cost=Decimal(0),
        )
    }


def test_without_an_answer_the_latest_failure_stands(ledger: Ledger) -> None:
    """Of several failures the latest counts, and a failure counts more than a run that was cut short."""
    asked, cut = plan(key="asked"), plan(key="cut")
    runs_ = [at(1, asked, fails=True), at(3, asked, fails=True), cancelled(5, asked), cancelled(0, cut)]
    ledger.add(runs_, batch_id=begin(ledger))
    found = ledger.results([asked.identity, cut.identity])
    assert (found[asked.identity].status, found[asked.identity].error) == ("failed", "no, at 3")
    assert (found[asked.identity].error_kind, found[asked.identity].response) == ("refused", None)
    assert found[cut.identity].status == "cancelled"


def test_many_rows_over_many_commits(ledger: Ledger) -> None:
    """Each row finds its own answer among thousands, in whatever order it asks."""
    stored = [run(plan(key=str(number)), answered({"n": number})) for number in range(3_000)]
    batch = begin(ledger)
    for first in range(0, 3_000, 700):
        ledger.add(stored[first : first + 700], batch_id=batch)
    asked = [one.plan.identity for one in reversed(stored)][::3]
    found = ledger.results(asked)
    assert {identity: one.response for identity, one in found.items()} == {
        one.plan.identity: f'{{"n":{number}}}'
        for number, one in enumerate(stored)
        if one.plan.identity in set(asked)
    }


def test_what_answers_rest_on(ledger: Ledger) -> None:
    """Citations come with the answer that rests on them, in their order; other answers have none."""
    cited, bare = runs(2)
    batch = begin(ledger)
    ledger.add([cited, bare], batch_id=batch)
    for number, field in ((1, "b"), (0, "a")):
        ledger.cursor().execute(
            "insert into citations (task_run_id, batch_id, number, field) values (?, ?, ?, ?)",
            [cited.plan.task_run_id, batch, number, field],
        )
    found = ledger.results([cited.plan.identity, bare.plan.identity])
    told = orjson.loads(found[cited.plan.identity].citations or "[]")
    assert [one["field"] for one in told] == ["a", "b"]
    assert found[bare.plan.identity].citations is None


def test_results_as_columns(ledger: Ledger) -> None:
    """The table has each identity that was run once, however often it is asked, and always the same types."""
    one, other = runs(2)
    ledger.add([one, other], batch_id=begin(ledger))
    asked = [other.plan.identity, uuid4().hex, one.plan.identity, other.plan.identity]
    found = ledger.results_table(asked)
    assert sorted(found.column("identity").to_pylist()) == sorted({one.plan.identity, other.plan.identity})
    assert found.schema.equals(RESULTS)
    for nobody in ([], [uuid4().hex]):
        none = ledger.results_table(nobody)
        assert (none.num_rows, none.schema) == (0, RESULTS)
    assert RESULTS.names == ["identity", *(field.name for field in fields(StoredResult))]
