"""A Prefect API to report to: the user's own, or one that lives as long as this process."""

import asyncio
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from typing import Any, Final, TypeVar

import anyio
from prefect import get_client
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from flows.settings import SERVER_DEFAULTS
from tasks_lib.domain.mistake import Mistake

_Told = TypeVar("_Told")
_REMEDY: Final = "Rows can be run without Prefect: add --no-prefect."
_PATIENCE: Final = 20.0  # seconds for an API that is said to be there
_PATIENCE_BEFORE: Final = 120.0  # seconds for what has to be known before a batch
_STARTED: Final[list["subprocess.Popen[Any]"]] = []  # by this process, at most one


def client_settings() -> Mapping[str, object]:
    """Prefect's settings for asking the API that was reached, where the user says nothing else.

    The waits double, and are waited for each thing that is to be told: its own five further tries hold a
    finished run for two minutes when the server has died. One that was started here does not come back.
    One that hangs is waited for each time; its own patience with an answer would be a minute.
    """
    return {"client.max_retries": 1 if _STARTED else 2, "api.request_timeout": 15.0}


def own_server_has_ended() -> bool:
    """Whether the server that was started for this process is there no more: nothing can be told to it."""
    return any(server.poll() is not None for server in _STARTED)


async def answered(asked: Awaitable[_Told]) -> _Told:
    """What Prefect says to a question without which a batch cannot begin; its client may try for long.

    Raises:
        Mistake: it does not answer.
    """
    try:
        with anyio.fail_after(_PATIENCE_BEFORE):
            return await asked
    except TimeoutError as trouble:
        raise Mistake(f"Prefect did not answer within {_PATIENCE_BEFORE:.0f} seconds.") from trouble


async def reach_api(say: Callable[[str], None]) -> None:
    """A Prefect API that answers; one of our own is started if none is configured, with a word of warning.

    Raises:
        Mistake: It does not answer, or did not start.
    """
    url = PREFECT_API_URL.value()
    if not url:
        with temporary_settings(set_defaults=SERVER_DEFAULTS):
            await _start_server(say)
            return
    trouble: Exception | None = None
    try:
        with anyio.fail_after(_PATIENCE):
            async with get_client() as client:
                trouble = await client.api_healthcheck()
    except Exception as error:  # noqa: BLE001  # certificates, redirects, a page in place of an API
        trouble = error
    if trouble is not None:
        raise Mistake(
            f"The Prefect API at {url} does not answer ({_named(trouble)}).\n"
            f"Start it (prefect server start), or unset PREFECT_API_URL. {_REMEDY}"
        )


async def _start_server(say: Callable[[str], None]) -> None:
    settings = get_current_settings().server.ephemeral
    if not settings.enabled:
        raise Mistake(
            "No Prefect API is configured, and PREFECT_SERVER_EPHEMERAL_ENABLED forbids to start one.\n"
            f"Set PREFECT_API_URL. {_REMEDY}"
        )
    say(
        "No Prefect API is configured: starting a server for this run, which takes 10 to 60 seconds "
        f"(at most {settings.startup_timeout_seconds}). --no-prefect runs without one."
    )
    try:
        await _in_thread(_start_unheeding)
    except Exception as error:
        raise Mistake(f"The Prefect server did not start ({_named(error)}). {_REMEDY}") from error


def _start_unheeding() -> None:
    """Start Prefect's own server such that Ctrl-C does not reach it.

    A terminal sends Ctrl-C to every process in it; the batch then drains, and its end is still to be told.
    What a thread does not heed, the processes that it starts do not heed.
    """
    # importing the server takes a second, which only those need to spend who have none
    from prefect.server.api.server import SubprocessASGIServer  # noqa: PLC0415

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    server = SubprocessASGIServer()  # the one that every client of this process will find
    server.start()
    if server.server_process is not None:
        _STARTED[:] = [server.server_process]


async def _in_thread(act: Callable[[], None]) -> None:
    """Run it in a thread that holds up nobody: not a waiter that is cancelled, nor the interpreter."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(trouble: BaseException | None) -> None:
        if done.done():
            return
        if trouble is None:
            done.set_result(None)
        else:
            done.set_exception(trouble)

    def run() -> None:
        trouble: BaseException | None = None
        try:
            act()
        except BaseException as error:  # noqa: BLE001  # it is raised where somebody waits
            trouble = error
        try:
            loop.call_soon_threadsafe(finish, trouble)
        except RuntimeError:  # the loop is closed: nobody waits
            return

    threading.Thread(target=copy_context().run, args=(run,), name="prefect-server-start", daemon=True).start()
    await done


def _named(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
