"""Deploys a job to Prefect, once it was found that it can be run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import yaml

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.figures import count
from tasks_lib.cli.words import fact, note, tell
from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.preflight import Preflight, preflight
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.ledger.errors import LedgerInUse

if TYPE_CHECKING:
    from flows.deploy import Deployed, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a job is to be deployed; None leaves it to the job."""

    name: str | None
    pool: str
    cron: str | None
    every: str | None
    timezone: str | None
    tags: tuple[str, ...]
    on_money_limit: str  # ask or stop
    crash_retries: int
    report_folder: Path | None


def deploy_job(
    path: Path,
    *,
    overrides: Mapping[str, object],
    options: Options,
    plan: Plan,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Check a job, deploy it, and say what to do next; a dry run deploys nothing.

    Raises:
        Mistake: the job cannot be run, the schedule is none, or Prefect does not answer.
    """
    # tasks_lib can be imported where there is no Prefect
    from flows.blocks import Found, block_of, with_blocks, with_stand_ins  # noqa: PLC0415
    from flows.deploy import deploy, schedule_of, wanted  # noqa: PLC0415
    from flows.server import reach_api  # noqa: PLC0415
    from flows.settings import api_configured  # noqa: PLC0415

    schedule = schedule_of(cron=plan.cron, every=plan.every, timezone=plan.timezone)
    environment = Environment.from_os()
    setup = load_setup(path, overrides=overrides, environment=environment)
    if not dry_run and not api_configured(environment):
        raise Mistake(
            "No Prefect API is configured, and a schedule needs one that goes on.\n"
            "Start one (prefect server start), and set PREFECT_API_URL to its address."
        )
    asked = wanted(
        path,
        name=plan.name or setup.job.name,
        schedule=schedule,
        pool=plan.pool,
        tags=plan.tags,
        overrides=overrides,
        options=options,
        ask_for_money=plan.on_money_limit == "ask",
        crash_retries=plan.crash_retries,
        report_folder=plan.report_folder,
    )

    async def look() -> Found:
        if dry_run:
            return Found.without_blocks(setup)
        await reach_api(note)
        return await with_blocks(setup)

    found = anyio.run(look)
    # keys may be known to the worker's machine alone, and ids among them are part of what is loaded
    checked = load_setup(path, overrides=overrides, environment=with_stand_ins(found))
    seen: Preflight | None = None
    try:
        seen = preflight(checked, options=options)
    except LedgerInUse as trouble:
        note(f"warning: which rows were answered before is not known now: {trouble}")
    for name in found.missing:
        note(
            f"warning: {name} is not set here, and "
            + (
                "blocks were not looked at"
                if dry_run
                else f"there is no Prefect Secret block {block_of(name)!r}"
            )
            + "; the worker's environment or such a block has to have it"
        )
    done = None if dry_run else anyio.run(deploy, asked)
    if as_json:
        tell(json_text(_as_json(asked, done, seen)))
        return
    _show(asked, done, seen)


def _show(asked: "Wanted", done: "Deployed | None", seen: Preflight | None) -> None:
    if done is None:
        tell("# An entry under `deployments:` of a prefect.yaml; nothing was deployed.")
        tell(yaml.safe_dump([asked.as_yaml()], sort_keys=False, allow_unicode=True).rstrip())
        return
    tell(f"enrich/{asked.name}: {'replaced' if done.replaced is not None else 'deployed'}")
    if done.replaced not in (None, str(asked.job)):
        note(f"warning: the name belonged to the job {done.replaced}; --name keeps them apart")
    if done.pool_type != "process":
        note(
            f"warning: the work pool {asked.pool} is of type {done.pool_type}: its runs need the job's files"
        )
    tell(fact("job", str(asked.job)))
    if seen is not None:
        tell(fact("rows", f"{count(seen.rows)} now, {count(seen.to_run)} of them to run"))
    tell(fact("schedule", _schedule(asked)))
    tell(fact("pool", f"{asked.pool}{' (made)' if done.pool_made else ''}"))
    tell(fact("crashes", f"run again {asked.parameters['crash_retries']} times at most"))
    tell(fact("money", "asks in Prefect for more" if _asks(asked) else "stops the run"))
    tell("")
    tell("Next:")
    tell(f"  prefect worker start --pool {asked.pool}")
    tell(f"  prefect deployment run enrich/{asked.name}")


def _schedule(asked: "Wanted") -> str:
    for schedule in asked.as_yaml()["schedules"]:
        if "cron" in schedule:
            return f"{schedule['cron']} ({schedule['timezone']})"
        return f"every {schedule['interval']:g} s"
    return "none"


def _asks(asked: "Wanted") -> bool:
    return bool(asked.parameters["on_money_limit"] == "ask")


def _as_json(asked: "Wanted", done: "Deployed | None", seen: Preflight | None) -> dict[str, object]:
    return {
        "deployment": f"enrich/{asked.name}",
        "id": str(done.id) if done is not None else None,
        "replaced": done.replaced if done is not None else None,
        "pool": asked.pool,
        "pool_made": done.pool_made if done is not None else False,
        "automations": list(done.automations) if done is not None else [],
        "rows": seen.rows if seen is not None else None,
        "to_run": seen.to_run if seen is not None else None,
        "prefect_yaml": asked.as_yaml(),
    }
