"""What comes before a row's call: the files that it names, and the processors of its values."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import httpx

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.inputs import BUILT_IN_PROCESSORS, READS_FILES, FileMode, RowFiles
from tasks_lib.domain.job import Job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.engine.run import Prepare
from tasks_lib.inputs.hosts import Hosts
from tasks_lib.inputs.prepare import open_preparer
from tasks_lib.inputs.processors import processors_for
from tasks_lib.inputs.reading import missing_package
from tasks_lib.inputs.row_files import FilesOfRows
from tasks_lib.inputs.unusable import Refused
from tasks_lib.job.setup import Setup
from tasks_lib.rows.files import FILE_CONTENT, FILE_NAME, told_of


def file_columns(job: Job) -> tuple[str, ...]:
    """The columns that hold files, or name them: to be sent, or to be read by a processor."""
    return tuple(dict.fromkeys((*job.files.columns, *_documents(job))))


def row_files_of(job: Job) -> RowFiles | None:
    """What finds the files of a job's rows; None where rows name none."""
    if not file_columns(job):
        return None
    return FilesOfRows(job.files, job.task.file_input, documents=_documents(job))


def check_inputs(setup: Setup) -> None:
    """Refuse a job whose rows' files or processors cannot be had.

    Raises:
        Mistake: a processor is not there, the package that it needs is not, a host is none, a task that
            takes files has no column that names them, or the other way round.
    """
    job = setup.job
    try:
        Hosts(job.files.hosts)
        processors_for(job.task.processors, setup.processors)
    except (Refused, ValueError) as error:
        raise Mistake(str(error)) from error
    takes_files = job.task.file_input.mode is not FileMode.NONE
    if takes_files and not job.files.columns and job.task.file_input.required:
        raise Mistake(
            f"the task {job.task.name!r} takes {job.task.file_input.mode.wanted} with each row "
            "(file_input_mode), and the job names no column that holds it. Say files: [COLUMN]."
        )
    if job.files.columns and not takes_files:
        named = ", ".join(job.files.columns)
        raise Mistake(
            f"files: the task {job.task.name!r} takes no files, and the job has them in {named}. "
            "Say file_input_mode: image, pdf, image_or_pdf or any in the task."
        )
    for step in job.task.processors:
        if step.input_processor in setup.processors:
            continue
        kinds = ("application/pdf", "text/html") if step.input_processor in BUILT_IN_PROCESSORS else ()
        for package in filter(None, map(missing_package, kinds)):
            raise Mistake(
                f"input_processors: {step.input_processor} needs the package {package}, which is not "
                "installed: pip install 'rowmill[files]'"
            )


@asynccontextmanager
async def preparing(
    setup: Setup, *, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Prepare | None]:
    """What completes the plans of a batch before their first call; None where nothing comes before it.

    A transport given stands for every network; else connections are its own.
    """
    job = setup.job
    if not (job.task.processors or file_columns(job)):
        yield None
        return
    async with open_preparer(
        task=job.task,
        inputs=job.inputs,
        sources=job.files,
        processors=setup.processors,
        count_pages=job.limits.limit_money,
        transport=transport,
    ) as preparer:
        yield preparer


def columns_named(columns: Sequence[str]) -> tuple[str, ...]:
    """One column or several."""
    return (columns,) if isinstance(columns, str) else tuple(columns)


def plain_values(values: Mapping[str, object]) -> tuple[dict[str, JsonValue], dict[str, bytes]]:
    """A row's values with bytes taken out, and these by their column; a file may be `{filename, content}`."""
    plain: dict[str, JsonValue] = {}
    blobs: dict[str, bytes] = {}
    for name, value in values.items():
        content, called = value, None
        if isinstance(value, Mapping):
            content = next((value[key] for key in FILE_CONTENT if isinstance(value.get(key), bytes)), None)
            called = next((value[key] for key in FILE_NAME if isinstance(value.get(key), str)), None)
        if isinstance(content, bytes):
            blobs[name] = content
            plain[name] = told_of(content, called)
        else:
            plain[name] = cast("JsonValue", value)
    return plain, blobs


def document_placeholders(job: Job) -> tuple[str, ...]:
    """The placeholders whose values a processor reads as files."""
    return tuple(
        step.param_name
        for step in job.task.processors
        if step.input_processor == READS_FILES and step.param_name in job.inputs
    )


def _documents(job: Job) -> tuple[str, ...]:
    return tuple(job.inputs[placeholder] for placeholder in document_placeholders(job))
