"""Runs batches in a program of its own, as the command line would: one line of JSON for each step.

Prefect keeps its settings, its clients and its threads for as long as a process lives, so tests share none.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from time import monotonic
from typing import Any

import anyio

from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Summary, Tally

Json = dict[str, Any]


async def _flow(step: Json, tally: Tally, stop: Stop, said: list[str]) -> Summary:
    from flows.enrich import run_flow  # noqa: PLC0415  # some steps are to show what happens without it

    return await run_flow(
        Path(step["job"]),
        overrides=step.get("overrides"),
        options=Options(**step.get("options", {})),
        tally=tally,
        stop=stop,
        say=said.append,
    )


async def _direct(step: Json, tally: Tally, stop: Stop, said: list[str]) -> Summary:
    setup = load_setup(Path(step["job"]), overrides=step.get("overrides"), environment=Environment.from_os())
    return await run_batch(setup, options=Options(**step.get("options", {})), tally=tally, stop=stop)


async def _small_chunks(step: Json, tally: Tally, stop: Stop, said: list[str]) -> Summary:
    from flows.enrich import enrich  # noqa: PLC0415  # as above
    from flows.handed import HANDED, Handed  # noqa: PLC0415  # as above

    handed = Handed(tally=tally, stop=stop, chunk_rows=step["chunk_rows"])
    HANDED.set(handed)
    await enrich(job=step["job"])
    assert handed.summary is not None
    said.append(f"Prefect flow run {handed.flow_run} ended")
    return handed.summary


_WAYS: dict[str, Callable[[Json, Tally, Stop, list[str]], Awaitable[Summary]]] = {
    "flow": _flow,
    "direct": _direct,
    "small_chunks": _small_chunks,
}


async def _after(rows: int, tally: Tally, act: Callable[[], object]) -> None:
    while tally.settled < rows:  # noqa: ASYNC110  # the tally tells nobody when it changes
        await asyncio.sleep(0.005)
    act()


def _kill_ephemeral_server() -> None:
    from prefect.server.api.server import SubprocessASGIServer  # noqa: PLC0415  # as above

    process = SubprocessASGIServer().server_process
    assert process is not None
    process.kill()
    process.wait()


async def _within(scope: anyio.CancelScope, batch: Awaitable[Summary]) -> Summary | None:
    with scope:
        return await batch
    return None


async def _rowmill(step: Json) -> Json:
    """A command within this process, in a thread as it has a loop of its own: no imports once more."""
    from tasks_lib.cli import main as command  # noqa: PLC0415  # as above

    def run() -> Json:
        out, err, code = StringIO(), StringIO(), None
        with redirect_stdout(out), redirect_stderr(err):
            try:
                command(step["rowmill"])
            except SystemExit as end:
                code = end.code
        return {"code": code, "out": out.getvalue(), "err": err.getvalue()}

    os.environ.update(step.get("environ", {}))
    return await asyncio.to_thread(run)


async def _report(asked: Json) -> Json:
    from flows.report import report  # noqa: PLC0415  # as above

    state = await report(**asked, return_state=True)
    return {"state": state.name, "message": state.message}


async def _run(step: Json) -> Json:
    tally, stop, said, began = Tally(), Stop(), list[str](), monotonic()
    scope = anyio.CancelScope()
    batch = asyncio.ensure_future(_within(scope, _WAYS[step["way"]](step, tally, stop, said)))
    acts = {
        "stop_after": lambda: stop.call(Why.INTERRUPTED, "Ctrl-C was received"),
        "cancel_after": batch.cancel,
        "drop_after": scope.cancel,  # what a second Ctrl-C does
        "kill_server_after": _kill_ephemeral_server,
        "ctrl_c_after": lambda: os.killpg(0, signal.SIGINT),  # to all processes of the terminal, as it is
    }
    if "ctrl_c_after" in step:  # as the command line does
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, acts["stop_after"])
    beside = [
        asyncio.ensure_future(_after(step[name], tally, act)) for name, act in acts.items() if name in step
    ]
    told: Json = {}
    try:
        summary = await batch
        if summary is not None:
            told["summary"] = summary.as_json()
        told["dropped"] = scope.cancelled_caught
    except Mistake as mistake:
        told["mistake"] = str(mistake)
    except asyncio.CancelledError:
        told["cancelled"] = True
    for one in beside:
        one.cancel()
    return {**told, "said": said, "seconds": monotonic() - began, "prefect": "prefect" in sys.modules}


async def main() -> None:
    """Run the steps."""
    for step in json.loads(sys.argv[1]):
        if step["way"] == "rowmill":
            result = await _rowmill(step)
        else:
            result = await (_report(step["report"]) if step["way"] == "report" else _run(step))
        print(json.dumps(result), flush=True)  # noqa: T201  # it is what the test reads


if __name__ == "__main__":
    asyncio.run(main())
