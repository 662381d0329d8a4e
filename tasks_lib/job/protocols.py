"""What speaks with a provider."""

from collections.abc import Callable, Mapping
from typing import Final

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.job.setup import LOCAL
from tasks_lib.providers.anthropic import Anthropic
from tasks_lib.providers.google import Google
from tasks_lib.providers.openai import OpenAI
from tasks_lib.providers.parallel import Parallel
from tasks_lib.providers.protocol import RunProtocol, WireProtocol
from tasks_lib.providers.rightbrain import Rightbrain
from tasks_lib.providers.webagent import Webagent

Client = tuple[Secret, Secret]
"""Id and secret of an OAuth client."""

_PROTOCOLS: Final[
    Mapping[str, Callable[[Provider, Secret | None, Client | None], WireProtocol | RunProtocol]]
] = {
    "openai": lambda provider, key, _: OpenAI(provider, key),
    "anthropic": lambda provider, key, _: Anthropic(provider, key),
    "google": lambda provider, key, _: Google(provider, key),
    LOCAL: lambda provider, key, _: OpenAI(provider, key),
    "parallel": lambda provider, key, _: Parallel(provider, key),
    "rightbrain": Rightbrain,
    "webagent": lambda provider, key, _: Webagent(provider, key),
}


def protocol_of(
    provider: Provider, key: Secret | None, client: Client | None = None
) -> WireProtocol | RunProtocol:
    """What speaks with this provider, with its key or, where tokens are had by OAuth, with a client.

    Raises:
        Mistake: what was told of the provider is not enough.
    """
    try:
        return _PROTOCOLS[provider.protocol](provider, key, client)
    except ValueError as error:
        raise Mistake(str(error)) from error
