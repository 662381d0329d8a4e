"""Opens the accounts that a batch calls: transports, gates, and the local model's servers."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from time import monotonic

import httpx

from tasks_lib.configs import oauth_for, route_for
from tasks_lib.domain.job import Limits
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.engine.adaptive import Adaptive
from tasks_lib.engine.admission import Admission
from tasks_lib.engine.attempt import Account
from tasks_lib.engine.border import OverHttpx
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.parallel_groups import GroupBook, ParallelGroups
from tasks_lib.engine.shared import NotShared, SharedAccount, join_account
from tasks_lib.engine.transport import PooledTransport
from tasks_lib.job.protocols import protocol_of
from tasks_lib.job.setup import LOCAL, Setup
from tasks_lib.local import LOCAL_BASE_URL, open_local
from tasks_lib.providers.protocol import Transport

PARALLEL = "parallel"  # the protocol whose runs are begun in groups
_UNCOMMITTED = 240  # rows that may wait for their commit beside those in flight; two groups and a bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which of several workers this is."""

    number: int  # from 0
    of: int

    def of_number(self, whole: int | None) -> int | None:
        """This one's part; all parts together make the whole, if it is no less than the workers are."""
        if whole is None:
            return None
        return max(1, whole * (self.number + 1) // self.of - whole * self.number // self.of)


@contextmanager
def open_gates(setup: Setup, *, warn: Callable[[str], None] | None = None) -> Iterator[Mapping[str, Gate]]:
    """The gates alone of all accounts that the job calls, at which others ask to be let in.

    Limits are kept together with other processes, as by `open_accounts`.
    """
    with ExitStack() as stack:
        gates: dict[str, Gate] = {}
        for name, key in setup.secrets().items():
            provider = setup.providers[name]
            shared = _shared(setup, provider, key, warn)
            if shared is not None:
                stack.callback(shared.close)
            gates[name] = _gate(limits_for(provider, setup.job.limits), shared)
        yield gates


@asynccontextmanager
async def open_accounts(
    setup: Setup,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    warn: Callable[[str], None] | None = None,
    part: Part | None = None,
    groups: GroupBook | None = None,
    gates: Mapping[str, Admission] | None = None,
) -> AsyncIterator[Mapping[str, Account]]:
    """The accounts of every provider that the job calls, by name; a transport given stands for all networks.

    Local servers are started here, and are gone on the way out. Limits are kept together with whatever other
    process of this user calls the same account; `warn` is told where they cannot be. One of several workers
    opens its part of them. `groups` remembers the groups that runs of hosted tasks are begun in. `gates` are
    open already, here or in another process, and have their limits.
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
            shared = None
            if transport is None and provider.protocol != LOCAL and gates is None:
                shared = _shared(setup, provider, key, warn)
                if shared is not None:
                    stack.callback(shared.close)
            limits = limits_for(provider, setup.job.limits, part)
            if provider.protocol == LOCAL and transport is None:
                local = await stack.enter_async_context(
                    open_local(
                        pool,
                        names=[model.name for model in setup.models if model.provider == name],
                        model_path=provider.model_path,
                        at_most=limits.in_flight,
                    )
                )
                pool = local.transport
                limits = replace(limits, in_flight=local.in_flight)
                provider = replace(provider, base_url=LOCAL_BASE_URL)
            if provider.protocol == PARALLEL:
                pool = await stack.enter_async_context(ParallelGroups(pool, provider=name, book=groups))
            accounts[name] = Account(
                provider=provider,
                protocol=protocol_of(provider, key, oauth_for(provider, setup.environment.variables)),
                transport=pool,
                gate=gates[name] if gates is not None else _gate(limits, shared),
            )
        yield accounts


def _gate(limits: Limits, shared: SharedAccount | None) -> Gate:
    """The gate of an account; how many calls may be in flight it finds out, unless it is told."""
    now = monotonic()  # which all processes of a machine have in common, and which is asyncio's own clock
    adaptive = Adaptive(now=now) if limits.in_flight is None else None
    return Gate(limits, now=now, adaptive=adaptive, shared=shared, clock=monotonic)


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


def rows_at_once(setup: Setup, accounts: Mapping[str, Account]) -> Callable[[], int]:
    """How many rows may be under way at any moment: as many as the accounts let in where rows begin.

    Where that many are yet to be found out, there are more by those that wait for their commit: else the gate
    would never be full, and nobody would learn that more may pass.
    """
    switch = setup.job.use_fallback_model
    begins = (0,) if switch is None else (1,) if switch.is_constant else (0, 1)
    revisions = (*setup.job.task.revisions, *setup.job.variants)
    chosen = [one.models[at] for one in revisions for at in begins if at < len(one.models)]
    first = {choice.model.provider for choice in chosen} or set(accounts)
    return _let_in_by(accounts[name].gate for name in first)


def rows_at_once_anywhere(accounts: Mapping[str, Account]) -> Callable[[], int]:
    """The same while a model is down: rows may be with any account."""
    return _let_in_by(account.gate for account in accounts.values())


def _let_in_by(some: Iterable[Admission]) -> Callable[[], int]:
    gates = tuple(some)
    if len(gates) == 1:  # this is asked for twice a row
        (gate,) = gates
        return lambda: gate.most_in_flight + (_UNCOMMITTED if gate.is_adaptive else 0)
    return lambda: sum(gate.most_in_flight + (_UNCOMMITTED if gate.is_adaptive else 0) for gate in gates)


def group_rows(rows_at_once: int) -> int:
    """Rows that are worth a commit: few enough that others are still under way while it is made."""
    return max(1, min(100, rows_at_once // 2))


def limits_for(provider: Provider, job: Limits, part: Part | None = None) -> Limits:
    """The tighter of the provider's and the job's limit, each for itself.

    One of several workers has its part of the calls in flight; all else they count together.
    """
    limits = Limits(
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
    return limits if part is None else replace(limits, in_flight=part.of_number(limits.in_flight))


def _tighter(one: int | None, other: int | None) -> int | None:
    given = [limit for limit in (one, other) if limit is not None]
    return min(given) if given else None
