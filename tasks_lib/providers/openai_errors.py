"""How OpenAI and its imitators say no, on whichever endpoint, and what it means."""

import re
from typing import NamedTuple

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Secret
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.blotted import SHOWN, Blotted
from tasks_lib.providers.protocol import Response
from tasks_lib.providers.waits import retry_after_seconds

_KIND_OF_STATUS = {
    401: FailureKind.UNAUTHORIZED,
    402: FailureKind.OUT_OF_CREDIT,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.UNKNOWN_MODEL,
    408: FailureKind.SERVER_ERROR,
    409: FailureKind.SERVER_ERROR,
    425: FailureKind.SERVER_ERROR,
    429: FailureKind.RATE_LIMITED,
    498: FailureKind.RATE_LIMITED,  # Groq: the flexible tier is full
}
_LIKE_A_STATUS = re.compile("[45][0-9][0-9]")
_KIND_OF_CODE = {
    "insufficient_quota": FailureKind.OUT_OF_CREDIT,  # comes as 429, and no wait will cure it
    "billing_hard_limit_reached": FailureKind.OUT_OF_CREDIT,
    "content_filter": FailureKind.REFUSED,
    "content_policy_violation": FailureKind.REFUSED,
    "moderation_blocked": FailureKind.REFUSED,  # of a picture, before or after it was made
    "json_validate_failed": FailureKind.INVALID_OUTPUT,  # Groq checks the schema itself and answers 400
    "model_not_found": FailureKind.UNKNOWN_MODEL,
    "model_not_available": FailureKind.UNKNOWN_MODEL,  # Together, as 400
    "dedicated_endpoint_not_running": FailureKind.UNKNOWN_MODEL,  # the same
    "invalid_api_key": FailureKind.UNAUTHORIZED,
}
_MAYBE_BILLED_STATUS = frozenset({408, 504, 524})  # the model may have worked on when the gateway gave up
_MAYBE_BILLED_KINDS = frozenset({FailureKind.REFUSED, FailureKind.INVALID_OUTPUT})  # a model has looked at it


class Errors(Blotted):
    """Failures out of responses; the key, should it be echoed, is blotted out."""

    def __init__(self, key: Secret | None) -> None:
        """Hide this key."""
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
        """What a response means that is no 200, or that tells of an error in its body."""
        status = response.status
        told = _told(response.body)
        retry_after = retry_after_seconds(response.headers)
        kind = _kind_of(status, told, retry_after=retry_after)
        if 300 <= status < 400:
            told = _Told(message=f"redirects to {response.headers.get('location')}: set the base URL right")
        message = self.hidden(told.message)[: SHOWN * 2] or self.shown(response)
        half_done = status == 200 and kind is FailureKind.SERVER_ERROR
        processed = half_done or status in _MAYBE_BILLED_STATUS or kind in _MAYBE_BILLED_KINDS
        return Failure(
            kind=kind,
            message=f"{status} {message}",
            http_status=status,
            request_id=request_id,
            retry_after=retry_after,
            usage=usage,
            maybe_billed=processed and usage is None,
        )


class _Told(NamedTuple):
    """What an error body says, in the shapes that are in use."""

    message: str = ""
    codes: tuple[str, ...] = ()
    flagged: bool = False  # for its content, by a moderator


def _kind_of(status: int, told: _Told, *, retry_after: float | None) -> FailureKind:
    for code in told.codes:
        if code in _KIND_OF_CODE:
            return _KIND_OF_CODE[code]
    if status == 200:  # an error in the body; its code is often the status it should have had
        status = next((int(code) for code in told.codes if _LIKE_A_STATUS.fullmatch(code)), 500)
    if status == 403 and told.flagged:
        return FailureKind.REFUSED  # OpenRouter: this row is, and not we
    if status == 402 and retry_after is not None:
        return FailureKind.RATE_LIMITED  # OpenRouter: the credit is only held by calls in flight
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
    error = body.get("error")
    holder = error if isinstance(error, dict) else body  # Mistral and older vLLM tell without a frame
    codes = [holder.get("code"), holder.get("type")]
    metadata = holder.get("metadata")
    messages = (error, holder.get("message"), body.get("message"), body.get("detail"))
    return _Told(
        message=next((message for message in messages if isinstance(message, str) and message), ""),
        codes=tuple(str(code) for code in codes if isinstance(code, str | int)),
        flagged=isinstance(metadata, dict) and bool(metadata.get("reasons")),
    )
