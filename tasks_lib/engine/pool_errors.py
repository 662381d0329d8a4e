"""What the pool's errors mean: how far a call came, and in words that show no secret.

The texts of these errors are dumps of the pool's own structures, the proxy's password among them; only what
is known to be harmless is taken out of them.
"""

import re
from typing import Final

from wreq import exceptions

from tasks_lib.domain.failure import Failure, FailureKind

POOL_ERRORS: Final = (
    exceptions.BodyError,
    exceptions.BuilderError,
    exceptions.ConnectionError,
    exceptions.ConnectionResetError,
    exceptions.DecodingError,
    exceptions.ProxyConnectionError,
    exceptions.RedirectError,
    exceptions.RequestError,
    exceptions.StatusError,
    exceptions.TimeoutError,
    exceptions.TlsError,
    exceptions.UpgradeError,
    OSError,
    RuntimeError,  # a header that is none
    ValueError,
)

_TIMED_OUT: Final = "TimedOut"
_IN_BODY: Final = "Error(Body"  # the connection broke; otherwise what came could not be unpacked
_PLAIN: Final = (  # the first that is found tells most
    ("IncompleteMessage", "connection closed before the answer was whole"),
    ("IncompleteBody", "connection closed before the answer was whole"),
    ("ConnectionReset", "connection reset"),
    ("BrokenPipe", "connection reset"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is signed by nobody known here (see ca_bundle)"),
    ("HOSTNAME_MISMATCH", "its certificate is another host's"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS"),
    ("Ssl(", "the TLS handshake failed"),
    ("Error(Parse", "what came is not HTTP"),
    ("ProxyAuth", "the proxy wants another user name or password"),
    ("TunnelUnsuccessful", "the proxy does not let the connection through"),
    ("dns error", "no host of that name"),
    ("BadScheme", "the address begins with neither http:// nor https://"),
)
_OF_THE_SYSTEM: Final = re.compile(r'code: \d+, kind: \w+, message: "([A-Za-z ]+)"')
_LAST_WORD: Final = re.compile(r"(?:kind: |Error\()([A-Z][A-Za-z]+)")


def failure_of(error: Exception) -> Failure:
    """What a call that ended with one of `POOL_ERRORS` was; past the connecting it may have been billed."""
    text = str(error)
    match error:
        case exceptions.ProxyConnectionError():
            return _never_sent(FailureKind.CONNECTION, f"no connection through the proxy: {_plain(text)}")
        case exceptions.ConnectionError() if _TIMED_OUT in text:
            return _never_sent(FailureKind.TIMEOUT, "no connection in time")
        case exceptions.ConnectionError():
            return _never_sent(FailureKind.CONNECTION, f"no connection: {_plain(text)}")
        case exceptions.BuilderError() | RuntimeError() | ValueError():
            return _never_sent(FailureKind.REJECTED, f"the request cannot be sent: {_plain(text)}")
        case exceptions.TimeoutError():
            return _perhaps_billed(FailureKind.TIMEOUT, "no answer in time")
        case exceptions.BodyError() | exceptions.DecodingError() if _TIMED_OUT in text:
            return _perhaps_billed(FailureKind.TIMEOUT, "the answer began, and did not go on in time")
        case exceptions.DecodingError() if _IN_BODY not in text:
            return _perhaps_billed(FailureKind.BROKEN_REPLY, "the answer cannot be unpacked")
        case _:
            return _perhaps_billed(FailureKind.CONNECTION, f"the answer was lost: {_plain(text)}")


def _never_sent(kind: FailureKind, message: str) -> Failure:
    return Failure(kind=kind, message=message)


def _perhaps_billed(kind: FailureKind, message: str) -> Failure:
    return Failure(kind=kind, message=message, maybe_billed=True)


def _plain(text: str) -> str:
    for sign, meaning in _PLAIN:
        if sign in text:
            return meaning
    system = _OF_THE_SYSTEM.search(text)
    if system is not None:
        return system[1]
    words = _LAST_WORD.findall(text)
    return words[-1] if words else "the reason is not known"
