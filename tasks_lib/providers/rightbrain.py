"""Rightbrain's task runs: a row is a run of a task there, which answers when it has ended.

    POST {task}/run                runs the task, and tells the whole record of the run
    GET  {task}/run/{run}          the same record again
    GET  {task}/run?cursor=        records of the last days' runs, newest first
    GET  {base_url}{download_url}  a file that a run has made

where a {task} is {base_url}/org/{org}/project/{project}/task/{task's id}.

No run can be named before it is begun, and one whose answer is lost is found again by its reference alone.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Media, Modality, Reply
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.provider import Hosted, Provider, Secret
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.uuids import parsed_id
from tasks_lib.providers.protocol import Accepted, Exchange, Pause, Request, Response, Step
from tasks_lib.providers.rightbrain_asking import (
    body_of,
    is_of,
    problems,
    query_of,
    reference_of,
    references_of,
)
from tasks_lib.providers.rightbrain_errors import Errors, request_id_of
from tasks_lib.providers.rightbrain_record import (
    SUCCESS,
    failure_of,
    is_error,
    remote_of,
    reply_of,
    run_id_of,
)
from tasks_lib.providers.rightbrain_tokens import Tokens

OAUTH_URL: Final = "https://oauth.rightbrain.ai/oauth2/token"
MOST_FILE_BYTES: Final = 200_000_000  # of a file that a run has made

_MOST_REFUSALS: Final = 3  # of tokens; others' calls may have used one up before it came to ours
_FETCHES: Final = 3  # tries to have a file, whose run is paid for
_BETWEEN_FETCHES: Final = 1.0  # seconds
_LONGEST_WAIT: Final = 60.0  # seconds between two of them, whatever is asked for
_LOOKS: Final = (2.0, 5.0)  # seconds before a lost run is looked for again: it may be under way, or unlisted
_PAGES: Final = 20  # of 100 runs, newest first, that are looked through where the run was lost just now
_PAGES_OF_BEFORE: Final = 100  # where an earlier batch lost it
_UNDER_WAY: Final = 300.0  # seconds after which a run that an earlier batch lost has surely ended
_DAY: Final = 86_400.0  # seconds
_ROWS_KNOWN: Final = 10_000  # whose runs are remembered: an answer that was not accepted is not had again

_Sent = Generator[Step, Response, Response | Failure]
_Record = Mapping[str, Any]


class Rightbrain:
    """Has tasks run on one account; the model's name is the task's id."""

    def __init__(
        self,
        provider: Provider,
        key: Secret | None,
        client: tuple[Secret, Secret] | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Speak with a provider's account.

        Args:
            provider: with `hosted`, which names organisation and project.
            key: a token that is sent as it is.
            client: id and secret of an OAuth client, for which tokens are had where there is no key.
            clock: seconds that only go forward.

        Raises:
            ValueError: organisation or project is not known, or the key cannot be put into a header.
        """
        if key is not None and not (key.reveal().isascii() and key.reveal().isprintable()):
            raise ValueError(f"what {key.name} holds cannot be put into a header")  # an error would show it
        hosted = provider.hosted or Hosted()
        org, project = parsed_id(hosted.org_id or ""), parsed_id(hosted.project_id or "")
        if org is None or project is None:
            raise ValueError(f"provider {provider.name!r} needs org_id and project_id, which are UUIDs")
        self._base = provider.base_url.rstrip("/")
        self._tasks = f"{self._base}/org/{org}/project/{project}/task"
        secrets = [secret for secret in (key, *(client or ())) if secret is not None]
        self._key = key
        self._errors = Errors(secrets)
        self._tokens = (
            Tokens(client, hosted.oauth_url or OAUTH_URL, secrets=secrets, clock=clock)
            if client is not None and key is None
            else None
        )
        self._seen: dict[str, set[str]] = {}  # runs that were told of, by our own run's id

    def run(
        self, plan: Plan, choice: ModelChoice, *, remote_id: str | None = None, lost: bool = False
    ) -> Exchange:
        """The exchange that has one row run; see `RunProtocol`."""
        task = parsed_id(choice.model.name)
        if task is None:
            return _rejected(f"{choice.model.name!r} is no id of a task at Rightbrain, which is a UUID")
        wrong = problems(choice.parameters, plan.output)
        if wrong:
            return _rejected(wrong[0])
        runs = f"{self._tasks}/{task}/run"
        if remote_id is not None:
            found = yield from self._taken_up(plan, runs, remote_id)
            if found is not None:
                return found
            lost = True  # what was under this id is not there any more
        if lost:
            found = yield from self._looked_for(plan, choice, runs)
            if found is not None:
                return found
        return (yield from self._begun(plan, choice, runs))

    def _begun(self, plan: Plan, choice: ModelChoice, runs: str) -> Exchange:
        body = body_of(plan, reference_of(plan, choice))
        response = yield from self._sent("POST", runs + query_of(plan, choice), body)
        if isinstance(response, Failure):
            return response
        if response.status != 200:
            return self._errors.failure(response)
        record = _record_in(response)
        if record is not None:
            return (yield from self._outcome(plan, record, response, named=None))
        run_id = parsed_id(response.headers.get("x-task-run-id", ""))
        if run_id is None:
            return self._errors.broken(response, "a body that is no record of a run")
        yield Accepted(remote_id=run_id)  # the answer is spoilt, and can be had again
        found = yield from self._taken_up(plan, runs, run_id)
        return found if found is not None else self._errors.broken(response, "no record of the run")

    def _taken_up(
        self, plan: Plan, runs: str, run_id: str
    ) -> Generator[Step, Response, Reply | Failure | None]:
        """What came of a run whose id is known; None if nobody knows it there."""
        known = parsed_id(run_id)
        if known is None:
            return None
        response = yield from self._sent("GET", f"{runs}/{known}")
        if isinstance(response, Failure):
            return response
        if response.status == 404:
            return None
        if response.status != 200:
            return self._errors.failure(response, of=f"for run {known}: ")
        record = _record_in(response)
        if record is None:
            return self._errors.broken(response, "a body that is no record of a run")
        return (yield from self._outcome(plan, record, response, named=known))

    def _looked_for(
        self, plan: Plan, choice: ModelChoice, runs: str
    ) -> Generator[Step, Response, Reply | Failure | None]:
        """The run that was begun for this row and whose id was lost; None if another may be begun.

        It may, where the whole list does not have it. Where one may be under way still, or the list is too
        long, `retries.on_ambiguous` decides.
        """
        references = references_of(plan, choice)
        seen = self._seen.get(plan.task_run_id, set())
        pages = _PAGES if plan.remote is None else _PAGES_OF_BEFORE
        age = plan.remote.age if plan.remote is not None else 0.0
        waits = _LOOKS if age < _UNDER_WAY else ()
        since = f"{2 + int(age // _DAY)} days ago"
        cursor: str | None = None
        for wait in (0.0, *waits):
            if wait:
                yield Pause(seconds=wait)
            cursor = None
            for _ in range(pages):
                asked = {"page_limit": 100, "start_date": since} | ({"cursor": cursor} if cursor else {})
                response = yield from self._sent("GET", f"{runs}?{urlencode(asked)}")
                if isinstance(response, Failure):
                    return response
                if response.status != 200:
                    return self._errors.failure(response, of="for the list of runs: ")
                page = _page_in(response)
                if page is None:
                    return self._errors.broken(response, "a body that is no list of runs")
                listed, cursor = page
                for record in listed:
                    run_id = run_id_of(record)
                    if run_id is not None and run_id not in seen and is_of(record, plan, references):
                        yield Accepted(remote_id=run_id)
                        found = yield from self._taken_up(plan, runs, run_id)
                        if found is None:  # what is listed is all that there is of it
                            found = yield from self._outcome(plan, record, response, named=run_id)
                        return found
                if cursor is None:
                    break
        if plan.retries.on_ambiguous == "fail" and (cursor is not None or age < _UNDER_WAY):
            return _cannot_tell(choice, references[0])
        return None

    def _outcome(self, plan: Plan, record: _Record, response: Response, *, named: str | None) -> Exchange:
        """What a record says, with the file that the run has made; `named` is the id that is durable."""
        run_id = run_id_of(record)
        if run_id is None:
            return self._errors.broken(response, "a record of a run without its id")
        request_id = request_id_of(response.headers)
        self._remember(plan, run_id)
        if is_error(record):
            return failure_of(record, run_id=run_id, request_id=request_id, hidden=self._errors.hidden)
        reply = reply_of(record, run_id=run_id, request_id=request_id)
        answer = record.get("response")
        address = answer.get("download_url") if isinstance(answer, dict) else None
        if not plan.output.modality.is_file or not isinstance(address, str) or not isinstance(answer, dict):
            return reply
        if named is None:
            yield Accepted(remote_id=run_id)  # before its file is had, for which there is time
        content = yield from self._file(run_id, record, address)
        if isinstance(content, Failure):
            status = None if content.kind.budget is not None else SUCCESS  # None: the file is to be had later
            remote = remote_of(record, run_id=run_id, status=status)
            return replace(content, usage=reply.usage, model=reply.model, remote=remote)
        if plan.output.modality is Modality.CSV:
            return replace(reply, text=content.decode("utf-8-sig", "replace"))
        sort = answer.get("content_type")
        return replace(reply, media=Media(content=content, mime_type=sort if isinstance(sort, str) else None))

    def _file(self, run_id: str, record: _Record, address: str) -> Generator[Step, Response, bytes | Failure]:
        """The bytes of a file that a run has made."""
        url = self._under_base(address)
        if url is None:
            return _no_file(f"run {run_id} made a file at an address that is not fetched, as it is not there")
        told = _size_told(record, address)
        if told is not None and told > MOST_FILE_BYTES:
            return _no_file(f"run {run_id} made a file of {told:,} bytes; {MOST_FILE_BYTES:,} are fetched")
        tries = 0
        while True:
            tries += 1
            response = yield from self._sent("GET", url, accept="*/*")
            if isinstance(response, Failure):
                return response
            if response.status == 200 and len(response.body) > MOST_FILE_BYTES:
                return _no_file(
                    f"run {run_id} made a file of {len(response.body):,} bytes, which is too long"
                )
            if response.status == 200:
                return bytes(response.body)
            failure = self._errors.failure(response, of=f"for the file of run {run_id}: ")
            if failure.kind.budget is None:
                return _no_file(failure.message, status=response.status)
            if tries == _FETCHES:
                return failure
            yield Pause(seconds=min(failure.retry_after or _BETWEEN_FETCHES, _LONGEST_WAIT))

    def _under_base(self, address: str) -> str | None:
        """The URL of a file, where our token may go: below the API's own; None if it is elsewhere."""
        base = urlsplit(self._base)
        if address.startswith(f"{self._base}/"):
            path = address.removeprefix(self._base)
        elif address.startswith(f"{base.path}/") and base.path:
            path = address.removeprefix(base.path)
        else:
            path = address if address.startswith("/") else f"/{address}"
        parts = urlsplit(path)
        strange = not path.isascii() or not path.isprintable() or any(sign in path for sign in " \\@#")
        steps = parts.path.lower().replace("%2e", ".").split("/")
        if strange or parts.scheme or parts.netloc or "://" in path or ".." in steps or "%2f" in path.lower():
            return None
        return self._base + path

    def _sent(self, method: str, url: str, body: bytes = b"", *, accept: str = "application/json") -> _Sent:
        """The response to a request with our token; one that is refused is had anew."""
        headers = {"accept": accept, "user-agent": "rowmill"}
        if body:
            headers["content-type"] = "application/json"
        if self._tokens is None:
            if self._key is not None:
                headers["authorization"] = f"Bearer {self._key.reveal()}"
            return (yield Request(method=method, url=url, headers=headers, body=body))
        refusals = 0
        while True:
            token = yield from self._tokens.had()
            if isinstance(token, Failure):
                return token
            told = {**headers, "authorization": f"Bearer {token}"}
            response = yield Request(method=method, url=url, headers=told, body=body)
            if response.status != 401:
                return response
            refusals += 1
            if refusals == _MOST_REFUSALS:
                return response
            self._tokens.refused(token)

    def _remember(self, plan: Plan, run_id: str) -> None:
        self._seen.setdefault(plan.task_run_id, set()).add(run_id)
        if len(self._seen) > _ROWS_KNOWN:
            del self._seen[next(iter(self._seen))]


def _rejected(message: str) -> Failure:
    return Failure(kind=FailureKind.REJECTED, message=message)


def _cannot_tell(choice: ModelChoice, reference: str) -> Failure:
    return Failure(
        kind=FailureKind.GIVEN_UP,
        message=f"a run may have been begun whose answer never came, and none of {choice.model} is found by "
        f"the reference {reference} (retries.on_ambiguous: fail). To have the row run again, set it to retry",
        maybe_billed=True,
    )


def _no_file(message: str, *, status: int = 200) -> Failure:
    """The run is over and charged, and its file is not to be had, however often it is asked for."""
    return Failure(kind=FailureKind.RUN_FAILED, message=message, http_status=status)


def _record_in(response: Response) -> _Record | None:
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) and "response" in body and run_id_of(body) else None


def _page_in(response: Response) -> tuple[list[_Record], str | None] | None:
    """The runs on a page, and where the next one begins; None if it is no page."""
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    listed = body.get("results") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        return None
    told = body.get("pagination")
    cursor = told.get("next_cursor") if isinstance(told, dict) and told.get("has_next") else None
    return [one for one in listed if isinstance(one, dict)], cursor if isinstance(cursor, str) else None


def _size_told(record: _Record, address: str) -> int | None:
    files = record.get("files")
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict) and file.get("download_url") == address:
            size = file.get("size_bytes")
            return size if type(size) is int else None
    return None
