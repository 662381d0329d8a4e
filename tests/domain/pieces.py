"""Small tasks, plans and attempts, for tests to vary in what they are about."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from tasks_lib.domain.assignment import Assignment
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.labels import Labels
from tasks_lib.domain.output import Answer, Modality, Output
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.planner import Planner
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.row import Row
from tasks_lib.domain.run import Attempt
from tasks_lib.domain.task import Model, ModelChoice, Revision, Task, fingerprint_of
from tasks_lib.domain.template import Template

BIG, SMALL, OTHER = (Model.parse(name) for name in ("acme:big", "acme:small", "other:model"))
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TEXT = Output.of(Modality.TEXT)
ANSWERED = Answer(value="yes")


def choices(*models, **parameters):
    return tuple(ModelChoice(model=model, parameters=parameters) for model in models)


def revision(*models, prompt="Say {{text}}", system=None, weight=1.0, tag="v1", output=TEXT, **parameters):
    chosen = choices(*(models or (BIG,)), **parameters)
    return Revision(
        tag=tag,
        user_prompt=Template.parse(prompt),
        system_prompt=None if system is None else Template.parse(system),
        models=chosen,
        weight=weight,
        fingerprint=fingerprint_of(system_prompt=system, user_prompt=prompt, models=chosen, output=output),
    )


def task(*revisions, output=TEXT):
    return Task(name="echo", output=output, revisions=revisions or (revision(output=output),))


def planner(of=None, *, inputs=None, labels=None, retries=None, seed="seed", assignment=None):
    return Planner(
        task=of or task(),
        inputs={"text": "text"} if inputs is None else inputs,
        labels=labels or Labels(),
        retries=retries or Retries(),
        seed=seed,
        assignment=assignment or Assignment(),
    )


def row(number=1, **values):
    return Row(number=number, key=f"k{number}", values=values or {"text": f"row {number}"})


def plan(*models, number=1, output=TEXT, retries=None, problem=None, **parameters) -> Plan:
    whole = task(revision(*models, output=output, **parameters), output=output)
    maker = planner(whole, retries=retries)
    (charted,) = maker.charts(row(number))
    made = maker.plan(charted, task_run_id=f"run-{number}")
    return made if problem is None else replace(made, problem=problem)


def failed(kind, *, position=0, retry_after=None, message="", **more) -> Attempt:
    failure = Failure(kind=FailureKind(kind), message=message, retry_after=retry_after)
    return attempt(position=position, failure=failure, **more)


def answered(*, position=0, value="yes", **more) -> Attempt:
    return attempt(position=position, answer=Answer(value=value), **more)


def attempt(
    *, position=0, answer=None, failure=None, waited=0.0, worked=0.0, usage=None, prices=None, cost=Decimal(0)
) -> Attempt:
    return Attempt(
        position=position,
        model=(BIG, SMALL, OTHER)[position],
        started_at=NOON,
        waited=waited,
        worked=worked,
        answer=answer,
        failure=failure,
        usage=usage,
        prices=prices,
        cost=cost,
    )
