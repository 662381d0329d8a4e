"""The flow `enrich`: a job file -> chunks of rows -> ledger -> artifacts."""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, Literal

import duckdb
import orjson
from prefect import State, flow, get_run_logger
from prefect.exceptions import PrefectSignal
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.settings import temporary_settings

from flows.artifacts import asked_of, show_end
from flows.blocks import naming_both_places, with_blocks
from flows.costs import tables_of
from flows.events import tell_ended, tell_failed
from flows.handed import HANDED, Handed
from flows.history import HadEnded, history_of
from flows.money import money_given, suspend_for_money
from flows.report import DEFAULT_REPORTS, write_reports
from flows.server import answered, client_settings, own_server_has_ended, reach_api
from flows.settings import says_how_to_log
from flows.spread import check_spread
from flows.states import crashed_too_often, skipped, state_of, state_of_mistake
from flows.turns import OneWaits
from flows.within import Carried, CrashedTooOften, Turn, carry_out, flow_run, tell_cancelled
from flows.words import told
from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.place import shown_setting
from tasks_lib.engine.stop import Stop
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary, Tally

# overrides that have a parameter of their own
_NAMED: Final = (
    *("input", "output", "ledger", "reporting_group"),
    *("workers", "runner", "runner_address", "listen", "tickets"),
)


@flow(name="enrich", retries=0, persist_result=False, log_prints=False)
async def enrich(
    job: str,
    input: str | None = None,  # noqa: A002  # the name of the command line's flag
    output: str | None = None,
    ledger: str | None = None,
    reporting_group: str | None = None,
    workers: int | None = None,
    runner: Literal["dask", "ray", "hand"] | None = None,
    runner_address: str | None = None,
    listen: str | None = None,
    tickets: str | None = None,
    limit: int | None = None,
    overrides: dict[str, Any] | None = None,
    force: bool = False,
    retry_failed: bool = False,
    retry_poisoned: bool = False,
    wait_for_ledger: int = 0,
    on_money_limit: Literal["stop", "ask"] = "stop",
    answer_within: int = 604_800,
    crash_retries: int = 0,
    report_folder: str | None = None,
) -> State[dict[str, object]]:
    """Run a job: every row of its source that was not answered yet.

    Args:
        job: Path of the job file.
        input: A source file in place of the job's.
        output: A destination in place of the job's.
        ledger: A ledger in place of the job's.
        reporting_group: To whose account all rows go, in place of the job's.
        workers: How many processes make the calls, in place of the job's.
        runner: What starts them elsewhere, in place of the job's: dask, ray or hand.
        runner_address: The address of the cluster, in place of the job's.
        listen: Where such workers call in, HOST[:PORT], in place of the job's.
        tickets: The folder for tickets of workers that are started by hand, in place of the job's.
        limit: Only the first so many rows.
        overrides: Keys of the job file and their values in place of its own, such as
            {"limits.max_cost": 5, "source.key": "id"}.
        force: Ask again what was answered before.
        retry_failed: Ask only the rows that failed before.
        retry_poisoned: Ask rows again, too, that were set aside for killing the process.
        wait_for_ledger: Seconds to wait while another run has the ledger.
        on_money_limit: What follows when limits.max_cost is spent: stop, or suspend the flow run and ask in
            Prefect for more. A flow run without a deployment stops.
        answer_within: Seconds that it stays suspended.
        crash_retries: How often a flow run goes on that an automation runs again since it had crashed.
        report_folder: Where to write a page and CSV files about the ledger when the batch is over.

    Returns:
        The flow run's end state, which tells how the batch ended; see `flows.states`.
    """
    handed = HANDED.get() or Handed()
    handed.begun = True
    run = flow_run()
    handed.flow_run = run.name
    named = {
        "input": input,
        "output": output,
        "ledger": ledger,
        "reporting_group": reporting_group,
        "workers": workers,
        "runner": runner,
        "runner_address": runner_address,
        "listen": listen,
        "tickets": tickets,
    }
    given = {name: value for name, value in named.items() if value is not None}
    options = Options(limit=limit, force=force, retry_failed=retry_failed, retry_poisoned=retry_poisoned)
    setup: Setup | None = None
    try:
        history = await answered(history_of(run))
        history.check()
        setup, missing = await _setup_of(
            Path(job), overrides={**(overrides or {}), **given, **handed.unshown}
        )
        turn = Turn(
            state=history.state,
            crash_retries=crash_retries,
            waits=wait_for_ledger,
            same=_same(job, overrides=overrides, given=given, options=options),
            given=await answered(money_given(turns=history.suspensions, flow_run_id=run.id)),
        )
        try:
            carried = await carry_out(setup, options=options, handed=handed, turn=turn)
        except Mistake as mistake:
            raise naming_both_places(mistake, missing) from mistake
    except HadEnded as over:
        get_run_logger().warning("It had ended as %s before, and is not run again", over.state.name)
        return over.state
    except OneWaits:
        return skipped()
    except CrashedTooOften as crashed:
        crashed.seat.over()
        return crashed_too_often(crashed.times)
    except Mistake as mistake:
        handed.error = mistake
        tell_failed(
            setup.job if setup is not None else None, flow_run_id=str(run.id), batch_id=handed.tally.batch_id
        )
        return state_of_mistake(mistake, handed.tally)
    except Exception as error:
        handed.error = error
        raise
    except asyncio.CancelledError as cancelled:
        handed.cancelled = cancelled
        await tell_cancelled(handed.tally)
        raise
    handed.summary = summary = carried.summary
    if own_server_has_ended():
        raise ConnectionError("the Prefect server that was started for this run has ended")
    waits = carried.wants_money and on_money_limit == "ask" and run.deployment_id is not None
    await _show(setup, carried, waits_for_money=waits)
    if report_folder is not None:
        await _report(summary, Path(report_folder))
    if waits:
        await _ask_for_money(
            setup, carried, turn=turn, asked_before=history.suspensions, within=answer_within
        )
    if carried.seat is not None:
        carried.seat.over()
    return state_of(summary)


async def _report(summary: Summary, folder: Path) -> None:
    """Write the report; the batch has ended as it has, whether or not that can be done."""
    try:
        await write_reports(summary.ledger, DEFAULT_REPORTS, folder=folder)
    except (Mistake, duckdb.Error) as trouble:  # such as another batch that has taken the ledger already
        get_run_logger().warning("The report was not written: %s", trouble)


async def _ask_for_money(
    setup: Setup, carried: Carried, *, turn: Turn, asked_before: int, within: int
) -> None:
    """Suspend the flow run, which ends this process's part; returns if Prefect does not take it."""
    if carried.seat is not None:
        carried.seat.rest()
    allowed = (setup.job.limits.max_cost or Decimal(0)) + turn.given
    asked = suspend_for_money(carried.summary, allowed=allowed, turn=asked_before + 1, within=within)
    try:
        await answered(asked)
    except Mistake as trouble:
        get_run_logger().warning("It was not asked for more money: %s", trouble)


async def _setup_of(path: Path, *, overrides: Mapping[str, object]) -> tuple[Setup, tuple[str, ...]]:
    """The job with the secrets that it needs, from the environment or Prefect; and which are in neither."""
    setup = load_setup(path, overrides=overrides, environment=Environment.from_os())
    found = await answered(with_blocks(setup))
    if found.in_blocks:  # ids in them are part of what is loaded
        setup = load_setup(path, overrides=overrides, environment=found.environment)
        get_run_logger().info("From Prefect's Secret blocks: %s", ", ".join(found.in_blocks))
    return setup, found.missing


async def _show(setup: Setup, carried: Carried, *, waits_for_money: bool) -> None:
    """Tell the batch's end: in the log, as artifacts, and as an event."""
    summary, log = carried.summary, get_run_logger()
    tables = await tables_of(summary)
    log.info("%s (asked: %s)", told(summary), asked_of(summary, tables.grown))
    await show_end(summary, tables=tables)
    tell_ended(setup.job, summary, waits_for_money=waits_for_money)


def _same(
    job: str, *, overrides: Mapping[str, object] | None, given: Mapping[str, object], options: Options
) -> str:
    """A text that is equal for flow runs that would do the same."""
    asked = (options.limit, options.force, options.retry_failed, options.retry_poisoned)
    parts = (str(Path(job).resolve()), dict(overrides or {}), dict(given), asked)
    return orjson.dumps(parts, default=str, option=orjson.OPT_SORT_KEYS).decode()


async def run_flow(
    job_path: Path | str,
    *,
    overrides: Mapping[str, object] | None = None,
    options: Options | None = None,
    tally: Tally,
    stop: Stop,
    say: Callable[[str], None] | None = None,
) -> Summary:
    """Run a job as the flow `enrich` in this process; the summary is the batch's, not Prefect's.

    Without a Prefect API a server is started, and ends with this process. A Prefect that fails once the batch
    has begun costs a line of warning, and not the batch.

    Args:
        job_path: the job file.
        overrides: as `load_setup` has them.
        options: which rows.
        tally: the caller's own counts, to be read while the batch runs.
        stop: the caller's own stop; who hands it over listens to Ctrl-C.
        say: takes lines for people: that a server is being started, how the flow run ended, what went wrong
            with Prefect. By default they go to stderr.

    Raises:
        Mistake: nothing was run: something is wrong with the job, or Prefect does not answer.
        asyncio.CancelledError: the call was cancelled, which is the batch's hard end.
    """
    say = say or _say_on_stderr
    parameters = parameters_of(str(job_path), overrides=overrides or {}, options=options or Options())
    # a slip is told before anybody has waited for a server
    setup = load_setup(Path(job_path), overrides=overrides, environment=Environment.from_os())
    check_spread(setup.job.spread)
    _quiet_console()
    with stop.cuts_short():
        await reach_api(say)
    if stop.called:
        return Summary.of(
            tally, job=setup.job, outcome=Outcome.INTERRUPTED, reason=stop.reason, seconds=0.0, output=None
        )
    handed = Handed(tally=tally, stop=stop, unshown=secrets_among(overrides or {}))
    token = HANDED.set(handed)
    try:
        with temporary_settings(set_defaults=client_settings()):
            await _run_enrich(parameters, handed=handed, say=say)
    finally:
        HANDED.reset(token)
    if handed.cancelled is not None:  # which Prefect swallows once the flow run is marked
        raise handed.cancelled
    if handed.error is not None:
        raise handed.error
    if handed.summary is None:
        raise RuntimeError("the flow has ended without a word on its batch")
    return handed.summary


async def _run_enrich(parameters: dict[str, Any], *, handed: Handed, say: Callable[[str], None]) -> None:
    try:
        state: State[Any] = await enrich(**parameters, return_state=True)
    except (Exception, PrefectSignal) as trouble:
        named = f"{type(trouble).__name__}: {trouble}"
        if not handed.begun:
            raise Mistake(
                f"Prefect would not run the flow ({named}). Nothing was run.\n"
                "Rows can be run without Prefect: add --no-prefect."
            ) from trouble
        if handed.summary is None and handed.error is None:
            raise
        say(f"Prefect failed when the batch was over ({named}): the flow run does not tell how it ended.")
        return
    ended = f"Prefect flow run {handed.flow_run} ended {state.name}"
    say(ended if handed.error is not None else f"{ended}: {state.message}")  # an error is told by who gets it


def parameters_of(job: str, *, overrides: Mapping[str, object], options: Options) -> dict[str, Any]:
    """The flow's parameters, plain enough for Prefect to keep and to show, and without `secrets_among`."""
    plain = {name: _plain(name, value) for name, value in overrides.items()}
    others = {name: value for name, value in plain.items() if name not in _NAMED}
    return {
        "job": job,
        **{name: value for name, value in plain.items() if name in _NAMED},
        "limit": options.limit,
        "overrides": others or None,
        "force": options.force,
        "retry_failed": options.retry_failed,
        "retry_poisoned": options.retry_poisoned,
    }


def secrets_among(overrides: Mapping[str, object]) -> dict[str, object]:
    """Those of the overrides that may not be shown whole: web addresses with a query, webhooks."""
    return {
        name: value
        for name, value in overrides.items()
        if isinstance(value, str) and shown_setting(name, value) != value
    }


def _plain(name: str, value: object) -> object:
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, str):
        return shown_setting(name, value)
    return str(value) if isinstance(value, Decimal) else value


def _quiet_console() -> None:
    """Prefect's log goes to its server and not to the terminal, unless the user has said how to log.

    It stays so: what Prefect has to say at the process's exit is no news either.
    """
    if says_how_to_log():
        return
    console = [one for one in logging.getLogger().handlers if isinstance(one, PrefectConsoleHandler)]
    for handler in [*console, *logging.getLogger("prefect._internal").handlers]:
        handler.setLevel(logging.CRITICAL)
    logging.raiseExceptions = False  # a log that cannot be sent any more is told about on stderr otherwise


def _say_on_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
