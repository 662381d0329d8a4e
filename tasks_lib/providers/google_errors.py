"""How Google says no, and what it means; see https://cloud.google.com/apis/design/errors."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Secret
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.blotted import SHOWN, Blotted
from tasks_lib.providers.protocol import Response
from tasks_lib.providers.waits import LONGEST, retry_after_seconds

_KIND_OF_STATUS = {
    401: FailureKind.UNAUTHORIZED,
    402: FailureKind.OUT_OF_CREDIT,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.UNKNOWN_MODEL,
    408: FailureKind.SERVER_ERROR,
    409: FailureKind.SERVER_ERROR,  # ABORTED
    429: FailureKind.RATE_LIMITED,
    499: FailureKind.SERVER_ERROR,  # CANCELLED, and not by us
}
_KIND_OF_REASON = {
    "API_KEY_INVALID": FailureKind.UNAUTHORIZED,  # comes as 400, for expired keys, too
    "API_KEY_EXPIRED": FailureKind.UNAUTHORIZED,
    "ACCESS_TOKEN_EXPIRED": FailureKind.UNAUTHORIZED,
    "BILLING_DISABLED": FailureKind.OUT_OF_CREDIT,
    "FAILED_PRECONDITION": FailureKind.FORBIDDEN,  # a status: not from this country, or not without billing
}
_BAD_KEY = re.compile(r"api[ _]key (not valid|not found|expired|is invalid)", re.IGNORECASE)
_SPENT = re.compile(r"credits? (are|is) depleted|spend(ing)? (cap|limit)", re.IGNORECASE)
_NO_SUCH_SCHEMA = re.compile(r"response_?(json_?)?schema|too many states|nesting depth", re.IGNORECASE)
_REMEDY = "structured_output: json_object in providers.yaml puts the schema into the prompt"
_MAYBE_BILLED_STATUS = frozenset({408, 499, 504})  # the model may have worked on when the gateway gave up
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")


class Errors(Blotted):
    """Failures out of responses; the key, should it be echoed, is blotted out."""

    def __init__(self, key: Secret | None) -> None:
        """Keep this key unseen."""
        super().__init__([key])

    def broken(
        self, response: Response, request_id: str | None, what: str, usage: Usage | None = None
    ) -> Failure:
        """A 200 that is no answer: one was probably made, and billed."""
        return Failure(
            kind=FailureKind.BROKEN_REPLY,
            message=f"200 with {what}: {self.shown(response)}",
            http_status=200,
            request_id=request_id,
            usage=usage,
            maybe_billed=usage is None,
        )

    def failure(self, response: Response, request_id: str | None, usage: Usage | None = None) -> Failure:
        """What a response means that is no answer."""
        status = response.status
        told = _told(response.body)
        if 300 <= status < 400:
            told = _Told(message=f"redirects to {response.headers.get('location')}: set the base URL right")
        kind = _kind_of(told.code if status == 200 else status, told)
        waits = [
            wait for wait in (retry_after_seconds(response.headers), told.retry_after) if wait is not None
        ]
        message = self.hidden(told.message)[: SHOWN * 2] or self.shown(response)
        if kind is FailureKind.REJECTED and _NO_SUCH_SCHEMA.search(message):
            message += f"; {_REMEDY}"
        half_done = status == 200 and kind is FailureKind.SERVER_ERROR
        processed = half_done or status in _MAYBE_BILLED_STATUS
        return Failure(
            kind=kind,
            message=f"{status} {message}",
            http_status=status,
            request_id=request_id,
            retry_after=max(waits, default=None),
            usage=usage,
            maybe_billed=processed and usage is None,
        )


class _Told(NamedTuple):
    """What an error body says."""

    message: str = ""
    code: int = 500
    reasons: tuple[str, ...] = ()  # of its details, and its status
    retry_after: float | None = None  # seconds
    is_hopeless: bool = False  # no wait of minutes frees the quota


def _kind_of(status: int, told: _Told) -> FailureKind:
    for reason in told.reasons:
        if reason in _KIND_OF_REASON:
            return _KIND_OF_REASON[reason]
    if status in (400, 403) and _BAD_KEY.search(told.message):
        return FailureKind.UNAUTHORIZED
    if status == 429 and (told.is_hopeless or _SPENT.search(told.message)):
        return FailureKind.OUT_OF_CREDIT
    if status in _KIND_OF_STATUS:
        return _KIND_OF_STATUS[status]
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.REJECTED


def _told(content: bytes | memoryview) -> _Told:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _Told()
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return _Told(message=error if isinstance(error, str) else "")
    told_details = error.get("details")
    details = [detail for detail in _as_list(told_details) if isinstance(detail, dict)]
    reasons = [error.get("status"), *(detail.get("reason") for detail in details)]
    code = error.get("code")
    return _Told(
        message=_string(error.get("message")) or "",
        code=code if type(code) is int and 400 <= code < 600 else 500,
        reasons=tuple(reason for reason in reasons if isinstance(reason, str)),
        retry_after=_retry_delay(details),
        is_hopeless=any(_is_hopeless(violation) for violation in _violations(details)),
    )


def _violations(details: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    for detail in details:
        for violation in _as_list(detail.get("violations")):
            if isinstance(violation, dict):
                yield violation


def _is_hopeless(violation: Mapping[str, Any]) -> bool:
    """Whether it is a day's quota that is used up, or one of nothing at all."""
    return "PerDay" in str(violation.get("quotaId")) or violation.get("quotaValue") == "0"


def _retry_delay(details: Iterable[Mapping[str, Any]]) -> float | None:
    """Seconds, out of a duration such as 34.07s."""
    for detail in details:
        delay = detail.get("retryDelay")
        found = _SECONDS.fullmatch(delay) if isinstance(delay, str) else None
        if found:
            return min(float(found[1]), LONGEST)
    return None


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
