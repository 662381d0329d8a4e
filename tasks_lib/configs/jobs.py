"""A job file, and the task file it names, as a job."""

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeVar

from tasks_lib.configs.ages import stored_answers_of
from tasks_lib.configs.definition import definition_of
from tasks_lib.configs.document import Document, Trail, read_document
from tasks_lib.configs.fallback import switch_of, switch_problems
from tasks_lib.configs.fields import Column
from tasks_lib.configs.formats import destination_format, source_delimiter, source_format
from tasks_lib.configs.inputs import file_columns_named, file_sources_of, job_input_problems
from tasks_lib.configs.job_file import JobFile, StorageFile, output_of, source_of, webhook_of
from tasks_lib.configs.override import (
    as_run,
    override_columns,
    override_problems,
    prompt_trail,
    row_overrides_of,
)
from tasks_lib.configs.overrides import overridden
from tasks_lib.configs.paths import path_from, place_from, shown
from tasks_lib.configs.pins import assignment_of, assignment_problems, revisions_used
from tasks_lib.configs.problems import ConfigError, Problem, did_you_mean, nearest, quoted
from tasks_lib.configs.providers import limits_of, provider_files
from tasks_lib.configs.spread import spread_of, spread_problems
from tasks_lib.configs.tasks import Providers, TaskDocument, read_task
from tasks_lib.configs.validation import name_of, validated
from tasks_lib.domain.globs import ANY_DEPTH, fixed_part, is_glob, is_meant
from tasks_lib.domain.job import Destination, Job, Source, Webhook
from tasks_lib.domain.labels import LONGEST_LABEL, LONGEST_METADATA, MOST_METADATA, Labels
from tasks_lib.domain.output import Modality
from tasks_lib.domain.place import Address, Place, Storage, is_loopback
from tasks_lib.domain.retries import Retries
from tasks_lib.domain.task import Task
from tasks_lib.domain.template import Template

_Read = TypeVar("_Read")

LONGEST_METADATA_NAME: Final = 16  # characters, as Parallel's task API has it

_ASKING: Final = ("user_prompt", "revisions", "model")  # keys that only a task file has
_LABELS: Final = ("reporting_group", "reference", "context_id", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobDocument:
    job: Job
    document: Document
    task: TaskDocument


def load_job(
    path: Path,
    *,
    overrides: Mapping[str, object] | None = None,
    missing_source: Literal["refused", "allowed"] = "refused",
) -> Job:
    """The job in a YAML file, with its task, as flags of the command line change it.

    For `overrides` see `overridden`. A source file that is not there is refused, unless the caller brings the
    rows along or only looks into the ledger. A ConfigWarning tells of what is perhaps not what was meant.

    Raises:
        ConfigError: everything that is wrong with the job, the task and the providers file.
    """
    found = _read_job(path, overrides=overrides or {}, missing_source=missing_source)
    found.task.warn()
    return found.job


def check_columns(
    path: Path, columns: Sequence[str], *, overrides: Mapping[str, object] | None = None
) -> None:
    """Nothing, if a source with these columns has all that the job asks for.

    Raises:
        ConfigError: the columns that it has not, each where the job or its task names it.
    """
    found = _read_job(path, overrides=overrides or {}, missing_source="allowed")
    problems = list(_column_problems(found, columns))
    if problems:
        raise ConfigError(problems)


def _read_job(
    path: Path, *, overrides: Mapping[str, object], missing_source: Literal["refused", "allowed"]
) -> _JobDocument:
    document = overridden(read_document(path), overrides)
    _refuse_a_task(document)
    problems: list[Problem] = []
    file = _gathered(problems, lambda: validated(document, JobFile))
    providers = _gathered(problems, lambda: provider_files(path, overrides))
    task = _gathered(problems, lambda: _task(document, providers))
    if file is not None:
        problems.extend(_job_problems(document, file, task, missing_source=missing_source))
        asked = task.task if task is not None else None
        problems.extend(override_problems(document, file, asked, providers=providers))
    if problems:
        raise ConfigError(problems)
    assert file is not None  # noqa: S101  # or there was a problem
    assert task is not None  # noqa: S101  # as above
    job = _job(path, document, file, task)
    problems.extend(_clashes(document, job))
    if problems:
        raise ConfigError(problems)
    return _JobDocument(job=job, document=document, task=task)


def _refuse_a_task(document: Document) -> None:
    if isinstance(document.value, dict) and "source" not in document.value:
        for key in _ASKING:
            if key in document.value:
                message = f"the key {key!r} belongs in a task file, and this is read as a job file"
                remedy = "A job's 'task' names the task file."
                raise ConfigError([document.key_problem((key,), message, remedy)])


def _gathered(problems: list[Problem], read: Callable[[], _Read]) -> _Read | None:
    """What is read, or None when its problems were added to the others."""
    try:
        return read()
    except ConfigError as error:
        problems.extend(error.problems)
        return None


def _task(document: Document, providers: Providers | None) -> TaskDocument | None:
    told = document.value.get("task") if isinstance(document.value, dict) else None
    if not isinstance(told, str) or not told:
        return None  # which the job's own check tells
    path = path_from(document.place(("task",)).folder, told)
    if not path.is_file():
        raise ConfigError([document.problem(("task",), f"there is no task file {shown(path)}")])
    return read_task(path, providers=providers)


def _job_problems(
    document: Document,
    file: JobFile,
    task: TaskDocument | None,
    *,
    missing_source: Literal["refused", "allowed"],
) -> Iterator[Problem]:
    yield from _source_problems(document, file, missing_source=missing_source)
    yield from _output_problems(document, file)
    yield from _label_problems(document, file)
    yield from spread_problems(document, file.spread, workers=file.workers)
    if file.retries.wait_max < file.retries.wait_initial:
        yield document.problem(("retries", "wait_max"), "retries.wait_max is less than retries.wait_initial")
    yield from assignment_problems(document, file, task)
    if task is not None:
        yield from _task_problems(document, file, task.task, as_run(document, file, task.task))
        yield from job_input_problems(document, file, task.task)
        switch, chosen = file.use_fallback_model, revisions_used(document, file, task.task)
        yield from switch_problems(document, switch, task=task, chosen=chosen)


def _source_problems(
    document: Document, file: JobFile, *, missing_source: Literal["refused", "allowed"]
) -> Iterator[Problem]:
    source = source_of(file)
    if (source.path is None) == (source.query is None):
        both = "has both" if source.path is not None else "has neither of"
        yield document.problem(
            ("source",), f"source {both} path and query", "One of them says where rows come from."
        )
        return
    try:
        codecs.lookup(source.encoding)
    except LookupError:
        message = f"source.encoding is unknown: {quoted(source.encoding)}"
        yield document.problem(("source", "encoding"), message, "Try utf-8, cp1252 or latin-1.")
    if source.delimiter is not None and source.delimiter == source.quote:
        yield document.problem(("source", "quote"), "source.quote is the same as source.delimiter")
    if source.path is None:
        return
    at: Trail = ("source", "path")
    try:
        path = place_from(document.place(at).folder, source.path)
    except ValueError as error:
        yield document.problem(at, f"source.path {error}")
        return
    if isinstance(path, Address):
        if path.scheme == "http" and not is_loopback(path):
            yield document.problem(at, "source.path is read over http, as anybody may do", "Say https://.")
        return
    may_be_several = path.is_dir() or is_glob(source.path)
    if source.format is None and source_format(path.name) is None and not may_be_several:
        message = f"the name {quoted(path.name)} does not tell a format"
        yield document.problem(at, message, "Say source.format: csv, parquet or jsonl.")
    if missing_source == "refused" and not may_be_several and not path.is_file():
        yield document.problem(at, f"the source {shown(path)} is not there")
    elif missing_source == "refused" and not path.exists() and not Path(fixed_part(path)).is_dir():
        message = f"the source {shown(path)} begins in a folder that is not there"
        yield document.problem(at, message)


def _output_problems(document: Document, file: JobFile) -> Iterator[Problem]:
    output = output_of(file)
    if output is None:
        return
    at: Trail = ("output", "path")
    name = Path(output.path).name
    try:
        place = place_from(document.place(at).folder, output.path)
    except ValueError as error:
        yield document.problem(at, f"output.path {error}")
        return
    if isinstance(place, Address) and place.is_web:
        yield document.problem(
            at, "output.path is an address that nothing can be written to", "Say s3:// or gs://."
        )
        return
    chosen = output.format or destination_format(output.path)
    if isinstance(place, Address) and chosen == "duckdb":
        yield document.problem(at, "a DuckDB database can only be written to on this machine")
    elif chosen is None:
        message = f"the name {quoted(name)} does not tell a format"
        yield document.problem(
            at, message, "Let it end in .csv, .parquet, .jsonl or .duckdb, or say output.format."
        )
    elif output.table is not None and chosen != "duckdb":
        message = f"output.table is for a DuckDB file, and this is {chosen}"
        yield document.problem(("output", "table"), message)


def _label_problems(document: Document, file: JobFile) -> Iterator[Problem]:
    for name in _LABELS:
        label = getattr(file, name)
        if label is not None:
            yield from _too_long(document, (name,), label, longest=LONGEST_LABEL)
    if len(file.metadata) > MOST_METADATA:
        message = f"metadata has {len(file.metadata)} entries, {MOST_METADATA} are allowed"
        yield document.problem(("metadata",), message)
    for name, label in file.metadata.items():
        if not 0 < len(name) <= LONGEST_METADATA_NAME:
            message = (
                f"the name {quoted(name)} has not 1 to {LONGEST_METADATA_NAME} characters, but {len(name)}"
            )
            yield document.key_problem(("metadata", name), message)
        yield from _too_long(document, ("metadata", name), label, longest=LONGEST_METADATA)


def _too_long(document: Document, trail: Trail, label: str | Column, *, longest: int) -> Iterator[Problem]:
    template = _template(label)
    length = sum(len(literal) for literal in template.literals)
    if length > longest:
        least = "" if template.is_constant else "at least "
        name = ".".join(str(part) for part in trail)
        yield document.problem(trail, f"{name} has {least}{length} characters, {longest} are allowed")


def _task_problems(document: Document, file: JobFile, told: Task, task: Task) -> Iterator[Problem]:
    """What does not fit the task, as its file tells it and as the job runs it."""
    for placeholder in file.inputs:
        if placeholder not in {*told.names, *task.names}:
            message = f"the task has no placeholder {{{{{placeholder}}}}}"
            remedy = did_you_mean(placeholder, task.names, plural="placeholders")
            yield document.key_problem(("inputs", placeholder), message, remedy)
    if file.expected and task.output.modality is not Modality.JSON:
        modality = task.output.modality.value
        message = f"'expected' compares fields of JSON, and the task answers with {modality}"
        yield document.key_problem(("expected",), message, "Leave it out.")
    schema = task.output.schema or {}
    fields = schema.get("properties")
    if isinstance(fields, Mapping) and fields:
        for field in file.expected:
            if field not in fields:
                message = f"the answer has no field {quoted(field)}"
                remedy = did_you_mean(field, list(fields), plural="fields")
                yield document.key_problem(("expected", field), message, remedy)


def _clashes(document: Document, job: Job) -> Iterator[Problem]:
    """Files that would be written over each other."""
    ledger = job.ledger.resolve()
    source = _resolved(job.source.path)
    if job.output is not None:
        output = _resolved(job.output.path)
        if output == source or (job.source.path is not None and _is_among(output, job.source)):
            message = "the output would be written over the source"
            if output != source:
                message = "the output would be among the source's files, and read as one by the next run"
            yield document.problem(("output",), message)
        if output == ledger:
            yield document.problem(("output",), "the output would be written over the ledger")
    if ledger == source:
        yield document.problem(("ledger",), "the ledger would be written over the source")


def _resolved(place: Place | None) -> Place | None:
    return place.resolve() if isinstance(place, Path) else place


def _is_among(output: Place | None, source: Source) -> bool:
    """Whether an output would be one of the files of a folder, a glob or a prefix."""
    if isinstance(output, Path) and isinstance(source.path, Path):
        if source.path.is_dir():
            root, pattern = source.path, [ANY_DEPTH]
        else:
            root = Path(fixed_part(source.path))
            pattern = [*source.path.relative_to(root).parts]
        folder = root.resolve()
        if not output.is_relative_to(folder):
            return False
        name = output.relative_to(folder)
    elif isinstance(output, Address) and isinstance(source.path, Address) and not source.path.is_web:
        return output.scheme == source.path.scheme and source.path.means(output.key)
    else:
        return False
    same = (source.format or source_format(output.name)) == source_format(output.name)
    return same and is_meant(name.parts, pattern)


def _job(path: Path, document: Document, file: JobFile, found: TaskDocument) -> Job:
    task = as_run(document, file, found.task)
    name = file.job or path.stem
    job = Job(
        name=name,
        task=task,
        source=_source(document, file),
        inputs={placeholder: file.inputs.get(placeholder, placeholder) for placeholder in task.names},
        files=file_sources_of(document, file),
        labels=Labels(
            reporting_group=_label(file.reporting_group),
            reference=_label(file.reference),
            context_id=_label(file.context_id),
            metadata={key: _template(label) for key, label in file.metadata.items()},
            user=_label(file.user),
            carry=frozenset(file.carry),
        ),
        credits_per_dollar=file.credits_per_dollar,
        webhook=_webhook(file),
        limits=limits_of(file.limits),
        retries=Retries(
            rate_limited=file.retries.rate_limited,
            transient=file.retries.transient,
            content=file.retries.content,
            wait_initial=file.retries.wait_initial,
            wait_max=file.retries.wait_max,
            on_ambiguous=file.retries.on_ambiguous,
        ),
        ledger=path_from(document.place(("ledger",)).folder, file.ledger),
        output=_destination(document, file, name=name),
        expected=file.expected,
        assignment=assignment_of(document, file, found.task),
        overrides=row_overrides_of(file),
        seed=file.seed or task.name,
        stored_answers=stored_answers_of(file.stored_answers),
        use_fallback_model=switch_of(file.use_fallback_model),
        serve=file.serve,
        team_ledger=file.team_ledger,
        workers=file.workers,
        spread=spread_of(document, file.spread),
        identical_rows=file.identical_rows,
    )
    return replace(job, definition=definition_of(job))


def _source(document: Document, file: JobFile) -> Source:
    source = source_of(file)
    if source.path is None:
        return Source(query=source.query, key=source.key, quote=source.quote, encoding=source.encoding)
    path = place_from(document.place(("source", "path")).folder, source.path)
    return Source(
        path=path,
        format=source.format or source_format(path.name),
        key=source.key,
        delimiter=source.delimiter or source_delimiter(path.name),
        quote=source.quote,
        encoding=source.encoding,
        file_column=source.file_column,
        empty=source.empty,
        storage=_storage(source.storage),
    )


def _storage(told: StorageFile) -> Storage:
    return Storage(
        endpoint_url=told.endpoint_url,
        region=told.region,
        profile=told.profile,
        project=told.project,
        access=told.access,
        requester_pays=told.requester_pays,
    )


def _destination(document: Document, file: JobFile, *, name: str) -> Destination | None:
    output = output_of(file)
    if output is None:
        return None
    path = place_from(document.place(("output", "path")).folder, output.path)
    chosen = output.format or destination_format(path.name)
    assert chosen is not None  # noqa: S101  # or there was a problem
    return Destination(
        path=path,
        format=chosen,
        table=(output.table or name) if chosen == "duckdb" else None,
        storage=_storage(output.storage),
    )


def _webhook(file: JobFile) -> Webhook | None:
    told = webhook_of(file)
    return None if told is None else Webhook(url=told.url, secret=told.secret, events=frozenset(told.events))


def _label(label: str | Column | None) -> Template | None:
    return None if label is None or label == "" else _template(label)


def _template(label: str | Column) -> Template:
    if isinstance(label, str):
        return Template.parse(label)
    # Made by hand, since a column may be called what no placeholder can be.
    return Template(f"{{{{{label.column}}}}}", ("", ""), (label.column,))


def _column_problems(found: _JobDocument, columns: Sequence[str]) -> Iterator[Problem]:
    job, document = found.job, found.document
    for trail, column in _columns_named(job, document):
        if column not in columns:
            message = f"{name_of(trail)} names a column {quoted(column)}, which the source does not have"
            yield document.problem(trail, message, did_you_mean(column, columns, plural="columns"))
    told = document.value.get("inputs") or {}
    for placeholder, column in job.inputs.items():
        if placeholder not in told and column not in columns:
            message = (
                f"no column is called {quoted(placeholder)}, as the placeholder {{{{{placeholder}}}}} asks"
            )
            meant = nearest(placeholder, columns) or "COLUMN"
            remedy = f"Say in the job which one it means, such as inputs: {{{placeholder}: {meant}}}."
            of_job = prompt_trail(document, placeholder, job.task)
            if of_job is not None:
                yield document.problem(of_job, message, remedy)
            else:
                yield found.task.document.problem(found.task.prompt_trail(placeholder), message, remedy)


def _columns_named(job: Job, document: Document) -> Iterator[tuple[Trail, str]]:
    if job.source.key is not None:
        yield ("source", "key"), job.source.key
    for placeholder, column in job.inputs.items():
        if placeholder in (document.value.get("inputs") or {}):
            yield ("inputs", placeholder), column
    yield from file_columns_named(document, job.files.columns)
    for name in _LABELS:
        label: Template | None = getattr(job.labels, name)
        for column in label.names if label is not None else ():
            yield (name,), column
    pinned_by = "revision_id" if job.assignment.revision_id is not None else "revision_tag"
    yield from (((pinned_by,), column) for column in job.assignment.columns)
    for name, template in job.labels.metadata.items():
        for column in template.names:
            yield ("metadata", name), column
    for field, column in job.expected.items():
        yield ("expected", field), column
    yield from override_columns(job.overrides)
    if job.use_fallback_model is not None:
        yield from ((("use_fallback_model",), column) for column in job.use_fallback_model.names)
