"""What a job changes in its task for all rows, and what its rows change for themselves."""

from collections.abc import Iterator
from typing import Final

from tasks_lib.configs.document import Document, Trail
from tasks_lib.configs.fields import Column
from tasks_lib.configs.job_file import JobFile
from tasks_lib.configs.outputs import schema_told
from tasks_lib.configs.problems import ConfigError, Problem, did_you_mean, quoted
from tasks_lib.configs.tasks import Providers, model_problems
from tasks_lib.domain.overrides import (
    SHORTEST_PROMPT,
    Change,
    RowOverrides,
    check_schema,
    output_with,
    schema_of,
    with_change,
)
from tasks_lib.domain.task import Model, Task
from tasks_lib.domain.template import Template

_AT: Final[Trail] = ("override",)
_SCHEMA_AT: Final[Trail] = ("override", "json_schema")


def as_run(document: Document, file: JobFile, task: Task) -> Task:
    """The task with what the job changes in it for all rows; as it is, if a change is wrong."""
    try:
        return with_change(task, _change(document, file, task))
    except ConfigError:  # which is told elsewhere
        return task


def row_overrides_of(file: JobFile) -> RowOverrides:
    """What rows change for themselves."""
    told = file.override
    if told is None:
        return RowOverrides()
    schema = told.json_schema
    return RowOverrides(
        least_prompt=SHORTEST_PROMPT if told.prompt is not None else 0,
        model=_model_of_rows(told.model),
        provider=_of_rows(told.provider),
        response_format=_of_rows(told.response_format),
        json_schema=str(schema["column"]) if _is_column(schema) and isinstance(schema, dict) else None,
    )


def override_problems(
    document: Document, file: JobFile, task: Task | None, *, providers: Providers | None
) -> Iterator[Problem]:
    """What is wrong with the changes."""
    if file.model is not None:
        yield from model_problems(document, ("model",), file.model, providers=providers)
    told = file.override
    if told is None:
        return
    if file.model is not None and told.model is not None:
        message = "'model' stands beside override.model"
        yield document.key_problem(("model",), message, "Write one of the two.")
    if isinstance(told.model, str):
        of_rows = not _template(told.model).is_constant
        yield from model_problems(
            document, (*_AT, "model"), told.model, providers=providers, name="of_rows" if of_rows else "told"
        )
    if isinstance(told.provider, str) and providers is not None and told.provider not in providers:
        remedy = did_you_mean(told.provider, sorted(providers), plural="providers")
        yield document.problem((*_AT, "provider"), f"unknown provider {quoted(told.provider)}", remedy)
    prompt = None if told.prompt is None else _template(told.prompt)
    if prompt is not None and prompt.is_constant and len(prompt.source.strip()) < SHORTEST_PROMPT:
        message = f"override.prompt has fewer than {SHORTEST_PROMPT} characters"
        yield document.problem((*_AT, "prompt"), message)
    if task is not None:
        try:
            _change(document, file, task)
        except ConfigError as error:
            yield from error.problems


def override_columns(overrides: RowOverrides) -> Iterator[tuple[Trail, str]]:
    """The columns that changes hang on, and where they are named."""
    named = {
        "model": overrides.model,
        "provider": overrides.provider,
        "response_format": overrides.response_format,
    }
    for key, template in named.items():
        yield from (((*_AT, key), column) for column in (template.names if template is not None else ()))
    if overrides.json_schema is not None:
        yield _SCHEMA_AT, overrides.json_schema


def prompt_trail(document: Document, placeholder: str, task: Task) -> Trail | None:
    """Where the job's own prompt stands, if it is what asks for a placeholder; None if the task's does."""
    told = document.value.get("override") or {}
    if not told.get("prompt"):
        return None
    system = [one.system_prompt for one in task.revisions if one.system_prompt is not None]
    return None if any(placeholder in prompt.names for prompt in system) else (*_AT, "prompt")


def _change(document: Document, file: JobFile, task: Task) -> Change:
    """What is changed for all rows.

    Raises:
        ConfigError: a schema that is none, or what does not go together.
    """
    told = file.override
    model = Model.parse(file.model) if file.model is not None else None
    if told is None:
        return Change(model=model)
    if isinstance(told.model, str) and _template(told.model).is_constant:
        model = Model.parse(told.model)
    schema = None
    try:
        if told.json_schema is not None and not _is_column(told.json_schema):
            text = told.json_schema
            if isinstance(text, str) and text.lstrip().startswith("{"):
                schema = schema_of(text)
            else:
                schema = schema_told(document, text, at=_SCHEMA_AT)
                check_schema(schema)
        constant = told.response_format if isinstance(told.response_format, str) else None
        output = output_with(task.output, response_format=constant, schema=schema)
    except ValueError as error:
        at = (*_AT, "response_format") if told.json_schema is None else _SCHEMA_AT
        raise ConfigError([document.problem(at, f"override: {error}")]) from None
    return Change(
        prompt=None if told.prompt is None else _template(told.prompt),
        model=model,
        provider=told.provider if isinstance(told.provider, str) else None,
        output=output,
    )


def _is_column(schema: object) -> bool:
    """Whether what stands in place of a schema names a column: no schema has that one key alone."""
    return isinstance(schema, dict) and list(schema) == ["column"] and isinstance(schema["column"], str)


def _model_of_rows(told: str | Column | None) -> Template | None:
    """A column of models, or a template such as `parallel:{{processor}}`."""
    if not isinstance(told, str):
        return _of_rows(told)
    template = _template(told)
    return None if template.is_constant else template


def _of_rows(label: str | Column | None) -> Template | None:
    return _template(label) if isinstance(label, Column) else None


def _template(label: str | Column) -> Template:
    if isinstance(label, str):
        return Template.parse(label)
    # made by hand, since a column may be called what no placeholder can be
    return Template(f"{{{{{label.column}}}}}", ("", ""), (label.column,))
