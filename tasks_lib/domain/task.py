"""What is asked and what must come back: tasks, their revisions, and the models these name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log, log1p

import orjson

from tasks_lib.domain.chance import fraction
from tasks_lib.domain.failure import ANY_FAILURE, FailureKind
from tasks_lib.domain.fingerprint import JsonValue, content_hash
from tasks_lib.domain.inputs import FileInput, ProcessorStep
from tasks_lib.domain.output import Output
from tasks_lib.domain.template import Template
from tasks_lib.domain.uuids import id_of

_BOUNDS_OF_ANSWERS = ("max_tokens", "max_completion_tokens", "maxOutputTokens")  # the last is Google's


@dataclass(frozen=True, slots=True)
class Model:
    """A model at a provider, written `provider:name`."""

    provider: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "Model":
        """The model that `provider:name` spells; the name may hold further colons.

        Raises:
            ValueError: one of the two is missing.
        """
        provider, colon, name = text.partition(":")
        if not (provider and colon and name):
            raise ValueError(f"{text!r} is not of the form provider:name, such as openai:gpt-5-mini")
        return cls(provider, name)

    def __str__(self) -> str:
        return f"{self.provider}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A model with the parameters it is called with; the first of a revision is its primary."""

    model: Model
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def most_output_tokens(self) -> int | None:
        """The longest answer that the parameters allow; None if they set no bound."""
        given = [self.parameters.get(name) for name in _BOUNDS_OF_ANSWERS]
        bounds = [
            bound for bound in given if isinstance(bound, int) and not isinstance(bound, bool) and bound > 0
        ]
        return max(bounds, default=None)  # -1 is no bound to some servers, and no credit to our budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One version of a task."""

    tag: str
    user_prompt: Template
    system_prompt: Template | None = None
    models: tuple[ModelChoice, ...]  # the primary, then the fallbacks in order
    weight: float = 1.0
    output: Output | None = None  # in place of the task's
    fallback_on: frozenset[FailureKind] = ANY_FAILURE  # after which the next model is asked
    fingerprint: str  # names all that can change an answer; see fingerprint_of

    @property
    def names(self) -> tuple[str, ...]:
        """The placeholders of its prompts, each once, in order of appearance."""
        system = self.system_prompt.names if self.system_prompt else ()
        return tuple(dict.fromkeys((*system, *self.user_prompt.names)))


def fingerprint_of(
    *,
    system_prompt: str | None,
    user_prompt: str,
    models: Sequence[ModelChoice],
    output: Output,
    processors: Sequence[ProcessorStep] = (),
) -> str:
    """32 hexadecimal digits for everything about a revision that can change an answer.

    Tag and weight are no part of it: renaming a revision or shifting its traffic pays for no row again.
    """
    asked: dict[str, JsonValue] = {
        "system_prompt": system_prompt,
        "user_prompt": user_prompt,
        "models": [{"model": str(choice.model), "parameters": choice.parameters} for choice in models],
        "output": _output_as_asked(output),
    }
    if processors:
        asked["processors"] = [[step.param_name, step.input_processor, step.config] for step in processors]
    return content_hash(asked)


def _output_as_asked(output: Output) -> Mapping[str, JsonValue]:
    """What an output asks for. A key that says only what was so before it existed stays out of the hash."""
    asked: dict[str, JsonValue] = {"modality": output.modality.value, "schema": _as_sent(output.schema)}
    if output.columns:
        asked["columns"] = [
            [column.name, column.type.value, column.nullable, column.description] for column in output.columns
        ]
    if output.min_rows or output.max_rows is not None:
        asked["rows"] = [output.min_rows, output.max_rows]
    if output.file_type is not None:
        asked["file_type"] = output.file_type
    if not output.coerce:
        asked["coerce"] = False
    return asked


def _as_sent(schema: Mapping[str, JsonValue] | None) -> str | None:
    """A schema's text in its own order: models fill in properties in the order in which they stand."""
    return None if schema is None else orjson.dumps(schema).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is asked of a model for each row, and what must come back."""

    name: str
    output: Output
    revisions: tuple[Revision, ...]
    description: str | None = None
    file_input: FileInput = field(default_factory=FileInput)
    processors: tuple[ProcessorStep, ...] = ()  # run in this order before the prompts are rendered

    @property
    def id(self) -> str:
        """A UUID that follows from the name."""
        return id_of({"task": self.name})

    @property
    def names(self) -> tuple[str, ...]:
        """The placeholders of all its revisions."""
        return tuple(dict.fromkeys(name for revision in self.revisions for name in revision.names))

    def revision_id(self, revision: Revision) -> str:
        """A UUID for a revision of this task, which follows from all that can change its answers."""
        return id_of({"task": self.name, "fingerprint": revision.fingerprint})


def choose_revision(revisions: Sequence[Revision], *, seed: str, row_key: str) -> Revision:
    """The revision of a row by traffic weight: the same for the same seed and key, whatever else is run.

    Weights are taken as shares of their sum, which is above zero. Each revision draws for the row by its
    tag, and the smallest draw for its weight wins. So a revision that is added, or whose weight grows, takes
    over as many rows as it must, and no row goes from one of the others to another of them.
    """
    if len(revisions) == 1:
        return revisions[0]
    active = [revision for revision in revisions if revision.weight > 0]
    return min(active, key=lambda one: (_draw(one, seed=seed, row_key=row_key), one.tag))


def _draw(revision: Revision, *, seed: str, row_key: str) -> float:
    """The logarithm of an exponential variate over the weight: the smallest wins, as often as weighted."""
    chance = max(fraction("revision", seed, row_key, revision.tag), 2.0**-54)
    return log(-log1p(-chance)) - log(revision.weight)
