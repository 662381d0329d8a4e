"""Requests to `rowmill.local` go to whichever local server is free, one at a time to each, or to a voice."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final, Self

import anyio
from anyio import to_thread

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.local.drawing import drawn
from tasks_lib.local.endpoints import is_for_speech, picture_made, refused, spoken
from tasks_lib.local.pictures import (
    file_type_asked,
    for_a_scene,
    is_for_a_changed_picture,
    is_for_a_picture,
    scene_told,
)
from tasks_lib.local.servers import LocalServers
from tasks_lib.local.speech import Voice
from tasks_lib.providers.protocol import Request, Response, Transport

LOCAL_HOST: Final = "rowmill.local"
LOCAL_BASE_URL: Final = f"http://{LOCAL_HOST}/v1"
_LOCAL: Final = f"http://{LOCAL_HOST}/"


class LocalTransport:
    """Another transport, plus the host `rowmill.local`, where requests wait, first come, first served.

    An answer is read to its end before its server gets the next request. A server that no longer accepts
    connections is not asked again; when none is left every request to the host fails as unconnected. Pictures
    are drawn here, from scenes that a server tells; speech comes from the speaker.
    """

    def __init__(
        self, inner: Transport, servers: LocalServers | None, *, speaker: Voice | None = None
    ) -> None:
        """Stand before another transport, which stays its owner's to close."""
        self._inner = inner
        self._speaker = speaker
        urls = servers.urls if servers is not None else ()
        self._key = servers.key if servers is not None else ""
        self._alive = len(urls)
        self._put_back, self._free = anyio.create_memory_object_stream[str](len(urls))
        for url in urls:
            self._put_back.send_nowait(_origin(url))
        if not urls:
            self._put_back.close()

    async def send(self, request: Request) -> Response | Failure:
        """The answer of a local server or of the speaker, or of the other transport for any other host."""
        if not request.url.startswith(_LOCAL):
            return await self._inner.send(request)
        if is_for_speech(request):
            return await spoken(request, self._speaker)
        if is_for_a_changed_picture(request):
            return refused(400, "a local model's pictures are made from text, and files came with it")
        if is_for_a_picture(request):
            return await self._drawn(request)
        return await self._written(request)

    async def _drawn(self, request: Request) -> Response | Failure:
        try:
            file_type = file_type_asked(request)
        except ValueError as unfit:
            return refused(400, str(unfit))
        answer = await self._written(for_a_scene(request))
        if isinstance(answer, Failure) or answer.status != 200:
            return answer
        try:
            scene, usage = scene_told(answer)
        except ValueError as nothing:
            return refused(422, str(nothing), code="json_validate_failed")  # asked again otherwise
        picture = await to_thread.run_sync(partial(drawn, scene, file_type=file_type))
        return picture_made(picture, scene=scene, file_type=file_type, usage=usage)

    async def _written(self, request: Request) -> Response | Failure:
        try:
            server = await self._free.receive()
        except anyio.EndOfStream:
            return Failure(kind=FailureKind.CONNECTION, message="every local model server has ended")
        try:
            answer = await self._inner.send(self._addressed_to(server, request))
        except BaseException:
            self._give_back(server)
            raise
        if isinstance(answer, Failure) and answer.kind is FailureKind.CONNECTION and not answer.maybe_billed:
            self._retire()  # nobody listens there any more
        else:
            self._give_back(server)
        return answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._put_back.close()
        self._free.close()

    def _give_back(self, server: str) -> None:
        # Closed already when a request is cancelled by the end of everything: then nobody waits for it.
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._put_back.send_nowait(server)

    def _retire(self) -> None:
        self._alive -= 1
        if not self._alive:
            self._put_back.close()  # which wakes all who wait

    def _addressed_to(self, server: str, request: Request) -> Request:
        return replace(
            request,
            url=server + request.url.removeprefix(_LOCAL),
            headers={**request.headers, "authorization": f"Bearer {self._key}"},
        )


def _origin(url: str) -> str:
    """What stands before the path: `http://127.0.0.1:8080/`."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/"
