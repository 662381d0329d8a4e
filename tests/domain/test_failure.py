"""The table of failures."""

import pytest

from tasks_lib.domain import failure
from tasks_lib.domain.failure import Budget, FailureKind
from tasks_lib.domain.retries import Retries

HEAD, *LINES = (failure.__doc__ or "").partition("kind  ")[2].splitlines()
TABLE = {line.split()[0]: line for line in LINES if line}
ANOTHER_MODEL, ENDS_BATCH = (HEAD.index(title) + len("kind  ") for title in ("another", "ends"))


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind is not FailureKind.CANCELLED])
def test_the_rules_are_those_of_the_table(kind):
    """What the module's docstring says of a kind is what its rule does."""
    line = TABLE[kind.value]
    tried_again = line[len(kind.value) : ANOTHER_MODEL].split()
    assert (kind.budget.value.split("_")[0] if kind.budget else None) == (tried_again or [None])[0]
    assert kind.worth_another_model is (line[ANOTHER_MODEL:ENDS_BATCH].strip() == "yes")
    assert kind.ends_batch is (line[ENDS_BATCH:].strip() == "yes")


def test_a_cancelled_row_is_left_alone():
    """It is not the model's fault, and the next batch takes it up."""
    kind = FailureKind.CANCELLED
    assert (kind.budget, kind.worth_another_model, kind.ends_batch) == (None, False, False)


@pytest.mark.parametrize("budget", Budget)
def test_each_budget_has_its_number_of_tries(budget):
    """Retries hold a number for each budget, by its name."""
    retries = Retries(rate_limited=1, transient=2, content=3)
    assert retries.of(budget) == getattr(retries, budget.value)
