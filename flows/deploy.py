"""A job as a Prefect deployment: schedule, parameters, tags, a work pool, and automations that run it again.

The same name replaces what was deployed under it before. The job's file is read by each run, so that a change
in it needs no new deployment.

| what                       | by                                                                            |
|----------------------------|-------------------------------------------------------------------------------|
| one batch at a time for    | the ledger's own lock, which runs wait for; see `flows.turns`                 |
| each ledger                |                                                                               |
| a process that dies while  | the worker marks the flow run as Crashed; after 90 s an automation schedules  |
| its worker lives           | the same flow run again, which goes on with what is left                      |
| a machine that dies        | the flow run sends a heartbeat every 30 s; without one for 90 s the same      |
|                            | automation schedules it again                                                 |
| money that is spent        | the flow run is suspended and asks for more; see `flows.money`                |

Prefect's own retries of a flow are not used: they know a failed flow and not a dead one, and what failed in a
batch is asked again by the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from flows.enrich import enrich, parameters_of, secrets_among
from flows.history import AFTER_CRASH
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.stretches import Options

ENTRYPOINT: Final = "flows.enrich.enrich"  # a module's name: it is found wherever rowmill is installed
HEARTBEAT: Final = 30  # seconds; Prefect sends none more often
SILENCE: Final = 90  # seconds without one, after which a flow run counts as dead
SIGNS: Final = (  # of life, or of an end that is none of a crash: states, and the heartbeat
    *("heartbeat", "Scheduled", "Late", "Pending", "Submitting", "Running", "Retrying", "WaitingForLedger"),
    *("Completed", "CompletedWithFailures", "Failed", "TimedOut", "StoppedByLimit", "Refused", "TakenOver"),
    *("Cancelling", "Cancelled", "Skipped", "Suspended", "Paused", "Resuming", "AwaitingRetry", AFTER_CRASH),
)
WAITS: Final = 6 * 3_600  # seconds that a run waits for its ledger
_LEAST_EVERY: Final = timedelta(seconds=10)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A deployment as somebody wants it."""

    name: str
    job: Path  # absolute
    folder: Path  # in which it runs
    schedule: CronSchedule | IntervalSchedule | None
    pool: str = "rowmill"
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """What is read of it in Prefect."""
        return f"Asks about the rows of {self.job.name} that are new or changed; nothing is paid for twice."

    @property
    def job_variables(self) -> dict[str, Any]:
        """What the work pool adds to the process's environment; no secret is among it."""
        return {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT)}}

    @property
    def pull_steps(self) -> list[dict[str, Any]]:
        """What a worker does before it runs the flow."""
        return [{"prefect.deployments.steps.set_working_directory": {"directory": str(self.folder)}}]

    def as_yaml(self) -> dict[str, Any]:
        """The same as an entry under `deployments` of a prefect.yaml; automations are not part of it."""
        schedules: list[dict[str, Any]] = []
        if isinstance(self.schedule, CronSchedule):
            schedules = [{"cron": self.schedule.cron, "timezone": self.schedule.timezone}]
        elif self.schedule is not None:
            schedules = [{"interval": self.schedule.interval.total_seconds()}]
        return {
            "name": self.name,
            "description": self.description,
            "entrypoint": ENTRYPOINT,
            "parameters": dict(self.parameters),
            "tags": list(self.tags),
            "schedules": schedules,
            "pull": self.pull_steps,
            "work_pool": {"name": self.pool, "job_variables": self.job_variables},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What was made of it."""

    id: UUID
    replaced: str | None  # the job of a deployment that had the name before
    pool_made: bool
    pool_type: str
    automations: tuple[str, ...]


def wanted(
    job: Path,
    *,
    name: str,
    schedule: CronSchedule | IntervalSchedule | None,
    pool: str,
    tags: tuple[str, ...],
    overrides: Mapping[str, object],
    options: Options,
    ask_for_money: bool,
    crash_retries: int,
    report_folder: Path | None,
) -> Wanted:
    """The deployment of a job; relative paths are those of the working directory, now and at each run.

    Raises:
        Mistake: an address is a secret, which Prefect would keep and show.
    """
    for key in secrets_among(overrides):
        raise Mistake(
            f"{key}: this address is as good as a password, and Prefect would show it. "
            "Name it in the job's file."
        )
    plain = {key: value.resolve() if isinstance(value, Path) else value for key, value in overrides.items()}
    given = parameters_of(str(job.resolve()), overrides=plain, options=options)
    return Wanted(
        name=name,
        job=job.resolve(),
        folder=Path.cwd(),
        schedule=schedule,
        pool=pool,
        tags=tuple(dict.fromkeys(("rowmill", *tags))),
        parameters={
            **{key: value for key, value in given.items() if value not in (None, False)},
            "wait_for_ledger": WAITS,
            "on_money_limit": "ask" if ask_for_money else "stop",
            "crash_retries": crash_retries,
            **({"report_folder": str(report_folder.resolve())} if report_folder is not None else {}),
        },
    )


def schedule_of(
    *, cron: str | None, every: str | None, timezone: str | None
) -> CronSchedule | IntervalSchedule | None:
    """The schedule that is meant.

    Raises:
        Mistake: it is none.
    """
    if cron is not None and every is not None:
        raise Mistake("--cron and --every are two schedules; give one of the two.")
    if timezone is not None and cron is None:
        raise Mistake("--timezone says where --cron is meant, which is not given.")
    if cron is not None:
        try:
            return CronSchedule(cron=cron, timezone=timezone or "UTC")
        except ValidationError as error:
            wrong = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
            raise Mistake(
                f"--cron {cron!r}{f' --timezone {timezone}' if timezone else ''} is no schedule: {wrong}.\n"
                "It has five parts: minute, hour, day, month, weekday, such as '30 2 * * *'."
            ) from error
    return None if every is None else IntervalSchedule(interval=_interval(every))


async def deploy(wanted: Wanted) -> Deployed:
    """Make the work pool if there is none, and the deployment with its automations, or replace them."""
    async with get_client() as client:
        pool_type, pool_made = await _pool(client, wanted.pool)
        replaced = await _job_of(client, f"{enrich.name}/{wanted.name}")
        flow_id = await client.create_flow(enrich)
        schedules = (
            []
            if wanted.schedule is None
            else [DeploymentScheduleCreate(schedule=wanted.schedule, active=True)]
        )
        deployment_id = await client.create_deployment(
            flow_id,
            wanted.name,
            schedules=schedules,
            parameters=dict(wanted.parameters),
            description=wanted.description,
            work_pool_name=wanted.pool,
            tags=list(wanted.tags),
            entrypoint=ENTRYPOINT,
            pull_steps=wanted.pull_steps,
            job_variables=wanted.job_variables,
            parameter_openapi_schema=parameter_schema(enrich).model_dump_for_openapi(),
            enforce_parameter_schema=True,
        )
        automation = automation_of(wanted.name, deployment_id)
        if wanted.parameters.get("crash_retries"):
            await _put(client, automation)
            automations: tuple[str, ...] = (automation.name,)
        else:
            for known in await client.read_automations_by_name(automation.name):
                await client.delete_automation(known.id)
            automations = ()
    return Deployed(
        id=deployment_id,
        replaced=replaced,
        pool_made=pool_made,
        pool_type=pool_type,
        automations=automations,
    )


def automation_of(name: str, deployment_id: UUID) -> AutomationCore:
    """What has flow runs run again whose process or machine died.

    It is one automation and not two in a row: on SQLite two that look at the same event lock each other out.
    And it waits after a crash, since a worker reports one twice, the second time many seconds later.
    """
    return AutomationCore(
        name=f"rowmill: {name} goes on after a crash",
        description="A flow run that crashed, or sends no heartbeat any more, is run again and goes on.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat", "prefect.flow-run.Crashed"},
            expect={f"prefect.flow-run.{sign}" for sign in SIGNS},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(
                {
                    "prefect.resource.id": f"prefect.deployment.{deployment_id}",
                    "prefect.resource.role": "deployment",
                }
            ),
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(seconds=SILENCE),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.SCHEDULED, name=AFTER_CRASH, message="its process died: it is run again"
            )
        ],
    )


async def _pool(client: PrefectClient, name: str) -> tuple[str, bool]:
    """The type of a work pool, and whether it was made for this."""
    try:
        return (await client.read_work_pool(name)).type, False
    except ObjectNotFound:
        made = WorkPoolCreate(
            name=name, type="process", base_job_template=ProcessWorker.get_default_base_job_template()
        )
        return (await client.create_work_pool(made)).type, True


async def _job_of(client: PrefectClient, name: str) -> str | None:
    """The job of a deployment that there is."""
    try:
        found = await client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None
    return str(found.parameters.get("job"))


async def _put(client: PrefectClient, automation: AutomationCore) -> None:
    """Have the automation once, as it is now."""
    known = await client.read_automations_by_name(automation.name)
    if not known:
        await client.create_automation(automation)
        return
    await client.update_automation(known[0].id, automation)
    for twice in known[1:]:
        await client.delete_automation(twice.id)


def _interval(text: str) -> timedelta:
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is None or not number.isdigit() or not number.isascii():
        raise Mistake(f"--every {text!r} is no time between two runs. Write 30m, 6h or 1d.")
    interval = timedelta(**{unit: int(number)})
    if interval < _LEAST_EVERY:
        raise Mistake(f"--every {text!r} is less than {_LEAST_EVERY.seconds} seconds.")
    return interval
