"""Processes of this machine that work for a batch: how one is started, and how it is seen to its end."""

import socket
import sys
from collections.abc import Iterable, Mapping

import anyio
from anyio.abc import Process, UNIXSocketStream

from tasks_lib.job.workers.channel import Channel

_PATIENCE = 30.0  # seconds in which a process ends that was hung up on, or has said that it is done


async def started(variables: Mapping[str, str]) -> tuple[Process, Channel]:
    """A worker's process in an environment of these variables, and the channel to it.

    To be shielded: one that nobody knows of would be left running.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = await anyio.open_process(
            [sys.executable, "-m", "tasks_lib.job.workers.worker", str(theirs.fileno())],
            stdin=None,
            stdout=2,  # whatever a library has to say is not for the batch's own output
            stderr=None,
            pass_fds=(theirs.fileno(),),
            env=variables,
        )
    return process, Channel(await UNIXSocketStream.from_socket(ours))


async def ended(process: Process, *, within: float) -> int:
    """The exit code of a process that ends by itself within so many seconds, or else is killed."""
    with anyio.move_on_after(within):
        await process.wait()
    if process.returncode is None:
        process.kill()
    return await process.wait()


async def seen_to_their_ends(processes: Iterable[Process]) -> None:
    """Return once all of them have ended, those that take too long by force."""
    async with anyio.create_task_group() as ends:
        for process in processes:
            ends.start_soon(_seen_to_its_end, process)


async def _seen_to_its_end(process: Process) -> None:
    await ended(process, within=_PATIENCE)
