"""Runs and groups: their states, and how they read on the wire."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from tests.parallelserver.asked import Asked, Metadata
from tests.parallelserver.refusals import invalid

STATUSES: Final = (
    "queued", "action_required", "running", "completed", "failed", "cancelling", "cancelled",
)  # fmt: skip
ACTIVE: Final = frozenset({"queued", "running", "cancelling"})
ENDED: Final = frozenset({"completed", "failed", "cancelled"})


def moment() -> str:
    """This moment, as RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Pulse:
    """Something that others wait to see change; each takes `next` before it looks, and waits on that."""

    __slots__ = ("next",)

    def __init__(self) -> None:
        self.next = asyncio.Event()

    def beat(self) -> None:
        """It has changed."""
        self.next.set()
        self.next = asyncio.Event()


class Group:
    """A task group: its runs as they were added, and their ends as they came."""

    def __init__(self, metadata: Metadata | None) -> None:
        self.group_id = f"tgrp_{uuid4().hex}"
        self.metadata = metadata
        self.created = self.modified = moment()
        self.runs: list[Run] = []
        self.ends: list[tuple[Run, dict[str, Any]]] = []
        """Runs that are not active any more, each with what it looked like then."""
        self.counts: Counter[str] = Counter()
        self.pulse = Pulse()
        self._cached = self.status()

    @property
    def is_active(self) -> bool:
        """Whether any of its runs is."""
        return any(self.counts[status] for status in ACTIVE)

    def status(self) -> dict[str, Any]:
        """Its status now, which is remembered for those who do not want it fresh."""
        self._cached = {
            "num_task_runs": len(self.runs),
            "task_run_status_counts": {status: n for status, n in self.counts.items() if n},
            "is_active": self.is_active,
            "status_message": "",
            "modified_at": self.modified,
        }
        return self._cached

    def cached_status(self) -> dict[str, Any]:
        """Its status when somebody last asked for it."""
        return self._cached

    def told(self) -> dict[str, Any]:
        """The group as JSON."""
        return {
            "taskgroup_id": self.group_id,
            "status": self.status(),
            "metadata": self.metadata,
            "created_at": self.created,
        }


class Run:
    """One task run, changed by `World`; key names its row, and its draws follow from that."""

    def __init__(self, asked: Asked, *, key: str, group: Group | None) -> None:
        self.run_id = f"trun_{uuid4().hex}"
        self.asked = asked
        self.key = key
        self.group = group
        self.status = "queued"
        self.created = self.modified = moment()
        self.warnings = list(asked.warnings)
        self.error: dict[str, Any] | None = None
        self.output: dict[str, Any] | None = None
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.over = asyncio.Event()
        self.pulse = Pulse()
        self.results_read = 0

    def progress(self, kind: str, message: str) -> None:
        """Add to its reasoning trace, if it keeps one."""
        if self.asked.tells_progress:
            name = f"task_run.progress_msg.{kind}"
            self.messages.append((name, {"type": name, "message": message, "timestamp": moment()}))
            self.pulse.beat()

    def told(self) -> dict[str, Any]:
        """The run as JSON."""
        return {
            "run_id": self.run_id,
            "interaction_id": self.run_id,
            "status": self.status,
            "is_active": self.status in ACTIVE,
            "warnings": self.warnings or None,
            "error": self.error,
            "processor": self.asked.processor,
            "metadata": self.asked.metadata,
            "taskgroup_id": None if self.group is None else self.group.group_id,
            "created_at": self.created,
            "modified_at": self.modified,
        }

    def event(
        self, event_id: str | None, *, with_input: bool = False, with_output: bool = False
    ) -> dict[str, Any]:
        """The run's state as an event of a stream."""
        return {
            "type": "task_run.state",
            "event_id": event_id,
            "input": self.asked.echo if with_input else None,
            "run": self.told(),
            "output": self.output if with_output else None,
        }

    def stats_event(self) -> dict[str, Any]:
        """How far it has come."""
        share = {"queued": 0.0, "running": 50.0}.get(self.status, 100.0)
        read = len(self.messages)
        sources = {"num_sources_considered": 10 * read, "num_sources_read": read, "sources_read_sample": []}
        return {"type": "task_run.progress_stats", "progress_meter": share, "source_stats": sources}


def position(cursor: str, length: int) -> int:
    """How many events of a stream lie behind a cursor; an empty one is the beginning.

    Raises:
        Refused: 422, it was never given out.
    """
    if not cursor:
        return 0
    if not cursor.isdecimal() or int(cursor) > length:
        raise invalid("last_event_id", "No such event")
    return int(cursor)
