"""Notices to a webhook: what ended is told, signed, again and again, and never in the way of a row.

What is told follows Standard Webhooks: `webhook-id`, `webhook-timestamp` and, with a secret,
`webhook-signature`; the body is `{"type", "timestamp", "data"}`. A receiver may get a notice twice and knows
it by its id. What became of every notice stands in the ledger's table `notices`.
"""

from base64 import b64decode
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import anyio
import httpx
import orjson
import uuid_utils
from anyio import to_thread

from tasks_lib.domain.chance import fraction
from tasks_lib.domain.job import Webhook
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.provider import Secret
from tasks_lib.job.causes import sole_cause
from tasks_lib.job.setup import Setup
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import Facts, Ledger, NoticeFact

BATCH_ENDED: Final = "batch.ended"
TASK_RUN_ENDED: Final = "task_run.ended"
_SENDERS: Final = 4
_SHORTEST_KEY: Final = 16  # bytes; the standard asks for 24, and services are known that give fewer
_TIMEOUT: Final = httpx.Timeout(10.0, connect=5.0)
_GONE: Final = 410  # the receiver wants no more of them
_NAMES: Final = (  # of a run's columns, which are told as they are
    "id",
    "task_revision_id",
    "revision_tag",
    "row_key",
    "row_number",
    "status",
    "is_error",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "reference",
    "reporting_group",
    "model",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How much is done for a notice."""

    tries: int = 6
    first_wait: float = 1.0  # seconds after the first try; it doubles
    most_waiting: int = 64 << 20  # bytes of notices that wait; those beyond are left out, which is told
    grace: float = 60.0  # seconds after the batch's end in which notices are still delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """A notice, as it will be sent each time."""

    id: str
    type: str
    task_run_id: str | None
    created_at: datetime
    body: bytes


class Notices:
    """The notices of one batch, on their way."""

    def __init__(
        self,
        webhook: Webhook,
        *,
        batch_id: str,
        ledger: Ledger,
        secret: Secret | None,
        patience: Patience,
    ) -> None:
        """Tell this address of this batch; signed, if there is a secret.

        Raises:
            Mistake: the secret cannot be one.
        """
        self._webhook = webhook
        self._batch_id = batch_id
        self._ledger = ledger
        self._patience = patience
        self._signature = _signer(webhook, secret)
        self._waiting: deque[_Told] = deque()
        self._bytes = 0
        self._left_out = 0
        self._outcomes: list[NoticeFact] = []
        self._closing = False
        self._gone = False

    def heard(self, facts: Facts) -> None:
        """Tell of the runs that were committed just now; may be called from any thread."""
        if TASK_RUN_ENDED not in self._webhook.events:
            return
        for run in facts.task_runs.to_pylist():
            self._add(TASK_RUN_ENDED, _run_told(run, batch_id=self._batch_id), task_run_id=run["id"])

    def ended(self, summary: Summary) -> None:
        """Tell that the batch is over."""
        if BATCH_ENDED in self._webhook.events:
            self._add(BATCH_ENDED, summary.as_json(), task_run_id=None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of all this was not delivered."""
        given_up = sum(outcome.delivered_at is None for outcome in self._outcomes)
        told = []
        if given_up:
            last = next(one for one in reversed(self._outcomes) if one.delivered_at is None)
            told.append(f"{given_up} notices to the webhook were not delivered ({last.error})")
        if self._left_out:
            told.append(f"{self._left_out} notices to the webhook were left out: too many were waiting")
        return tuple(told)

    async def deliver(self, client: httpx.AsyncClient) -> None:
        """Deliver what is told until `close` was called and nothing waits."""
        async with anyio.create_task_group() as senders:
            for _ in range(_SENDERS):
                senders.start_soon(self._send_all, client)

    def close(self) -> None:
        """Nothing more will be told."""
        self._closing = True

    async def record(self) -> None:
        """Write down what became of each notice, also of those that wait in vain."""
        for told in self._waiting:
            self._outcomes.append(self._fact(told, tries=0, error="there was no time left to send it"))
        self._waiting.clear()
        outcomes = self._outcomes
        await to_thread.run_sync(lambda: self._ledger.add_notices(outcomes, batch_id=self._batch_id))

    def _add(self, kind: str, data: Mapping[str, Any], *, task_run_id: str | None) -> None:
        if self._gone:
            return
        now = datetime.now(UTC)
        body = orjson.dumps({"type": kind, "timestamp": now.isoformat(), "data": data})
        if self._bytes + len(body) > self._patience.most_waiting and kind != BATCH_ENDED:
            self._left_out += 1
            return
        self._bytes += len(body)
        # a deque may be added to from one thread while another takes from it
        self._waiting.append(
            _Told(
                id=f"msg_{uuid_utils.uuid7().hex}",
                type=kind,
                task_run_id=task_run_id,
                created_at=now,
                body=body,
            )
        )

    async def _send_all(self, client: httpx.AsyncClient) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                await anyio.sleep(0.1)  # runs are committed by threads, which cannot wake this loop
                continue
            told = self._waiting.popleft()
            self._bytes -= len(told.body)
            self._outcomes.append(await self._sent(told, client))

    async def _sent(self, told: _Told, client: httpx.AsyncClient) -> NoticeFact:
        """What became of a notice after as many tries as it takes, or as there are."""
        status: int | None = None
        error = ""
        tries = 0
        try:
            while tries < self._patience.tries and not self._gone:
                if tries:
                    wait = self._patience.first_wait * 2 ** (tries - 1)
                    await anyio.sleep(wait * (0.5 + fraction(told.id, str(tries))))
                tries += 1
                status, error = await self._try(told, client)
                if not error:
                    return self._fact(told, tries=tries, status=status, delivered_at=datetime.now(UTC))
                if status == _GONE:
                    self._gone = True
        except anyio.get_cancelled_exc_class():
            self._outcomes.append(
                self._fact(told, tries=tries, status=status, error=error or "the batch was over")
            )
            raise
        return self._fact(told, tries=tries, status=status, error=error or "the receiver wants no more")

    async def _try(self, told: _Told, client: httpx.AsyncClient) -> tuple[int | None, str]:
        """The status of the answer, and what was wrong; nothing if it was delivered."""
        headers = {"content-type": "application/json", "user-agent": "rowmill", **self._signature(told)}
        try:
            response = await client.post(self._webhook.url, content=told.body, headers=headers)
        except httpx.HTTPError as error:
            return None, type(error).__name__  # whose words may hold the address, and that a secret
        if response.is_success:
            return response.status_code, ""
        return response.status_code, f"answered {response.status_code}"

    def _fact(
        self,
        told: _Told,
        *,
        tries: int,
        status: int | None = None,
        delivered_at: datetime | None = None,
        error: str | None = None,
    ) -> NoticeFact:
        return NoticeFact(
            id=told.id,
            task_run_id=told.task_run_id,
            type=told.type,
            url=origin_of(self._webhook.url),
            created_at=told.created_at,
            delivered_at=delivered_at,
            tries=tries,
            http_status=status,
            error=None if delivered_at is not None else error,
        )


@asynccontextmanager
async def telling(
    setup: Setup,
    *,
    batch_id: str,
    ledger: Ledger,
    warn: Callable[[str], None],
    transport: httpx.AsyncBaseTransport | None = None,
    patience: Patience | None = None,
) -> AsyncIterator[Notices | None]:
    """The notices of a batch while it runs, and for a while after; None if nobody is to be told.

    Raises:
        Mistake: the secret is not there, or cannot be one.
    """
    webhook = setup.job.webhook
    if webhook is None:
        yield None
        return
    patience = patience or Patience()
    notices = Notices(
        webhook, batch_id=batch_id, ledger=ledger, secret=webhook_secret(setup), patience=patience
    )
    ledger.listener = notices.heard
    try:
        async with (
            httpx.AsyncClient(transport=transport, timeout=_TIMEOUT) as client,
            anyio.create_task_group() as beside,
        ):
            beside.start_soon(notices.deliver, client)
            try:
                yield notices
            finally:
                notices.close()
                beside.cancel_scope.deadline = anyio.current_time() + patience.grace
    except BaseExceptionGroup as group:
        raise sole_cause(group) from None  # the batch's own; notices raise nothing
    finally:
        ledger.listener = None
        with anyio.CancelScope(shield=True):
            await notices.record()
        for warning in notices.warnings:
            warn(warning)


def webhook_secret(setup: Setup) -> Secret | None:
    """What notices are signed with; None if they are not.

    Raises:
        Mistake: the variable is not set, or holds no secret.
    """
    webhook = setup.job.webhook
    if webhook is None or webhook.secret is None:
        return None
    value = setup.environment.variables.get(webhook.secret, "").strip()
    if not value:
        raise Mistake(f"{webhook.secret} is not set, and notices to the webhook are to be signed with it")
    secret = Secret(webhook.secret, value)
    _signer(webhook, secret)
    return secret


def origin_of(url: str) -> str:
    """The address without its path, which is a secret with many services."""
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.netloc.decode()}/…"


def _signer(webhook: Webhook, secret: Secret | None) -> Callable[[_Told], dict[str, str]]:
    """What makes a notice's headers; the time of a signature is that of the try."""
    from standardwebhooks import Webhook as Signature  # noqa: PLC0415  # few want it, and it takes its time

    signature: Signature | None = None
    if secret is not None:
        try:
            key = b64decode(secret.reveal().removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if len(key) < _SHORTEST_KEY:
            raise Mistake(
                f"what {webhook.secret} holds is no signing secret: whsec_ and then base64 of at least "
                f"{_SHORTEST_KEY} bytes is expected"
            )
        signature = Signature(key)

    def headers(told: _Told) -> dict[str, str]:
        now = datetime.now(UTC)
        made = {"webhook-id": told.id, "webhook-timestamp": str(int(now.timestamp()))}
        if signature is not None:
            made["webhook-signature"] = signature.sign(told.id, now, told.body.decode())
        return made

    return headers


def _run_told(run: Mapping[str, Any], *, batch_id: str) -> dict[str, Any]:
    """A run in short, under the names of its record; amounts are text."""
    told = {name: run[name] for name in _NAMES}
    kind = run["error_kind"]
    return {
        **told,
        "batch_id": batch_id,
        "response": orjson.loads(run["response"]) if run["response"] is not None else None,
        "error": None if kind is None else {"kind": kind, "message": run["error"] or ""},
        "cost": None if run["cost"] is None else str(run["cost"]),
        "created": run["created_at"],
        "finished": run["modified_at"],
    }
