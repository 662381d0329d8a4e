"""What every wire protocol offers the engine."""

from collections.abc import Generator, Sequence
from typing import Protocol

import httpx

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.output import Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.task import ModelChoice

Exchange = Generator[httpx.Request, httpx.Response, Reply | Failure]
"""One exchange: yields a request, is sent its response (read whole), returns what came of it.

It never raises for what a provider does: a strange response is a Failure. It can be driven by hand, with no
network and no event loop.
"""


class WireProtocol(Protocol):
    """A way to ask a provider's models."""

    def exchange(self, messages: Sequence[Message], choice: ModelChoice, output: Output) -> Exchange:
        """The exchange that asks one model once."""
        ...
