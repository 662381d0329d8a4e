"""What the books know of a run, from the run and from what was written of it."""

from decimal import Decimal

from tasks_lib.domain.failure import FailureKind
from tasks_lib.job.counted import Counted, counted_in
from tasks_lib.ledger import facts_of
from tests.ledger.builders import answered, plan, refused, run
from tests.ledger.builders import runs as many_runs


def test_facts_tell_the_books_what_runs_do():
    """Of answers at once and later, failures, calls of unknown cost and models that are down."""
    down = refused(FailureKind.CIRCUIT_OPEN, "the model is down")
    unknown = refused(FailureKind.TIMEOUT, "no answer came", cost=None, maybe_billed=True)
    some = [
        run(plan(key="1", number=1, group="a"), answered()),
        run(plan(key="2", number=2), refused(), answered(position=1)),
        run(plan(key="3", number=3), refused(), refused(FailureKind.RATE_LIMITED, cost=Decimal("0.25"))),
        run(plan(key="4", number=4, group="b"), down, answered(position=1)),
        run(plan(key="5", number=5), unknown, unknown),
        run(plan(key="6", number=6), answered(usage=None)),
        *many_runs(3),
    ]
    facts = facts_of(some, revision_ids={one.plan.revision.fingerprint: "0" * 32 for one in some})
    assert counted_in(facts) == tuple(map(Counted.of, some))
