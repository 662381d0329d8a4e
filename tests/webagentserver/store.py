"""The rows of the server's database: tasks, runs with their steps, and what a replay goes by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tests.webagentserver.refusals import Refused

Id = TypeVar("Id", int, str)


@dataclass(slots=True, kw_only=True)
class Task(Generic[Id]):
    """A task; the last three are the cloud's."""

    id: Id
    prompt: str
    model: str
    provider: str
    webhook_url: str | None = None
    response_format: str | None = "text"
    json_schema: str | None = None
    cached_workflow: Mapping[str, Any] | None = None
    use_cached_workflow: bool = False
    auth_context_id: str | None = None
    initial_url: str | None = None
    session_timeout: int | None = 900


@dataclass(slots=True, kw_only=True)
class Run(Generic[Id]):
    """A run; what an agent leaves unwritten stays as it is here."""

    id: Id
    task_id: Id
    marker: str
    prompt: str
    model: str
    provider: str
    webhook_url: str | None
    response_format: str | None
    json_schema: str | None
    started: bool = False
    result: str | None = None
    is_done: bool = False
    is_successful: bool | None = None
    webhook_result_success: bool | None = None
    webhook_result_status_code: int | None = None
    webhook_result_message: str | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    session_timeout: int | None = None


class Store(Generic[Id]):
    """The tables of one edition, whose ids are numbers or strings."""

    def __init__(self, id_of: Callable[[str, int], Id]) -> None:
        self._id_of: Callable[[str, int], Id] = id_of
        self.tasks: dict[Id, Task[Id]] = {}
        self.runs: dict[Id, Run[Id]] = {}

    def add_task(self, told: Mapping[str, Any]) -> Task[Id]:
        """A new task."""
        task = Task(id=self._id_of("task", len(self.tasks) + 1), **told)
        self.tasks[task.id] = task
        return task

    def add_run(self, task: Task[Id], told: Mapping[str, Any], marker: str) -> Run[Id]:
        """A new run of the task, with what is told in place of the task's own."""
        names = ("prompt", "model", "provider", "webhook_url", "response_format", "json_schema")
        merged = {name: getattr(task, name) if told.get(name) is None else told[name] for name in names}
        run = Run(id=self._id_of("run", len(self.runs) + 1), task_id=task.id, marker=marker, **merged)
        self.runs[run.id] = run
        return run

    def task(self, task_id: Id) -> Task[Id]:
        """The task.

        Raises:
            Refused: There is none.
        """
        found = self.tasks.get(task_id)
        if found is None:
            raise Refused(404, f"Task with ID {task_id} not found")
        return found

    def run(self, run_id: Id) -> Run[Id]:
        """The run.

        Raises:
            Refused: There is none.
        """
        found = self.runs.get(run_id)
        if found is None:
            raise Refused(404, f"Task run with ID {run_id} not found")
        return found
