"""The Webagent server as a child process, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.rightbrainserver.starting import TaskServer, started


class Server(TaskServer):
    """A running server: its addresses, tasks, counts and settings; task 1 is there from the start."""

    def base_url(self, **settings: float | str) -> str:
        """The address before `/api`, with settings of its own if any are given."""
        return self.with_settings(**settings)

    def cloud_url(self, **settings: float | str) -> str:
        """The cloud edition's address, which stands for `https://api.webagent.cloud`."""
        return self.with_settings(**settings)

    def task(self, **definition: Any) -> int | str:
        """Make a task without a run (prompt, model, ...; edition: cloud for the other), and give its id."""
        made: int | str = self.asked("/control/task", definition)["id"]
        return made

    def runs(self) -> list[dict[str, Any]]:
        """Every row of a run: edition, id, task_id, marker, started, is_done, is_successful."""
        told: list[dict[str, Any]] = self.asked("/stats/runs")
        return told

    def forget(self) -> None:
        """No tasks and runs but the first task of each edition."""
        self.asked("/control/forget")


@contextmanager
def running_server(**settings: float | str) -> Iterator[Server]:
    """Start a server with these settings on a free port, and end it afterwards, whatever happens.

    Raises:
        RuntimeError: It did not start, or did not end well.
    """
    with started("tests.webagentserver", settings) as (url, pid):
        yield Server(url, pid)
