"""One task, one run: asked at once, and told whole; the runs that were, told by their ids."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import uuid_utils
from anyio import to_thread

from tasks_lib.configs import Environment, load_task
from tasks_lib.domain.assignment import Assignment
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.inputs import FileSources
from tasks_lib.domain.job import Job, Limits, Source
from tasks_lib.domain.labels import MOST_METADATA, Labels
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.row import Row
from tasks_lib.domain.task import Task
from tasks_lib.domain.template import Template
from tasks_lib.domain.uuids import parsed_id
from tasks_lib.job.batch import Batch
from tasks_lib.job.checks import check_before_rows, planner_of
from tasks_lib.job.reading import open_to_read
from tasks_lib.job.setup import setup_of
from tasks_lib.ledger import open_ledger
from tasks_lib.ledger.record import TaskRunRecord, record_of

DEFAULT_LEDGER = Path("rowmill.duckdb")
_FILES = "task_files"  # the column of the one row that holds its files


class NotAnId(Mistake):
    """What should be a task run's id is no UUID."""


async def run_task(
    task: Task | Path | str,
    task_input: Mapping[str, JsonValue],
    *,
    task_files: Sequence[Mapping[str, str]] = (),
    revision_id: str | None = None,
    revision_tag: str | None = None,
    reporting_group: str | None = None,
    use_fallback_model: bool = False,
    task_reference: str | None = None,
    context_id: str | None = None,
    user: str | None = None,
    metadata: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    retries: Retries | None = None,
    ledger: Path | str = DEFAULT_LEDGER,
    environment: Environment | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> TaskRunRecord:
    """Run a task once and give the whole record, which the ledger keeps, too; a failed run has one as well.

    Every call of this function asks a model: nothing is taken from earlier runs.

    Args:
        task: a task, or the path of its file.
        task_input: a value for each `{{placeholder}}` of the task's prompts; others are not sent.
        task_files: files to send along, each as `{"filename", "content"}` with base64.
        revision_id: the revision to use; without it and a tag the traffic weights choose.
        revision_tag: the same by its tag.
        reporting_group: to whose account the run goes, at most 64 characters; made at its first use.
        use_fallback_model: whether to leave the primary model alone.
        task_reference: what the run is called, at most 64 characters; the record has it as `reference`.
        context_id: to what the run belongs, at most 64 characters; by default the batch's id.
        user: for whom the row is asked; the provider is not told.
        metadata: up to 16 further labels.
        limits: what must never be passed.
        retries: how often failed calls are had again.
        ledger: a DuckDB file.
        environment: keys of the providers; by default those of this process.
        transport: stands for every network.

    Raises:
        Mistake: something was found wrong before the first call.
    """
    if metadata is not None and len(metadata) > MOST_METADATA:
        raise Mistake(f"metadata has {len(metadata)} entries, {MOST_METADATA} are allowed")
    path = None if isinstance(task, Task) else Path(task)
    loaded = task if isinstance(task, Task) else load_task(Path(task))
    missing = [name for name in loaded.names if name not in task_input]
    if missing:
        raise Mistake(f"task_input has no {', '.join(map(repr, missing))}, which the task's prompts ask for")
    if revision_id and revision_tag:
        raise Mistake("revision_id and revision_tag exclude each other: give one of the two")
    if use_fallback_model and any(len(revision.models) == 1 for revision in loaded.revisions):
        raise Mistake("use_fallback_model: the task has no fallback model")
    job = Job(
        name=loaded.name,
        task=loaded,
        source=Source(),
        inputs={name: name for name in loaded.names},
        files=FileSources(columns=(_FILES,) if task_files else ()),
        labels=Labels(
            reporting_group=_constant(reporting_group),
            reference=_constant(task_reference),
            context_id=_constant(context_id),
            user=_constant(user),
            metadata={name: Template.constant(text) for name, text in (metadata or {}).items()},
        ),
        limits=limits or Limits(),
        retries=retries or Retries(),
        ledger=Path(ledger),
        assignment=Assignment(revision_id=_constant(revision_id), revision_tag=_constant(revision_tag)),
        use_fallback_model=_constant("true") if use_fallback_model else None,
        seed=loaded.name,
    )
    setup = setup_of(job, near=path, environment=environment or Environment.from_os())
    check_before_rows(setup)
    task_run_id = str(uuid_utils.uuid7())
    # Its own id is its key: the same input may be asked again and again, and none stands in for another.
    try:
        planner = planner_of(setup.job)
    except ValueError as error:  # no such revision
        raise Mistake(str(error)) from None
    values: dict[str, JsonValue] = {**task_input, _FILES: [*map(dict, task_files)]}
    (charted,) = planner.charts(Row(number=1, key=task_run_id, values=values))
    plan = planner.plan(charted, task_run_id=task_run_id)
    if plan.problem is not None:
        raise Mistake(plan.problem.message)
    plans = [plan]

    async def fetch() -> list[Plan] | None:
        return [plans.pop()] if plans else None

    with open_ledger(setup.job.ledger) as opened:
        summary = await Batch(setup, ledger=opened).run(fetch, rows=1, transport=transport)
        if not (summary.completed or summary.failed):
            raise Mistake(f"the task was not run: {summary.reason}")
        return await to_thread.run_sync(lambda: record_of(opened.show(task_run_id)))


def fetch_task_run(task_run_id: str, *, ledger: Path | str = DEFAULT_LEDGER) -> TaskRunRecord:
    """The record of a task run, also while a batch is writing to the ledger.

    Raises:
        NotAnId: it is no UUID.
        NotInLedger: there is no such run.
        Mistake: the ledger cannot be read.
    """
    known = parsed_id(task_run_id)
    if known is None:
        raise NotAnId(f"{task_run_id!r} is not a UUID, as the ids of task runs are")
    with open_to_read(Path(ledger)) as opened:
        return record_of(opened.show(known))


def _constant(text: str | None) -> Template | None:
    return None if not text else Template.constant(text)
