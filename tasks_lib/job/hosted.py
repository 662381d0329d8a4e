"""What hosted tasks cannot do for a job, found before the first call."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.hosted_tasks import wrong_with_name
from tasks_lib.domain.inputs import FileMode
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.output import Output
from tasks_lib.domain.task import ModelChoice
from tasks_lib.job.setup import Setup
from tasks_lib.providers import rightbrain_asking

_PROBLEMS: Final[Mapping[str, Callable[[Mapping[str, JsonValue], Output], Sequence[str]]]] = {
    "rightbrain": rightbrain_asking.problems,
}
"""What is wrong with a model's parameters, or with the answers that are asked for, by protocol."""
_TAKE_FILES: Final = frozenset({"rightbrain"})


def check_hosted_tasks(setup: Setup) -> None:
    """Refuse a job that one of its hosted tasks cannot be asked.

    Raises:
        Mistake: with all that is wrong, a line each.
    """
    task = setup.job.task
    wrong: dict[str, None] = {}
    for revision in (*task.revisions, *setup.job.variants):
        for choice in revision.models:
            for problem in wrong_with_choice(setup, choice, revision.output or task.output):
                wrong[problem] = None
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
    if protocol in _PROBLEMS:
        yield from (f"the model {model}: {told}" for told in _PROBLEMS[protocol](choice.parameters, output))
    mode = setup.job.task.file_input.mode
    if mode is not FileMode.NONE and protocol not in _TAKE_FILES:
        yield (
            f"file_input_mode is {mode.value}, and {model} takes no files: of the hosted tasks only those of "
            "the protocol rightbrain do. Have a processor read them as text (input_processors), or ask "
            "another model."
        )
