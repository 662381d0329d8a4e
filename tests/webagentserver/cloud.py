"""The cloud edition: a key, strings for ids, a status of its own, and no history."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from tests.rightbrainserver.control import Customer
from tests.rightbrainserver.creating import Attempt, Made
from tests.rightbrainserver.wire import Reply, Request, said
from tests.webagentserver import agent, bodies
from tests.webagentserver.editions import Edition
from tests.webagentserver.refusals import Refused
from tests.webagentserver.settings import Settings
from tests.webagentserver.store import Run, Task

_TASK: Final = (
    "id", "prompt", "model", "provider", "webhook_url", "response_format", "json_schema", "auth_context_id",
    "initial_url", "session_timeout",
)  # fmt: skip  # a list of names


class Cloud(Edition[str]):
    """What answers at the root."""

    name = "cloud"

    def endpoint(self, request: Request) -> str:
        """What is asked for."""
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["tasks", _]:
                return "cloud GET task"
            case "POST", ["tasks", _, "runs"]:
                return "cloud POST run of task"
            case "POST", ["runs"]:
                return "cloud POST run"
            case "GET", ["runs", _]:
                return "cloud GET run"
        return "other"

    async def answer(self, request: Request, customer: Customer[Settings], endpoint: str) -> Reply:
        """The answer to a request.

        Raises:
            Refused: It is answered with an error.
        """
        if endpoint == "other":
            raise Refused(404, "Not Found")
        key = request.headers.get("x-api-key", "")
        if not key:
            raise Refused(403, "Not authenticated")
        if customer.told.own.key not in {"", key}:
            raise Refused(401, "Invalid API key")
        given = request.path.split("/")
        match endpoint:
            case "cloud GET task":
                task = self.store.task(given[2])
                told = {name: getattr(task, name) for name in _TASK}
                return said(200, {"name": f"Task {task.id[:6]}", **told})
            case "cloud GET run":
                return said(200, self._record(self.store.run(given[2]), customer.told.own))
            case "cloud POST run":
                fields = bodies.checked(
                    request.body, {**bodies.CLOUD_RUN, "prompt": bodies.prompt}, required=("prompt",)
                )
                return await self.begin(
                    customer, fields["prompt"], partial(self._run, None, fields, customer)
                )
        fields = bodies.checked(request.body, bodies.CLOUD_RUN)
        task = self.store.task(given[2])
        prompt = task.prompt if fields.get("prompt") is None else fields["prompt"]
        return await self.begin(customer, prompt, partial(self._run, task, fields, customer))

    async def _run(
        self,
        task: Task[str] | None,
        fields: Mapping[str, Any],
        customer: Customer[Settings],
        attempt: Attempt,
    ) -> Made:
        schema = fields.get("json_schema")
        told = {name: value for name, value in fields.items() if value is not None}
        told |= {} if schema is None else {"json_schema": json.dumps(schema)}
        wait = told.pop("wait_for_completion", False)
        if task is None:
            task = self.store.add_task({"model": "gpt-4.1", "provider": "openai", **told})
        row = self.store.add_run(task, told, attempt.marker)
        row.session_timeout = told.get("session_timeout", task.session_timeout)
        good, own = attempt.fault or "ok", customer.told.own
        if wait:
            await self._unheard(row, attempt, customer, None)
        else:
            self.behind(row, attempt, customer, None)
        return Made(good, said(200, self._record(row, own)))

    def crashed(self, row: Run[str]) -> None:
        """In the cloud somebody notices: the run has failed."""
        row.is_done, row.is_successful = True, False

    async def work(
        self, row: Run[str], schema: Any, attempt: Attempt, customer: Customer[Settings]
    ) -> agent.Ended:
        """What an agent makes of the run until its session times out; stopping short is failing."""
        if row.session_timeout is not None and attempt.seconds > row.session_timeout:
            await asyncio.sleep(row.session_timeout)
            raise agent.Crashed
        ended = await super().work(row, schema, attempt, customer)
        return ended if ended.is_done else replace(ended, is_done=True, is_successful=False)

    def told(self, row: Run[str], ended: agent.Ended, own: Settings) -> dict[str, Any]:
        """The run."""
        return self._record(row, own)

    def _record(self, row: Run[str], own: Settings) -> dict[str, Any]:
        result: Any = row.result
        if result is not None and row.json_schema is not None and own.result_as == "object":
            try:
                result = json.loads(result)
            except json.JSONDecodeError:
                result = row.result
        is_over = "success" if row.is_successful else "failure"
        return {
            "id": row.id,
            "task_id": row.task_id,
            "status": is_over if row.is_done else "pending",
            "result": result,
            "is_done": row.is_done,
            "is_successful": row.is_successful,
        }
