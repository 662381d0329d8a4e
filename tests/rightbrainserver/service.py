"""Who answers what: runs, listings, files, tasks, tokens, and what a test asks beside the API."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import orjson

from tests.llmserver.answers import row_id_of
from tests.rightbrainserver.asking import asked
from tests.rightbrainserver.control import Control, Customer
from tests.rightbrainserver.creating import Attempt, Made, created
from tests.rightbrainserver.making import made
from tests.rightbrainserver.refusals import NotAuthorized, Refused, malformed
from tests.rightbrainserver.runs import Runs, is_uuid
from tests.rightbrainserver.settings import Settings
from tests.rightbrainserver.tasks import CREATED, ORG, PROJECT, Task, demo_tasks, made_id, task_of
from tests.rightbrainserver.tokens import Tokens, bearer
from tests.rightbrainserver.told import Told
from tests.rightbrainserver.wire import Reply, Request, said

_BASE: Final = "/api/v1"
_NOT_FOUND: Final = said(404, {"detail": "Not Found"})
_NOT_ALLOWED: Final = said(405, {"detail": "Method Not Allowed"})


class Service:
    """All tasks, runs, groups and tokens, and the answer to every request."""

    def __init__(self, told: Told[Settings]) -> None:
        self._control = Control(told)
        self._running: set[asyncio.Task[Made]] = set()
        self._reads = 0
        self._forget()

    def _forget(self) -> None:
        self._tasks = {task.id: task for task in demo_tasks()}
        self._runs = Runs()
        self._groups: dict[str, dict[str, Any]] = {}
        self._tokens = Tokens()

    async def __call__(self, request: Request) -> Reply:
        """The answer to a request."""
        aside = self._control.aside(request) or self._beside(request)
        if aside is not None:
            return aside
        try:
            customer = self._control.customer(request, bearer(request.headers))
        except ValueError as wrong:
            return said(400, {"error": {"message": f"In the base URL: {wrong}."}})
        counts, endpoint = self._control.counts, _endpoint(request)
        counts.call(endpoint)
        try:
            reply = await self._answer(request, customer, endpoint)
        except Refused as refused:
            reply = refused.reply(customer.told.own.envelope)
        counts.answer(endpoint, reply.status)
        return reply

    async def _answer(self, request: Request, customer: Customer[Settings], endpoint: str) -> Reply:
        own = customer.told.own
        if endpoint == "POST token":
            return self._tokens.issue(request, own)
        if endpoint == "other":
            return _NOT_FOUND if not request.path.startswith(_BASE) else _NOT_ALLOWED
        parts = request.path.removeprefix(_BASE).strip("/").split("/")
        ids = dict(zip(("org_id", "project_id", "task_id", "task_run_id"), parts[1::2], strict=False))
        self._admit(bearer(request.headers), ids.get("task_id", ""), own)
        for name, value in ids.items():
            if not is_uuid(value):
                raise malformed(name, value)
        if (ids["org_id"], ids["project_id"]) != (ORG, PROJECT):
            raise Refused(403)
        if endpoint == "POST run":
            return await self._create(request, customer, self._task(ids["task_id"]))
        await self._hinder_reading(customer, endpoint)
        if endpoint in {"LIST runs", "LIST tasks"}:
            return self._list(request, customer, endpoint, ids.get("task_id", ""))
        task = self._task(ids["task_id"])
        if endpoint == "GET task":
            return said(200, task.told())
        run = self._runs.get(ids["task_run_id"], task.id)
        if endpoint == "GET run":
            return said(200, run.told)
        for file in run.files:
            if file.stored == parts[-1]:
                return Reply(200, file.content, file.kind)
        raise Refused(404, "FILE_NOT_FOUND", "File not found")

    def _list(self, request: Request, customer: Customer[Settings], endpoint: str, task_id: str) -> Reply:
        if endpoint == "LIST tasks":
            pagination = {"next_cursor": None, "has_next": False, "page_limit": 100}
            listed = [task.told() for task in self._tasks.values()]
            return said(200, {"results": listed, "pagination": pagination})
        if customer.chance.fraction("page", "", self._reads) < customer.told.own.pages_lost:
            return Reply(444, b"", ending="cut")
        return self._runs.page(request.query, task_id=task_id and self._task(task_id).id)

    def _admit(self, token: str, task_id: str, own: Settings) -> None:
        task = self._tasks.get(task_id)
        if task is not None and token == task.access_token:
            return
        if not self._tokens.allow(token, own):
            raise NotAuthorized

    async def _hinder_reading(self, customer: Customer[Settings], endpoint: str) -> None:
        own = customer.told.own
        self._reads += 1
        await asyncio.sleep((own.list_ms if endpoint == "LIST runs" else own.read_ms) / 1000)
        if customer.chance.fraction("read", endpoint, self._reads) < own.read_fails:
            raise Refused(503)

    def _task(self, task_id: str) -> Task:
        task = self._tasks.get(task_id.lower())
        if task is None:
            raise Refused(404, "TASK_NOT_FOUND", "Task not found")
        return task

    async def _create(self, request: Request, customer: Customer[Settings], task: Task) -> Reply:
        own = customer.told.own
        return await created(
            customer,
            self._control.counts,
            _marker(request.body),
            run=partial(self._run, request, customer, task),
            refuse=lambda status: (NotAuthorized() if status == 401 else Refused(status)).reply(own.envelope),
            gateway_s=own.gateway_s,
            running=self._running,
        )

    async def _run(
        self, request: Request, customer: Customer[Settings], task: Task, attempt: Attempt
    ) -> Made:
        own, counts = customer.told.own, self._control.counts
        drawn = customer.chance.fraction("weight", attempt.marker, attempt.number)
        try:
            wanted = asked(request, task, drawn)
            group = self._group(wanted.group, own)
        except Refused as refused:
            return Made(f"refused_{refused.status}", refused.reply(own.envelope))
        began = datetime.now(UTC)
        counts.start(attempt.row)
        await asyncio.sleep(attempt.seconds)
        run = made(task, wanted, attempt, customer, group, began=began)
        self._runs.add(run)
        told = run.told
        outcome = "is_error" if told["is_error"] else "ok"
        counts.end(outcome, tokens_in=told["input_tokens"], tokens_out=told["output_tokens"])
        named = (("X-Task-Run-ID", run.id), ("X-Task-Revision-ID", wanted.revision.id))
        return Made(attempt.fault or outcome, said(200, told, *named))

    def _group(self, name: str, own: Settings) -> dict[str, Any] | None:
        if not name:
            return None
        if name not in self._groups:
            if own.groups == "refuse":
                raise Refused(404, "REPORTING_GROUP_NOT_FOUND", "Reporting group not found")
            self._groups[name] = {
                "id": made_id(f"group/{name}"),
                "project_id": PROJECT,
                "name": name,
                "description": None,
                "created": CREATED,
                "modified": CREATED,
            }
        return self._groups[name]

    def _beside(self, request: Request) -> Reply | None:
        match request.path:
            case "/stats/runs":
                return said(200, self._runs.noted())
            case "/control/task":
                try:
                    task = task_of(orjson.loads(request.body))
                except (ValueError, TypeError, KeyError) as wrong:
                    return said(400, {"error": {"message": str(wrong)}})
                self._tasks[task.id] = task
                return said(200, task.told())
            case "/control/revoke":
                return said(200, {"revoked": self._tokens.revoke()})
            case "/control/forget":
                self._forget()
                return said(200, {"forgotten": True})
        return None


def _marker(body: bytes) -> str:
    """The reference that a run is to have, else the row that its body names, else a hash of it."""
    try:
        reference = orjson.loads(body)["task_reference"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return row_id_of(body)
    return reference if isinstance(reference, str) and reference else row_id_of(body)


def _endpoint(request: Request) -> str:
    if request.path == "/oauth2/token":
        return "POST token" if request.method == "POST" else "other"
    if not request.path.startswith(f"{_BASE}/"):
        return "other"
    match request.method, request.path.removeprefix(_BASE).strip("/").split("/"):
        case "POST", ["org", _, "project", _, "task", _, "run"]:
            return "POST run"
        case "GET", ["org", _, "project", _, "task", _, "run"] | ["org", _, "project", _, "task_run"]:
            return "LIST runs"
        case "GET", ["org", _, "project", _, "task", _, "run", _]:
            return "GET run"
        case "GET", ["org", _, "project", _, "task", _, "run", _, "file", _]:
            return "GET file"
        case "GET", ["org", _, "project", _, "task", _]:
            return "GET task"
        case "GET", ["org", _, "project", _, "task"]:
            return "LIST tasks"
    return "other"
