"""Facts on their way from process to process."""

import pickle

from tasks_lib.ledger import facts_of, together
from tests.ledger.builders import answered, plan, run


def _facts(keys: str):
    runs = [
        run(plan(key=key, number=number, group=f"group {key}"), answered({"key": key}))
        for number, key in enumerate(keys, start=1)
    ]
    return facts_of(runs, revision_ids={one.plan.revision.fingerprint: "0" * 32 for one in runs})


def test_facts_arrive_as_they_were_sent():
    """Tables with their types, empty ones among them, and the reporting groups are the same there."""
    facts = _facts("abc")
    there = pickle.loads(pickle.dumps(facts, protocol=5))  # noqa: S301 - our own, of this line
    assert there.task_runs.equals(facts.task_runs)
    assert there.attempts.equals(facts.attempts)
    assert there.files.equals(facts.files)
    assert there.groups == facts.groups
    assert {name: table.schema for name, table in there.told_by_hosts.items()} == {
        name: table.schema for name, table in facts.told_by_hosts.items()
    }


def test_facts_that_were_put_together_arrive_whole():
    """Facts of several senders have several pieces, and all of these arrive, in their order."""
    facts = together([_facts("ab"), _facts("c")])
    there = pickle.loads(pickle.dumps(facts, protocol=5))  # noqa: S301 - as above
    assert there.task_runs.column("row_key").to_pylist() == ["a", "b", "c"]
    assert there.attempts.num_rows == 3
