"""A task file as a task."""

import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tasks_lib.configs.document import Document, Trail, read_document
from tasks_lib.configs.inputs import file_input_of, processors_of, task_input_problems
from tasks_lib.configs.outputs import output_doubts, output_told
from tasks_lib.configs.problems import ConfigError, ConfigWarning, Problem, did_you_mean, quoted
from tasks_lib.configs.provider_file import ProviderFile
from tasks_lib.configs.providers import provider_files
from tasks_lib.configs.task_file import (
    FallbackFile,
    RevisionFile,
    TaskFile,
    asking,
    failures_named,
    output_of,
)
from tasks_lib.configs.validation import validated
from tasks_lib.domain.hosted_tasks import wrong_with_name
from tasks_lib.domain.inputs import FileMode, ProcessorStep
from tasks_lib.domain.output import Output
from tasks_lib.domain.task import Model, ModelChoice, Revision, Task, fingerprint_of
from tasks_lib.domain.template import Template

Providers = Mapping[str, ProviderFile]
"""What is told of the providers that a file may use, by name."""

_OURS: Final = {  # parameters that the program itself sends, and what to write instead
    "model": "Write it beside the parameters.",
    "messages": "Write system_prompt and user_prompt.",
    "response_format": "Write output.modality and output.schema.",
    "stream": "Answers are read whole.",
    "stream_options": "Answers are read whole.",
    "n": "One answer is asked for each row.",
}
_OF_HOSTED: Final[Mapping[str, frozenset[str]]] = {  # which of these a hosted task is told for itself
    "webagent": frozenset({"model", "response_format"}),
}
_NOT_ASKING: Final = ("source", "ledger", "inputs")  # keys that only a job file has
_SINGLE_BRACES: Final = re.compile(r"(?<!\{)\{\s*([^\W\d]\w*)\s*\}(?!\})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDocument:
    """A task with the document that it came from."""

    task: Task
    document: Document
    doubts: tuple[Problem, ...]  # what can be used, and is perhaps not what was meant
    unweighted: tuple[Problem, ...]  # why weights alone cannot say which revision a row gets

    def warn(self) -> None:
        """Tell of the doubts."""
        for doubt in self.doubts:
            warnings.warn(str(doubt), ConfigWarning, stacklevel=3)

    def prompt_trail(self, placeholder: str) -> Trail:
        """Where the prompt stands that holds a placeholder."""
        for index, revision in enumerate(self.task.revisions):
            base: Trail = ("revisions", index) if "revisions" in self.document.value else ()
            if placeholder in revision.user_prompt.names:
                return (*base, "user_prompt")
            if revision.system_prompt is not None and placeholder in revision.system_prompt.names:
                return (*base, "system_prompt")
        return ()


def load_task(
    path: Path,
    *,
    weights: Literal["needed", "not_needed"] = "needed",
    processors: Collection[str] = (),
) -> Task:
    """The task in a YAML file; a ConfigWarning tells of what is perhaps not what was meant.

    Weights are not needed where rows' revisions are named or compared. `processors` are names of input
    processors that the caller brings.

    Raises:
        ConfigError: everything that is wrong with it, or with the providers file beside it.
    """
    found = read_task(path, providers=provider_files(path), processors=processors)
    if weights == "needed" and found.unweighted:
        raise ConfigError(found.unweighted)
    found.warn()
    return found.task


def read_task(path: Path, *, providers: Providers | None, processors: Collection[str] = ()) -> TaskDocument:
    """The task in a YAML file, which may use models of these providers; None if they are not known.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    document = read_document(path)
    _refuse_a_job(document)
    file = validated(document, TaskFile)
    problems = [*_shape_problems(document, file)]
    if problems:
        raise ConfigError(problems)
    files = asking(file)
    problems = [
        problem
        for index, revision in enumerate(files)
        for problem in _revision_problems(document, _base(file, index), revision, providers=providers)
    ]
    tags = _tags(document, files, problems)
    output = _output(document, file, problems)
    steps = processors_of(file)
    revisions = tuple(
        _revision(revision, tag=tag, output=output, steps=steps)
        for revision, tag in zip(files, tags, strict=True)
    )
    names = {name for revision in revisions for name in revision.names}
    problems.extend(task_input_problems(document, file, placeholders=sorted(names), processors=processors))
    if problems:
        raise ConfigError(problems)
    task = Task(
        name=file.task or path.stem,
        description=file.description,
        output=output,
        revisions=revisions,
        file_input=file_input_of(file),
        processors=steps,
    )
    return TaskDocument(
        task=task,
        document=document,
        doubts=tuple(_doubts(document, file, task)),
        unweighted=tuple(_weight_problems(document, files, tags)),
    )


def _refuse_a_job(document: Document) -> None:
    if isinstance(document.value, dict):
        for key in _NOT_ASKING:
            if key in document.value:
                message = f"the key {key!r} belongs in a job file, and this is read as a task file"
                raise ConfigError(
                    [document.key_problem((key,), message, "A job's 'task' names the task file.")]
                )


def _base(file: TaskFile, index: int) -> Trail:
    return ("revisions", index) if file.revisions is not None else ()


def _shape_problems(document: Document, file: TaskFile) -> Iterator[Problem]:
    """What is wrong with the two ways to tell revisions, of which a file takes one."""
    single = [
        key
        for key in ("system_prompt", "user_prompt", "model", "parameters", "fallback", "fallback_on")
        if document.value.get(key) is not None
    ]
    if file.revisions is not None:
        for key in single:
            yield document.key_problem(
                (key,), f"{key!r} stands beside 'revisions'", "Move it into the revisions it is meant for."
            )
        return
    for key in ("user_prompt", "model"):
        if document.value.get(key) is None:
            yield document.problem(
                (), f"{key!r} is missing", "A task needs user_prompt and model, or revisions."
            )


def _revision_problems(
    document: Document, base: Trail, revision: RevisionFile, *, providers: Providers | None
) -> Iterator[Problem]:
    yield from model_problems(document, (*base, "model"), revision.model, providers=providers)
    yield from _parameter_problems(
        document, (*base, "parameters"), revision.parameters, model=revision.model, providers=providers
    )
    if revision.fallback_on is not None and not revision.fallback:
        yield document.key_problem(
            (*base, "fallback_on"), "fallback_on stands without fallback", "Name the models beneath fallback."
        )
    for index, fallback in enumerate(revision.fallback):
        trail: Trail = (*base, "fallback", index)
        if isinstance(fallback, FallbackFile):
            yield from model_problems(document, (*trail, "model"), fallback.model, providers=providers)
            yield from _parameter_problems(
                document,
                (*trail, "parameters"),
                fallback.parameters,
                model=fallback.model,
                providers=providers,
            )
        else:
            yield from model_problems(document, trail, fallback, providers=providers)


def model_problems(
    document: Document,
    trail: Trail,
    written: str,
    *,
    providers: Providers | None,
    name: Literal["told", "of_rows"] = "told",
) -> Iterator[Problem]:
    """That a model's provider is unknown, or that it can have no model of that name."""
    model = Model.parse(written)
    provider = model.provider
    if providers is not None and provider not in providers:
        remedy = did_you_mean(provider, sorted(providers), plural="providers")
        known = f" The providers are {', '.join(sorted(providers))}." if remedy and "Did" in remedy else ""
        yield document.problem(trail, f"unknown provider {quoted(provider)}", f"{remedy}{known}")
    elif providers is not None and name == "told":
        wrong = wrong_with_name(
            model.name, protocol=providers[provider].protocol or "openai", edition=providers[provider].edition
        )
        if wrong is not None:
            yield document.problem(trail, f"{quoted(model.name)}, behind '{provider}:', {wrong}")


def _parameter_problems(
    document: Document,
    trail: Trail,
    parameters: Mapping[str, Any],
    *,
    model: str,
    providers: Providers | None,
) -> Iterator[Problem]:
    told = (providers or {}).get(Model.parse(model).provider)
    theirs = _OF_HOSTED.get(told.protocol or "", frozenset()) if told is not None else frozenset()
    for name in parameters:
        if name in _OURS and name not in theirs:
            yield document.key_problem((*trail, name), f"{name!r} cannot be a parameter", _OURS[name])
    for name in ("max_tokens", "max_completion_tokens"):
        value = parameters.get(name)
        if value is None or value == -1:  # some servers' way to say that there is no bound
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield document.problem((*trail, name), f"{name} must be a whole number of at least 1")


def _tags(document: Document, files: Collection[RevisionFile], problems: list[Problem]) -> list[str]:
    tags: list[str] = []
    for index, revision in enumerate(files):
        tag = revision.tag or f"v{index + 1}"
        if tag in tags:
            trail = ("revisions", index, "tag")
            problems.append(
                document.problem(trail, f"the tag {tag!r} is taken by revisions[{tags.index(tag)}]")
            )
        tags.append(tag)
    return tags


def _weight_problems(
    document: Document, files: Sequence[RevisionFile], tags: Sequence[str]
) -> Iterator[Problem]:
    """Why weights alone cannot say which revision a row gets."""
    active = [index for index, revision in enumerate(files) if revision.weight != 0]
    if not active:
        yield document.problem(("revisions",), "all weights are 0", "Give one revision a weight.")
    if len(active) < 2:
        return
    for index in active:
        if files[index].weight is None:
            yield document.problem(
                ("revisions", index),
                f"revision {tags[index]!r} has no weight, and is not the only one",
                "Give each a weight: its share of the rows, or 0. A job can also name one (revision_tag) or "
                "compare several.",
            )


def _revision(file: RevisionFile, *, tag: str, output: Output, steps: tuple[ProcessorStep, ...]) -> Revision:
    models = (
        ModelChoice(model=Model.parse(file.model), parameters=file.parameters),
        *(
            ModelChoice(model=Model.parse(fallback.model), parameters=fallback.parameters)
            if isinstance(fallback, FallbackFile)
            else ModelChoice(model=Model.parse(fallback))
            for fallback in file.fallback
        ),
    )
    return Revision(
        tag=tag,
        weight=1.0 if file.weight is None else file.weight,
        user_prompt=Template.parse(file.user_prompt),
        system_prompt=None if file.system_prompt is None else Template.parse(file.system_prompt),
        models=models,
        fallback_on=failures_named(file.fallback_on),
        fingerprint=fingerprint_of(
            system_prompt=file.system_prompt,
            user_prompt=file.user_prompt,
            models=models,
            output=output,
            processors=steps,
        ),
    )


def _output(document: Document, file: TaskFile, problems: list[Problem]) -> Output:
    """What must come back; what is wrong with it is added to the problems."""
    try:
        return output_told(document, output_of(file))
    except ConfigError as error:
        problems.extend(error.problems)
    return Output()


def _doubts(document: Document, file: TaskFile, task: Task) -> Iterator[Problem]:
    yield from output_doubts(document, task.output)
    takes_files = file_input_of(file).mode is not FileMode.NONE  # rows differ by theirs
    for index, revision in enumerate(task.revisions):
        braces = _SINGLE_BRACES.search(revision.user_prompt.source)
        if not revision.names and not (takes_files and braces is None):
            at = (*_base(file, index), "user_prompt")
            remedy = f"Did you mean {{{{{braces[1]}}}}}?" if braces else None
            message = "the prompts hold no {{placeholder}}: every row would ask the same"
            yield document.problem(at, message, remedy)
    told = [revision.weight for revision in file.revisions or ()]
    if len(told) < 2 or not any(told) or None in told:
        return
    total = sum(revision.weight for revision in task.revisions)
    if not any(abs(total - whole) < 1e-9 for whole in (1, 100)):
        shares = ", ".join(f"{revision.tag} {revision.weight / total:.1%}" for revision in task.revisions)
        message = f"the weights add up to {total:g}, not to 1: as shares of their sum they mean {shares}"
        yield document.problem(("revisions",), message)
