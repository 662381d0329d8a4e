"""Bearer tokens for an OAuth client, had for all rows by one of them at a time.

    POST {oauth_url}    the client's id and secret as HTTP Basic, grant_type=client_credentials as a form

A token is kept in memory, and nowhere else. It is had anew when nine tenths of its time are over, and when it
is refused before that.
"""

from base64 import b64encode
from collections.abc import Callable, Generator
from typing import Final
from urllib.parse import quote

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Secret
from tasks_lib.providers.protocol import Pause, Request, Response, Step
from tasks_lib.providers.rightbrain_errors import Errors

_LOOK_AGAIN: Final = 0.02  # seconds after which a row looks whether another one has the token
_USED: Final = 0.9  # of its time
_REFUSED: Final = frozenset({"invalid_client", "unauthorized_client", "invalid_grant", "access_denied"})


class Tokens:
    """The token that all rows of a batch share."""

    def __init__(
        self, client: tuple[Secret, Secret], url: str, *, secrets: list[Secret], clock: Callable[[], float]
    ) -> None:
        """Have tokens for a client, given as its id and its secret.

        Args:
            client: id and secret.
            url: where tokens are had.
            secrets: gets every token, so that it is blotted out of what is told.
            clock: seconds that only go forward.
        """
        name, secret = client
        pair = f"{quote(name.reveal(), safe='')}:{quote(secret.reveal(), safe='')}"
        self._request = Request(
            method="POST",
            url=url,
            headers={
                "authorization": "Basic " + b64encode(pair.encode()).decode(),
                "content-type": "application/x-www-form-urlencoded",
                "accept": "application/json",
                "user-agent": "rowmill",
            },
            body=b"grant_type=client_credentials",
        )
        self._variables = f"{name.name} and {secret.name}"
        self._secrets = secrets
        self._own = len(secrets)  # those before the tokens
        self._errors = Errors(secrets)
        self._clock = clock
        self._token: str | None = None
        self._until: float | None = None  # None: nobody said
        self._is_asking = False
        self._rounds = 0  # of asking that came to an end
        self._failure: Failure | None = None  # of the last round

    def had(self) -> Generator[Step, Response, str | Failure]:
        """The token, asked for if there is none that holds; rows that wait share what comes of it."""
        before = self._rounds
        while True:
            if self._token is not None and (self._until is None or self._clock() < self._until):
                return self._token
            if self._rounds > before and self._failure is not None:
                return self._failure
            if not self._is_asking:
                break
            yield Pause(seconds=_LOOK_AGAIN)
        self._is_asking = True
        self._failure = None
        try:
            outcome = self._read((yield self._request))
            self._failure = outcome if isinstance(outcome, Failure) else None
            self._rounds += 1
        finally:  # the network may end this exchange; another row then asks
            self._is_asking = False
        return outcome

    def refused(self, token: str) -> None:
        """Have another one: this one was not let in. One that was had since stays."""
        if token == self._token:
            self._token = None

    def _read(self, response: Response) -> str | Failure:
        if response.status != 200:
            return self._failure_of(response)
        try:
            body = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            body = None
        token = body.get("access_token") if isinstance(body, dict) else None
        if not (isinstance(token, str) and token and token.isascii() and token.isprintable()):
            return Failure(
                kind=FailureKind.BROKEN_REPLY,
                message="200 without a token where one was asked for",  # what came may hold one
                http_status=200,
            )
        lasts = body.get("expires_in")
        known = isinstance(lasts, int | float) and not isinstance(lasts, bool) and lasts > 0
        self._until = self._clock() + _USED * lasts if known else None
        self._token = token
        del self._secrets[self._own : -1]  # the last token may still be under way
        self._secrets.append(Secret("access_token", token))
        return token

    def _failure_of(self, response: Response) -> Failure:
        failure = self._errors.failure(response, of="for an OAuth token: ")
        refused = any(word in failure.message for word in _REFUSED)
        if failure.kind in {FailureKind.UNAUTHORIZED, FailureKind.FORBIDDEN} or refused:
            return Failure(
                kind=FailureKind.UNAUTHORIZED,
                message=f"{failure.message} (the client is that of {self._variables})",
                http_status=response.status,
            )
        if failure.kind in {FailureKind.REJECTED, FailureKind.UNKNOWN_MODEL}:
            return Failure(  # whatever the row, no token is to be had here
                kind=FailureKind.UNAUTHORIZED,
                message=f"{failure.message} (set oauth_url right)",
                http_status=response.status,
            )
        return failure
