"""Whole batches at hosted tasks that tell of their runs' ends, with somebody who listens."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from tasks_lib.configs import Environment
from tasks_lib.domain.provider import Secret
from tasks_lib.domain.run import TaskRun
from tasks_lib.engine.run import Engine
from tasks_lib.engine.stop import Stop
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.steering import CrewHere
from tasks_lib.job.tally import Outcome
from tasks_lib.live.courier import Courier
from tasks_lib.live.hook_server import Came, HookServer
from tasks_lib.live.hooks import Hook, ParallelHook, WebagentHook
from tests import parallelserver, webagentserver
from tests.live.hook_senders import WHSEC, eventually

pytestmark = pytest.mark.anyio
ENDING = "Zm9yIHdlYmFnZW50IGFsb25l"
ROWS = 4
TASK = """\
task: told
output:
  schema:
    type: object
    properties: {{row_id: {{type: string}}}}
    required: [row_id]
    additionalProperties: false
user_prompt: "row_id: {{{{row_id}}}} {{{{text}}}}"
model: {model}
parameters: {parameters}
"""
JOB = """\
job: told
task: task.yaml
source: {path: rows.csv, key: id}
inputs: {row_id: id}
limits: {in_flight: 4}
ledger: ledger.duckdb
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Listened:
    """A port that hears notices, and what came of them."""

    port: int
    courier: Courier
    came: list[Came]

    @property
    def answers(self) -> Counter[tuple[str | None, int]]:
        return Counter((one.hook, one.status) for one in self.came)


@asynccontextmanager
async def listening(ledger: Path, secret: str = WHSEC) -> AsyncIterator[Listened]:
    came: list[Came] = []
    courier = Courier(ledger, say=lambda _: None)
    hooks: list[Hook] = [ParallelHook(Secret("A", secret)), WebagentHook(Secret("B", ENDING))]
    server = await HookServer.opened(hooks, host="127.0.0.1", port=0, offer=courier.offer, came=came.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        tasks.start_soon(courier.run)
        yield Listened(server.port, courier, came)
        tasks.cancel_scope.cancel()


def setup_in(folder: Path, *, model: str, parameters: str, **variables: str) -> Setup:
    (folder / "task.yaml").write_text(TASK.format(model=model, parameters=parameters), "utf-8")
    (folder / "job.yaml").write_text(JOB, "utf-8")
    (folder / "rows.csv").write_text(
        "id,text\n" + "".join(f"{number},words {number}\n" for number in range(ROWS)), "utf-8"
    )
    return load_setup(folder / "job.yaml", environment=Environment.of(variables, user="ada"))


async def test_webagents_notices_reach_the_batch(tmp_path: Path) -> None:
    """W09: each run's end is told by the server itself, and the batch that waits for it is told to look."""
    async with listening(tmp_path / "ledger.duckdb") as heard:
        with webagentserver.running_server(lat=200) as server:
            setup = setup_in(
                tmp_path,
                model="webagent:1",
                parameters=f"{{webhook_url: 'http://127.0.0.1:{heard.port}/hooks/webagent/{ENDING}'}}",
                WEBAGENT_BASE_URL=server.base_url(),
            )
            summary = await run_batch(setup)
            assert (summary.outcome, summary.reason, summary.completed) == (Outcome.COMPLETED, None, ROWS)
            await eventually(lambda: len(heard.came) == ROWS)
    assert heard.answers == {("webagent", 204): ROWS}
    assert heard.courier.carried.told == ROWS


@pytest.mark.parametrize("key", ["raw", "base64", "both"])
async def test_parallels_notices_reach_the_batch(tmp_path: Path, key: str) -> None:
    """P19, 6.22: signed with either key, told twice and forged once: each run is looked at once for it."""
    with parallelserver.running_server(wh_key=key, wh_dup=1, wh_bad=1, wh_delay_ms=50) as server:
        secret = str(server.config()["wh_secret"])
        async with listening(tmp_path / "ledger.duckdb", secret) as heard:
            setup = setup_in(
                tmp_path,
                model="parallel:core",
                parameters="{webhook: {event_types: [task_run.status], "
                f"url: 'http://127.0.0.1:{heard.port}/hooks/parallel'}}}}",
                PARALLEL_BASE_URL=server.base_url(),
                PARALLEL_API_KEY="not-a-key",
            )
            summary = await run_batch(setup)
            assert (summary.outcome, summary.reason, summary.completed) == (Outcome.COMPLETED, None, ROWS)

            await eventually(lambda: heard.answers == {("parallel", 204): 2 * ROWS, ("parallel", 401): ROWS})
            carried = heard.courier.carried
            await eventually(lambda: carried.told + carried.only_counted == ROWS)
            assert server.stats()["webhooks"].get("forged_and_taken", 0) == 0


async def test_news_wake_whoever_waits_in_this_process() -> None:
    """W09, P19: the engine's own pause ends when the batch is told, and ids that nobody knows do nothing."""
    engine = Engine(accounts={}, prices={}, record=record_nothing, stop=Stop())
    crew = CrewHere({}, engine)
    crew.news(["trun_0"])
    with engine.wakes.waiting("trun_1") as wake, anyio.fail_after(60):
        crew.news(["trun_2", "trun_1", ""])
        await wake.pause(3_600)


async def record_nothing(_: TaskRun) -> None:
    raise NotImplementedError
