"""What is checked before the first call, and the parts that follow from it."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from tasks_lib.domain.job import Job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.plan import LONGEST_LABEL, LONGEST_METADATA, Planner
from tasks_lib.domain.template import Template
from tasks_lib.job.setup import LOCAL, Setup
from tasks_lib.local import local_model
from tasks_lib.rows import OpenSource, check_output


def check_before_rows(setup: Setup) -> None:
    """Keys, local models and the output's folder.

    Raises:
        Mistake: one of them would fail the batch later.
    """
    setup.secrets()
    for model in setup.models:
        provider = setup.provider(model)
        if provider.protocol == LOCAL:
            local_model(model.name, model_path=provider.model_path)
    if setup.job.output is not None:
        check_output(setup.job.output)


def check_source(job: Job, source: OpenSource, *, limit: int | None) -> int:
    """Read the source once, strictly, and give the number of rows that the batch is about.

    Raises:
        Mistake: a column is missing, a row does not fit, a key occurs twice, a label is too long.
    """
    for needed_by, columns in _needed(job).items():
        check_columns(columns, has=source.columns, source=str(job.source), needed_by=needed_by)
    checked = source.check(needed=columns_of(job), limit=limit)
    templates, longest = _labels(job)
    source.check_lengths(templates, longest)
    return checked.rows


def check_columns(columns: Sequence[str], *, has: Sequence[str], source: str, needed_by: str) -> None:
    """Refuse columns that the source does not have, with the one that was probably meant."""
    for column in columns:
        if column in has:
            continue
        close = get_close_matches(column, has, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"It has {', '.join(map(repr, has))}."
        raise Mistake(f"{source} has no column {column!r}, which {needed_by} needs. {hint}")


def columns_of(job: Job) -> tuple[str, ...]:
    """The columns that the job reads, each once."""
    return tuple(dict.fromkeys(column for columns in _needed(job).values() for column in columns))


def planner_of(job: Job) -> Planner:
    """The planner of a job's batches."""
    pinned = None
    if job.revision_tag is not None:
        pinned = next(revision for revision in job.task.revisions if revision.tag == job.revision_tag)
    return Planner(
        task=job.task,
        inputs=job.inputs,
        labels=job.labels,
        retries=job.retries,
        seed=job.seed,
        pinned=pinned,
    )


def _needed(job: Job) -> Mapping[str, Sequence[str]]:
    """Columns by what needs them, in the words of an error message."""
    needed: dict[str, Sequence[str]] = {
        f"the placeholder {{{{{placeholder}}}}} of the prompt": (column,)
        for placeholder, column in job.inputs.items()
    }
    labels = job.labels
    for name in ("reporting_group", "reference", "context_id"):
        template: Template | None = getattr(labels, name)
        needed[name] = template.names if template else ()
    for name, template in labels.metadata.items():
        needed[f"metadata {name}"] = template.names
    for field, column in job.expected.items():
        needed[f"expected {field}"] = (column,)
    return needed


def _labels(job: Job) -> tuple[dict[str, Template], dict[str, int]]:
    labels = job.labels
    templates = {
        name: template
        for name, template in (
            ("reporting_group", labels.reporting_group),
            ("reference", labels.reference),
            ("context_id", labels.context_id),
        )
        if template is not None
    }
    longest = dict.fromkeys(templates, LONGEST_LABEL)
    for name, template in labels.metadata.items():
        templates[f"metadata {name}"] = template
        longest[f"metadata {name}"] = LONGEST_METADATA
    return templates, longest
