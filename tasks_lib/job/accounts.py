"""Opens the accounts that a batch calls: transports, gates, and the local model's servers."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import monotonic

import anyio
import httpx

from tasks_lib.configs import route_for
from tasks_lib.domain.job import Limits
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.engine.adaptive import Adaptive
from tasks_lib.engine.attempt import Account
from tasks_lib.engine.border import OverHttpx
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.shared import NotShared, SharedAccount, join_account
from tasks_lib.engine.transport import PooledTransport
from tasks_lib.job.checks import LOCAL
from tasks_lib.job.setup import Setup
from tasks_lib.local import LOCAL_BASE_URL, LocalTransport, local_model, local_servers
from tasks_lib.providers.openai import OpenAI
from tasks_lib.providers.protocol import Transport


@asynccontextmanager
async def open_accounts(
    setup: Setup,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    warn: Callable[[str], None] | None = None,
) -> AsyncIterator[Mapping[str, Account]]:
    """The accounts of every provider that the job calls, by name; a transport given stands for all networks.

    Local servers are started here, and are gone on the way out. Limits are kept together with whatever other
    process of this user calls the same account; `warn` is told where they cannot be.
    """
    secrets = setup.secrets()
    async with AsyncExitStack() as stack:
        accounts: dict[str, Account] = {}
        for name, key in secrets.items():
            provider = setup.providers[name]
            pool: Transport
            if transport is not None:
                pool = OverHttpx(transport, provider.timeouts)
            else:
                route = route_for(provider, setup.environment.variables)
                pool = await stack.enter_async_context(PooledTransport(provider.timeouts, route=route))
            limits = limits_for(provider, setup.job.limits)
            if provider.protocol == LOCAL and transport is None:
                model = next(model for model in setup.models if model.provider == name)
                servers = await stack.enter_async_context(
                    local_servers(
                        model=local_model(model.name, model_path=provider.model_path),
                        at_most=limits.in_flight,
                    )
                )
                pool = await stack.enter_async_context(LocalTransport(pool, servers))
                limits = replace(limits, in_flight=len(servers.urls))
                provider = replace(provider, base_url=LOCAL_BASE_URL)
            shared = None
            if transport is None and provider.protocol != LOCAL:
                shared = _shared(setup, provider, key, warn)
                if shared is not None:
                    stack.callback(shared.close)
            accounts[name] = Account(
                provider=provider,
                protocol=OpenAI(provider, key),
                transport=pool,
                gate=_gate(limits, shared),
            )
        yield accounts


def _gate(limits: Limits, shared: SharedAccount | None) -> Gate:
    """The gate of an account; how many calls may be in flight it finds out, unless it is told."""
    now = anyio.current_time() if shared is None else monotonic()  # processes have only the second in common
    adaptive = Adaptive(now=now) if limits.in_flight is None else None
    return Gate(limits, now=now, adaptive=adaptive, shared=shared)


def _shared(
    setup: Setup, provider: Provider, key: Secret | None, warn: Callable[[str], None] | None
) -> SharedAccount | None:
    folder = setup.environment.state_folder
    if folder is None:
        return None
    try:
        return join_account(folder, base_url=provider.base_url, key=key.reveal() if key else None)
    except NotShared as reason:
        if warn is not None:
            warn(f"{provider.name}: {reason}")
        return None


def limits_for(provider: Provider, job: Limits) -> Limits:
    """The tighter of the provider's and the job's limit, each for itself."""
    return Limits(
        requests_per_minute=_tighter(provider.limits.requests_per_minute, job.requests_per_minute),
        tokens_per_minute=_tighter(provider.limits.tokens_per_minute, job.tokens_per_minute),
        input_tokens_per_minute=_tighter(
            provider.limits.input_tokens_per_minute, job.input_tokens_per_minute
        ),
        output_tokens_per_minute=_tighter(
            provider.limits.output_tokens_per_minute, job.output_tokens_per_minute
        ),
        requests_per_day=_tighter(provider.limits.requests_per_day, job.requests_per_day),
        tokens_per_day=_tighter(provider.limits.tokens_per_day, job.tokens_per_day),
        in_flight=_tighter(provider.limits.in_flight, job.in_flight),
    )


def _tighter(one: int | None, other: int | None) -> int | None:
    given = [limit for limit in (one, other) if limit is not None]
    return min(given) if given else None
