"""What every wire protocol offers the engine, and what it is carried by."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Output, Reply
from tasks_lib.domain.plan import Message, Plan
from tasks_lib.domain.task import ModelChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request, whole; a dozen of httpx's cost as much as the call itself."""

    method: str
    url: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response, read to its end and unpacked."""

    status: int
    headers: Mapping[str, str]  # names in lower case; of a name that comes twice, the last value
    body: bytes | memoryview = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Seconds to wait before the exchange goes on: the provider is not done yet."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The provider took the work on under this id, by which it can be asked for after a crash."""

    remote_id: str


Step = Request | Pause | Accepted

Exchange = Generator[Step, Response, Reply | Failure]
"""One exchange: yields its steps, is sent the response of each request, returns what came of it.

After a Pause or an Accepted it is sent None (`next`), which says nothing. It never raises for what a provider
does: a strange response is a Failure. It can be driven by hand, with no network and no event loop.
"""


class WireProtocol(Protocol):
    """A way to ask a provider's models."""

    def exchange(
        self,
        messages: Sequence[Message],
        choice: ModelChoice,
        output: Output,
        *,
        idempotency_key: str | None = None,
        carried: Carried | None = None,
    ) -> Exchange:
        """The exchange that asks one model once.

        A provider that knows such keys answers a second request with the same one from the first, unpaid.
        What is carried is left out where the provider has no field for it.
        """
        ...


@runtime_checkable
class RunProtocol(Protocol):
    """A way to have a hosted task run: a row is a run there, which may take minutes."""

    def run(
        self, plan: Plan, choice: ModelChoice, *, remote_id: str | None = None, lost: bool = False
    ) -> Exchange:
        """The exchange that has one row run, to its end.

        It yields `Accepted` with the run's id before it waits for the run's end. With `remote_id` that run is
        taken up and none is begun. With `lost` one may have been begun for this row whose id never arrived:
        it is looked for, by the plan's identity or reference, before another is begun.
        """
        ...


class Transport(Protocol):
    """Carries requests to where their URLs say."""

    async def send(self, request: Request) -> Response | Failure:
        """The response, or what the network did to it; it never raises for either."""
        ...
