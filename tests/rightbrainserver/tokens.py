"""OAuth client credentials: tokens that expire, run out or are revoked."""

import base64
import binascii
import secrets
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

from tests.rightbrainserver.settings import Settings
from tests.rightbrainserver.wire import Reply, Request, said

PREFIX: Final = "ory_at_"
"""What an OAuth token begins with; one that begins so and is not known is refused."""


class Tokens:
    """The tokens given out, with the monotonic moments of their ends and the calls made with them."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._uses: dict[str, int] = {}
        self.issued = 0

    def issue(self, request: Request, settings: Settings) -> Reply:
        """The answer to a request for a token."""
        if _client(request.headers) != (settings.client_id, settings.client_secret):
            return _denied(401, "invalid_client", "Client authentication failed")
        if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            return _denied(400, "invalid_request", "The body is not a form")
        if parse_qs(request.body.decode()).get("grant_type") != ["client_credentials"]:
            return _denied(400, "unsupported_grant_type", "Only client_credentials is granted here")
        token = PREFIX + secrets.token_urlsafe(24)
        self._ends[token] = time.monotonic() + settings.token_s
        self.issued += 1
        return said(
            200,
            {"access_token": token, "expires_in": int(settings.token_s), "scope": "", "token_type": "bearer"},
            ("Cache-Control", "no-store"),
        )

    def allow(self, token: str, settings: Settings) -> bool:
        """Whether a call with this bearer token is let in; it counts as a use."""
        if not token.startswith(PREFIX):
            return bool(token) and settings.key in {"", token}
        if time.monotonic() >= self._ends.get(token, 0.0):
            return False
        uses = self._uses[token] = self._uses.get(token, 0) + 1
        return not settings.token_uses or uses <= settings.token_uses

    def revoke(self) -> int:
        """End all tokens given out so far; how many these are."""
        ended = len(self._ends)
        self._ends.clear()
        return ended


def bearer(headers: Mapping[str, str]) -> str:
    """The bearer token, or nothing."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _client(headers: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, pair = headers.get("authorization", "").partition(" ")
    try:
        name, _, secret = base64.b64decode(pair if scheme.lower() == "basic" else "").decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote(name), unquote(secret)


def _denied(status: int, error: str, why: str) -> Reply:
    return said(status, {"error": error, "error_description": why})
