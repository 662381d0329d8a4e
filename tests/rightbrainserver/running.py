"""The Rightbrain server as a child process, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.rightbrainserver.starting import TaskServer, started
from tests.rightbrainserver.tasks import ORG, PROJECT, made_id


class Server(TaskServer):
    """A running server: its addresses, tasks, counts and settings."""

    org, project = ORG, PROJECT

    def base_url(self, **settings: float | str) -> str:
        """The API's base URL, with settings of its own if any are given."""
        return f"{self.with_settings(**settings)}/api/v1"

    def token_url(self, **settings: float | str) -> str:
        """Where OAuth tokens are given out."""
        return f"{self.with_settings(**settings)}/oauth2/token"

    def task_path(self, name: str) -> str:
        """The path of the task of this name (`Demo json`) below the base URL."""
        return f"/org/{ORG}/project/{PROJECT}/task/{made_id(name)}"

    def task(self, **definition: Any) -> dict[str, Any]:
        """Define a task, or define it anew; see `tasks.task_of`. As the API tells it."""
        told: dict[str, Any] = self.asked("/control/task", definition)
        return told

    def runs(self) -> list[dict[str, Any]]:
        """Every run that has ended: marker, id, reference, task, revision, is_error, used_fallback_model."""
        told: list[dict[str, Any]] = self.asked("/stats/runs")
        return told

    def revoke(self) -> int:
        """End every OAuth token; how many these were."""
        return int(self.asked("/control/revoke")["revoked"])

    def forget(self) -> None:
        """No runs, groups, tokens or tasks but the demo tasks."""
        self.asked("/control/forget")


@contextmanager
def running_server(**settings: float | str) -> Iterator[Server]:
    """Start a server with these settings on a free port, and end it afterwards, whatever happens.

    Raises:
        RuntimeError: It did not start, or did not end well.
    """
    with started("tests.rightbrainserver", settings) as (url, pid):
        yield Server(url, pid)
