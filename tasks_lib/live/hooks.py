"""Notices of hosted runs, as they come: which are taken, and which run each is about.

Nothing in a notice is believed. A signed one (Parallel's) proves who sent it, an unsigned one (Webagent's)
only that the sender knows where to; either says no more than "look at this run now", and what became of the
run is asked of the API. So the worst that a notice can do is to have a run looked at that has no news.
"""

import re
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest
from time import time
from typing import Final, Protocol

import orjson
from standardwebhooks import Webhook, WebhookVerificationError

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.provider import Secret

TOLERANCE: Final = (
    300.0  # seconds by which a signature's time may differ from ours; the library keeps it, too
)
_SIGNED_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
_MOST_SIGNATURES: Final = 8  # one for each secret of the sender; while one is replaced there are two
_LONGEST_ID: Final = 256
_REMEMBERED: Final = 16_384  # notices; one that was forgotten and comes again costs a look
_REMOTE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_SECRET_PATH: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
_SHORTEST_KEY: Final = 16  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a notice: the status of the answer, why in words of ours, and the run to look at."""

    status: int
    why: str
    remote_id: str | None = None


class Hook(Protocol):
    """Where one sort of notices arrives."""

    @property
    def name(self) -> str:
        """Whose notices they are."""
        ...

    @property
    def shown_path(self) -> str:
        """Where they arrive, without what is secret of it."""
        ...

    @property
    def most_bytes(self) -> int:
        """Of a notice's body."""
        ...

    def is_at(self, path: str) -> bool:
        """Whether they arrive under this path."""
        ...

    def refusal(self, headers: Sequence[tuple[str, str]]) -> Verdict | None:
        """Why a notice with these headers (names in lower case) is not even read; None: it may be valid."""
        ...

    def judged(self, headers: Sequence[tuple[str, str]], body: bytes) -> Verdict:
        """What becomes of a notice that was read."""
        ...

    def passed_on(self, headers: Sequence[tuple[str, str]]) -> None:
        """The notice was taken: if it comes again, it is no news."""
        ...


class ParallelHook:
    """Parallel's notices: signed as Standard Webhooks are, and told until they are taken, maybe twice."""

    name: Final = "parallel"
    shown_path: Final = "/hooks/parallel"
    most_bytes: Final = 256 << 10  # of a run without its output

    def __init__(self, secret: Secret, *, remembered: int = _REMEMBERED) -> None:
        """Take notices that are signed with this secret.

        Its makers disagree on how it makes a key: its very characters, or what they are base64 of after
        `whsec_`. A signature by either is accepted.

        Raises:
            Mistake: the secret is too short to be one.
        """
        self._keys = tuple(map(Webhook, _keys_of(secret)))
        self._remembered = remembered
        self._known: OrderedDict[str, None] = OrderedDict()

    def is_at(self, path: str) -> bool:
        """See `Hook`."""
        return path == self.shown_path

    def refusal(self, headers: Sequence[tuple[str, str]]) -> Verdict | None:
        """See `Hook`."""
        told = _signed(headers)
        if told is None:
            return Verdict(status=400, why="it is not signed as Standard Webhooks are")
        if abs(time() - int(told["webhook-timestamp"])) > TOLERANCE:
            return Verdict(status=401, why="it was signed too long ago, or the clocks differ")
        return None

    def judged(self, headers: Sequence[tuple[str, str]], body: bytes) -> Verdict:
        """See `Hook`."""
        told = _signed(headers)
        if told is None or not self._is_signed(told, body):
            return Verdict(status=401, why="its signature is not by the secret")
        if told["webhook-id"] in self._known:
            return Verdict(status=204, why="it came before")
        match _json_of(body):
            case {"type": "task_run.status", "data": {"run_id": str(remote_id)}} if _REMOTE_ID.fullmatch(
                remote_id
            ):
                return Verdict(status=204, why="a run has news", remote_id=remote_id)
            case {"type": str(kind)} if kind != "task_run.status":
                return Verdict(status=204, why="it is about something else")
        return Verdict(status=400, why="it names no run")

    def passed_on(self, headers: Sequence[tuple[str, str]]) -> None:
        """See `Hook`."""
        told = _signed(headers)
        if told is None:
            return
        self._known[told["webhook-id"]] = None
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)

    def _is_signed(self, told: Mapping[str, str], body: bytes) -> bool:
        # one at a time: the library gives up at the first one that is no base64
        for signature in told["webhook-signature"].split()[:_MOST_SIGNATURES]:
            for key in self._keys:
                with suppress(WebhookVerificationError, ValueError):
                    key.verify(body, {**told, "webhook-signature": signature}, json_parse=False)
                    return True
        return False


class WebagentHook:
    """Webagent's notices: told once and unsigned, under a path that only the sender knows."""

    name: Final = "webagent"
    shown_path: Final = "/hooks/webagent/…"
    most_bytes: Final = 2 << 20  # all that a browser agent did

    def __init__(self, secret: Secret) -> None:
        """Take notices that come under /hooks/webagent/ and this.

        Raises:
            Mistake: it is too easily guessed, or cannot stand in a path.
        """
        if not _SECRET_PATH.fullmatch(secret.reveal()):
            raise Mistake(
                f"what {secret.name} holds is no secret path: 16 to 128 letters, digits, - or _ are "
                "expected, such as `openssl rand -hex 16` makes"
            )
        self._path = f"/hooks/webagent/{secret.reveal()}".encode()

    def is_at(self, path: str) -> bool:
        """See `Hook`."""
        return compare_digest(path.encode(), self._path)

    def refusal(self, headers: Sequence[tuple[str, str]]) -> Verdict | None:
        """See `Hook`."""
        del headers  # nothing in them is known of this sender
        return None

    def judged(self, headers: Sequence[tuple[str, str]], body: bytes) -> Verdict:
        """See `Hook`."""
        del headers
        match _json_of(body):
            # self-hosted servers count their runs, the hosted one gives text
            case {"task_run_id": int(remote_id) | str(remote_id)} | {"id": int(remote_id) | str(remote_id)}:
                if _REMOTE_ID.fullmatch(str(remote_id)) and not isinstance(remote_id, bool):
                    return Verdict(status=204, why="a run is said to have news", remote_id=str(remote_id))
        return Verdict(status=400, why="it names no run")

    def passed_on(self, headers: Sequence[tuple[str, str]]) -> None:
        """See `Hook`."""


def _keys_of(secret: Secret) -> list[bytes]:
    """What a signature may be made with."""
    text = secret.reveal()
    keys = [text.encode()]
    with suppress(ValueError):
        encoded = text.removeprefix("whsec_")
        keys.append(b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    keys = [key for key in keys if len(key) >= _SHORTEST_KEY]
    if not keys:
        raise Mistake(
            f"what {secret.name} holds is no signing secret: it has fewer than {_SHORTEST_KEY} bytes"
        )
    return keys


def _signed(headers: Sequence[tuple[str, str]]) -> dict[str, str] | None:
    """The headers of a signature; None where one is missing, comes twice, or cannot be."""
    told: dict[str, str] = {}
    for name, value in headers:
        if name in _SIGNED_HEADERS:
            if name in told or not value:
                return None
            told[name] = value
    if len(told) < len(_SIGNED_HEADERS) or len(told["webhook-id"]) > _LONGEST_ID:
        return None
    return told if _SECONDS.fullmatch(told["webhook-timestamp"]) else None


def _json_of(body: bytes) -> object:
    try:
        told: object = orjson.loads(body)
    except orjson.JSONDecodeError:  # bodies that are too deep among them
        return None
    return told
