"""Plans for Parallel, its answers as they were recorded, and a hand that drives an exchange through them."""

import orjson

from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.plan import Message, Plan
from tasks_lib.domain.provider import Provider, Secret, Timeouts
from tasks_lib.domain.task import Model, ModelChoice, Revision
from tasks_lib.domain.template import Template
from tasks_lib.providers.parallel import Parallel
from tasks_lib.providers.protocol import Accepted, Pause, Request, Response

KEY = "key-that-is-secret"
BASE = "https://api.parallel.test"
RUN_ID = "trun_9907962f83aa4d9d98fd7f4bf745d654"
SCHEMA = {
    "type": "object",
    "properties": {"gdp": {"type": "string", "description": "GDP in USD"}},
    "required": ["gdp"],
    "additionalProperties": False,
}
JSON = Output.of(Modality.JSON, SCHEMA)


def parallel(**timeouts):
    """The protocol with an account."""
    provider = Provider(
        name="parallel", protocol="parallel", base_url=BASE, timeouts=Timeouts(**timeouts), key="K"
    )
    return Parallel(provider, Secret("K", KEY))


def choice(processor="lite", **parameters):
    """A processor with parameters."""
    return ModelChoice(model=Model("parallel", processor), parameters=parameters)


def plan_of(*choices, output=JSON, text="France (2023)", system=None, **plan):
    """What is asked for one row, of one processor after the other."""
    choices = choices or (choice(),)
    revision = Revision(
        tag="v1", user_prompt=Template.parse("{{country}}"), models=tuple(choices), fingerprint="f"
    )
    messages = (Message(role="user", text=text),)
    if system is not None:
        messages = (Message(role="system", text=system), *messages)
    told = {
        "task_run_id": "018f-task-run",
        "row_key": "row-7",
        "row_number": 7,
        "submitted": {"country": text},
        "input_hash": "h",
        "identity": "0123456789abcdef0123456789abcdef",
        "revision": revision,
        "chosen_by": "only",
        "models": tuple(choices),
        "messages": messages,
        "output": output,
    }
    return Plan(**{**told, **plan})


def run_told(status="completed", **more):
    """A run as the API tells it."""
    return {
        "run_id": RUN_ID,
        "interaction_id": RUN_ID,
        "status": status,
        "is_active": status in ("queued", "running", "cancelling"),
        "warnings": None,
        "error": None,
        "processor": "lite",
        "metadata": {"row_key": "row-7"},
        "taskgroup_id": "tgrp_1",
        "created_at": "2026-11-20T10:00:00.000000Z",
        "modified_at": "2026-11-20T10:00:41.500000Z",
        **more,
    }


def response(told, status=200, **headers):
    """A response with this JSON."""
    return Response(status=status, headers=headers, body=orjson.dumps(told))


def refused(status, message="no", **headers):
    """An error in the API's envelope."""
    told = {"type": "error", "error": {"ref_id": "ref-1", "message": message, "detail": None}}
    return response(told, status, **headers)


QUEUED = response(run_told("queued"), 202)
DONE = response(run_told())


def found(content=None, *, confidence="high", run=None, **more):
    """The result of a run that completed."""
    content = {"gdp": "$3.1 trillion (2023)"} if content is None else content
    fields = content if isinstance(content, dict) else {"output": content}
    basis = [
        {
            "field": field,
            "reasoning": f"Why {field} is so.",
            "citations": [{"url": "https://example.org/1", "title": "One", "excerpts": ["a", "b"]}],
            "confidence": confidence,
        }
        for field in fields
    ]
    kind = "json" if isinstance(content, dict) else "text"
    output = {"type": kind, "content": content, "basis": basis, **more}
    return response({"run": run or run_told(), "output": output})


def drive(exchange, *responses):
    """What an exchange says in the end, with its requests, pauses and accepted ids in order."""
    left, steps = list(responses), []
    try:
        step = next(exchange)
        while True:
            steps.append(step)
            step = exchange.send(left.pop(0)) if isinstance(step, Request) else next(exchange)
    except StopIteration as end:
        assert not left, "all responses were asked for"
        return end.value, steps


def begun(*choices, parallel_=None, output=JSON, **plan):
    """The first request of a run."""
    planned = plan_of(*choices, output=output, **plan)
    return next((parallel_ or parallel()).run(planned, planned.models[0]))


def body_begun(*choices, output=JSON, **plan):
    """The JSON of that request."""
    return orjson.loads(begun(*choices, output=output, **plan).body)


def pauses(steps):
    """Seconds of the pauses among these steps."""
    return [step.seconds for step in steps if isinstance(step, Pause)]


def paths(steps):
    """Method and path of the requests among these steps."""
    return [f"{step.method} {step.url.removeprefix(BASE)}" for step in steps if isinstance(step, Request)]


def accepted(steps):
    """The ids that were told to be made durable."""
    return [step.remote_id for step in steps if isinstance(step, Accepted)]
