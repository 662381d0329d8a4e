"""What both editions share: a run from its row to its end, waited for or not."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, Generic

from tests.llmserver.answers import row_id_of
from tests.rightbrainserver.control import Control, Customer
from tests.rightbrainserver.creating import Attempt, Made, Run, created
from tests.rightbrainserver.wire import Reply
from tests.webagentserver import agent
from tests.webagentserver.refusals import Refused
from tests.webagentserver.settings import Settings
from tests.webagentserver.store import Id, Store
from tests.webagentserver.store import Run as Row
from tests.webagentserver.webhook import post_webhook


class Edition(Generic[Id]):
    """The tables of one edition and its agents at work."""

    name = ""

    def __init__(
        self, control: Control[Settings], running: set[asyncio.Task[Made]], store: Store[Id]
    ) -> None:
        self.store: Store[Id] = store
        self._control = control
        self._running = running
        self._behind: set[asyncio.Task[None]] = set()
        self._browsers = 0

    async def begin(self, customer: Customer[Settings], prompt: str, run: Run) -> Reply:
        """The answer to a request that starts a run of this prompt."""
        return await created(
            customer,
            self._control.counts,
            marker_of(prompt, customer.told.own),
            run=run,
            refuse=lambda status: Refused(status, "Error while running task").reply(),
            gateway_s=customer.told.own.gateway_s,
            running=self._running,
        )

    def behind(self, row: Row[Id], attempt: Attempt, customer: Customer[Settings], workflow: Any) -> None:
        """Let an agent work while nobody waits; if it crashes nobody hears of it."""
        task = asyncio.ensure_future(self._unheard(row, attempt, customer, workflow))
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _unheard(
        self, row: Row[Id], attempt: Attempt, customer: Customer[Settings], workflow: Any
    ) -> None:
        try:
            await self.execute(row, attempt, customer, workflow)
        except agent.Crashed:
            self.crashed(row)

    def crashed(self, row: Row[Id]) -> None:
        """What is written of a run whose agent raised."""

    async def execute(
        self,
        row: Row[Id],
        attempt: Attempt,
        customer: Customer[Settings],
        workflow: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """Let an agent work, write down what it did, tell the webhook, and give what is told of it.

        Raises:
            Crashed: It raised, or found no free browser.
        """
        counts, own = self._control.counts, customer.told.own
        row.started = True
        counts.start(attempt.row)
        outcome = "crash"
        self._browsers += 1
        try:
            if own.concurrency and self._browsers > own.concurrency:
                raise agent.Crashed
            if workflow is not None:
                ended = await agent.replayed(row.prompt, workflow, attempt, customer)
            else:
                schema = None if row.json_schema is None else json.loads(row.json_schema)
                ended = await self.work(row, schema, attempt, customer)
            outcome = "unfinished" if not ended.is_done else "success" if ended.is_successful else "failure"
        finally:
            self._browsers -= 1
            counts.end(outcome)
        row.steps = agent.rows_of(ended.history, row.id, own)
        row.result, row.is_done, row.is_successful = ended.result, ended.is_done, ended.is_successful
        told = self.told(row, ended, own)
        if row.webhook_url:
            await post_webhook(row, told)
        return told

    async def work(
        self, row: Row[Id], schema: Any, attempt: Attempt, customer: Customer[Settings]
    ) -> agent.Ended:
        """What an agent makes of the run."""
        return await agent.worked(row.prompt, schema, attempt, customer)

    def told(self, row: Row[Id], ended: agent.Ended, own: Settings) -> dict[str, Any]:
        """What is told of a run that has ended."""
        raise NotImplementedError

    def noted(self) -> list[dict[str, Any]]:
        """What a test wants to know of each run."""
        names = ("id", "task_id", "marker", "started", "is_done", "is_successful")
        return [
            {"edition": self.name, **{name: getattr(row, name) for name in names}}
            for row in self.store.runs.values()
        ]


def marker_of(prompt: str, own: Settings) -> str:
    """What the prompt names its row by, else a hash of it."""
    found = re.search(own.marker, prompt) if own.marker else None
    return found[1] if found else row_id_of(prompt.encode())
