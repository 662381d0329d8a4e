"""Many rows' runs at Parallel by few requests, none of them begun twice.

It carries the requests of single runs (see `providers/parallel.py`) and answers each as the API would:

begin    Rows that come within a moment go to a task group together, at most 1,000 in a POST. When nobody can
         tell whether a POST arrived, the group's runs are listed, and rows that have none are sent again.
status   It is answered when the run is not active any more. One event stream a group tells of all its runs;
         it is resumed where it was cut, and where it tells nothing the group's runs are listed now and then.
result   Read by a GET of its own, which is repeated when it fails.

A row whose run may have been begun by an earlier process is looked for in the groups that the book knows.
402 (a run reserves its credit while it is under way) has rows wait for the end of others, in ever smaller
parts, and is told to a row only when nothing is under way.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Protocol, Self, runtime_checkable
from urllib.parse import quote

import anyio
import orjson
from anyio.abc import TaskGroup

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.engine.event_stream import Events
from tasks_lib.providers.parallel import ACTIVE, IDENTITY, LOST, RUNS
from tasks_lib.providers.parallel_errors import NOT_BEGUN
from tasks_lib.providers.protocol import Request, Response, Transport
from tasks_lib.providers.waits import retry_after_seconds

MOST_IN_A_POST: Final = 1_000  # as documented
_MOST_BYTES: Final = 16_000_000  # of a POST, by our own measure
_MOST_IN_A_GROUP: Final = 10_000  # runs; beyond them another group is made, so that lists stay short
_COMPANY: Final = 0.1  # seconds that a row waits for others
_TRIES: Final = 6  # of one request that fails in passing
_FIRST_WAIT: Final = 0.5  # seconds before the second of them; doubles
_LONGEST_WAIT: Final = 30.0
_SILENCE: Final = 120.0  # seconds without a byte after which an event stream is as good as cut
_CREDIT_TRIES: Final = 4  # after a 402 with nothing under way: credit may be given back a little later
_FOR_CREDIT: Final = 30.0  # seconds that a row waits at most until it tries again whether there is credit
_UNLISTED: Final = 20  # looks at a group that has more runs than it lists, before we give up on it
_FEW: Final = 100  # runs whose status is asked for one by one where nothing else tells it


class GroupBook(Protocol):
    """Remembers the task groups that were made, whatever becomes of the process."""

    async def add_group(self, provider: str, group_id: str) -> None:
        """Return once it cannot be forgotten that runs are begun in this group."""
        ...

    async def groups(self, provider: str) -> Sequence[str]:
        """The groups in which earlier processes may have begun runs whose end nobody saw, oldest first."""
        ...


class ForgetfulBook:
    """For calls that keep no ledger."""

    async def add_group(self, provider: str, group_id: str) -> None:
        """See `GroupBook`."""

    async def groups(self, provider: str) -> Sequence[str]:  # noqa: ARG002  # there are none
        """See `GroupBook`."""
        return ()


@runtime_checkable
class _Follows(Protocol):
    async def follow(
        self, request: Request, heard: Callable[[bytes | memoryview], None], *, silence: float
    ) -> Response | Failure: ...


@dataclass(slots=True, eq=False)
class _Row:
    """A row that is to be begun."""

    told: dict[str, Any]  # without its task_spec, which its company shares
    size: int  # bytes
    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: Response | Failure | None = None
    is_gone: bool = False  # nobody waits for it any more

    @property
    def name(self) -> tuple[str, str]:
        """What finds its run in a list."""
        return _name_of(self.told.get("metadata"), self.told.get("processor"))

    def end(self, outcome: Response | Failure) -> None:
        """Answer it."""
        self.outcome = outcome
        self.done.set()


@dataclass(slots=True, eq=False)
class _Run:
    """What is known of a run."""

    run_id: str
    group: "_Group"
    status: str
    name: tuple[str, str]
    is_given: bool = False  # to a row
    changed: anyio.Event | None = None  # set when it is not active any more

    def tell(self, status: str) -> None:
        """It has this status."""
        self.status = status
        if status not in ACTIVE:
            self.group.active.discard(self.run_id)
            if self.changed is not None:
                self.changed.set()
                self.changed = None


@dataclass(slots=True, eq=False)
class _Group:
    """A task group."""

    group_id: str
    runs: dict[str, _Run] = field(default_factory=dict)  # by id
    active: set[str] = field(default_factory=set)  # that somebody waits for
    listed_to: str = ""  # the id of the last event of its list of runs
    heard_to: str = ""  # the same of its events
    heard: int = 0  # events that told of runs
    is_watched: bool = False
    is_unsettled: bool = False  # it may have runs that no row was told of


@dataclass(slots=True)
class _Pace:
    """How beginning goes."""

    size: int = MOST_IN_A_POST  # rows in the next POST
    failed: int = 0  # POSTs in a row of which nobody knows whether they came to anything
    unpaid: int = 0  # that were refused for want of credit with nothing under way


class ParallelGroups:
    """A transport for one account's runs."""

    def __init__(self, transport: Transport, *, provider: str, book: GroupBook | None = None) -> None:
        """Carry requests over this transport, which stays its owner's to close."""
        self._transport = transport
        self._provider = provider
        self._book: GroupBook = book or ForgetfulBook()
        self._waiting: dict[bytes, list[_Row]] = {}  # by what rows of one POST have in common
        self._headers: dict[bytes, Mapping[str, str]] = {}  # of the same
        self._groups: dict[str, _Group] = {}
        self._current: _Group | None = None
        self._begun_here: set[str] = set()  # ids of groups
        self._making = anyio.Lock()
        self._by_id: dict[str, _Run] = {}
        self._by_name: defaultdict[tuple[str, str], list[_Run]] = defaultdict(list)
        self._listing = anyio.Lock()
        self._lists_begun = 0
        self._old_known = False
        self._an_end = anyio.Event()  # of any run; another one is made when it is set
        self._tasks: TaskGroup = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)  # told of an error it would wrap it up

    @property
    def runs_under_way(self) -> int:
        """Runs that are not known to have ended."""
        return sum(len(group.active) for group in self._groups.values())

    @property
    def runs_known(self) -> int:
        """Runs that are held in memory."""
        return len(self._by_id)

    async def send(self, request: Request) -> Response | Failure:
        """The answer to a request about a single run."""
        base, runs, rest = request.url.partition(RUNS)
        if not runs:
            return await self._transport.send(request)
        if request.method == "POST":
            return await self._begin(request, base)
        run_id = rest.removeprefix("/")
        if "/" in run_id:
            return await self._read(request)
        return await self._status(request, run_id, base)

    # Beginning

    async def _begin(self, request: Request, base: str) -> Response | Failure:
        told = orjson.loads(request.body)  # what our own protocol has written
        headers = {name: value for name, value in request.headers.items() if name != LOST}
        row = _Row(told=told, size=len(request.body))
        if LOST in request.headers:
            found = await self._found(row.name, base, headers)
            if found is not None:
                return found
        spec = told.pop("task_spec", None)
        company = orjson.dumps([base, headers, told.get("processor"), spec], option=orjson.OPT_SORT_KEYS)
        waiting = self._waiting.get(company)
        if waiting is None:
            self._waiting[company] = [row]
            self._tasks.start_soon(self._begin_all, company, base, headers, spec)
        else:
            waiting.append(row)
        try:
            await row.done.wait()
        finally:
            row.is_gone = True
        assert row.outcome is not None  # noqa: S101  # whoever sets the event has set it
        return row.outcome

    async def _begin_all(self, company: bytes, base: str, headers: Mapping[str, str], spec: object) -> None:
        """Begin the runs of rows that may go together, until none is left."""
        await anyio.sleep(_COMPANY)
        while rows := [row for row in self._waiting[company] if not row.is_gone]:
            self._waiting[company] = []
            await self._begin_these(rows, base, headers, spec)
        del self._waiting[company]

    async def _begin_these(
        self, rows: list[_Row], base: str, headers: Mapping[str, str], spec: object
    ) -> None:
        """Begin these rows' runs; each row has an outcome afterwards."""
        pace = _Pace()
        while rows := [row for row in rows if row.outcome is None and not row.is_gone]:
            group = await self._group(base, headers)
            if not isinstance(group, _Group):
                _end_all(rows, group)
                return
            part = _part_of(rows, pace.size)
            body = orjson.dumps({"inputs": [row.told for row in part]} | _default(spec))
            url = f"{_group_url(base, group)}/runs"
            response = await self._transport.send(Request(method="POST", url=url, headers=headers, body=body))
            run_ids = _run_ids_in(response, len(part))
            if run_ids is not None and isinstance(response, Response):
                for row, run_id in zip(part, run_ids, strict=True):
                    self._hand_over(row, self._known(run_id, group, "queued", row.name), response)
                self._watch(group, base, headers)
                pace = _Pace(size=pace.size * 2)
            elif _is_unclear(response):
                pace.failed += 1
                await anyio.sleep(_wait(pace.failed))
                if not await self._settle(part, group, base, headers):
                    group.is_unsettled = True
                    _end_all(part, _lost(response))
                elif pace.failed == _TRIES:
                    _end_all(part, _not_begun(response))
            elif isinstance(response, Failure):  # no connection
                pace.failed += 1
                if pace.failed == _TRIES:
                    _end_all(part, response)
                await anyio.sleep(_wait(pace.failed))
            else:
                await self._refused(response, part, rows, pace)

    async def _refused(
        self, response: Response, part: Sequence[_Row], rows: Sequence[_Row], pace: "_Pace"
    ) -> None:
        """Heed an error that began nothing: send less, wait, or tell it to the rows."""
        if response.status in (400, 402, 413, 422) and len(part) > 1:
            pace.size = len(part) // 2  # one row's fault is not all rows', and less may be paid for
        elif response.status == 402 and self.runs_under_way:
            with anyio.move_on_after(_FOR_CREDIT):
                await self._an_end.wait()
                await anyio.sleep(_COMPANY)  # others end with it
        elif response.status == 402:
            pace.unpaid += 1
            if pace.unpaid == _CREDIT_TRIES:
                _end_all(rows, _not_begun(response))
            else:
                await anyio.sleep(_wait(pace.unpaid))
        else:
            _end_all(part, _not_begun(response))
            pace.size = MOST_IN_A_POST

    def _hand_over(self, row: _Row, run: _Run, response: Response | None = None) -> None:
        """A row's run is this one."""
        run.is_given = True
        if run.status in ACTIVE:
            run.group.active.add(run.run_id)
        row.end(_begun(run, response))

    async def _settle(
        self, rows: Sequence[_Row], group: _Group, base: str, headers: Mapping[str, str]
    ) -> bool:
        """Hand over the runs that rows turn out to have; False if that cannot be found out."""
        if await self._listed(group, base, headers) is not None:
            return False
        for row in rows:
            # one that failed already is this row's, too: no other process begins runs in this group
            ours = [run for run in self._by_name.get(row.name, ()) if run.group is group and not run.is_given]
            if ours:
                self._hand_over(row, ours[-1])
        self._watch(group, base, headers)
        return True

    async def _group(self, base: str, headers: Mapping[str, str]) -> "_Group | Response | Failure":
        """The group that runs are begun in now; it is in the book."""
        async with self._making:
            current = self._current
            if current is not None and len(current.runs) < _MOST_IN_A_GROUP:
                return current
            # a group costs nothing, and one too many does no harm
            response = await self._patiently(
                Request(method="POST", url=f"{base}/v1/tasks/groups", headers=headers, body=b"{}"),
                even=402,
            )
            told = _object_in(response)
            group_id = told.get("taskgroup_id") if told is not None else None
            if not isinstance(group_id, str):
                return _not_begun(response)
            await self._book.add_group(self._provider, group_id)
            self._begun_here.add(group_id)
            self._current = self._groups[group_id] = _Group(group_id)
            if current is not None:
                self._forget_if_over(current)
            return self._current

    def _forget_if_over(self, group: _Group) -> None:
        """Hold no more runs than those of groups that somebody waits for; others are asked for if need be."""
        if group is self._current or group.active or group.is_watched or group.is_unsettled:
            return
        self._groups.pop(group.group_id, None)
        for run in group.runs.values():
            self._by_id.pop(run.run_id, None)
            namesakes = self._by_name.get(run.name, [])
            if run in namesakes:
                namesakes.remove(run)
            if not namesakes:
                self._by_name.pop(run.name, None)

    # Finding again

    async def _found(
        self, name: tuple[str, str], base: str, headers: Mapping[str, str]
    ) -> Response | Failure | None:
        """The run that was begun for a row some time before; None if there surely is none."""
        wanted = self._lists_begun + 1
        async with self._listing:
            if self._lists_begun < wanted:  # else somebody has listed them all since we came
                self._lists_begun += 1
                problem = await self._list_all(base, headers)
                if problem is not None:
                    self._lists_begun -= 1
                    return problem
        run = self._free_run(name)
        if run is None:
            return None
        run.is_given = True
        if run.status in ACTIVE:
            run.group.active.add(run.run_id)
            self._watch(run.group, base, headers)
        return _begun(run)

    def _free_run(self, name: tuple[str, str]) -> _Run | None:
        """The latest run of a name that is no other row's and did not fail."""
        for run in reversed(self._by_name.get(name, ())):
            if not run.is_given and run.status not in ("failed", "cancelled"):
                return run
        return None

    async def _list_all(self, base: str, headers: Mapping[str, str]) -> Response | Failure | None:
        """Learn of all runs; a response or failure says why that could not be done."""
        problem = await self._list_old(base, headers)
        for group in tuple(self._groups.values()):
            if problem is None and (group is self._current or group.is_unsettled):
                problem = await self._listed(group, base, headers)
        return problem

    async def _list_old(self, base: str, headers: Mapping[str, str]) -> Response | Failure | None:
        """Learn once of the runs in the groups of earlier processes."""
        if self._old_known:
            return None
        for group_id in await self._book.groups(self._provider):
            if group_id in self._begun_here:
                continue
            group = self._groups.get(group_id) or _Group(group_id)  # which may have been listed in part
            problem = await self._listed(group, base, headers)
            if isinstance(problem, Response) and problem.status == 404:
                continue  # another account's, or gone
            if problem is not None:
                return problem
            self._groups[group_id] = group
        self._old_known = True
        return None

    async def _listed(
        self, group: _Group, base: str, headers: Mapping[str, str]
    ) -> Response | Failure | None:
        """Learn of all runs of a group, and how they are; a response or failure says why that failed."""
        url = _group_url(base, group)
        for look in range(1, _UNLISTED + 1):
            told = await self._patiently(Request(method="GET", url=url, headers=headers))
            status = (_object_in(told) or {}).get("status")
            if not isinstance(status, dict):
                return _not_begun(told)
            group.listed_to = ""
            problem = await self._list(group, f"{url}/runs", headers)
            if problem is not None:
                return problem
            count = status.get("num_task_runs")
            if not isinstance(count, int) or len(group.runs) >= count:
                return None
            await anyio.sleep(_wait(look))  # it does not list runs that it has; perhaps it does in a while
        message = f"group {group.group_id} has runs that it does not list"
        return Failure(kind=FailureKind.SERVER_ERROR, message=message)

    async def _list(
        self, group: _Group, url: str, headers: Mapping[str, str], *, in_vain: int = _TRIES
    ) -> Response | Failure | None:
        """Read a group's list of runs to its end, however often it is cut; give up where it tells nothing."""
        untold = 0
        while True:
            before, events = group.listed_to, Events()

            def heard(piece: bytes | memoryview, events: Events = events) -> None:
                for event in events.of(piece):
                    run = self._told_of(event, group)
                    if run is not None:
                        group.listed_to = _cursor(event) or group.listed_to

            query = f"?last_event_id={quote(group.listed_to, safe='')}" if group.listed_to else ""
            problem = await self._follow(Request(method="GET", url=url + query, headers=headers), heard)
            if problem is None:
                return None
            if isinstance(problem, Response) and not _may_pass(problem.status):
                return problem
            if group.listed_to == before:
                untold += 1
                if untold == in_vain:
                    break
                await anyio.sleep(_wait(untold))
        return problem

    # Waiting

    async def _status(self, request: Request, run_id: str, base: str) -> Response | Failure:
        """The run's status, once it is not active any more."""
        headers = request.headers
        if run_id not in self._by_id:
            async with self._listing:  # the first of a group's runs makes the others known
                if run_id not in self._by_id:
                    response = await self._taken_up(request, run_id, base)
                    if response is not None:
                        return response
        run = self._by_id[run_id]
        run.is_given = True
        if run.status in ACTIVE:
            run.group.active.add(run_id)
            self._watch(run.group, base, headers)
            run.changed = run.changed or anyio.Event()
            await run.changed.wait()
        if run.status == "completed":
            return _begun(run)
        response = await self._read(request)  # which tells why it failed, or whether it goes on
        status = (_object_in(response) or {}).get("status")
        if isinstance(status, str):
            run.tell(status)
        return response

    async def _taken_up(self, request: Request, run_id: str, base: str) -> Response | Failure | None:
        """What is told of a run that an earlier process began; None: it is known from now on."""
        response = await self._read(request)
        told = _object_in(response) or {}
        group_id, status = told.get("taskgroup_id"), told.get("status")
        if not isinstance(group_id, str) or not isinstance(status, str):
            return response
        if group_id not in self._groups:
            self._groups[group_id] = group = _Group(group_id)
            await self._list(group, f"{_group_url(base, group)}/runs", request.headers)  # if it can be done
        if status not in ACTIVE:
            return response
        self._known(
            run_id,
            self._groups[group_id],
            status,
            _name_of(told.get("metadata"), told.get("processor")),
        )
        return None

    def _watch(self, group: _Group, base: str, headers: Mapping[str, str]) -> None:
        """Have somebody hear how the group's runs end."""
        if group.active and not group.is_watched:
            group.is_watched = True
            self._tasks.start_soon(self._hear, group, base, headers)

    async def _hear(self, group: _Group, base: str, headers: Mapping[str, str]) -> None:
        url = _group_url(base, group)
        in_vain = 0
        while group.active:
            before, events = group.heard, Events()

            def heard(piece: bytes | memoryview, events: Events = events) -> None:
                for event in events.of(piece):
                    if self._told_of(event, group) is not None:
                        group.heard += 1
                        group.heard_to = _cursor(event) or group.heard_to

            query = f"?last_event_id={quote(group.heard_to, safe='')}" if group.heard_to else ""
            await self._follow(Request(method="GET", url=f"{url}/events{query}", headers=headers), heard)
            if group.heard > before:
                in_vain = 0
                continue
            in_vain += 1
            if not group.active:
                break
            await anyio.sleep(_wait(in_vain))
            before, group.listed_to = len(group.active), ""
            problem = await self._list(group, f"{url}/runs", headers, in_vain=2)
            if len(group.active) < before:
                in_vain = 0
            elif problem is not None:
                await self._ask_for_few(group, base, headers)
        group.is_watched = False
        if group.group_id in self._begun_here:
            self._forget_if_over(group)

    async def _ask_for_few(self, group: _Group, base: str, headers: Mapping[str, str]) -> None:
        """Where no stream of a group comes through: how some of its runs are, one by one."""
        for run_id in tuple(group.active)[:_FEW]:
            url = f"{base}{RUNS}/{quote(run_id, safe='')}"
            told = _object_in(await self._transport.send(Request(method="GET", url=url, headers=headers)))
            status = told.get("status") if told is not None else None
            if isinstance(status, str):
                self._has(group.runs[run_id], status)

    def _told_of(self, event: Mapping[str, Any], group: _Group) -> _Run | None:
        """The run that an event tells of; what it tells is known from now on."""
        told = event.get("run")
        if not isinstance(told, dict):
            return None
        run_id, status = told.get("run_id"), told.get("status")
        if not isinstance(run_id, str) or not isinstance(status, str):
            return None
        run = self._by_id.get(run_id)
        if run is None:
            return self._known(run_id, group, status, _name_of(told.get("metadata"), told.get("processor")))
        if run.status in ACTIVE or status not in ACTIVE:  # an event may be older than what is known
            self._has(run, status)
        return run

    def _has(self, run: _Run, status: str) -> None:
        run.tell(status)
        if status not in ACTIVE:
            self._an_end.set()
            self._an_end = anyio.Event()

    def _known(self, run_id: str, group: _Group, status: str, name: tuple[str, str]) -> _Run:
        run = self._by_id.get(run_id)
        if run is None:
            run = _Run(run_id=run_id, group=group, status=status, name=name)
            self._by_id[run_id] = group.runs[run_id] = run
            self._by_name[name].append(run)
        return run

    # Requests that may be repeated

    async def _read(self, request: Request) -> Response | Failure:
        """The answer to a GET; one that fails in passing is made again."""
        return await self._patiently(request)

    async def _patiently(self, request: Request, *, even: int | None = None) -> Response | Failure:
        """The answer to a request that does no harm twice; `even` is one more status that may pass."""
        for one in range(1, _TRIES + 1):
            response = await self._transport.send(request)
            passing = isinstance(response, Failure) or _may_pass(response.status) or response.status == even
            if one == _TRIES or not passing:
                break
            asked = None if isinstance(response, Failure) else retry_after_seconds(response.headers)
            await anyio.sleep(max(_wait(one), asked or 0.0))
        return response

    async def _follow(
        self, request: Request, heard: Callable[[bytes | memoryview], None]
    ) -> Response | Failure | None:
        """Hear a stream to its end; a response or failure says why there is none."""
        if isinstance(self._transport, _Follows):
            response = await self._transport.follow(request, heard, silence=_SILENCE)
        else:
            response = await self._transport.send(request)
            if isinstance(response, Response) and response.status == 200:
                heard(response.body)
        return None if isinstance(response, Response) and response.status == 200 else response


def _group_url(base: str, group: _Group) -> str:
    return f"{base}/v1/tasks/groups/{quote(group.group_id, safe='')}"


def _part_of(rows: Sequence[_Row], size: int) -> list[_Row]:
    """The first rows, as many as a POST may hold."""
    part: list[_Row] = []
    taken = 0
    for row in rows[: min(size, MOST_IN_A_POST)]:
        taken += row.size
        if part and taken > _MOST_BYTES:
            break
        part.append(row)
    return part


def _default(spec: object) -> dict[str, object]:
    return {} if spec is None else {"default_task_spec": spec}


def _name_of(metadata: object, processor: object) -> tuple[str, str]:
    identity = metadata.get(IDENTITY) if isinstance(metadata, dict) else None
    return (str(identity), str(processor))


def _begun(run: _Run, response: Response | None = None) -> Response:
    """What the API would say of a single run."""
    told = {
        "run_id": run.run_id,
        "status": run.status,
        "processor": run.name[1],
        "taskgroup_id": run.group.group_id,
    }
    headers = response.headers if response is not None else {}
    return Response(status=200, headers=headers, body=orjson.dumps(told))


def _end_all(rows: Sequence[_Row], outcome: Response | Failure) -> None:
    for row in rows:
        if row.outcome is None:
            row.end(outcome)


def _not_begun(response: Response | Failure) -> Response | Failure:
    """The same, with the word that no run was begun."""
    if isinstance(response, Failure):
        return replace(response, maybe_billed=False)
    return replace(response, headers={**response.headers, NOT_BEGUN: "1"})


def _lost(response: Response | Failure) -> Response | Failure:
    """The same, with the word that runs may have been begun."""
    return replace(response, maybe_billed=True) if isinstance(response, Failure) else response


def _is_unclear(response: Response | Failure) -> bool:
    """Whether runs may have been begun, though no ids came."""
    if isinstance(response, Failure):
        return response.maybe_billed
    return response.status >= 500 or response.status == 408 or response.status < 300


def _run_ids_in(response: Response | Failure, count: int) -> list[str] | None:
    """The ids that an answer gives to so many rows, in their order."""
    told = _object_in(response)
    ids = told.get("run_ids") if told is not None else None
    if not isinstance(ids, list) or len(ids) != count or len(set(map(str, ids))) != count:
        return None
    return ids if all(isinstance(one, str) and one for one in ids) else None


def _object_in(response: Response | Failure) -> dict[str, Any] | None:
    """The object that a good answer holds."""
    if isinstance(response, Failure) or not 200 <= response.status < 300:
        return None
    try:
        whole = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    return whole if isinstance(whole, dict) else None


def _cursor(event: Mapping[str, Any]) -> str | None:
    event_id = event.get("event_id")
    return event_id if isinstance(event_id, str) and event_id else None


def _may_pass(status: int) -> bool:
    return status >= 500 or status in (408, 409, 425, 429)


def _wait(tries: int) -> float:
    """Seconds after so many that were in vain."""
    return float(min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (tries - 1)))
