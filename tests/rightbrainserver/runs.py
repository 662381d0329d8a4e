"""The runs that were made, as the API tells them, and their listing in pages."""

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.rightbrainserver.produced import File
from tests.rightbrainserver.refusals import Refused, malformed
from tests.rightbrainserver.wire import Reply, said

_AGO: Final = re.compile(r"(\d+)\s*(minute|hour|day|week)s?\s+ago")
_MAY_BE_NULL: Final = ("files", "is_error", "llm_retries", "used_fallback_model")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """A run that has ended. Made is the moment of its start, listed_from a monotonic one."""

    told: Mapping[str, Any]
    files: tuple[File, ...]
    made: datetime
    marker: str
    listed_from: float

    @property
    def id(self) -> str:
        """The run's UUID."""
        return str(self.told["id"])


class Runs:
    """All runs, in the order in which they ended."""

    def __init__(self) -> None:
        self._all: list[TaskRun] = []
        self._places: dict[str, int] = {}

    def add(self, run: TaskRun) -> None:
        """One more."""
        self._places[run.id] = len(self._all)
        self._all.append(run)

    def get(self, run_id: str, task_id: str) -> TaskRun:
        """The run of this task.

        Raises:
            Refused: There is none, or it has not ended.
        """
        place = self._places.get(run_id)
        if place is None or self._all[place].told["task_id"] != task_id:
            raise Refused(404, "TASK_RUN_NOT_FOUND", "Task run not found")
        return self._all[place]

    def noted(self) -> list[dict[str, Any]]:
        """What a test wants to know of each."""
        names = ("id", "reference", "task_id", "task_revision_id", "is_error", "used_fallback_model")
        return [{"marker": run.marker, **{name: run.told[name] for name in names}} for run in self._all]

    def page(self, query: Mapping[str, str], *, task_id: str = "") -> Reply:
        """A page of the list, newest first.

        Raises:
            Refused: A limit, cursor, filter or date that is none.
        """
        limit = _limit(query.get("page_limit", "100"))
        begin, cursor = len(self._all), query.get("cursor", "")
        if cursor:
            if not is_uuid(cursor):
                raise malformed("cursor", cursor)
            if cursor not in self._places:
                raise Refused(400, details={"field": "cursor", "reason": "Unknown cursor"})
            begin = self._places[cursor]
        fits = _filter(query, task_id)
        now, found = time.monotonic(), list[TaskRun]()
        for run in reversed(self._all[:begin]):
            if run.listed_from <= now and fits(run):
                found.append(run)
                if len(found) > limit:
                    break
        results, has_next = [run.told for run in found[:limit]], len(found) > limit
        cursor_after = found[limit - 1].id if has_next else None
        pagination = {"next_cursor": cursor_after, "has_next": has_next, "page_limit": limit}
        return said(200, {"results": results, "pagination": pagination})


def with_nulls(told: Mapping[str, Any]) -> dict[str, Any]:
    """The same record with null in place of what is empty, false or 0 and may be null."""
    return {name: None if name in _MAY_BE_NULL and not value else value for name, value in told.items()}


def is_uuid(text: str) -> bool:
    """Whether it is a UUID in its usual form."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def moment(text: str, now: datetime) -> datetime:
    """The moment that `yesterday`, `24 hours ago`, `2026-01-31` or `now` means.

    Raises:
        ValueError: It means none.
    """
    text = text.strip().lower()
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match text:
        case "now":
            return now
        case "today":
            return day
        case "yesterday":
            return day - timedelta(days=1)
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - timedelta(**{f"{ago[2]}s": int(ago[1])})
    found = datetime.fromisoformat(text.upper())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _limit(text: str) -> int:
    if not (text.isdigit() and 1 <= int(text) <= 100):
        raise Refused(400, details={"field": "page_limit", "reason": "Must be between 1 and 100"})
    return int(text)


class _Filter:
    """What a listing asks for."""

    def __init__(self, wanted: Mapping[str, str], status: str, begin: datetime, end: datetime) -> None:
        self._wanted, self._status, self._begin, self._end = wanted, status, begin, end

    def __call__(self, run: TaskRun) -> bool:
        """Whether the run is among it."""
        told = run.told
        return (
            all(told[name] == value for name, value in self._wanted.items())
            and (not self._status or (self._status == "error") == bool(told["is_error"]))
            and self._begin <= run.made <= self._end
        )


def _filter(query: Mapping[str, str], task_id: str) -> _Filter:
    wanted = {name: query[name] for name in ("task_id", "task_revision_id") if query.get(name)}
    for name, value in wanted.items():
        if not is_uuid(value):
            raise malformed(name, value)
    if task_id:
        wanted["task_id"] = task_id
    status = query.get("status", "")
    if status not in {"", "success", "error"}:
        raise Refused(400, details={"field": "status", "reason": "Must be success or error"})
    now = datetime.now(UTC)
    dates = {"start_date": now - timedelta(days=7), "end_date": now}
    for name in dates.keys() & query.keys():
        try:
            dates[name] = moment(query[name], now)
        except ValueError:
            raise Refused(400, details={"field": name, "reason": "Not a date"}) from None
    return _Filter(wanted, status, dates["start_date"], dates["end_date"])
