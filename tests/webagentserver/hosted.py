"""The self-hosted edition: no key, numbers for ids, rows of its database as they are."""

import json
from functools import partial
from typing import Any, Final

from tests.rightbrainserver.control import Customer
from tests.rightbrainserver.creating import Attempt, Made
from tests.rightbrainserver.wire import Reply, Request, said
from tests.webagentserver import agent, bodies
from tests.webagentserver.editions import Edition
from tests.webagentserver.refusals import Fault, Refused
from tests.webagentserver.settings import Settings
from tests.webagentserver.store import Run, Task

_TASK: Final = (
    "id", "prompt", "model", "provider", "webhook_url", "response_format", "json_schema", "cached_workflow",
    "use_cached_workflow",
)  # fmt: skip  # a list of names
_RUN: Final = (
    "id", "task_id", "prompt", "model", "provider", "webhook_url", "response_format", "json_schema", "result",
    "is_done", "is_successful", "webhook_result_success", "webhook_result_status_code",
    "webhook_result_message", "steps",
)  # fmt: skip  # a list of names
_NEWER: Final = {"executed_by_ai", "fallback_reason", "fallback_attempt"}
_NO_WORKFLOW: Final = (
    "Cannot use cached workflow: Task {} does not have a cached workflow. "
    "Please create one first by calling POST /api/runs/{{run_id}}/set-as-cached-workflow"
)


class Hosted(Edition[int]):
    """What answers below `/api`."""

    name = "hosted"

    def endpoint(self, request: Request) -> str:
        """What is asked for."""
        match request.method, request.path.removeprefix("/api").strip("/").split("/"):
            case "GET", ["tasks"]:
                return "LIST tasks"
            case ("GET" | "PUT") as method, ["tasks", _]:
                return f"{method} task"
            case "GET", ["tasks", _, "runs"]:
                return "LIST runs"
            case "POST", ["tasks", _, "runs"]:
                return "POST run of task"
            case "POST", ["runs"]:
                return "POST run"
            case "GET", ["runs", _]:
                return "GET run"
            case "POST", ["runs", _, "set-as-cached-workflow"]:
                return "POST workflow"
        return "other"

    async def answer(self, request: Request, customer: Customer[Settings], endpoint: str) -> Reply:
        """The answer to a request.

        Raises:
            Refused: It is answered with an error.
        """
        match endpoint:
            case "LIST tasks":
                tasks = sorted(self.store.tasks.values(), key=lambda task: -task.id)
                return said(200, {"tasks": [_row(task, _TASK) for task in tasks]})
            case "POST run":
                return await self._begin_new(request, customer)
            case "other":
                is_known = request.path.split("/")[2] in {"tasks", "runs"}
                raise Refused(405, "Method Not Allowed") if is_known else Refused(404, "Not Found")
        number = _number(request, "run_id" if endpoint in {"GET run", "POST workflow"} else "task_id")
        match endpoint:
            case "GET task":
                return said(200, _row(self.store.task(number), _TASK))
            case "PUT task":
                return self._change(number, request.body)
            case "LIST runs":
                return self._light(self.store.task(number))
            case "GET run":
                return said(200, _row(self.store.run(number), _RUN))
            case "POST workflow":
                return self._remember(self.store.run(number))
        told = bodies.checked(request.body, bodies.OVERRIDES)
        task = self.store.task(number)
        prompt = task.prompt if told.get("prompt") is None else told["prompt"]
        return await self.begin(customer, prompt, partial(self._run, task, told, customer))

    def _change(self, number: int, body: bytes) -> Reply:
        told = bodies.checked(body, bodies.TASK)
        told.pop("wait_for_completion", None)
        task = self.store.task(number)
        for name, value in told.items():
            if value is not None:
                setattr(task, name, value)
        return said(200, _row(task, _TASK))

    def _light(self, task: Task[int]) -> Reply:
        runs = [run for run in reversed(self.store.runs.values()) if run.task_id == task.id]
        return said(
            200,
            [
                {
                    "id": run.id,
                    "description": run.prompt,
                    "is_done": run.is_done,
                    "is_successful": run.is_successful,
                }
                for run in runs
            ],
        )

    def _remember(self, run: Run[int]) -> Reply:
        task, workflow = self.store.task(run.task_id), agent.workflow_of(run.prompt, run.steps)
        task.cached_workflow, task.use_cached_workflow = workflow, True
        found = len(workflow["parameters"])
        message = f"Successfully extracted {found} parameter(s) and created workflow template"
        return said(200, {"success": True, "workflow": workflow, "message": message, "task_id": task.id})

    async def _begin_new(self, request: Request, customer: Customer[Settings]) -> Reply:
        told = {
            "model": "o3",
            "provider": "openai",
            "wait_for_completion": True,
            "response_format": "text",
            **bodies.checked(request.body, bodies.NEW_RUN, required=("prompt",)),
        }
        return await self.begin(customer, told["prompt"], partial(self._run_new, told, customer))

    async def _run_new(self, told: dict[str, Any], customer: Customer[Settings], attempt: Attempt) -> Made:
        names = ("prompt", "model", "provider", "webhook_url", "response_format")
        own = {name: told[name] for name in names if name in told}
        task = self.store.add_task({**own, "json_schema": _text(told.get("json_schema"))})
        row = self.store.add_run(task, {}, attempt.marker)
        workflow = told.get("cached_workflow") if told.get("use_cached_workflow") else None
        wait = bool(told["wait_for_completion"])  # a null is no, here
        return await self._work(
            row, customer, attempt, workflow, wait=wait, blame="Error while executing agent"
        )

    async def _run(
        self, task: Task[int], told: dict[str, Any], customer: Customer[Settings], attempt: Attempt
    ) -> Made:
        told = {**told, "json_schema": _text(told.get("json_schema"))}
        row = self.store.add_run(task, told, attempt.marker)
        cached = told.get("use_cached_workflow")
        if (task.use_cached_workflow if cached is None else cached) and not task.cached_workflow:
            return Made("refused_400", Refused(400, _NO_WORKFLOW.format(task.id)).reply())  # the row stays
        workflow = task.cached_workflow if (task.use_cached_workflow if cached is None else cached) else None
        wait = told.get("wait_for_completion") is not False  # a null is yes, here
        return await self._work(row, customer, attempt, workflow, wait=wait, blame="Error while running task")

    async def _work(
        self,
        row: Run[int],
        customer: Customer[Settings],
        attempt: Attempt,
        workflow: Any,
        *,
        wait: bool,
        blame: str,
    ) -> Made:
        good = attempt.fault or "ok"
        if not _is_json(row.json_schema):  # a change of the task put it there, and nothing checked it
            return Made("crash", Refused(500, blame).reply())
        if not wait:
            self.behind(row, attempt, customer, workflow)
            ids: dict[str, Any] = {"task_id": row.task_id, "task_run_id": row.id}
            if customer.told.own.background == "full":
                rest = dict.fromkeys(("history", "result", "is_done", "is_successful"))
                ids |= {**rest, "status": "in_progress"}
            return Made(good, said(200, ids))
        try:
            return Made(good, said(200, await self.execute(row, attempt, customer, workflow)))
        except agent.Crashed:
            return Made("crash", Refused(500, blame).reply())

    def told(self, row: Run[int], ended: agent.Ended, own: Settings) -> dict[str, Any]:
        """The agent's response."""
        history = ended.history
        if not own.modern:
            history = [
                {
                    **step,
                    "actions": [
                        {name: value for name, value in done.items() if name not in _NEWER}
                        for done in step["actions"]
                    ],
                }
                for step in history
            ]
        is_over = "success" if ended.is_successful else "failure"
        return {
            "task_id": row.task_id,
            "task_run_id": row.id,
            "history": history,
            "result": ended.result,
            "is_done": ended.is_done,
            "is_successful": ended.is_successful,
            "status": is_over if ended.is_done else "in_progress",
        }


def _row(row: Task[int] | Run[int], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _text(schema: Any) -> str | None:
    return None if schema is None else json.dumps(schema, indent=2)


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "null")
    except json.JSONDecodeError:
        return False
    return True


def _number(request: Request, name: str) -> int:
    text = request.path.split("/")[3]
    if not text.removeprefix("-").isdigit():
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise Refused(422, [Fault(("path", name), message, "int_parsing")])
    return int(text)
