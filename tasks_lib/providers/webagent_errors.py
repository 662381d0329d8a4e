"""How a Webagent server says no, and what it means.

Both editions are FastAPI applications: an error's `detail` is a text, or a list of what did not validate.
"""

from typing import Any, Final

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Secret
from tasks_lib.domain.remote import RemoteRun
from tasks_lib.providers.blotted import SHOWN, Blotted
from tasks_lib.providers.protocol import Response
from tasks_lib.providers.waits import retry_after_seconds

_NO_ROUTE: Final = frozenset({"", "Not Found", "Method Not Allowed"})
_KIND_OF_STATUS: Final = {
    401: FailureKind.UNAUTHORIZED,
    402: FailureKind.OUT_OF_CREDIT,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.UNKNOWN_MODEL,
    405: FailureKind.UNKNOWN_MODEL,  # as 404: the user interface answers GETs of any path
    408: FailureKind.SERVER_ERROR,
    425: FailureKind.SERVER_ERROR,
    429: FailureKind.RATE_LIMITED,
}
_NEVER_REACHED: Final = 503  # a gateway without a server behind it


class Errors(Blotted):
    """Failures out of responses; the key, should it be echoed, is blotted out."""

    def __init__(self, key: Secret | None) -> None:
        """Hide this key."""
        super().__init__([key])

    def of_start(self, response: Response, *, begun: bool) -> Failure:
        """What a response means that is no 200 to a request that begins a run.

        `begun` says whether a server that reports an error of its own may have begun the run all the same.
        """
        status, said = response.status, self.said(response)
        kind = _kind_of(status)
        remedy = ""
        if status in {404, 405} and _detail(response) in _NO_ROUTE:
            remedy = ": is base_url the server's address, and `edition` right?"
        elif status == 404:
            remedy = ": the model is to name a task that exists there, as in webagent:7"
        elif status == 422 and said.startswith("path."):  # before the task is looked for
            kind = FailureKind.UNKNOWN_MODEL
        elif status == 400 and "cached workflow" in said.lower():
            kind = FailureKind.UNKNOWN_MODEL  # every row would be refused alike, and each leaves a run behind
            remedy = ". Record one, or take parameters.use_cached_workflow away"
        elif 300 <= status < 400:
            said, remedy = f"redirects to {response.headers.get('location')}", ": set base_url right"
        by_server = status == 500 and _detail(response) is not None
        return Failure(
            kind=kind,
            message=f"{status} {self.hidden(said)}{remedy}",
            http_status=status,
            retry_after=retry_after_seconds(response.headers),
            maybe_billed=begun
            if by_server
            else status == 408 or (status >= 500 and status != _NEVER_REACHED),
        )

    def of_reading(self, response: Response, *, what: str, remote: RemoteRun | None = None) -> Failure:
        """What a response means that is no 200 to a request that only reads."""
        kind = _kind_of(response.status)
        return Failure(
            kind=kind,
            message=f"{response.status} on reading {what}: {self.said(response)}",
            http_status=response.status,
            retry_after=retry_after_seconds(response.headers),
            maybe_billed=True,  # whatever is read of was begun, or may have been
            remote=remote,
        )

    def broken(self, response: Response, what: str) -> Failure:
        """A 200 that is no answer: what was asked for was probably done."""
        return Failure(
            kind=FailureKind.BROKEN_REPLY,
            message=f"200 with {what}: {self.shown(response)}",
            http_status=200,
            maybe_billed=True,
        )

    def said(self, response: Response) -> str:
        """What an error's body says, in one line."""
        detail = _detail(response)
        if isinstance(detail, list):
            detail = "; ".join(_fault(one) for one in detail)
        text = detail if isinstance(detail, str) and detail else None
        return self.shown(response) if text is None else self.hidden(text)[: SHOWN * 2]


def _kind_of(status: int) -> FailureKind:
    if status >= 500:
        return FailureKind.SERVER_ERROR
    return _KIND_OF_STATUS.get(status, FailureKind.REJECTED)


def _detail(response: Response) -> Any:  # noqa: ANN401  # whatever a server says there
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    return body.get("detail") if isinstance(body, dict) else None


def _fault(one: object) -> str:
    """`body.prompt: String should have at least 3 characters`."""
    if not isinstance(one, dict):
        return str(one)
    where = one.get("loc")
    path = ".".join(str(part) for part in where) if isinstance(where, list) else ""
    return f"{path}: {one.get('msg')}" if path else str(one.get("msg"))
