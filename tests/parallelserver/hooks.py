"""Webhooks out: signed as Standard Webhooks say, sent until they are taken, sometimes twice."""

import asyncio
import base64
import hashlib
import hmac
import time
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import orjson

from tests.parallelserver.chance import Chance
from tests.parallelserver.counts import Counts
from tests.parallelserver.settings import Settings

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_PATIENCE: Final = 15.0  # seconds for one delivery


class Hooks:
    """All webhooks under way."""

    def __init__(self, counts: Counts, chance: Chance) -> None:
        self._counts = counts
        self._chance = chance
        self._under_way: set[asyncio.Task[None]] = set()

    def tell(self, url: str, run: dict[str, Any], subject: str, settings: Settings) -> None:
        """Tell the URL that the run has ended."""
        hits = self._chance.hits
        self._counts.hooks["due"] += 1
        if hits(settings, settings.wh_lose, "wh_lose", subject):
            self._counts.hooks["lost"] += 1
            return
        body = orjson.dumps({"timestamp": run["modified_at"], "type": "task_run.status", "data": run})
        hook_id = f"whevent_{uuid4().hex}"
        if hits(settings, settings.wh_bad, "wh_bad", subject):
            self._begin(self._forged(url, hook_id, body, settings))
        times = 2 if hits(settings, settings.wh_dup, "wh_dup", subject) else 1
        self._counts.hooks["duplicates"] += times - 1
        for _ in range(times):
            self._begin(self._until_taken(url, hook_id, body, settings))

    def close(self) -> None:
        """Send nothing more."""
        for task in tuple(self._under_way):
            task.cancel()

    def _begin(self, sending: Any) -> None:
        task = asyncio.get_running_loop().create_task(sending)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _until_taken(self, url: str, hook_id: str, body: bytes, settings: Settings) -> None:
        wait = settings.wh_delay_ms / 1_000
        for number in range(settings.wh_tries):
            if number:
                await asyncio.sleep(wait)
                wait *= 2
            if await self._taken(url, hook_id, body, settings, settings.wh_secret):
                self._counts.hooks["taken"] += 1
                return
        self._counts.hooks["given_up"] += 1

    async def _forged(self, url: str, hook_id: str, body: bytes, settings: Settings) -> None:
        if await self._taken(url, hook_id, body, settings, "whsec_bm90IHRoZSBzZWNyZXQ="):
            self._counts.hooks["forged_and_taken"] += 1

    async def _taken(self, url: str, hook_id: str, body: bytes, settings: Settings, secret: str) -> bool:
        self._counts.hooks["sent"] += 1
        stamp = str(int(time.time() - settings.wh_old_s))
        signed = " ".join(f"v1,{one}" for one in signatures(hook_id, stamp, body, secret, settings.wh_key))
        lines = f"webhook-id: {hook_id}\r\nwebhook-timestamp: {stamp}\r\nwebhook-signature: {signed}\r\n"
        try:
            status = await asyncio.wait_for(_posted(url, lines, body), _PATIENCE)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            status = 0
        self._counts.hooks[f"answered_{status}"] += 1
        return 200 <= status < 300


def signatures(hook_id: str, stamp: str, body: bytes, secret: str, how: str) -> list[str]:
    """The signatures of a webhook with the secret's own bytes, with what it encodes, or with both."""
    keys = {"raw": secret.encode(), "base64": base64.b64decode(secret.removeprefix("whsec_") + "==")}
    chosen = keys.values() if how == "both" else [keys[how]]
    told = f"{hook_id}.{stamp}.".encode() + body
    return [base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode() for key in chosen]


async def _posted(url: str, lines: str, body: bytes) -> int:
    """The status that the URL answers; nothing but loopback is ever called.

    Raises:
        ValueError: The URL is not plain HTTP on loopback, or the answer is not HTTP.
        OSError: Nobody answers there.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
        raise ValueError("only plain HTTP on loopback is called")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n{lines}"
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(f"{head}{kind}".encode("latin-1") + body)
        await writer.drain()
        first = await reader.readuntil(b"\r\n")
        return int(first.split(b" ", 2)[1])
    except IndexError:
        raise ValueError("the answer is not HTTP") from None
    finally:
        writer.close()
