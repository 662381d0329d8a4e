"""A batch as other processes can reach it: looked at and steered, and its ledger read."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

from tasks_lib.job.steering import Steering
from tasks_lib.ledger import Ledger
from tasks_lib.ledger.questions import Questions
from tasks_lib.ledger.serve import Served, served
from tasks_lib.live import live_channel


@asynccontextmanager
async def reachable(
    steering: Steering,
    *,
    ledger: Ledger,
    batch_id: str,
    warn: Callable[[str], None],
    serve: bool = False,
) -> AsyncIterator[None]:
    """Let other processes reach a batch for as long as this is open, or warn that they cannot.

    Args:
        steering: the batch.
        ledger: that it writes to.
        batch_id: the batch's.
        warn: is told, once each, what of it is off and why; the batch goes on all the same.
        serve: whether DuckDB clients of others may read the ledger, too.
    """
    with served(ledger) if serve else nullcontext(Served()) as where:
        steering.quack = where.uri
        async with live_channel(
            steering,
            Questions(ledger).begin,
            ledger=ledger.path,
            batch_id=batch_id,
            quack=where.uri,
            quack_token=where.token,
        ) as channel:
            for off in (where.off, channel.off):
                if off is not None:
                    warn(off)
            yield
