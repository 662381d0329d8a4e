"""Parallel's task groups in virtual time, with misfortunes that are told beforehand."""

import re
from collections import Counter, deque
from contextlib import aclosing

import anyio
import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.providers.protocol import Request, Response

BASE = "https://parallel.test"
LOST = Failure(kind=FailureKind.CONNECTION, message="the answer was lost", maybe_billed=True)
UNREACHED = Failure(kind=FailureKind.CONNECTION, message="no connection")


class Api:
    """A transport that is the API itself; `asked` holds method and path of each request in order."""

    def __init__(self, *, takes=10.0, fails=(), credit=None):
        self.takes = takes  # seconds of a run
        self.fails = set(fails)  # rows whose runs fail
        self.credit = credit  # runs that may be under way at once
        self.bad = set()  # rows that make a POST invalid
        self.adds = (
            deque()
        )  # what happens to the next POSTs of runs: lost, early, unreached, cut, or a status
        self.cuts = deque()  # after so many events the next streams are cut
        self.gets = deque()  # statuses of the next GETs of runs
        self.unlisted = 0  # so many lists leave out runs that are under way
        self.groups = {}
        self.runs = {}
        self.asked = []
        self.posts = []  # rows of each POST that made runs

    @property
    def begun(self):
        """How many runs were begun for each row."""
        return Counter(run["metadata"]["row_key"] for run in self.runs.values())

    def asked_for(self, pattern):
        """How often that was."""
        return sum(re.fullmatch(pattern, one) is not None for one in self.asked)

    async def send(self, request):
        path = request.url.removeprefix(BASE)
        self.asked.append(f"{request.method} {path}")
        if request.method == "POST":
            return self._made() if path.endswith("/groups") else self._added(path, orjson.loads(request.body))
        if "/groups/" in path:
            if path.split("/")[4] not in self.groups:
                return self._json({}, 404)
            return self._json({"status": {"num_task_runs": len(self._group(path))}})
        if self.gets:
            return Response(status=self.gets.popleft(), headers={}, body=b"")
        run = self._now(path.partition("/runs/")[2].partition("/")[0])
        if run is None:
            return self._json({}, 404)
        if path.partition("?")[0].endswith("/result"):
            return self._json({"run": run, "output": {"type": "text", "content": run["run_id"], "basis": []}})
        return self._json(run)

    async def follow(self, request, heard, *, silence):
        path, _, query = request.url.removeprefix(BASE).partition("?")
        self.asked.append(f"GET {path}")
        if path.split("/")[4] not in self.groups:
            return self._json({}, 404)
        begin = int(query.partition("=")[2] or 0)
        left = self.cuts.popleft() if self.cuts else None
        events = self._ended if path.endswith("/events") else self._listed
        async with aclosing(events(self._group(path), begin)) as told:
            async for number, run in told:
                if left == 0:
                    heard(b"event: task_run.state\ndata: {")
                    return LOST
                event = {"type": "task_run.state", "event_id": str(number), "run": run}
                heard(b": a comment\nevent: task_run.state\ndata: " + orjson.dumps(event) + b"\n\n")
                left = None if left is None else left - 1
        return Response(status=200, headers={})

    async def _listed(self, ids, begin):
        hides, self.unlisted = self.unlisted > 0, max(0, self.unlisted - 1)
        for number, run_id in enumerate(ids[begin:], begin + 1):
            run = self._now(run_id)
            if not (hides and run["is_active"]):
                yield number, run

    async def _ended(self, ids, begin):
        while True:
            ended = sorted((self.runs[one]["ends"], one) for one in ids)
            for number, (ends, run_id) in enumerate(ended, 1):
                if number > begin and ends <= anyio.current_time():
                    begin = number
                    yield number, self._now(run_id)
            going_on = [ends for ends, _ in ended if ends > anyio.current_time()]
            if not going_on:
                return
            await anyio.sleep_until(min(going_on))

    def _made(self):
        group_id = f"tgrp_{len(self.groups)}"
        self.groups[group_id] = []
        return self._json({"taskgroup_id": group_id})

    def _added(self, path, body):
        fate = self.adds.popleft() if self.adds else None
        if fate == "early":
            return LOST
        if fate == "unreached":
            return UNREACHED
        rows = [one["metadata"]["row_key"] for one in body["inputs"]]
        active = sum(self._now(run_id)["is_active"] for run_id in self.runs)
        if isinstance(fate, int):
            return self._json({"error": {"message": "no"}}, fate)
        if self.credit is not None and active + len(rows) > self.credit:
            return self._json({"error": {"message": "no credit"}}, 402)
        if self.bad & set(rows):
            return self._json({"error": {"message": "bad"}}, 422)
        ids = [self.begin(path.split("/")[4], one) for one in body["inputs"]]
        self.posts.append(rows)
        if fate == "lost":
            return LOST
        told = orjson.dumps({"run_ids": ids})
        return Response(status=200, headers={}, body=told[: len(told) // 2] if fate == "cut" else told)

    def begin(self, group_id, asked):
        """Begin a run in a group."""
        run_id = f"trun_{len(self.runs)}"
        told = {"metadata": asked["metadata"], "processor": asked["processor"], "taskgroup_id": group_id}
        self.runs[run_id] = {**told, "run_id": run_id, "ends": anyio.current_time() + self.takes}
        self.groups[group_id].append(run_id)
        return run_id

    def _group(self, path):
        return self.groups[path.split("/")[4]]

    def _now(self, run_id):
        run = self.runs.get(run_id)
        if run is None:
            return None
        active = run["ends"] > anyio.current_time()
        end = "failed" if run["metadata"]["row_key"] in self.fails else "completed"
        return {**run, "status": "running" if active else end, "is_active": active}

    def _json(self, told, status=200):
        return Response(status=status, headers={}, body=orjson.dumps(told))


def asks(row, *, processor="lite", headers=None, spec=None):
    """The request that begins a row's run."""
    told = {
        "processor": processor,
        "task_spec": spec or {"output_schema": {"type": "text"}},
        "metadata": {"row_key": str(row), "identity": f"{row:032x}"},
        "input": f"row {row}",
    }
    return Request(
        method="POST",
        url=f"{BASE}/v1/tasks/runs",
        headers={"x-api-key": "k", **(headers or {})},
        body=orjson.dumps(told),
    )


def looks(run_id, rest=""):
    """The request for a run's status, or its result."""
    return Request(method="GET", url=f"{BASE}/v1/tasks/runs/{run_id}{rest}", headers={"x-api-key": "k"})
