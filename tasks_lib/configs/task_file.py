"""What a task file may say."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from tasks_lib.configs.fields import MAPPING, TEXT, Count, Keys, Name, Parameters, Text, kind_of
from tasks_lib.configs.input_file import FileModeName, ProcessorFile
from tasks_lib.configs.output_file import ModalityName, OutputFile
from tasks_lib.domain.failure import ANY_FAILURE, Budget, FailureKind
from tasks_lib.domain.task import Model


def _model(value: str) -> str:
    try:
        Model.parse(value)
    except ValueError:
        raise PydanticCustomError(
            "model", "must be of the form provider:name, such as openai:gpt-5-mini"
        ) from None
    return value


ModelName = Annotated[
    str, AfterValidator(_model), WithJsonSchema({"type": "string", "pattern": "^[^:]+:.+$"})
]


class FallbackFile(Keys):
    """A model that is asked when the ones before it are spent."""

    model: ModelName = Field(description="The model as provider:name")
    parameters: Parameters = Field(
        default_factory=dict,
        description="What is sent with each call; nothing is taken over from the primary",
    )


Fallback = Annotated[
    Annotated[ModelName, Tag(TEXT)] | Annotated[FallbackFile, Tag(MAPPING)], Discriminator(kind_of)
]


FallbackReason = Literal[
    "rate_limited",
    "transient",
    "server_error",
    "timeout",
    "connection",
    "broken_reply",
    "run_failed",
    "refused",
    "length",
    "invalid_output",
]


class _Asking(Keys):
    """The keys of a revision that a task with one revision may hold itself."""

    system_prompt: Text | None = Field(
        default=None, description="The system message; {{placeholders}} are replaced by the row's values"
    )
    parameters: Parameters = Field(
        default_factory=dict,
        description="What is sent with each call, such as temperature and max_tokens, by the API's own names",
    )
    fallback: list[Fallback] = Field(
        default_factory=list, description="Models to ask in this order when the primary is spent"
    )
    fallback_on: list[FallbackReason] | None = Field(
        default=None,
        description="After which failures the next model is asked; by default all of these. transient means "
        "server_error, timeout, connection and broken_reply. [] leaves it to use_fallback_model",
    )


class RevisionFile(_Asking):
    """One version of a task."""

    tag: Name | None = Field(
        default=None,
        description="The revision's name; v1, v2, … by default. Rightbrain knows 15 letters and digits",
    )
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="Its share of the rows, in proportion to the other revisions' weights. 0: it is used "
        "only where it is named. It may be left out where no other revision is active",
    )
    user_prompt: Text = Field(
        description="The user message; {{placeholders}} are replaced by the row's values"
    )
    model: ModelName = Field(description="The primary model as provider:name")


class TaskFile(_Asking):
    """What is asked of a model for each row, and what must come back."""

    task: Name | None = Field(
        default=None, description="The task's name; by default the file's. Runs are kept under it"
    )
    description: str | None = Field(default=None, description="For people")
    output: Annotated[
        Annotated[OutputFile, Tag(MAPPING)] | Annotated[ModalityName, Tag(TEXT)],
        Discriminator(kind_of),
    ] = Field(
        default_factory=OutputFile, description="What must come back: a modality, or modality and schema"
    )
    revisions: Annotated[list[RevisionFile], Field(min_length=1)] | None = Field(
        default=None,
        description="The versions of the task. A task with one version may hold the version's keys itself",
    )
    user_prompt: Text | None = Field(
        default=None, description="The user message; {{placeholders}} are replaced by the row's values"
    )
    model: ModelName | None = Field(default=None, description="The primary model as provider:name")
    file_input_mode: FileModeName | None = Field(
        default=None,
        description="Which files a row brings along for the model: none (the default), image, pdf, "
        "image_or_pdf or any. The job's `files` says which columns name them",
    )
    image_required: bool | None = Field(
        default=None, description="true is the same as file_input_mode: image"
    )
    file_required: bool | None = Field(
        default=None,
        description="Whether a row without its file fails, and no call is made; true by default",
    )
    max_file_bytes: Count | None = Field(
        default=None, description="The most bytes that a file may have; 20,000,000 by default"
    )
    input_processors: list[ProcessorFile] = Field(
        default_factory=list,
        description="What is made of placeholders' values, in this order, before the prompts are rendered",
    )


def asking(file: TaskFile) -> tuple[RevisionFile, ...]:
    """The revisions of a task file, in whichever of the two ways it tells them."""
    if file.revisions is not None:
        return tuple(file.revisions)
    assert file.user_prompt is not None  # noqa: S101  # the caller has checked it
    assert file.model is not None  # noqa: S101  # as above
    return (
        RevisionFile(
            system_prompt=file.system_prompt,
            user_prompt=file.user_prompt,
            model=file.model,
            parameters=file.parameters,
            fallback=file.fallback,
            fallback_on=file.fallback_on,
        ),
    )


def failures_named(words: Sequence[str] | None) -> frozenset[FailureKind]:
    """The failures after which the next model is asked; a model that is down for one of them is passed by."""
    if words is None:
        return ANY_FAILURE
    kinds = {kind for kind in ANY_FAILURE for word in words if word in (kind.value, _group_of(kind))}
    return frozenset({*kinds, FailureKind.CIRCUIT_OPEN} if kinds else ())


def _group_of(kind: FailureKind) -> str | None:
    return kind.budget.value if kind.budget is Budget.TRANSIENT else None


def output_of(file: TaskFile) -> OutputFile:
    """What must come back, in whichever of the two ways the file tells it."""
    return file.output if isinstance(file.output, BaseModel) else OutputFile(modality=file.output)
