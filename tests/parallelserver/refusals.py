"""The errors that the API answers with, in their documented envelope."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

_MESSAGES: Final = {
    401: "Unauthorized: invalid or missing credentials",
    402: "Payment required: insufficient credit in account",
    403: "Forbidden: invalid processor in request",
    404: "Run id not found",
    408: "Request timed out; run still active",
    422: "Request validation error",
    429: "Too many requests: quota temporarily exceeded",
    500: "Internal server error",
    503: "Service unavailable",
}


class Refused(Exception):
    """A request that is answered with an error; detail says which part of it was wrong."""

    def __init__(self, status: int, message: str = "", detail: dict[str, Any] | None = None) -> None:
        super().__init__(message or _MESSAGES.get(status, "This failed."))
        self.status = status
        self.detail = detail


def invalid(where: str, reason: str) -> Refused:
    """The 422 for one part of a request."""
    return Refused(422, f"{_MESSAGES[422]}: {where}: {reason}", {"errors": [{"loc": where, "msg": reason}]})


@contextmanager
def located(where: str) -> Iterator[None]:
    """Whatever is invalid inside lies within this part of the request."""
    try:
        yield
    except Refused as refused:
        for error in (refused.detail or {}).get("errors", ()):
            error["loc"] = f"{where}.{error['loc']}"
        raise


def error_of(message: str, detail: dict[str, Any] | None = None) -> dict[str, Any]:
    """The error object, as in answers, events and failed runs."""
    told: dict[str, Any] = {"ref_id": str(uuid4()), "message": message}
    if detail is not None:
        told["detail"] = detail
    return told


def envelope(refused: Refused) -> dict[str, Any]:
    """The body of an error."""
    return {"type": "error", "error": error_of(str(refused), refused.detail)}


def detail_only(refused: Refused) -> dict[str, Any]:
    """The body of a 422 as the reference gives it for groups."""
    errors = (refused.detail or {}).get("errors", [])
    told = [{"loc": ["body", *e["loc"].split(".")], "msg": e["msg"], "type": "value_error"} for e in errors]
    return {"detail": told}
