"""Plans for browser agents, and exchanges with them driven by hand."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.output import Modality, Output, Reply
from tasks_lib.domain.plan import Message, Plan
from tasks_lib.domain.provider import Hosted, Provider, Secret
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.task import Model, ModelChoice, Revision
from tasks_lib.domain.template import Template
from tasks_lib.providers.protocol import Accepted, Pause, Request, Response
from tasks_lib.providers.webagent import Webagent

KEY = Secret("WEBAGENT_API_KEY", "wa-secret")
SCHEMA = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
AGENT = Model("webagent", "7")
TEXT = Output.of(Modality.TEXT)


def a_plan(
    text="Find the price.",
    *,
    asked: str | None = None,
    system: str | None = None,
    output: Output = TEXT,
    identity: str = "e" * 32,
    times_ended: int = 0,
    on_ambiguous: str = "retry",
    model: Model = AGENT,
    parameters: Mapping[str, Any] | None = None,
    **more: Any,
) -> Plan:
    """One row's; `asked` is the template where it is not the text. Parameters stand apart, or last."""
    choice = ModelChoice(model=model, parameters={**(parameters or {}), **more})
    revision = Revision(
        tag="v1",
        user_prompt=Template.parse(text if asked is None else asked),
        system_prompt=None if system is None else Template.parse(system),
        models=(choice,),
        fingerprint="f" * 32,
    )
    before = () if system is None else (Message(role="system", text=system),)
    return Plan(
        task_run_id="00000000-0000-4000-8000-000000000001",
        row_key="1",
        row_number=1,
        submitted={},
        input_hash="a" * 32,
        identity=identity,
        revision=revision,
        chosen_by="only",
        models=(choice,),
        messages=(*before, Message(role="user", text=text)),
        output=output,
        retries=Retries(on_ambiguous=on_ambiguous),
        times_ended=times_ended,
    )


def self_hosted(base_url: str = "http://agent.test:8080/", **pauses: float) -> Webagent:
    """The protocol as a server of one's own speaks it."""
    provider = Provider(
        name="webagent", protocol="webagent", base_url=base_url, hosted=Hosted(edition="self_hosted")
    )
    return Webagent(provider, None, **pauses)


def cloud(base_url: str = "https://cloud.test", **pauses: float) -> Webagent:
    """The protocol as the cloud speaks it."""
    provider = Provider(
        name="webagent", protocol="webagent", base_url=base_url, key=KEY.name, hosted=Hosted(edition="cloud")
    )
    return Webagent(provider, KEY, **pauses)


def said(body: object, *, status: int = 200, **headers: str) -> Response:
    """A response; bytes stand as they are."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=content,
    )


class Driven:
    """A run that is driven to its end with these responses, and what was seen on the way."""

    def __init__(
        self,
        protocol: Webagent,
        plan: Plan,
        responses: Iterable[Response],
        *,
        remote_id: str | None = None,
        lost: bool = False,
    ) -> None:
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self.accepted: list[str] = []
        self.outcome: Reply | Failure | None = None
        left = iter(responses)
        exchange = protocol.run(plan, plan.models[0], remote_id=remote_id, lost=lost)
        try:
            step = next(exchange)
            while True:
                if isinstance(step, Request):
                    self.requests.append(step)
                    step = exchange.send(next(left))
                    continue
                if isinstance(step, Accepted):
                    self.accepted.append(step.remote_id)
                elif isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                step = next(exchange)
        except StopIteration as end:
            self.outcome = end.value
        assert next(left, None) is None, "every response was asked for"

    @property
    def reply(self) -> Reply:
        assert isinstance(self.outcome, Reply), self.outcome
        return self.outcome

    @property
    def failure(self) -> Failure:
        assert isinstance(self.outcome, Failure), self.outcome
        return self.outcome

    @property
    def body(self) -> Any:
        """What the first request told."""
        return orjson.loads(self.requests[0].body)

    @property
    def addresses(self) -> list[str]:
        return [f"{request.method} {request.url}" for request in self.requests]


def row(**told: Any) -> dict[str, Any]:
    """A run as a self-hosted server's database has it; by default one that goes on."""
    return {
        "id": 12, "task_id": 7, "prompt": "Find the price.", "model": "o3", "provider": "openai",
        "webhook_url": None, "response_format": "text", "json_schema": None, "result": None, "is_done": False,
        "is_successful": None, "webhook_result_success": None, "webhook_result_status_code": None,
        "webhook_result_message": None, "steps": [], **told,
    }  # fmt: skip  # a list of names


STARTED = {"task_id": 7, "task_run_id": 12}
DONE = {"result": "9.50", "is_done": True, "is_successful": True}
