"""What hosted tasks cannot do for a job, and what they may do otherwise than meant."""

from collections.abc import Iterator, Sequence
from typing import Final

from tasks_lib.domain.hosted_tasks import wrong_with_name
from tasks_lib.domain.inputs import FileMode
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.output import Output
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import ModelChoice
from tasks_lib.job.setup import Setup
from tasks_lib.providers import parallel_parameters, rightbrain_asking, webagent_ask

_TAKE_FILES: Final = frozenset({"rightbrain"})


def check_hosted_tasks(setup: Setup) -> None:
    """Refuse a job that one of its hosted tasks cannot be asked.

    Raises:
        Mistake: with all that is wrong, a line each.
    """
    wrong = dict.fromkeys(
        problem for choice, output in _asked(setup) for problem in wrong_with_choice(setup, choice, output)
    )
    if wrong:
        place = f"{setup.path}: " if setup.path is not None else ""
        raise Mistake("\n".join(f"{place}{problem}" for problem in wrong))


def wrong_with_choice(setup: Setup, choice: ModelChoice, output: Output) -> Iterator[str]:
    """Why a hosted task cannot be asked for such answers; nothing for models of other protocols."""
    provider = setup.provider(choice.model)
    if provider.hosted is None:
        return
    model, protocol = choice.model, provider.protocol
    wrong = wrong_with_name(model.name, protocol=protocol, edition=provider.hosted.edition)
    if wrong is not None:
        yield f"the model {model}: its name {wrong}"
    yield from (f"the model {model}: {problem}" for problem in _problems(provider, choice, output))
    mode = setup.job.task.file_input.mode
    if mode is not FileMode.NONE and protocol not in _TAKE_FILES:
        yield (
            f"file_input_mode is {mode.value}, and {model} takes no files: of the hosted tasks only those of "
            "the protocol rightbrain do. Have a processor read them as text (input_processors), or ask "
            "another model."
        )


def doubts(setup: Setup) -> tuple[str, ...]:
    """What hosted tasks are asked that is perhaps not meant, or not done there."""
    return tuple(
        dict.fromkeys(
            f"{choice.model}: {doubt}"
            for choice, output in _asked(setup)
            for doubt in _doubts(setup, choice, output)
        )
    )


def _asked(setup: Setup) -> Iterator[tuple[ModelChoice, Output]]:
    """Every choice of a model, with what it is to answer."""
    for revision in (*setup.job.task.revisions, *setup.job.variants):
        for choice in revision.models:
            yield choice, revision.output or setup.job.task.output


def _problems(provider: Provider, choice: ModelChoice, output: Output) -> Sequence[str]:
    """What is wrong with parameters and schema; those of language models are let pass, and not sent."""
    match provider.protocol:
        case "parallel":
            return parallel_parameters.problems(choice.parameters, output)
        case "rightbrain":
            return rightbrain_asking.problems(choice.parameters, output)
        case "webagent" if provider.hosted is not None:
            return webagent_ask.problems(choice.parameters, output, edition=provider.hosted.edition)
        case _:
            return ()


def _doubts(setup: Setup, choice: ModelChoice, output: Output) -> Sequence[str]:
    match setup.provider(choice.model).protocol:
        case "parallel":
            return parallel_parameters.cautions(choice.model.name, choice.parameters, output)
        case "webagent":
            return webagent_ask.cautions(choice.parameters, output)
        case "rightbrain":
            return rightbrain_asking.cautions(choice.parameters, output)
        case _:
            return ()
