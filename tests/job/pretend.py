"""A provider behind httpx's transport seam, which counts what it was asked."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import orjson

from tasks_lib.configs import Environment
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.task import Model, ModelChoice, Revision, Task, fingerprint_of
from tasks_lib.domain.template import Template

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"sentiment": {"enum": ["positive", "negative"]}, "length": {"type": "integer"}},
    "required": ["sentiment", "length"],
    "additionalProperties": False,
}
ENVIRONMENT = Environment.of({"OPENAI_API_KEY": "not-a-key"}, user="ada")


def task(*, model: str = "openai:gpt-5-mini", parameters: Mapping[str, Any] | None = None) -> Task:
    """A task that asks for the sentiment of {{text}}."""
    output = Output.of(Modality.JSON, SCHEMA)
    models = (ModelChoice(model=Model.parse(model), parameters=parameters or {"max_tokens": 50}),)
    prompt = "Review: {{text}}"
    return Task(
        name="sentiment",
        output=output,
        revisions=(
            Revision(
                tag="v1",
                user_prompt=Template.parse(prompt),
                models=models,
                fingerprint=fingerprint_of(
                    system_prompt=None, user_prompt=prompt, models=models, output=output
                ),
            ),
        ),
    )


class Pretend:
    """Says that reviews with "good" in them are positive; `asked` holds the user messages in order."""

    def __init__(
        self, answer: Callable[[str], httpx.Response] | None = None, *, latency: float = 0.0
    ) -> None:
        self.asked: list[str] = []
        self.most_at_once = 0
        self._now = 0
        self._answer = answer or says
        self._latency = latency
        self.transport = httpx.MockTransport(self._handle)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        text = orjson.loads(request.content)["messages"][-1]["content"]
        self.asked.append(text)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(self._latency)
        self._now -= 1
        return self._answer(text)


def says(text: str) -> httpx.Response:
    """An answer as the protocol has it."""
    value = {"sentiment": "positive" if "good" in text else "negative", "length": len(text)}
    return completion(orjson.dumps(value).decode())


def completion(content: str) -> httpx.Response:
    """A chat completion of ten tokens in and five out."""
    return httpx.Response(
        200,
        json={
            "id": "chatcmpl-1",
            "model": "gpt-5-mini-2026",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        },
    )
