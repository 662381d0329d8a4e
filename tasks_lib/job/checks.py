"""What is checked before the first call, and the parts that follow from it."""

from difflib import get_close_matches

from tasks_lib.configs import route_for
from tasks_lib.domain.job import Job
from tasks_lib.domain.labels import LONGEST_LABEL, LONGEST_METADATA
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.planner import Planner
from tasks_lib.job.abilities import check_modality
from tasks_lib.job.hosted import check_hosted_tasks
from tasks_lib.job.kept_files import check_files
from tasks_lib.job.row_inputs import check_inputs, document_placeholders, file_columns, row_files_of
from tasks_lib.job.setup import LOCAL, Setup
from tasks_lib.job.webhook import webhook_secret
from tasks_lib.local import check_local
from tasks_lib.rows import OpenSource, check_output


def check_before_rows(setup: Setup) -> None:
    """Keys, proxies, local models, and the folders of ledger and output, which are made if need be.

    Raises:
        Mistake: one of them would fail the batch later.
    """
    check_modality(setup)
    check_hosted_tasks(setup)
    setup.secrets()
    webhook_secret(setup)
    for model in setup.models:
        provider = setup.provider(model)
        route_for(provider, setup.environment.variables)
        if provider.protocol == LOCAL:
            check_local(model.name, setup.job.task.output, model_path=provider.model_path)
    try:
        setup.job.ledger.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Mistake(f"{setup.job.ledger}: its folder cannot be made: {error.strerror}") from error
    check_inputs(setup)
    check_files(setup)
    if setup.job.output is not None:
        check_output(setup.job.output)


def check_source(setup: Setup, source: OpenSource, *, limit: int | None) -> int:
    """Read the source once, strictly, and give the number of rows that the batch is about.

    Raises:
        Mistake: a column is missing, a row does not fit, a key occurs twice, a label is too long.
    """
    if source.is_empty:
        return 0
    setup.check_columns(source.columns)
    job = setup.job
    for column in columns_of(job):
        if column not in source.columns:
            close = get_close_matches(column, source.columns, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"It has {', '.join(source.columns)}."
            raise Mistake(f"{source.description} has no column {column!r}. {hint}")
    checked = source.check(needed=_shown_columns(job), files=file_columns(job), limit=limit)
    templates = dict(job.labels.named)
    metadata = {f"metadata.{name}": template for name, template in job.labels.metadata.items()}
    source.check_lengths(
        templates | metadata,
        dict.fromkeys(templates, LONGEST_LABEL) | dict.fromkeys(metadata, LONGEST_METADATA),
    )
    return checked.rows


def columns_of(job: Job) -> tuple[str, ...]:
    """The columns that the job reads, each once."""
    return tuple(dict.fromkeys((*_shown_columns(job), *file_columns(job))))


def _shown_columns(job: Job) -> tuple[str, ...]:
    """Those whose values are shown as text: in prompts, labels and comparisons."""
    switch = job.use_fallback_model.names if job.use_fallback_model is not None else ()
    labels = (*job.labels.columns, *job.assignment.columns, *job.overrides.columns)
    documents = document_placeholders(job)
    inputs = (column for placeholder, column in job.inputs.items() if placeholder not in documents)
    return tuple(dict.fromkeys((*inputs, *labels, *job.expected.values(), *switch)))


def planner_of(job: Job) -> Planner:
    """The planner of a job's batches."""
    return Planner(
        task=job.task,
        inputs=job.inputs,
        labels=job.labels,
        retries=job.retries,
        seed=job.seed,
        assignment=job.assignment,
        credits_per_dollar=job.credits_per_dollar,
        use_fallback_model=job.use_fallback_model,
        overrides=job.overrides,
        files=row_files_of(job),
    )
