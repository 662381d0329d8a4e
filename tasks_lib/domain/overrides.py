"""What a job, or one of its rows, changes in the revisions that it is run with.

Each combination of changes is a revision of its own, with its own fingerprint, so that an answer under one is
never taken for an answer under another. It keeps the tag of the revision that was changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import jsonschema_rs
import orjson

from tasks_lib.domain.assignment import NO_REVISION, Assigned
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Modality, Output, first_line
from tasks_lib.domain.plan import Message
from tasks_lib.domain.task import Model, Revision, Task, fingerprint_of
from tasks_lib.domain.template import Template

SHORTEST_PROMPT: Final = 3  # characters, as the browser agents' task API has it
FORMATS: Final[Mapping[str, Modality]] = {"text": Modality.TEXT, "json": Modality.JSON}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is put in place of a revision's own; None leaves it as it is."""

    prompt: Template | None = None  # of the user message
    model: Model | None = None  # the primary
    provider: str | None = None  # of the primary, whatever its name
    output: Output | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOverrides:
    """Templates over a row's columns; where one gives nothing, the row changes nothing."""

    least_prompt: int = 0  # characters that a row's user message must have
    model: Template | None = None  # provider:name
    provider: Template | None = None
    response_format: Template | None = None  # text or json
    json_schema: str | None = None  # the column of it: JSON text, or a mapping

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that the changes hang on."""
        templates = (self.model, self.provider, self.response_format)
        named = [name for template in templates if template is not None for name in template.names]
        return tuple(dict.fromkeys([*named, *([] if self.json_schema is None else [self.json_schema])]))


class Overrider:
    """Gives the revision that a row's changes make of the one it was assigned."""

    def __init__(self, task: Task, overrides: RowOverrides) -> None:
        """Begin with no combination known."""
        self._task = task
        self._overrides = overrides
        self._columns = overrides.columns  # once, and not for each row
        self._made: dict[tuple[bytes, str], Revision | Failure] = {}

    @property
    def changes_rows(self) -> bool:
        """Whether any row can have a wish of its own."""
        return bool(self._columns)

    def of(self, values: Mapping[str, JsonValue], assigned: Assigned) -> Assigned:
        """The revision as the row has it, or what is wrong with the row's wish."""
        if not self._columns or assigned.revision.fingerprint == NO_REVISION:
            return assigned
        # with keys in their order, which is part of a schema
        combination = orjson.dumps([values.get(column) for column in self._columns])
        key = (combination, assigned.revision.fingerprint)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._changed(values, assigned.revision)
        if isinstance(made, Failure):
            return Assigned(assigned.revision, assigned.by, assigned.problem or made)
        return Assigned(made, assigned.by, assigned.problem)

    def problem(self, messages: Sequence[Message]) -> Failure | None:
        """That a prompt is too short to be one."""
        least = self._overrides.least_prompt
        if not least or not messages or len(messages[-1].text.strip()) >= least:
            return None
        return bad_row(f"override.prompt has fewer than {least} characters: {messages[-1].text!r}")

    def _changed(self, values: Mapping[str, JsonValue], revision: Revision) -> Revision | Failure:
        told = self._overrides
        try:
            model = _rendered(told.model, values)
            schema = None if told.json_schema is None else schema_of(values.get(told.json_schema))
            return changed(
                self._task,
                revision,
                Change(
                    model=None if model is None else Model.parse(model),
                    provider=_rendered(told.provider, values),
                    output=output_with(
                        self._task.output,
                        response_format=_rendered(told.response_format, values),
                        schema=schema,
                    ),
                ),
            )
        except ValueError as error:
            return bad_row(f"override: {error}")


def changed(task: Task, revision: Revision, change: Change) -> Revision:
    """A revision with a change; the same one if nothing is changed."""
    primary, *fallbacks = revision.models
    model = change.model or primary.model
    if change.provider is not None:
        model = Model(change.provider, model.name)
    prompt = change.prompt or revision.user_prompt
    output = change.output or task.output
    if (model, prompt, output) == (primary.model, revision.user_prompt, task.output):
        return revision
    models = (replace(primary, model=model), *fallbacks)
    return replace(
        revision,
        models=models,
        user_prompt=prompt,
        output=None if output == task.output else output,
        fingerprint=fingerprint_of(
            system_prompt=revision.system_prompt.source if revision.system_prompt else None,
            user_prompt=prompt.source,
            models=models,
            output=output,
            processors=task.processors,
        ),
    )


def with_change(task: Task, change: Change) -> Task:
    """The task with a change in each of its revisions."""
    output = change.output or task.output
    revisions = tuple(replace(changed(task, one, change), output=None) for one in task.revisions)
    return replace(task, output=output, revisions=revisions)


def output_with(
    output: Output, *, response_format: str | None, schema: Mapping[str, JsonValue] | None
) -> Output | None:
    """An output of another format or schema; None if neither is told.

    Raises:
        ValueError: the two do not go together, or the task's answers are neither JSON nor text.
    """
    if response_format is None and schema is None:
        return None
    if output.modality not in FORMATS.values():
        raise ValueError(f"the task's answers are {output.modality.value}, and can be neither text nor JSON")
    if response_format is not None and response_format.lower() not in FORMATS:
        raise ValueError(f"response_format is {response_format[:40]!r}, which is neither text nor json")
    modality = FORMATS[response_format.lower()] if response_format is not None else Modality.JSON
    if schema is not None:
        if modality is not Modality.JSON:
            raise ValueError("response_format is text, and a json_schema is given")
        return Output.of(Modality.JSON, schema, coerce=output.coerce)
    if modality is output.modality:
        return None
    return Output.of(modality)


def schema_of(told: JsonValue) -> Mapping[str, JsonValue] | None:
    """The JSON Schema that a cell holds, as JSON text or as a mapping; None if it is empty.

    Raises:
        ValueError: it is none.
    """
    if told is None or told == "":
        return None
    if isinstance(told, str):
        try:
            told = orjson.loads(told)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"json_schema is not JSON: {error}") from None
    if not isinstance(told, Mapping):
        raise ValueError("json_schema is not a JSON object")  # noqa: TRY004  # a value of data, and no fault
    check_schema(told)
    return told


def check_schema(schema: Mapping[str, JsonValue]) -> None:
    """Nothing, if a mapping is a JSON Schema that stands for itself; of Draft 7, unless it names another.

    Raises:
        ValueError: it is none, or points out of itself.
    """
    if points_outside(schema):
        raise ValueError("json_schema points out of itself, and nothing is fetched: put it into $defs")
    try:
        if "$schema" not in schema:
            jsonschema_rs.Draft7Validator(dict(schema), offline=True)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"json_schema is not a JSON Schema of Draft 7: {first_line(error)}") from None
    try:
        Output.of(Modality.JSON, schema)
    except ValueError as error:
        raise ValueError(f"json_schema is {error}") from None


def points_outside(schema: object) -> bool:
    """Whether a schema refers to what stands elsewhere."""
    if isinstance(schema, Mapping):
        return any(
            points_outside(value)
            or (
                key in ("$ref", "$dynamicRef", "$recursiveRef")
                and isinstance(value, str)
                and not value.startswith("#")
            )
            for key, value in schema.items()
        )
    return isinstance(schema, list) and any(map(points_outside, schema))


def bad_row(message: str) -> Failure:
    """That a row cannot be asked."""
    return Failure(kind=FailureKind.BAD_ROW, message=message)


def _rendered(template: Template | None, values: Mapping[str, JsonValue]) -> str | None:
    return None if template is None else template.render(values).strip() or None
