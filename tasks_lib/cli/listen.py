"""Listens for notices of hosted runs, and passes on to the batch which runs have news."""

import signal
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import TaskStatus

from tasks_lib.cli.figures import count
from tasks_lib.cli.places import nearby
from tasks_lib.cli.words import fact, note, tell, visible
from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.provider import Secret
from tasks_lib.live.courier import Courier
from tasks_lib.live.hook_server import Came, HookServer
from tasks_lib.live.hooks import Hook, ParallelHook, WebagentHook

PARALLEL_SECRET: Final = "PARALLEL_WEBHOOK_SECRET"  # noqa: S105 - the variable's name
WEBAGENT_PATH: Final = "WEBAGENT_HOOK_PATH"


def listen(
    ledger: Path, *, host: str, port: int, parallel_secret: str | None, webagent_path: str | None
) -> None:
    """Listen until Ctrl-C.

    Args:
        ledger: whose batch is told.
        host: the address to listen at.
        port: the port; 0 for any.
        parallel_secret: the variable with the secret that Parallel signs with.
        webagent_path: the variable with the path that Webagent's notices come under.

    Raises:
        Mistake: no secret is set, one cannot be one, or nobody can listen there.
    """
    hooks = _hooks(Environment.from_os().variables, parallel_secret, webagent_path)
    if not _is_loopback(host):
        note(
            f"warning: {visible(host)} may be reached from elsewhere, and what comes is not encrypted; "
            "better listen at 127.0.0.1, behind what ends TLS"
        )
    anyio.run(_listen, ledger, hooks, host, port)


def _hooks(variables: Mapping[str, str], parallel: str | None, webagent: str | None) -> list[Hook]:
    """A hook for each secret that is set; one whose variable was named must be."""
    hooks: list[Hook] = []
    if (secret := _secret(variables, parallel, usual=PARALLEL_SECRET)) is not None:
        hooks.append(ParallelHook(secret))
    if (secret := _secret(variables, webagent, usual=WEBAGENT_PATH)) is not None:
        hooks.append(WebagentHook(secret))
    if not hooks:
        raise Mistake(
            f"nobody could be believed: set {PARALLEL_SECRET} to the secret that Parallel signs its notices "
            f"with, or {WEBAGENT_PATH} to a path of your own for Webagent's, such as `openssl rand -hex 16` "
            "makes"
        )
    return hooks


def _secret(variables: Mapping[str, str], named: str | None, *, usual: str) -> Secret | None:
    name = named or usual
    value = variables.get(name, "").strip()
    if value:
        return Secret(name, value)
    if named is not None:
        raise Mistake(f"{named} is not set")
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _listen(ledger: Path, hooks: list[Hook], host: str, port: int) -> None:
    became: Counter[str] = Counter()

    def came(notice: Came) -> None:
        became["taken" if notice.status < 300 else "refused"] += 1
        _log(f"{notice.hook or '-'} {notice.status} {notice.why} ({count(notice.bytes)} bytes)")

    courier = Courier(ledger, say=_log)
    server = await HookServer.opened(hooks, host=host, port=port, offer=courier.offer, came=came)
    async with anyio.create_task_group() as tasks:
        await tasks.start(_end_at_a_signal, tasks.cancel_scope)
        tasks.start_soon(courier.run)
        tasks.start_soon(server.serve)
        shown = f"[{host}]" if ":" in host else host
        for hook in hooks:
            tell(fact(hook.name, f"http://{shown}:{server.port}{hook.shown_path}"))
        tell(fact("tells", f"the batch that runs on {nearby(ledger)}"))
        note("Ctrl-C ends it.")
    carried = courier.carried
    tell(
        f"{count(became['taken'])} notices were taken and {count(became['refused'])} refused; a batch was "
        f"told of {count(carried.told)} runs, and {count(carried.only_counted)} were only counted."
    )


async def _end_at_a_signal(
    scope: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """End it at the first signal that was not ignored when we were started, as nohup has SIGHUP ignored."""
    heeded = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    with anyio.open_signal_receiver(*heeded) as received:
        task_status.started()
        async for _ in received:
            scope.cancel()


def _log(text: str) -> None:
    note(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {visible(text)}")
