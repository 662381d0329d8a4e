"""Webagent: a row is a run of a browser agent's task, at a server of one's own or in the cloud.

https://docs.webagent.cloud, and for what that leaves open the server's source. A run is begun in the
background and looked at until it is done, so that it survives us; with `wait_for_completion: true` the one
request lasts as long as the run does. Neither edition tells tokens or cost, and neither can cancel a run.

A self-hosted server forgets a run whose agent crashes in the background: the row in its database is not done,
for ever. The engine's deadline ends the wait for such a run, and a batch that takes it up much later, and
does not find it done, takes it for dead.
"""

from collections.abc import Generator, Mapping
from dataclasses import replace
from math import inf
from typing import Any, Final
from urllib.parse import quote

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.hosted_tasks import wrong_with_name
from tasks_lib.domain.output import Reply
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.remote import RemoteRun
from tasks_lib.domain.task import ModelChoice
from tasks_lib.providers.protocol import Accepted, Exchange, Pause, Request, Response, Step
from tasks_lib.providers.webagent_ask import CLOUD, SELF_HOSTED, body_of, markers_of, waits
from tasks_lib.providers.webagent_errors import Errors
from tasks_lib.providers.webagent_told import Ended, how_it_stands, outcome_of, run_id_of, steps_of

_GROWTH: Final = 1.5  # of a pause over the one before it
_LIVES: Final = 2  # as many times as long as a run may take; one that is older and not done is dead
_ON_ITS_WAY: Final = 60.0  # seconds in which a start that was sent arrives
_MOST_BAD_READINGS: Final = 5  # in a row
_BAD_READINGS: Final = frozenset({408, 425, 429})  # and all from 500 on

_UNTOLD: Final = "a run may have been begun for this row, and whether it was cannot be told"
_BEGUN_AGAIN: Final = f"{_UNTOLD}; another one was begun"

Search = Generator[Step, Response, str | Failure | None]


class Webagent:
    """Has a browser agent's task run, of one server or account."""

    def __init__(
        self, provider: Provider, key: Secret | None, *, first_pause: float = 2.0, longest_pause: float = 15.0
    ) -> None:
        """Speak with a server; pauses are seconds between two looks at a run.

        Raises:
            ValueError: the key cannot be put into a header.
        """
        if key is not None and not (key.reveal().isascii() and key.reveal().isprintable()):
            raise ValueError(
                f"what {key.name} holds cannot be put into a header"
            )  # whose error would show it
        self._edition = provider.hosted.edition if provider.hosted is not None else SELF_HOSTED
        base_url = provider.base_url.rstrip("/")
        self._base = base_url if self._edition == CLOUD else f"{base_url}/api"
        self._errors = Errors(key)
        # the cloud tells of the end of every run
        self._oldest = inf if self._edition == CLOUD else _LIVES * provider.timeouts.run
        self._first_pause, self._longest_pause = first_pause, longest_pause
        self._reading = {"accept": "application/json", "user-agent": "rowmill"}
        if key is not None and self._edition == CLOUD:  # a self-hosted server knows no keys
            self._reading["x-api-key"] = key.reveal()
        self._telling = {**self._reading, "content-type": "application/json"}

    def run(
        self, plan: Plan, choice: ModelChoice, *, remote_id: str | None = None, lost: bool = False
    ) -> Exchange:
        """One run, to its end; a run that was lost is found again by its marker, where it has one.

        Without a marker nobody can tell a lost run from others. Then `retries.on_ambiguous` decides: a second
        run is begun, and the answer says so in a warning, or else the row is given up.
        """
        if remote_id is not None:
            known = plan.remote if plan.remote and plan.remote.remote_id == remote_id else None
            return (yield from self._followed(remote_id, age=0.0 if known is None else known.age))
        wrong = wrong_with_name(choice.model.name, protocol="webagent", edition=self._edition)
        if wrong is not None:
            return Failure(
                kind=FailureKind.UNKNOWN_MODEL, message=f"the model {choice.model}: its name {wrong}"
            )
        body = body_of(plan, choice)
        if isinstance(body, Failure):
            return body
        warnings: tuple[str, ...] = ()
        if lost:
            found = yield from self._found(plan, choice)
            if found is None and self._may_be_on_its_way(plan, choice):
                yield Pause(seconds=self._first_pause)
                found = yield from self._found(plan, choice)
            if isinstance(found, Failure):
                return found
            if found is not None:
                yield Accepted(remote_id=found)
                return (yield from self._followed(found))
            if not self._markers(plan, choice):
                if plan.retries.on_ambiguous == "fail":
                    return self._cannot_tell(choice)
                warnings = (_BEGUN_AGAIN,)
        return (yield from self._begun(plan, choice, body, warnings=warnings))

    def _begun(self, plan: Plan, choice: ModelChoice, body: bytes, *, warnings: tuple[str, ...]) -> Exchange:
        """A new run, waited for within its request or looked at afterwards."""
        waited = waits(choice)
        url = f"{self._base}/tasks/{quote(choice.model.name, safe='')}/runs"
        response = yield Request(method="POST", url=url, headers=self._telling, body=body)
        if not 200 <= response.status < 300:
            failure = self._errors.of_start(response, begun=waited or self._edition == CLOUD)
            if waited and response.status == 500:
                return (yield from self._crashed(plan, choice, failure))
            return failure
        told = _object(response)
        if told is None:
            return self._errors.broken(response, "a body that is not an object")
        remote_id = run_id_of(told)
        if remote_id is None:
            return self._errors.broken(response, "no run's id")
        yield Accepted(remote_id=remote_id)
        ended = how_it_stands(told, is_last=waited)
        if ended is not Ended.NOT_YET:
            return self._outcome(told, ended, remote_id, warnings)
        yield Pause(seconds=self._first_pause)
        return (yield from self._followed(remote_id, warnings=warnings))

    def _followed(self, remote_id: str, *, warnings: tuple[str, ...] = (), age: float = 0.0) -> Exchange:
        """Looks at a run until it is over; some bad readings in between change nothing."""
        pause, bad, had_steps = self._first_pause, 0, False
        while True:
            response = yield self._read(f"/runs/{quote(remote_id, safe='')}")
            told = _object(response) if response.status == 200 else None
            if told is None:
                failure = self._misread(response, remote_id)
                bad += 1
                is_over = failure.remote is not None and failure.remote.is_over
                if is_over or bad > _MOST_BAD_READINGS or not _may_pass(response):
                    return failure
                yield Pause(seconds=max(pause, failure.retry_after or 0.0))
                continue
            bad = 0
            ended = how_it_stands(told, is_last=had_steps)
            if ended is not Ended.NOT_YET:
                return self._outcome(told, ended, remote_id, warnings)
            # steps are written at the end, just before the word that the run is done: once they stood there
            # for a whole pause no such word will come
            had_steps = bool(steps_of(told))
            if age > self._oldest and not had_steps:
                return self._dead(remote_id, age)
            yield Pause(seconds=pause)
            pause = min(self._longest_pause, pause * _GROWTH)

    def _misread(self, response: Response, remote_id: str) -> Failure:
        if response.status == 200:
            return self._errors.broken(response, "a body that is not an object")
        if response.status == 404:
            return Failure(
                kind=FailureKind.SERVER_ERROR,  # another try begins another run
                message=f"404 run {remote_id} is not there any more: {self._errors.said(response)}",
                http_status=404,
                maybe_billed=True,
                remote=RemoteRun(remote_id=remote_id, status="not_found"),
            )
        return self._errors.of_reading(response, what=f"run {remote_id}")

    def _dead(self, remote_id: str, age: float) -> Failure:
        return Failure(
            kind=FailureKind.SERVER_ERROR,  # another try begins another run
            message=f"run {remote_id} was begun {age:.0f} s ago and is not done: its agent has crashed",
            maybe_billed=True,
            remote=RemoteRun(remote_id=remote_id, status="failure"),
        )

    def _crashed(self, plan: Plan, choice: ModelChoice, failure: Failure) -> Exchange:
        """What became of a run whose server reports an error of its own to the one who waits.

        Mostly the agent raised, and nothing more will come of the run; but it may have been done when the
        error came, and where the run can be found that is looked up.
        """
        found = yield from self._found(plan, choice)
        if found is None or isinstance(found, Failure):
            return failure
        yield Accepted(remote_id=found)
        response = yield self._read(f"/runs/{quote(found, safe='')}")
        told = _object(response) if response.status == 200 else None
        ended = Ended.NOT_YET if told is None else how_it_stands(told, is_last=False)
        if told is not None and ended is not Ended.NOT_YET:
            return self._outcome(told, ended, found, ())
        return replace(
            failure, remote=RemoteRun(remote_id=found, status="failure", task_id=choice.model.name)
        )

    def _found(self, plan: Plan, choice: ModelChoice) -> Search:
        """The newest run whose prompt ends with the row's marker; None if there is none, or no marker."""
        markers = self._markers(plan, choice)
        if not markers:
            return None
        response = yield self._read(f"/tasks/{quote(choice.model.name, safe='')}/runs")
        what = f"the runs of task {choice.model.name}"
        if response.status != 200:
            return self._errors.of_reading(response, what=what)
        listed = _json(response)
        if not isinstance(listed, list):
            return self._errors.broken(response, "a body that is no list of runs")
        found = [
            run["id"]
            for run in listed
            if isinstance(run, dict)
            and type(run.get("id")) is int
            and isinstance(run.get("description"), str)
            and run["description"].endswith(markers)
        ]
        return str(max(found)) if found else None

    def _may_be_on_its_way(self, plan: Plan, choice: ModelChoice) -> bool:
        """Whether a run that was just lost may be listed a moment later."""
        known = plan.remote if plan.remote is not None and plan.remote.remote_id is None else None
        return bool(self._markers(plan, choice)) and (known is None or known.age < _ON_ITS_WAY)

    def _markers(self, plan: Plan, choice: ModelChoice) -> tuple[str, ...]:
        return markers_of(plan, choice) if self._edition == SELF_HOSTED else ()

    def _cannot_tell(self, choice: ModelChoice) -> Failure:
        remedy = (
            "parameters.marker: true makes later ones tell; to have the row run again, "
            if self._edition == SELF_HOSTED
            else "To have the row run again, "
        )
        return Failure(
            kind=FailureKind.GIVEN_UP,
            message=f"{_UNTOLD} (retries.on_ambiguous: fail). Look at the runs of {choice.model}. "
            f"{remedy}set retries.on_ambiguous: retry",
            maybe_billed=True,
        )

    def _outcome(
        self, told: Mapping[str, Any], ended: Ended, remote_id: str, warnings: tuple[str, ...]
    ) -> Reply | Failure:
        return outcome_of(told, ended, remote_id=remote_id, hidden=self._errors.hidden, warnings=warnings)

    def _read(self, path: str) -> Request:
        return Request(method="GET", url=self._base + path, headers=self._reading)


def _may_pass(response: Response) -> bool:
    """Whether the same reading may succeed a moment later."""
    return response.status == 200 or response.status in _BAD_READINGS or response.status >= 500


def _json(response: Response) -> Any:  # noqa: ANN401  # whatever a server says
    try:
        body = orjson.loads(response.body)
        orjson.dumps(body)  # what is nested too deep can be read, and not written down
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return body


def _object(response: Response) -> dict[str, Any] | None:
    body = _json(response)
    return body if isinstance(body, dict) else None
