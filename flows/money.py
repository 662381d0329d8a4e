"""A money limit that is reached asks for more, in Prefect.

The flow run is suspended: no process waits and nobody holds the ledger. Whoever resumes it in Prefect's UI
says how many dollars more it may spend, and a new process goes on with the rows that are left. Without an
answer it stays as it is until its time is over; an ordinary run goes on with the rows, too.

`limits.max_cost` is the sum of one flow run, however many batches it takes: what earlier processes of the
same flow run have spent, killed ones included, counts.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final
from uuid import UUID

from anyio import to_thread
from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from prefect.input.actions import aread_flow_run_input
from prefect.input.run_input import keyset_from_base_key
from pydantic import Field

from flows.words import dollars, told
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.setup import Setup
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import open_ledger

NOTHING: Final = Decimal(0)
_SPENT: Final = Path(__file__).with_name("spent_by_batches.sql")


class MoreMoney(RunInput):
    """The form that is shown where a flow run is resumed."""

    dollars_more: float = Field(
        gt=0,
        le=1_000_000,
        title="Dollars more",
        description="What this run may spend on top of what it was allowed before.",
    )


def asks_for_money(setup: Setup, stop: Stop) -> bool:
    """Whether a batch was ended by its own sum of money, and not by that of a day or a group."""
    limit = setup.job.limits.max_cost
    return limit is not None and stop.why is Why.MONEY and " a day " not in (stop.reason or "")


async def suspend_for_money(summary: Summary, *, allowed: Decimal, turn: int, within: int) -> None:
    """Suspend this flow run until somebody says how much more it may spend, or so many seconds have passed.

    Args:
        summary: of the batch that has ended.
        allowed: dollars that the flow run might spend until now.
        turn: how often it has asked, this time included.
        within: seconds.

    Raises:
        prefect.exceptions.Pause: always, which ends this process's part.
    """
    description = (
        f"**{summary.job} has spent what it may: {dollars(allowed)}.** {told(summary)}.\n\n"
        "Everything answered is in the ledger. Say how many dollars more it may spend on the rows that are "
        "left."
    )
    await asuspend_flow_run(
        wait_for_input=MoreMoney.with_initial_data(description=description), timeout=within, key=_key(turn)
    )


async def money_given(*, turns: int, flow_run_id: UUID) -> Decimal:
    """Dollars that were given to a flow run beyond its limit, all the times together that it has asked."""
    sums = NOTHING
    for earlier in range(1, turns + 1):
        key = keyset_from_base_key(f"suspended-{_key(earlier)}")["response"]
        answer: dict[str, float] | None = await aread_flow_run_input(key=key, flow_run_id=flow_run_id)
        if answer is not None:
            sums += max(NOTHING, Decimal(str(answer["dollars_more"])))
    return sums


async def within_its_money(setup: Setup, *, given: Decimal, earlier: Sequence[str]) -> Setup:
    """The setup of a flow run's next batch: it may spend what the flow run's earlier ones have left.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    limits = setup.job.limits
    if limits.max_cost is None or not earlier:
        return setup
    spent = await to_thread.run_sync(_spent, setup.job.ledger, tuple(earlier))
    left = _without_zeros(max(NOTHING, limits.max_cost + given - spent))
    return replace(setup, job=replace(setup.job, limits=replace(limits, max_cost=left)))


def _spent(ledger: Path, batches: tuple[str, ...]) -> Decimal:
    if not ledger.exists():
        return NOTHING
    with open_ledger(ledger, read_only=True) as opened:
        row = opened.cursor().execute(_SPENT.read_text("utf-8"), {"batches": list(batches)}).fetchone()
    return Decimal(row[0]) if row is not None else NOTHING


def _without_zeros(amount: Decimal) -> Decimal:
    """The same amount as people write it: 4.2 and not 4.200000000000."""
    text = f"{amount:f}"
    return Decimal(text.rstrip("0").rstrip(".")) if "." in text else amount


def _key(turn: int) -> str:
    return f"money-{turn}"
