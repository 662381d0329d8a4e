"""One exchange over the network: drives a protocol's generator with a transport."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

import anyio
import httpx

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.output import Reply
from tasks_lib.engine.border import carried_by
from tasks_lib.engine.wakes import Wake
from tasks_lib.providers.protocol import Accepted, Exchange, Request, Response, Transport

Listen = Callable[[Mapping[str, str]], None]
"""Is told the headers of every response, names in lower case; they may say what is left of a limit."""


async def have(
    exchange: Exchange,
    transport: Transport | httpx.AsyncBaseTransport,
    *,
    listen: Listen | None = None,
    accepted: Callable[[str], Awaitable[None]] | None = None,
    wake: Wake | None = None,
) -> Reply | Failure:
    """What came of an exchange; what the network does to it is a Failure, too.

    `listen` hears of every response's headers before the protocol does. `accepted` makes the provider's id of
    the work durable; the exchange goes on when it has returned. With `wake`, a pause ends
    early when there are news of that work, unless it follows a refusal: who says to wait is not hurried.
    """
    send = carried_by(transport).send
    answered = refused = False
    try:
        step = next(exchange)
        while True:
            if isinstance(step, Request):
                response = await send(step)
                if isinstance(response, Failure):
                    # what was answered before is billed, whatever became of the rest
                    return replace(response, maybe_billed=True) if answered else response
                answered = answered or response.status == 200
                refused = response.status >= 300
                if listen is not None:
                    listen(response.headers)
                step = exchange.send(response if response.status == 200 else _dated(response))
            elif isinstance(step, Accepted):
                if wake is not None:
                    wake.known_as(step.remote_id)
                if accepted is not None:
                    await accepted(step.remote_id)
                step = next(exchange)
            else:
                await (anyio.sleep if wake is None or refused else wake.pause)(step.seconds)
                step = next(exchange)
    except StopIteration as end:
        outcome: Reply | Failure = end.value
        return outcome
    finally:
        exchange.close()


def _dated(response: Response) -> Response:
    """The response with a date, since Retry-After may be measured by it."""
    if "date" in response.headers:
        return response
    now = format_datetime(datetime.now(UTC), usegmt=True)
    return replace(response, headers={**response.headers, "date": now})
