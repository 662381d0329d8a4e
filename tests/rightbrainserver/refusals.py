"""The errors of the API in its three envelopes, and the fourth of whoever stands before it."""

import time
import uuid
from collections.abc import Mapping
from typing import Final

from tests.rightbrainserver.wire import Reply, said

_KINDS: Final = {
    400: ("bad_request", "INVALID_REQUEST", "Invalid request parameters"),
    401: ("unauthorized", "UNAUTHORIZED", "Invalid or expired authentication token"),
    403: ("forbidden", "PERMISSION_CHECK_FAILED", "Insufficient permissions for task"),
    404: ("not_found", "NOT_FOUND", "Task or revision not found"),
    409: ("conflict", "CONFLICT", "The resource is in use"),
    422: ("unprocessable_entity", "INVALID_TASK_INPUT", "Invalid task input parameters"),
    429: ("rate_limited", "RATE_LIMITED", "Too many requests; wait 30 seconds"),
    500: ("internal_error", "INTERNAL_ERROR", "Failed to execute task"),
    503: ("unavailable", "SERVICE_UNAVAILABLE", "Service unavailable"),
}


class Refused(Exception):
    """A request that the API refuses: its status and the stable code of the reason."""

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(status, reason, message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details or {}

    def reply(self, envelope: str) -> Reply:
        """The answer in the application's envelope, `detail` or `error`."""
        kind, code, text = _KINDS.get(self.status, ("error", "ERROR", "This failed"))
        reason, message = self.reason or code, self.message or text
        if envelope == "error":
            error: dict[str, object] = {"type": kind, "message": message}
            if self.details:
                error["details"] = self.details
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            return said(
                self.status, {"error": error, "request_id": f"req_{uuid.uuid4().hex[:6]}", "timestamp": stamp}
            )
        return said(
            self.status,
            {"detail": {"reason": reason, "message": message, _detail_name(reason): self.details}},
        )


class NotValid(Refused):
    """A body or query that does not validate: where, why and by which rule, as FastAPI says it."""

    def __init__(self, where: tuple[str | int, ...], message: str, rule: str) -> None:
        super().__init__(422, rule, message)
        self.where = where

    def reply(self, envelope: str) -> Reply:
        """The same answer in every envelope."""
        return said(422, {"detail": [{"loc": self.where, "msg": self.message, "type": self.reason}]})


class NotAuthorized(Refused):
    """Turned away by the proxy before the application saw it."""

    def __init__(self) -> None:
        super().__init__(401)

    def reply(self, envelope: str) -> Reply:
        """The proxy's own envelope, or the published example's."""
        if envelope == "error":
            return super().reply(envelope)
        request, message = str(uuid.uuid4()), "Access credentials are invalid"
        error = {"code": 401, "status": "Unauthorized", "request": request, "message": message}
        return said(401, {"error": error}, ("WWW-Authenticate", "Bearer"))


def malformed(name: str, value: str) -> Refused:
    """An id that is no UUID."""
    return Refused(
        400,
        "MALFORMED_RESOURCE_IDENTIFIER",
        f"{name} is not a valid identifier",
        {"field": name, "value": value},
    )


def _detail_name(reason: str) -> str:
    first, *more = reason.lower().split("_")
    return first + "".join(word.title() for word in more) + "Error"
