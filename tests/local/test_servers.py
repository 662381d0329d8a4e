"""Servers start together, answer under a schema, and never outlive those who want them."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import jsonschema_rs
import pytest
from anyio.lowlevel import checkpoint

from tasks_lib.engine.border import OverHttpx
from tasks_lib.local import (
    LOCAL_BASE_URL,
    LocalModel,
    LocalServerFailed,
    LocalServers,
    LocalTransport,
    cores,
    local_servers,
)
from tasks_lib.providers.protocol import Request, Response
from tests.local.processes import all_gone, children_of, my_children, runs

pytestmark = [pytest.mark.anyio, pytest.mark.local_model]

ROOT = Path(__file__).parents[2]
SCHEMA = {
    "type": "object",
    "properties": {
        "person": {"type": "string", "minLength": 1, "maxLength": 40},
        "year": {"type": "string", "pattern": "^[0-9]{4}$"},
    },
    "required": ["person", "year"],
    "additionalProperties": False,
}
QUESTION = {
    "messages": [{"role": "user", "content": "Ada Lovelace was born in London in 1815. Who, and when?"}],
    "temperature": 0,
    "max_tokens": 60,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
}


@asynccontextmanager
async def asking(servers: LocalServers) -> AsyncIterator[Callable[[object], Awaitable[Response]]]:
    """Asks the servers a question over httpx's own connections, and gives what they respond."""
    async with httpx.AsyncHTTPTransport() as http, LocalTransport(OverHttpx(http), servers) as transport:

        async def ask(question: object) -> Response:
            body = json.dumps(question).encode()
            url = f"{LOCAL_BASE_URL}/chat/completions"
            headers = {"content-type": "application/json"}
            response = await transport.send(Request(method="POST", url=url, headers=headers, body=body))
            assert isinstance(response, Response), response
            return response

        yield ask


async def test_answers_meet_their_schema(model: LocalModel):
    """A real server answers as a schema says, and counts the tokens of prompt and answer."""
    async with (
        local_servers(model=model, at_most=1) as servers,
        asking(servers) as ask,
    ):
        response = await ask(QUESTION)
    body = json.loads(response.body)
    assert response.status == 200
    assert body["model"] == model.name
    assert body["choices"][0]["finish_reason"] == "stop"
    answer = json.loads(body["choices"][0]["message"]["content"])
    jsonschema_rs.validator_for(SCHEMA).validate(answer)
    assert body["usage"]["prompt_tokens"] > 0
    assert body["usage"]["completion_tokens"] > 0


async def test_nobody_else_may_ask(model: LocalModel):
    """Without the key, which no repr shows, a server answers nobody who finds its port."""
    async with local_servers(model=model, at_most=1) as servers, httpx.AsyncClient(timeout=60) as client:
        response = await client.post(f"{servers.urls[0]}/chat/completions", json=QUESTION)
        assert servers.key not in repr(servers)
    assert response.status_code == 401


async def test_a_prompt_too_long_is_a_400(model: LocalModel):
    """A prompt beyond the window is refused in so many words, and the server goes on."""
    async with (
        local_servers(model=model, at_most=1, context_tokens=256) as servers,
        asking(servers) as ask,
    ):
        long = {**QUESTION, "messages": [{"role": "user", "content": "word " * 400}]}
        refused = await ask(long)
        answered = await ask(QUESTION)
    assert refused.status == 400
    assert "context size (256 tokens)" in bytes(refused.body).decode()
    assert answered.status == 200


async def test_one_server_a_core(model: LocalModel):
    """There are as many servers as cores, on ports of their own, and none is left afterwards."""
    async with local_servers(model=model) as servers:
        started = my_children()
        assert len(started) == len(set(servers.urls)) == cores()
    assert not any(runs(pid) for pid in started)


async def test_a_failing_body_leaves_nothing(model: LocalModel):
    """An exception inside ends the servers and goes on as it was."""
    started: set[int] = set()
    with pytest.raises(LookupError, match="of the body"):  # noqa: PT012  the block is what is tested
        async with local_servers(model=model, at_most=1):
            started = my_children()
            raise LookupError("of the body")
    assert len(started) == 1
    assert not any(runs(pid) for pid in started)


async def test_a_cancelled_body_leaves_nothing(model: LocalModel):
    """Cancelling while a server is being asked ends the servers too."""
    started: set[int] = set()
    async with anyio.create_task_group() as tasks, local_servers(model=model, at_most=1) as servers:
        started = my_children()
        async with asking(servers) as ask:
            tasks.start_soon(ask, {**QUESTION, "max_tokens": 500})
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            await anyio.sleep_forever()
    assert len(started) == 1
    assert not any(runs(pid) for pid in started)


async def test_a_cancelled_start_leaves_nothing(model: LocalModel):
    """Cancelling while the servers load their model leaves no process."""
    started: set[int] = set()
    ready = False
    async with anyio.create_task_group() as tasks:

        async def start() -> None:
            nonlocal ready
            async with local_servers(model=model):
                ready = True

        tasks.start_soon(start)
        while len(started) < cores():
            await checkpoint()
            started |= my_children()
        tasks.cancel_scope.cancel()
    assert not ready
    assert not any(runs(pid) for pid in started)


async def test_a_killed_parent_takes_its_servers_along(model: LocalModel):
    """After a kill -9 of the parent, which can clean up nothing, its server ends by itself."""
    parent = await anyio.open_process([sys.executable, "-m", "tests.local.parent"], stderr=None, cwd=ROOT)
    async with parent:
        assert parent.stdout is not None
        await parent.stdout.receive()
        started = children_of(parent.pid)
        assert len(started) == 1
        parent.kill()
        await parent.wait()
        assert await all_gone(started)


async def test_servers_leave_interrupts_to_their_parent(model: LocalModel):
    """Ctrl-C and SIGTERM reach the whole process group, and yet the servers answer what is being drained."""
    async with (
        local_servers(model=model, at_most=1) as servers,
        asking(servers) as ask,
    ):
        (server,) = my_children()
        os.kill(server, signal.SIGINT)
        os.kill(server, signal.SIGTERM)
        response = await ask(QUESTION)
    assert response.status == 200


async def test_a_broken_model_says_why(model: LocalModel, tmp_path: Path):
    """A file that only begins like a model fails the start in the engine's own words; no process is left."""
    broken = tmp_path / "cut.gguf"
    with model.path.open("rb") as whole:
        broken.write_bytes(whole.read(100_000))
    with pytest.raises(
        LocalServerFailed, match=r"(?s)cut\.gguf ended before it was ready:.*failed to load model"
    ):
        async with local_servers(model=LocalModel(name="cut", path=broken)):
            pass
    assert my_children() == set()


async def test_a_slow_start_is_given_up(model: LocalModel):
    """A server that is not ready in time fails the start, and no process is left."""
    with pytest.raises(LocalServerFailed, match=r"was not ready after 0\.01 s"):
        async with local_servers(model=model, start_within=0.01):
            pass
    assert my_children() == set()


async def test_no_servers_are_no_servers(model: LocalModel):
    """Fewer than one server is a mistake of the caller's."""
    with pytest.raises(ValueError, match="at_most must be at least 1, not 0"):
        async with local_servers(model=model, at_most=0):
            pass
