"""Two processes that lease calls: `python -m bench.lease_ends CALLS` prints what each end needs for one.

The driver has the gate; the worker is a child of it that makes so many calls, each of no time at all, over a
connection on loopback. Words go as the fleet sends them: all that there are, pickled in one frame.
"""

import argparse
import asyncio
import json
import pickle
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from time import process_time
from typing import Any

from bench.children import ROOT
from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.domain.usage import Usage
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.leased_gate import Lessee
from tasks_lib.engine.leases import Ask, Ended, Word
from tasks_lib.engine.lessor import Lessor

_LENGTH = struct.Struct("<I")
_REPLY = Reply(text="", usage=Usage(input_tokens=120, output_tokens=20))
_LIMITS = Limits(requests_per_minute=60_000_000, tokens_per_minute=10_000_000_000, in_flight=100_000)


class _Frames(asyncio.Protocol):
    """Batches of words, one frame for all that was said in one turn of the event loop."""

    def __init__(self, heed: Callable[[Any], None]) -> None:
        self._heed = heed
        self._said: list[Any] = []
        self._came = b""
        self.begins = asyncio.Event()
        self.ends = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.begins.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.ends.set()

    def say(self, word: Any) -> None:  # noqa: ANN401 - of either end
        if not self._said:
            asyncio.get_running_loop().call_soon(self._send)
        self._said.append(word)

    def data_received(self, data: bytes) -> None:
        came = self._came + data
        while len(came) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(came)
            end = _LENGTH.size + length
            if len(came) < end:
                break
            for word in pickle.loads(came[_LENGTH.size : end]):  # noqa: S301 - of our own child
                self._heed(word)
            came = came[end:]
        self._came = came

    def _send(self) -> None:
        data = pickle.dumps(self._said, protocol=5)
        self._said = []
        self._transport.write(_LENGTH.pack(len(data)) + data)


async def _work(port: int, calls: int, at_once: int) -> dict[str, float]:
    frames = _Frames(lambda answer: lessee.heed(answer))  # noqa: PLW0108 - each needs the other
    lessee = Lessee(["a"], frames.say, give_up=print, clock=time.monotonic)
    gate = lessee.gates["a"]
    await asyncio.get_running_loop().create_connection(lambda: frames, "127.0.0.1", port)
    left, waited = iter(range(calls)), 0.0

    async def row() -> None:
        nonlocal waited
        for _ in left:
            asked = time.monotonic()
            passed = await gate.enter(input_tokens=120.0, output_tokens=20.0)
            waited += time.monotonic() - asked
            gate.leave(passed, _REPLY, worked=0.0)

    began, cpu = time.perf_counter(), process_time()
    async with asyncio.TaskGroup() as rows:
        for _ in range(at_once):
            rows.create_task(row())
    return {
        "worker_us": (process_time() - cpu) / calls * 1e6,
        "calls_per_second": calls / (time.perf_counter() - began),
        "latency_ms": waited / calls * 1e3,
    }


async def _drive(calls: int, at_once: int) -> dict[str, float]:
    lessor = Lessor({"a": Gate(_LIMITS, now=0.0, clock=time.monotonic)}, clock=time.monotonic)
    frames = _Frames(lambda word: holder.heed(word))  # noqa: PLW0108 - as above
    holder = lessor.holder(lambda answer: frames.say(answer) if frames.begins.is_set() else None)
    server = await asyncio.get_running_loop().create_server(lambda: frames, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    letting = asyncio.create_task(lessor.run())
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.lease_ends", str(calls),
        "--at-once", str(at_once), "--worker-of", str(port),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await frames.begins.wait()
    cpu = process_time()
    out, _ = await child.communicate()
    found: dict[str, float] = json.loads(out)
    found["driver_us"] = (process_time() - cpu) / calls * 1e6
    letting.cancel()
    with suppress(asyncio.CancelledError):
        await letting
    server.close()
    found["driver_alone_us"] = _alone(calls)
    return found


def _alone(calls: int) -> float:
    """CPU of the driver's end alone, without any sending: to let a call in, and to end it."""
    lessor = Lessor({"a": Gate(_LIMITS, now=0.0, clock=time.monotonic)}, clock=time.monotonic)
    holder = lessor.holder(lambda _: None)
    words: list[Word] = []
    for number in range(calls):
        words.append(Ask(number, "a", 120.0, 20.0))
        words.append(Ended(number, made=True, usage=_REPLY.usage, worked=0.1))
    cpu = process_time()
    for word in words:
        holder.heed(word)
    return (process_time() - cpu) / calls * 1e6


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", type=int)
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--worker-of", type=int, metavar="PORT")
    given = parser.parse_args()
    if given.worker_of is None:
        print(json.dumps(asyncio.run(_drive(given.calls, given.at_once))))
    else:
        print(json.dumps(asyncio.run(_work(given.worker_of, given.calls, given.at_once))))


if __name__ == "__main__":
    _main()
