"""How Rightbrain says no, in any of its envelopes, and what it means.

{"detail": {"reason": CODE, "message": …}}                   the application
{"error": {"type", "message", "details"}, "request_id"}      the application, as its pages have it
{"error": {"code", "status", "request", "message"}}          the proxy before it, to a wrong token
{"detail": [{"loc", "msg", "type"}]}                         a body or query that does not validate
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Secret
from tasks_lib.providers.blotted import SHOWN, Blotted
from tasks_lib.providers.protocol import Response
from tasks_lib.providers.waits import retry_after_seconds

_UNTOLD_WAIT: Final = 30.0  # seconds; what Rightbrain asks for after a 429, which says nothing itself
_KIND_OF_STATUS: Final = {
    401: FailureKind.UNAUTHORIZED,
    402: FailureKind.OUT_OF_CREDIT,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.UNKNOWN_MODEL,
    408: FailureKind.SERVER_ERROR,
    409: FailureKind.SERVER_ERROR,
    425: FailureKind.SERVER_ERROR,
    429: FailureKind.RATE_LIMITED,
}
_NOT_STARTED: Final = frozenset({501, 503, 529})  # of 5xx: turned away at the door
_OF_THE_TASK: Final = re.compile(r"TASK_DISABLED|NO_ACTIVE_REVISION|FALLBACK_MODEL")
# Whatever the row: the task is off, or has no revision or fallback model to run.
_OF_THE_ROW: Final = re.compile(r"GROUP")  # a reporting group that is not known there


class Errors(Blotted):
    """Failures out of responses; secrets, should they be echoed, are blotted out."""

    def __init__(self, secrets: Sequence[Secret]) -> None:
        """Hide these, and whatever tokens are had later."""
        super().__init__(secrets)

    def broken(self, response: Response, what: str) -> Failure:
        """A 200 that is no answer: a run was probably made, and charged."""
        return Failure(
            kind=FailureKind.BROKEN_REPLY,
            message=f"200 with {what}: {self.shown(response)}",
            http_status=response.status,
            request_id=request_id_of(response.headers),
            maybe_billed=True,
        )

    def failure(self, response: Response, *, of: str = "") -> Failure:
        """What a response means that is no 200; `of` says what was asked for, if it was no run."""
        status, told = response.status, _told(response.body)
        kind = _kind_of(status, told.code)
        retry_after = retry_after_seconds(response.headers)
        if kind is FailureKind.RATE_LIMITED and retry_after is None:
            retry_after = _UNTOLD_WAIT
        if 300 <= status < 400:
            told = _Told(message=f"redirects to {response.headers.get('location')}: set the base URL right")
        words = " ".join(part for part in (told.code, told.message) if part)
        message = self.hidden(words)[: SHOWN * 2] or self.shown(response)
        return Failure(
            kind=kind,
            message=f"{status} {of}{message}",
            http_status=status,
            request_id=request_id_of(response.headers) or told.request_id,
            retry_after=retry_after,
            maybe_billed=status >= 500 and status not in _NOT_STARTED and not of,
        )


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """What a response is called, should it say so."""
    return headers.get("x-request-id")


class _Told(NamedTuple):
    """What an error's body says."""

    code: str = ""
    message: str = ""
    request_id: str | None = None


def _kind_of(status: int, code: str) -> FailureKind:
    if status == 404 and _OF_THE_ROW.search(code):
        return FailureKind.REJECTED
    if status == 422 and _OF_THE_TASK.search(code):
        return FailureKind.UNKNOWN_MODEL
    if status >= 500:
        return FailureKind.SERVER_ERROR
    return _KIND_OF_STATUS.get(status, FailureKind.REJECTED)


def _told(content: bytes | memoryview) -> _Told:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _Told()
    if not isinstance(body, dict):
        return _Told()
    detail, error = body.get("detail"), body.get("error")
    if isinstance(detail, dict):
        return _Told(_text(detail.get("reason")), _text(detail.get("message")), _id(body.get("request_id")))
    if isinstance(detail, list):
        return _Told(message="; ".join(_not_valid(one) for one in detail if isinstance(one, dict)))
    if isinstance(error, dict):
        code = _text(error.get("type")) or _text(error.get("status"))
        found = _id(body.get("request_id")) or _id(error.get("request"))
        return _Told(code, _with_details(error), found)
    texts = (detail, error, body.get("error_description"), body.get("message"))  # the third: OAuth's
    return _Told(message=": ".join(text for text in texts if isinstance(text, str) and text))


def _with_details(error: Mapping[str, Any]) -> str:
    message, details = _text(error.get("message")), error.get("details")
    if not isinstance(details, dict) or not details:
        return message
    return f"{message} ({', '.join(f'{name}: {value}' for name, value in details.items())})"


def _not_valid(one: Mapping[str, Any]) -> str:
    where = one.get("loc")
    place = ".".join(str(part) for part in where) if isinstance(where, list) else ""
    return f"{place}: {_text(one.get('msg'))}" if place else _text(one.get("msg"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
