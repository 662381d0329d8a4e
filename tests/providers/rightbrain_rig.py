"""Plans for Rightbrain's tasks, its records as the pages have them, and exchanges driven by hand."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.output import Modality, Output, Reply
from tasks_lib.domain.plan import Message, Plan
from tasks_lib.domain.provider import Hosted, Provider, Secret
from tasks_lib.domain.remote import Remote
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.task import Model, ModelChoice, Revision
from tasks_lib.domain.template import Template
from tasks_lib.providers.protocol import Accepted, Exchange, Pause, Request, Response, Step
from tasks_lib.providers.rightbrain import Rightbrain

ORG = "0190a234-0000-7000-8000-00000000a001"
PROJECT = "0190a234-0000-7000-8000-00000000b001"
TASK = "0190a234-0000-7000-8000-00000000c001"
REVISION = "0190a234-0000-7000-8000-00000000d001"
RUN = "0190a234-0000-7000-8000-00000000e001"
OTHER_RUN = "0190a234-0000-7000-8000-00000000e002"
BASE = "https://app.example.com/api/v1"
RUNS = f"{BASE}/org/{ORG}/project/{PROJECT}/task/{TASK}/run"
KEY = Secret("RB_API_KEY", "rb-secret-key")
CLIENT = (Secret("RB_CLIENT_ID", "rowmill"), Secret("RB_CLIENT_SECRET", "s3cret/of+client"))
JSON, TEXT, IMAGE, PDF = (
    Output.of(one) for one in (Modality.JSON, Modality.TEXT, Modality.IMAGE, Modality.PDF)
)


def account(**hosted: Any) -> Provider:
    return Provider(
        name="rightbrain",
        protocol="rightbrain",
        base_url=BASE,
        hosted=Hosted(org_id=ORG, project_id=PROJECT, dollars_per_credit=Decimal("0.02"), **hosted),
    )


def protocol(*, client: bool = False, clock: Any = lambda: 0.0, **hosted: Any) -> Rightbrain:
    """The protocol of an account with a key, or with an OAuth client."""
    return Rightbrain(account(**hosted), None if client else KEY, CLIENT if client else None, clock=clock)


def a_plan(
    *,
    output: Output = JSON,
    submitted: Mapping[str, Any] | None = None,
    row_key: str = "r1",
    reference: str | None = "r1",
    group: str | None = None,
    context_id: str | None = None,
    times_ended: int = 0,
    chosen_by: str = "only",
    remote: Remote | None = None,
    files: tuple[Attachment, ...] = (),
    model: str = TASK,
    on_ambiguous: str = "retry",
    **parameters: Any,
) -> Plan:
    choice = ModelChoice(model=Model("rightbrain", model), parameters=parameters)
    revision = Revision(
        tag="v1", user_prompt=Template.parse("{{text}}"), models=(choice,), fingerprint="f" * 32
    )
    return Plan(
        task_run_id="00000000-0000-4000-8000-000000000001",
        row_key=row_key,
        row_number=1,
        submitted=submitted if submitted is not None else {"text": "Hello"},
        input_hash="a" * 32,
        identity="e" * 32,
        revision=revision,
        chosen_by=chosen_by,
        models=(choice,),
        messages=(Message(role="user", text="Hello", files=files),),
        output=output,
        reporting_group=group,
        reference=reference,
        context_id=context_id,
        times_ended=times_ended,
        remote=remote,
        retries=Retries(on_ambiguous=on_ambiguous),
    )


def record(**told: Any) -> dict[str, Any]:
    """A task run as the page has it, with other fields in place of some."""
    return {
        "task_id": TASK,
        "task_revision_id": REVISION,
        "response": {"label": "good"},
        "run_data": {"submitted": {"text": "Hello"}},
        "id": RUN,
        "created": "2026-11-22T03:04:05.678901",
        "input_tokens": 120,
        "output_tokens": 30,
        "total_tokens": 150,
        "input_processor_timing": 0.00015282,
        "llm_call_timing": 1.346,
        "charged_credits": "1.00",
        "files": [],
        "is_error": False,
        "llm_retries": 0,
        "used_fallback_model": False,
        "primary_failure_reason": None,
        "fallback_llm_model_id": None,
        "user_id": None,
        "reporting_group_id": None,
        "reference": "r1",
        "context_id": None,
        "reporting_group": None,
        **told,
    }


def said(told: Any, status: int = 200, **headers: str) -> Response:
    """A response; its names of headers have hyphens."""
    body = told if isinstance(told, bytes) else orjson.dumps(told)
    return Response(
        status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body
    )


def listed(*runs: Mapping[str, Any], cursor: str | None = None) -> Response:
    """A page of the list."""
    pagination = {"next_cursor": cursor, "has_next": cursor is not None, "page_limit": 100}
    return said({"results": list(runs), "pagination": pagination})


def driven(exchange: Exchange, *responses: Response) -> tuple[list[Step], Reply | Failure]:
    """All steps of an exchange whose requests are answered so, and what came of it."""
    steps: list[Step] = []
    waiting = list(responses)
    try:
        step = next(exchange)
        while True:
            steps.append(step)
            step = exchange.send(waiting.pop(0)) if isinstance(step, Request) else next(exchange)
    except StopIteration as end:
        assert not waiting, f"{len(waiting)} answers were not asked for"
        outcome: Reply | Failure = end.value
        return steps, outcome


def had(plan: Plan, *responses: Response, **how: Any) -> tuple[list[Step], Reply | Failure]:
    """The same of one row, on an account with a key."""
    return driven(protocol().run(plan, plan.models[0], **how), *responses)


def requests(steps: list[Step]) -> list[str]:
    """What was asked for, below the task's runs."""
    return [f"{one.method} {one.url.removeprefix(RUNS)}" for one in steps if isinstance(one, Request)]


def waits(steps: list[Step]) -> list[float]:
    return [step.seconds for step in steps if isinstance(step, Pause)]


def ids(steps: list[Step]) -> list[str]:
    return [step.remote_id for step in steps if isinstance(step, Accepted)]
