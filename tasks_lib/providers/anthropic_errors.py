"""How Anthropic says no, and what it means; see https://platform.claude.com/docs/en/api/errors."""

import re
from typing import NamedTuple

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Secret
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.blotted import SHOWN, Blotted
from tasks_lib.providers.protocol import Response
from tasks_lib.providers.waits import retry_after_seconds

_KIND_OF_TYPE = {
    "invalid_request_error": FailureKind.REJECTED,
    "authentication_error": FailureKind.UNAUTHORIZED,
    "billing_error": FailureKind.OUT_OF_CREDIT,
    "permission_error": FailureKind.FORBIDDEN,
    "not_found_error": FailureKind.UNKNOWN_MODEL,
    "conflict_error": FailureKind.SERVER_ERROR,
    "request_too_large": FailureKind.REJECTED,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "api_error": FailureKind.SERVER_ERROR,
    "timeout_error": FailureKind.SERVER_ERROR,
    "overloaded_error": FailureKind.SERVER_ERROR,
}
_KIND_OF_STATUS = {  # where the body tells no type: a proxy's, or cut short
    401: FailureKind.UNAUTHORIZED,
    402: FailureKind.OUT_OF_CREDIT,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.UNKNOWN_MODEL,
    408: FailureKind.SERVER_ERROR,
    409: FailureKind.SERVER_ERROR,
    425: FailureKind.SERVER_ERROR,
    429: FailureKind.RATE_LIMITED,
}
_SPENT_CODE = "enforced_spend_limit_reached"  # comes as a 429, and no wait of ours will cure it
_SPENT = re.compile(r"credit balance is too low|reached your specified (workspace )?API usage limits")
_NO_SUCH_FORM = re.compile(r"output_config|output format|[Ii]nvalid schema|[Ss]chema is too complex|grammar")
_REMEDY = "structured_output: tool in providers.yaml asks for the schema in another way"
_FILTERED = "blocked by content filtering policy"
_MAYBE_BILLED_STATUS = frozenset({408, 504, 524})  # the model may have worked on when the gateway gave up


class Errors(Blotted):
    """Failures out of responses; the key, should it be echoed, is blotted out."""

    def __init__(self, key: Secret | None) -> None:
        """Keep this key unseen."""
        super().__init__([key])

    def broken(
        self, response: Response, what: str, *, request_id: str | None, usage: Usage | None = None
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

    def failure(self, response: Response, *, request_id: str | None, usage: Usage | None = None) -> Failure:
        """What an error says; usage is that of earlier turns of the same exchange."""
        status = response.status
        told = _told(response.body)
        kind = _kind_of(status, told)
        message = told.message
        if 300 <= status < 400:
            message = f"redirects to {response.headers.get('location')}: set the base URL right"
        if kind is FailureKind.REJECTED and _NO_SUCH_FORM.search(message):
            message = f"{message} ({_REMEDY})"
        half_done = status == 200 and kind is FailureKind.SERVER_ERROR
        processed = half_done or status in _MAYBE_BILLED_STATUS or kind is FailureKind.REFUSED
        return Failure(
            kind=kind,
            message=f"{status} {self.hidden(message)[: SHOWN * 2] or self.shown(response)}",
            http_status=status,
            request_id=request_id or told.request_id,
            retry_after=retry_after_seconds(response.headers),
            usage=usage,
            maybe_billed=processed and usage is None,
        )


class _Told(NamedTuple):
    """What an error body says."""

    message: str = ""
    sort: str | None = None  # its `type`
    code: str | None = None
    request_id: str | None = None


def _kind_of(status: int, told: _Told) -> FailureKind:
    if told.code == _SPENT_CODE or _SPENT.search(told.message):
        return FailureKind.OUT_OF_CREDIT
    if _FILTERED in told.message:
        return FailureKind.REFUSED
    if told.sort in _KIND_OF_TYPE and not (status >= 500 and told.sort == "invalid_request_error"):
        return _KIND_OF_TYPE[told.sort]
    if status >= 500 or status == 200:
        return FailureKind.SERVER_ERROR
    return _KIND_OF_STATUS.get(status, FailureKind.REJECTED)


def _told(content: bytes | memoryview) -> _Told:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _Told()
    if not isinstance(body, dict):
        return _Told()
    error = body.get("error")
    holder = error if isinstance(error, dict) else body
    details = holder.get("details")
    messages = (holder.get("message"), error, body.get("message"), body.get("detail"))
    return _Told(
        message=next((message for message in messages if isinstance(message, str) and message), ""),
        sort=_string(holder.get("type")),
        code=_string(details.get("error_code")) if isinstance(details, dict) else None,
        request_id=_string(body.get("request_id")),
    )


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
