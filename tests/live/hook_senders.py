"""What is sent to a hook: notices as Parallel signs them, and whatever else can come in over a connection."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import time
from typing import Any

import anyio
import orjson

from tasks_lib.live.hook_server import Bounds, Came, HookServer, Offer
from tasks_lib.live.hooks import Hook

WHSEC = "whsec_" + b64encode(b"thirty-two bytes of a secret key").decode()
PLAIN = "a secret that is no base64 at all"


def key_of_text(secret: str) -> bytes:
    """As the documentation's samples make a key: the secret's very characters."""
    return secret.encode()


def key_of_base64(secret: str) -> bytes:
    """As the cookbook's samples make a key, and Standard Webhooks has it."""
    return b64decode(secret.removeprefix("whsec_"))


def signature(key: bytes, *, body: bytes, message_id: str, at: int) -> str:
    """One signature of a notice."""
    made = hmac.digest(key, f"{message_id}.{at}.".encode() + body, "sha256")
    return f"v1,{b64encode(made).decode()}"


def body_about(remote_id: str, *, kind: str = "task_run.status", **more: object) -> bytes:
    """A notice of Parallel's about a run."""
    run = {"run_id": remote_id, "status": "completed", "is_active": False, "processor": "base", **more}
    return orjson.dumps({"timestamp": "2026-11-22T08:00:00Z", "type": kind, "data": run})


def signed(
    body: bytes, *, key: bytes = key_of_text(WHSEC), message_id: str = "whevent_1", age: float = 0.0
) -> dict[str, str]:
    """The headers of a notice that was signed so many seconds ago."""
    at = int(time() - age)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": signature(key, body=body, message_id=message_id, at=at),
    }


def request(
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    *,
    method="POST",
) -> bytes:
    """A request, byte for byte."""
    told = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    lines = [f"{name}: {value}" for name, value in [("host", "hooks.test"), *told]]
    if not any(name == "transfer-encoding" for name, _ in told):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body


async def answer_to(port: int, *pieces: bytes) -> bytes:
    """All that is answered to what is sent, until it hangs up."""
    heard = bytearray()
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        try:
            for piece in pieces:
                await stream.send(piece)
            while True:
                heard += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return bytes(heard)


async def status_of(port: int, *pieces: bytes) -> int:
    """The status that is answered; 0: it hung up without a word."""
    answer = await answer_to(port, *pieces)
    return int(answer.split(b" ", 2)[1]) if answer else 0


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so; half a minute at most."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - it is another thread or process that makes it so
            await anyio.sleep(0.01)


@dataclass
class Heard:
    """What a server of hooks has heard."""

    port: int = 0
    runs: list[str] = field(default_factory=list)
    came: list[Came] = field(default_factory=list)
    room: int = 1_000

    def offer(self, remote_id: str) -> bool:
        if len(self.runs) >= self.room:
            return False
        self.runs.append(remote_id)
        return True

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Post a notice; gives the status."""
        return await status_of(self.port, request(path, body, headers or {}))

    async def tell(self, remote_id: str, **how: Any) -> int:
        """Post a notice of Parallel's about a run; gives the status."""
        body = body_about(remote_id)
        return await self.post("/hooks/parallel", body, signed(body, **how))


@asynccontextmanager
async def hearing(
    *hooks: Hook, bounds: Bounds | None = None, offer: Offer | None = None
) -> AsyncIterator[Heard]:
    """A server of these hooks on loopback."""
    heard = Heard()
    server = await HookServer.opened(
        hooks, host="127.0.0.1", port=0, offer=offer or heard.offer, came=heard.came.append, bounds=bounds
    )
    heard.port = server.port
    async with anyio.create_task_group() as serving:
        serving.start_soon(server.serve)
        try:
            with anyio.fail_after(60):
                yield heard
        finally:
            serving.cancel_scope.cancel()
