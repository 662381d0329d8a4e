"""How Parallel says no, and what it means; see https://docs.parallel.ai/resources/warnings-and-errors."""

from typing import Any, Final, NamedTuple

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Secret
from tasks_lib.domain.remote import RemoteRun
from tasks_lib.providers.blotted import SHOWN, Blotted
from tasks_lib.providers.protocol import Response
from tasks_lib.providers.waits import retry_after_seconds

NOT_BEGUN: Final = "x-rowmill-not-begun"
"""A header that whoever carries a request puts on a response when it has made sure that no run was begun."""
_KIND_OF_STATUS: Final = {
    401: FailureKind.UNAUTHORIZED,
    402: FailureKind.OUT_OF_CREDIT,  # that no run under way holds the credit, who carries it has made sure
    403: FailureKind.FORBIDDEN,
    404: FailureKind.UNKNOWN_MODEL,  # of the POST that begins a run: there is no such API
    408: FailureKind.SERVER_ERROR,
    409: FailureKind.SERVER_ERROR,
    425: FailureKind.SERVER_ERROR,
    429: FailureKind.RATE_LIMITED,
}


class Errors(Blotted):
    """Failures out of responses; the key, should it be echoed, is blotted out."""

    def __init__(self, key: Secret | None) -> None:
        """Keep this key unseen."""
        super().__init__([key])

    def not_begun(self, response: Response) -> Failure:
        """What the answer to a POST means that began no run, or one that we know nothing of."""
        failure = self.of(response)
        unclear = response.status >= 500 or response.status in (200, 202, 408)
        sure = NOT_BEGUN in response.headers
        return _maybe_billed(failure) if unclear and not sure else failure

    def of(self, response: Response, *, remote: RemoteRun | None = None) -> Failure:
        """What a response means that is no answer."""
        status = response.status
        told = told_in(response.body)
        message = told.message
        if 300 <= status < 400:
            message = f"redirects to {response.headers.get('location')}: set the base URL right"
        if status < 300:
            kind, message = FailureKind.BROKEN_REPLY, f"with what is no answer: {self.shown(response)}"
        elif status >= 500:
            kind = FailureKind.SERVER_ERROR
        else:
            kind = _KIND_OF_STATUS.get(status, FailureKind.REJECTED)
        return Failure(
            kind=kind,
            message=f"{status} {self.hidden(message)[: SHOWN * 2] or self.shown(response)}",
            http_status=status,
            request_id=request_id_of(response) or told.ref_id,
            retry_after=retry_after_seconds(response.headers),
            remote=remote,
        )


class Told(NamedTuple):
    """What an error says."""

    message: str = ""
    ref_id: str | None = None


def told_in(body: bytes | memoryview) -> Told:
    """What the envelope of an error says; nothing if it is none."""
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Told()
    if not isinstance(whole, dict):
        return Told()
    error = whole.get("error")
    if isinstance(error, dict):
        return told_of(error)
    detail = whole.get("detail")
    if isinstance(detail, list):  # as FastAPI has it
        return Told("; ".join(_of_field(one) for one in detail if isinstance(one, dict)))
    return Told(next((text for text in (error, detail, whole.get("message")) if isinstance(text, str)), ""))


def told_of(error: dict[str, Any]) -> Told:
    """What an error object says, in an envelope as in a failed run."""
    message, ref_id, detail = error.get("message"), error.get("ref_id"), error.get("detail")
    text = message if isinstance(message, str) else ""
    if detail:
        text = f"{text} {_dumped(detail)}".strip()
    return Told(text, ref_id if isinstance(ref_id, str) else None)


def request_id_of(response: Response) -> str | None:
    """The name that the API gave the request."""
    return response.headers.get("x-request-id") or response.headers.get("request-id")


def _of_field(error: dict[str, Any]) -> str:
    place = error.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
    return f"{where}: {error.get('msg')}"


def _dumped(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested deeper than can be written
        return ""


def _maybe_billed(failure: Failure) -> Failure:
    return Failure(
        kind=failure.kind,
        message=failure.message,
        http_status=failure.http_status,
        request_id=failure.request_id,
        retry_after=failure.retry_after,
        maybe_billed=True,
    )
