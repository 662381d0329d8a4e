"""How Rightbrain says no, in its envelopes, and what each means."""

from typing import Any

import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.providers.protocol import Response
from tests.providers.rightbrain_rig import KEY, RUN, a_plan, had, ids, said


def failed(response: Response, **how: Any) -> Failure:
    _, outcome = had(a_plan(), response, **how)
    assert isinstance(outcome, Failure)
    return outcome


def detail(reason: str, message: str = "Because.") -> dict[str, Any]:
    return {"detail": {"reason": reason, "message": message}}


def test_6_15_the_applications_envelope() -> None:
    """6.15: the stable code comes first, and then the words."""
    failure = failed(said(detail("PERMISSION_CHECK_FAILED", "Not yours."), 403))
    assert failure.kind is FailureKind.FORBIDDEN
    assert failure.message == "403 PERMISSION_CHECK_FAILED Not yours."


def test_6_15_the_pages_envelope() -> None:
    """6.15: with its details and its request id."""
    error = {"type": "unprocessable_entity", "message": "No.", "details": {"field": "text"}}
    failure = failed(said({"error": error, "request_id": "req_1", "timestamp": "now"}, 422))
    assert failure.kind is FailureKind.REJECTED
    assert (failure.message, failure.request_id) == ("422 unprocessable_entity No. (field: text)", "req_1")


def test_6_15_the_proxys_envelope() -> None:
    """6.15, R01: a wrong token is turned away before the application."""
    error = {
        "code": 401,
        "status": "Unauthorized",
        "request": "abc",
        "message": "Access credentials are invalid",
    }
    failure = failed(said({"error": error}, 401))
    assert failure.kind is FailureKind.UNAUTHORIZED
    assert failure.message == "401 Unauthorized Access credentials are invalid"
    assert failure.request_id == "abc"


def test_6_15_a_body_that_does_not_validate() -> None:
    """6.15, R54: where, and why."""
    told = [
        {"loc": ["body", "task_input"], "msg": "Field required", "type": "missing"},
        {"loc": [], "msg": "Odd", "type": "odd"},
        "?",
    ]
    failure = failed(said({"detail": told}, 422))
    assert (failure.kind, failure.message) == (
        FailureKind.REJECTED,
        "422 body.task_input: Field required; Odd",
    )


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "MALFORMED_RESOURCE_IDENTIFIER", FailureKind.REJECTED),
        (401, "MISSING_AUTHENTICATION", FailureKind.UNAUTHORIZED),
        (402, "NO_CREDITS", FailureKind.OUT_OF_CREDIT),
        (403, "PERMISSION_CHECK_FAILED", FailureKind.FORBIDDEN),
        (404, "TASK_NOT_FOUND", FailureKind.UNKNOWN_MODEL),
        (404, "TASK_REVISION_NOT_FOUND", FailureKind.UNKNOWN_MODEL),
        (404, "REPORTING_GROUP_NOT_FOUND", FailureKind.REJECTED),
        (408, "TIMEOUT", FailureKind.SERVER_ERROR),
        (409, "CONFLICT", FailureKind.SERVER_ERROR),
        (413, "TOO_LARGE", FailureKind.REJECTED),
        (422, "MISSING_TASK_INPUT", FailureKind.REJECTED),
        (422, "TASK_DISABLED", FailureKind.UNKNOWN_MODEL),
        (422, "NO_ACTIVE_REVISION", FailureKind.UNKNOWN_MODEL),
        (422, "FALLBACK_MODEL_NOT_CONFIGURED", FailureKind.UNKNOWN_MODEL),
        (429, "RATE_LIMITED", FailureKind.RATE_LIMITED),
        (500, "INTERNAL_ERROR", FailureKind.SERVER_ERROR),
        (503, "SERVICE_UNAVAILABLE", FailureKind.SERVER_ERROR),
    ],
)
def test_r53_r57_each_status_is_what_it_is(status: int, reason: str, kind: FailureKind) -> None:
    """R10, R53, R54, R55, R56, R57: what every row would meet ends the batch, what one meets that row."""
    failure = failed(said(detail(reason), status))
    assert (failure.kind, failure.http_status) == (kind, status)
    assert failure.message == f"{status} {reason} Because."


@pytest.mark.parametrize(
    ("status", "maybe"), [(429, False), (422, False), (500, True), (502, True), (503, False), (504, True)]
)
def test_a_run_may_have_been_made_behind_an_error(status: int, maybe: bool) -> None:
    """R57: so that it is looked for before another is begun; not where it was turned away at the door."""
    assert failed(said({}, status)).maybe_billed is maybe


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 30.0), ({"retry_after": "7"}, 7.0), ({"retry_after": "x"}, 30.0)]
)
def test_r57_a_429_waits_half_a_minute(headers: dict[str, str], seconds: float) -> None:
    """R57: where it does not say how long."""
    assert failed(said(detail("RATE_LIMITED"), 429, **headers)).retry_after == seconds


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html><h1>502</h1></html>", "502 <html><h1>502</h1></html>"),
        (b"", "502 nothing"),
        (b"[]", "502 []"),
        (b'{"detail": "Not Found"}', "502 Not Found"),
        (b'{"error": "busy", "error_description": "Later"}', "502 busy: Later"),
    ],
)
def test_a_strange_body_is_shown(body: bytes, told: str) -> None:
    """R57: whoever stands between answers in its own way."""
    assert failed(said(body, 502)).message == told


def test_a_redirect_is_not_followed() -> None:
    """R01: our token would go with it."""
    failure = failed(said(b"", 307, location="https://elsewhere.example.com/"))
    assert failure.kind is FailureKind.REJECTED
    assert "redirects to https://elsewhere.example.com/: set the base URL right" in failure.message


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"id": "0190', b"[]", b"{}", b'{"id": "7", "response": ""}']
)
def test_a_200_that_is_no_record_may_be_a_run(body: bytes) -> None:
    """R57: it is broken, and looked for before another is begun."""
    failure = failed(said(body))
    assert (failure.kind, failure.maybe_billed) == (FailureKind.BROKEN_REPLY, True)
    assert failure.remote is None


def test_a_record_that_cannot_be_read_again_stays_broken() -> None:
    """R52: the run's id is known, by which it is asked for later."""
    steps, failure = had(a_plan(), said(b"?", x_task_run_id=RUN), said(b"?"))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.maybe_billed, ids(steps)) == (FailureKind.BROKEN_REPLY, True, [RUN])


def test_r01_the_key_is_blotted_out() -> None:
    """R01: an error that echoes it is told without it, and so is a run's own."""
    failure = failed(said(detail("DENIED", f"The token {KEY.reveal()} is wrong"), 403))
    assert failure.message == "403 DENIED The token *** is wrong"
    assert KEY.reveal() not in failed(said(f"<b>{KEY.reveal()}</b>".encode(), 500)).message


def test_an_error_while_a_run_is_read_is_none_of_its_own() -> None:
    """R51: it can be read later, by the same id."""
    failure = failed(said(detail("INTERNAL_ERROR"), 500), remote_id=RUN)
    assert (failure.kind, failure.maybe_billed) == (FailureKind.SERVER_ERROR, False)
    assert failure.message == f"500 for run {RUN}: INTERNAL_ERROR Because."
