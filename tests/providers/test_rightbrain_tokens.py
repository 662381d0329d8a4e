"""OAuth client credentials: one token for all rows, had in time, and shown to nobody."""

from base64 import b64decode
from typing import Any

import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Reply
from tasks_lib.providers.protocol import Pause, Request, Response, Step
from tasks_lib.providers.rightbrain import OAUTH_URL, Rightbrain
from tests.providers.rightbrain_rig import CLIENT, KEY, RUNS, a_plan, account, driven, protocol, record, said

_WHOSE = "(the client is that of RB_CLIENT_ID and RB_CLIENT_SECRET)"
WRONG = said({"error": {"code": 401, "status": "Unauthorized", "request": "a", "message": "Expired"}}, 401)


def token(text: str = "ory_at_1", **told: Any) -> Response:
    return said({"access_token": text, "expires_in": 3600, "token_type": "bearer", **told})


def asking(the: Rightbrain, *responses: Response) -> tuple[list[Step], Reply | Failure]:
    plan = a_plan()
    return driven(the.run(plan, plan.models[0]), *responses)


def asked(steps: list[Step]) -> list[tuple[str, str]]:
    """Each request's address and token."""
    return [
        (step.url, step.headers["authorization"].removeprefix("Bearer "))
        for step in steps
        if isinstance(step, Request) and not step.headers["authorization"].startswith("Basic ")
    ]


def test_r01_a_token_is_had_before_the_first_call() -> None:
    """R01: by HTTP Basic, id and secret as forms write them, and a form that asks for one."""
    steps, reply = asking(protocol(client=True), token(), said(record()))
    assert isinstance(reply, Reply)
    first = steps[0]
    assert isinstance(first, Request)
    assert (first.method, first.url, first.body) == ("POST", OAUTH_URL, b"grant_type=client_credentials")
    assert first.headers["content-type"] == "application/x-www-form-urlencoded"
    sent = b64decode(first.headers["authorization"].removeprefix("Basic ")).decode()
    assert sent == "rowmill:s3cret%2Fof%2Bclient"
    assert asked(steps) == [(RUNS, "ory_at_1")]


def test_r01_a_token_serves_all_rows_until_its_time_is_nearly_over() -> None:
    """R01: nine tenths of it; then it is had anew, before it is refused."""
    now = [0.0]
    the = protocol(client=True, clock=lambda: now[0])
    asking(the, token(), said(record()))
    now[0] = 3239.0
    steps, _ = asking(the, said(record()))
    assert asked(steps) == [(RUNS, "ory_at_1")]
    now[0] = 3240.0
    steps, _ = asking(the, token("ory_at_2"), said(record()))
    assert asked(steps) == [(RUNS, "ory_at_2")]


@pytest.mark.parametrize("lasts", [None, 0, -5, True, "soon"])
def test_a_token_without_a_time_serves_until_it_is_refused(lasts: Any) -> None:
    """R01: nobody says how long it lasts."""
    now = [0.0]
    the = protocol(client=True, clock=lambda: now[0])
    asking(the, token(expires_in=lasts), said(record()))
    now[0] = 1e6
    assert asked(asking(the, said(record()))[0]) == [(RUNS, "ory_at_1")]


def test_r01_a_refused_token_is_had_anew_and_the_call_made_again() -> None:
    """R01: the refused call has begun no run."""
    steps, reply = asking(protocol(client=True), token(), WRONG, token("ory_at_2"), said(record()))
    assert isinstance(reply, Reply)
    assert asked(steps) == [(RUNS, "ory_at_1"), (RUNS, "ory_at_2")]


def test_r01_tokens_that_are_refused_again_and_again_end_the_batch() -> None:
    """R01: after three."""
    exchange = asking(protocol(client=True), *[token(), WRONG] * 3)
    assert isinstance(exchange[1], Failure)
    assert exchange[1].kind is FailureKind.UNAUTHORIZED
    assert exchange[1].kind.ends_batch


def test_r01_a_plain_key_that_is_refused_ends_the_batch() -> None:
    """R01: there is no other one to be had."""
    _, failure = asking(protocol(), WRONG)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.UNAUTHORIZED


def test_a_key_wins_over_a_client() -> None:
    """R01: whoever sets it means it."""
    plan = a_plan()
    the = protocol()
    both = Rightbrain(account(), KEY, CLIENT)
    for one in (the, both):
        steps, _ = driven(one.run(plan, plan.models[0]), said(record()))
        assert asked(steps) == [(RUNS, KEY.reveal())]


def test_r01_many_rows_have_one_token() -> None:
    """R01: one row asks while the others wait; when it is refused, one has it anew."""
    the = protocol(client=True)
    plan = a_plan()
    rows = [the.run(plan, plan.models[0]) for _ in range(200)]
    first = [next(row) for row in rows]
    assert isinstance(first[0], Request)
    assert first[0].url == OAUTH_URL
    assert all(isinstance(step, Pause) and step.seconds <= 0.1 for step in first[1:])
    begun = [rows[0].send(token()), *(next(row) for row in rows[1:])]
    assert asked(begun) == [(RUNS, "ory_at_1")] * 200
    refused = [row.send(WRONG) for row in rows]
    assert [isinstance(step, Request) for step in refused].count(True) == 1
    again = [rows[0].send(token("ory_at_2")), *(next(row) for row in rows[1:])]
    assert asked(again) == [(RUNS, "ory_at_2")] * 200
    for row in rows:
        with pytest.raises(StopIteration):
            row.send(said(record()))


def test_a_late_refusal_of_an_old_token_keeps_the_new_one() -> None:
    """R01: it was had since."""
    the, plan = protocol(client=True), a_plan()
    slow = the.run(plan, plan.models[0])
    next(slow)
    slow.send(token())
    asking(the, WRONG, token("ory_at_2"), said(record()))
    retried = slow.send(WRONG)
    assert asked([retried]) == [(RUNS, "ory_at_2")]
    slow.close()


def test_a_row_that_dies_while_it_asks_leaves_it_to_another() -> None:
    """R01: the network may take its exchange."""
    the, plan = protocol(client=True), a_plan()
    dying, waiting = the.run(plan, plan.models[0]), the.run(plan, plan.models[0])
    next(dying)
    assert isinstance(next(waiting), Pause)
    dying.close()
    step = next(waiting)
    assert isinstance(step, Request)
    assert step.url == OAUTH_URL
    waiting.close()


def test_rows_that_wait_share_what_comes_of_it() -> None:
    """R01: a token server that is down is asked once for all of them, and again by later tries."""
    the, plan = protocol(client=True), a_plan()
    one, other = the.run(plan, plan.models[0]), the.run(plan, plan.models[0])
    next(one)
    next(other)
    ends: list[Failure] = []
    for row, step in ((one, said({}, 503)), (other, None)):
        with pytest.raises(StopIteration) as end:
            row.send(step)  # type: ignore[arg-type]  # after a Pause it is sent None
        ends.append(end.value.value)
    assert [(one.kind, one.http_status, one.maybe_billed) for one in ends] == [
        (FailureKind.SERVER_ERROR, 503, False)
    ] * 2
    steps, _ = asking(the, token(), said(record()))
    assert asked(steps) == [(RUNS, "ory_at_1")]


@pytest.mark.parametrize(
    ("response", "kind", "told"),
    [
        (
            said({"error": "invalid_client", "error_description": "Client authentication failed"}, 401),
            FailureKind.UNAUTHORIZED,
            f"401 for an OAuth token: invalid_client: Client authentication failed {_WHOSE}",
        ),
        (
            said({"error": "invalid_client"}, 400),
            FailureKind.UNAUTHORIZED,
            f"400 for an OAuth token: invalid_client {_WHOSE}",
        ),
        (
            said(b"<h1>Not Found</h1>", 404),
            FailureKind.UNAUTHORIZED,
            "404 for an OAuth token: <h1>Not Found</h1> (set oauth_url right)",
        ),
        (said({}, 429), FailureKind.RATE_LIMITED, "429 for an OAuth token: {}"),
        (
            said({"access_token": ""}),
            FailureKind.BROKEN_REPLY,
            "200 without a token where one was asked for",
        ),
        (
            said(b'{"access_token": "ory_at_half'),
            FailureKind.BROKEN_REPLY,
            "200 without a token where one was asked for",
        ),
        (
            said({"access_token": "a\nb"}),
            FailureKind.BROKEN_REPLY,
            "200 without a token where one was asked for",
        ),
    ],
)
def test_a_token_that_is_not_given_is_told(response: Response, kind: FailureKind, told: str) -> None:
    """R01: a client that is refused ends the batch; what came instead of a token is not shown."""
    _, failure = asking(protocol(client=True), response)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.message, failure.maybe_billed) == (kind, told, False)


def test_r01_tokens_and_secrets_are_blotted_out() -> None:
    """R01: of errors that echo them, the token before the last included."""
    the = protocol(client=True)
    echo = "ory_at_1 ory_at_2 s3cret/of+client"
    _, failure = asking(the, token(), WRONG, token("ory_at_2"), said({"detail": echo}, 422))
    assert isinstance(failure, Failure)
    assert failure.message == "422 *** *** ***"
    assert "ory_at" not in repr(vars(the))


def test_another_address_for_tokens() -> None:
    """R01: as the provider's file says."""
    steps, _ = asking(protocol(client=True, oauth_url="https://oauth.example.com/t"), token(), said(record()))
    assert isinstance(steps[0], Request)
    assert steps[0].url == "https://oauth.example.com/t"
