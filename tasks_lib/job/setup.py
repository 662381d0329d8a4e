"""A job with all that its run needs: accounts, keys and prices; nothing is opened yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks_lib.configs import Environment, PriceBook, load_job, load_prices, load_providers, secret_for
from tasks_lib.domain.job import Job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.pricing import PriceList
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import Model, Task

LOCAL = "local"  # the protocol of models that this machine runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A job, the providers it may name, and the prices of its models."""

    job: Job
    providers: Mapping[str, Provider]
    prices: PriceBook
    environment: Environment

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model that the job may call, each once: primaries first."""
        return models_of(self.job.task)

    def price_lists(self) -> dict[Model, PriceList | None]:
        """The prices of each model; None where they are unknown."""
        return {model: self.prices.price_list(model, self.provider(model)) for model in self.models}

    def provider(self, model: Model) -> Provider:
        """The account that a model is called with."""
        return self.providers[model.provider]

    def secrets(self) -> dict[str, Secret | None]:
        """The key of each provider that the job calls, by the provider's name.

        Raises:
            Mistake: a variable is not set.
        """
        names = dict.fromkeys(model.provider for model in self.models)
        return {name: secret_for(self.providers[name], self.environment) for name in names}


def load_setup(path: Path, *, environment: Environment, overrides: Mapping[str, object] | None = None) -> Setup:
    """The setup that a job file spells, with the command line's overrides laid over it.

    Raises:
        Mistake: with file, line and column, and what would be right.
    """
    job = load_job(path, overrides=overrides or {})
    return setup_of(job, near=path, environment=environment)


def setup_of(job: Job, *, near: Path | None, environment: Environment) -> Setup:
    """The setup of a job that is already at hand; providers.yaml and prices.yaml are looked for near a path.

    Raises:
        Mistake: a model's provider is unknown, or a money limit meets a model that it cannot hold for.
    """
    setup = Setup(
        job=job,
        providers=load_providers(near, job=job, environment=environment),
        prices=load_prices(near, job=job),
        environment=environment,
    )
    if job.limits.max_cost is not None:
        _check_money(setup)
    return setup


def models_of(task: Task) -> tuple[Model, ...]:
    """Every model that a task may call, each once: primaries first."""
    positions = max(len(revision.models) for revision in task.revisions)
    return tuple(
        dict.fromkeys(
            revision.models[position].model
            for position in range(positions)
            for revision in task.revisions
            if position < len(revision.models)
        )
    )


def _check_money(setup: Setup) -> None:
    """A money limit that cannot be kept is refused, not half kept."""
    prices = setup.price_lists()
    for revision in setup.job.task.revisions:
        for choice in revision.models:
            if prices[choice.model] is None:
                raise Mistake(
                    f"limits.max_cost cannot be kept: the price of {choice.model} is unknown. "
                    "Give it in prices.yaml, or take the limit away."
                )
            if choice.most_output_tokens is None and not setup.provider(choice.model).free:
                raise Mistake(
                    f"limits.max_cost cannot be kept: the answers of {choice.model} have no bound. "
                    f"Set parameters.max_tokens in revision {revision.tag!r}."
                )
