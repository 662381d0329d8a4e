"""The ledger's memory of the groups in which runs of hosted tasks were begun."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from anyio import to_thread

from tasks_lib.ledger import Ledger, RemoteGroup


class LedgerGroups:
    """A batch's book of groups; what it is told is durable when it returns."""

    def __init__(self, ledger: Ledger, *, batch_id: str) -> None:
        """Write into this ledger, which the batch has open."""
        self._ledger = ledger
        self._batch_id = batch_id

    async def add_group(self, provider: str, group_id: str) -> None:
        """Note that runs are about to be begun in this group.

        Raises:
            LedgerError: it cannot be written.
        """
        group = RemoteGroup(
            batch_id=self._batch_id, provider=provider, group_id=group_id, created_at=datetime.now(UTC)
        )
        await to_thread.run_sync(partial(self._ledger.add_remote_group, group))

    async def groups(self, provider: str) -> Sequence[str]:
        """The groups in which runs may be whose ids never arrived, oldest first.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        return await to_thread.run_sync(self._ledger.groups_of_lost_runs, provider)
