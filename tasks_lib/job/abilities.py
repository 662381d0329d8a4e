"""What the protocols can answer, and what of a task's schema they cannot be told."""

from collections.abc import Callable, Mapping
from typing import Final

from tasks_lib.domain.answer_form import schema_asked
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.output import Modality
from tasks_lib.domain.task import Model
from tasks_lib.job.setup import LOCAL, Setup
from tasks_lib.providers import anthropic, google_request, parallel_spec
from tasks_lib.providers.schema_subset import Subset, convert

_SHOWN: Final = 8  # of what is lost
_IN_WORDS: Final = frozenset({Modality.JSON, Modality.TEXT, Modality.CSV, Modality.PDF})
_ANSWERS: Final[Mapping[str, frozenset[Modality]]] = {
    "openai": frozenset(Modality),
    "anthropic": _IN_WORDS,
    "google": frozenset(Modality),
    LOCAL: frozenset(Modality),
    "parallel": frozenset({Modality.JSON, Modality.TEXT, Modality.CSV}),
    "rightbrain": frozenset(Modality),
    "webagent": frozenset({Modality.JSON, Modality.TEXT}),
}
_SUBSETS: Final[Mapping[str, Callable[[Mapping[str, JsonValue]], Subset]]] = {
    "anthropic": anthropic.subset_for,
    "google": google_request.subset_for,
    "parallel": lambda _: parallel_spec.SUBSET,
}


def check_modality(setup: Setup) -> None:
    """Refuse a task whose answers one of its models cannot give.

    Raises:
        Mistake: with the model, and the protocols that have such models.
    """
    modality = setup.job.task.output.modality
    for model in setup.models:
        reason = why_not_answered(setup, model, modality)
        if reason is not None:
            place = f"{setup.path}: " if setup.path is not None else ""
            raise Mistake(f"{place}{reason}")


def why_not_answered(setup: Setup, model: Model, modality: Modality) -> str | None:
    """Why a model cannot give answers of this modality, with the remedy; None if it can."""
    protocol = setup.provider(model).protocol
    if modality in _ANSWERS[protocol]:
        return None
    others = [name for name, answers in _ANSWERS.items() if modality in answers]
    can = [one.value for one in Modality if one in _ANSWERS[protocol]]
    return (
        f"output.modality is {modality.value}, and {model} cannot answer so: the protocol {protocol} answers "
        f"in {', '.join(can)}. Ask a model of a provider that speaks one of {', '.join(others)}."
    )


def untold(setup: Setup) -> tuple[str, ...]:
    """What of the task's schema the models' APIs cannot be told; answers are checked against all of it."""
    asked = schema_asked(setup.job.task.output)
    if asked is None:
        return ()
    told: dict[str, tuple[str, ...]] = {}
    for model in setup.models:
        provider = setup.provider(model)
        subset = _SUBSETS.get(provider.protocol)
        if subset is not None and provider.structured_output == "json_schema":
            told[provider.name] = convert(asked, subset(asked)).lost
    return tuple(
        f"{name} cannot be held to {_shown(lost)}; the model is told in words, and answers are checked "
        "against the whole schema"
        for name, lost in told.items()
        if lost
    )


def _shown(lost: tuple[str, ...]) -> str:
    """What is lost, as far as one line holds it."""
    more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    return ", ".join(lost[:_SHOWN]) + more
