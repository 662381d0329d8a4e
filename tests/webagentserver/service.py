"""Who answers what: self-hosted below `/api`, the cloud at the root, and what a test asks beside them."""

import asyncio
import hashlib
from typing import Final

import orjson

from tests.rightbrainserver.control import Control, Customer
from tests.rightbrainserver.creating import Made
from tests.rightbrainserver.told import Told
from tests.rightbrainserver.wire import Reply, Request, said
from tests.webagentserver.cloud import Cloud
from tests.webagentserver.hosted import Hosted
from tests.webagentserver.refusals import Refused
from tests.webagentserver.settings import Settings
from tests.webagentserver.store import Store

_DEMO: Final = {"prompt": "Look at the shop. row_id: demo", "model": "o3", "provider": "openai"}


class Service:
    """Both editions, and the answer to every request."""

    def __init__(self, told: Told[Settings]) -> None:
        self._control = Control(told)
        self._running: set[asyncio.Task[Made]] = set()
        self._reads = 0
        self._forget()

    def _forget(self) -> None:
        self._hosted = Hosted(self._control, self._running, Store(lambda _, number: number))
        self._cloud = Cloud(self._control, self._running, Store(_long_id))
        self._hosted.store.add_task(_DEMO)
        self._cloud.store.add_task({**_DEMO, "model": "gpt-4.1"})

    async def __call__(self, request: Request) -> Reply:
        """The answer to a request."""
        aside = self._control.aside(request) or self._beside(request)
        if aside is not None:
            return aside
        try:
            customer = self._control.customer(request, request.headers.get("x-api-key", ""))
        except ValueError as wrong:
            return said(400, {"error": {"message": f"In the base URL: {wrong}."}})
        edition: Hosted | Cloud = self._hosted if request.path.startswith("/api/") else self._cloud
        counts, endpoint = self._control.counts, edition.endpoint(request)
        counts.call(endpoint)
        try:
            if request.method == "GET":
                await self._hinder_reading(customer, endpoint)
            reply = await edition.answer(request, customer, endpoint)
        except Refused as refused:
            reply = refused.reply()
        counts.answer(endpoint, reply.status)
        return reply

    async def _hinder_reading(self, customer: Customer[Settings], endpoint: str) -> None:
        self._reads += 1
        await asyncio.sleep(customer.told.own.read_ms / 1000)
        if customer.chance.fraction("read", endpoint, self._reads) < customer.told.own.read_fails:
            raise Refused(500, "Error while fetching run")

    def _beside(self, request: Request) -> Reply | None:
        match request.path:
            case "/stats/runs":
                return said(200, [*self._hosted.noted(), *self._cloud.noted()])
            case "/control/task":
                told = orjson.loads(request.body)
                store = self._cloud.store if told.pop("edition", "") == "cloud" else self._hosted.store
                try:
                    return said(200, {"id": store.add_task({**_DEMO, **told}).id})
                except TypeError as wrong:
                    return said(400, {"error": {"message": str(wrong)}})
            case "/control/forget":
                self._forget()
                return said(200, {"forgotten": True})
        return None


def _long_id(kind: str, number: int) -> str:
    return hashlib.md5(f"{kind}/{number}".encode(), usedforsecurity=False).hexdigest()[:24]
