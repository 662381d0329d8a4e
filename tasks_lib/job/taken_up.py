"""Runs of hosted tasks that earlier batches began, for the rows that they were begun for."""

from collections.abc import Sequence
from dataclasses import replace

from tasks_lib.domain.plan import Plan
from tasks_lib.job.setup import Setup
from tasks_lib.ledger import Ledger


def asks_hosted_tasks(setup: Setup) -> bool:
    """Whether any of the job's models is a hosted task, so that its rows may have runs to be taken up."""
    return any(setup.provider(model).hosted is not None for model in setup.models)


def taking_up(plans: Sequence[Plan], ledger: Ledger) -> list[Plan]:
    """The plans, with the run that each one's row has begun and that nobody has seen the end of.

    Such a run is paid for, so that no stored answer stands in for its own.
    """
    found = ledger.open_remote_runs([plan.identity for plan in plans])
    if not found:
        return list(plans)
    return [
        plan if remote is None else replace(plan, remote=remote, stored=None)
        for plan, remote in zip(plans, (found.get(plan.identity) for plan in plans), strict=True)
    ]
