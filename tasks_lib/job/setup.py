"""A job with all that its run needs: accounts, keys and prices; nothing is opened yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks_lib.configs import (
    Environment,
    PriceBook,
    check_columns,
    check_hosted,
    load_job,
    load_prices,
    load_providers,
    provider_of,
    secret_for,
)
from tasks_lib.domain.job import Job, Limits
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.pricing import PriceList
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import Model, Revision
from tasks_lib.inputs.processors import InputProcessor

LOCAL = "local"  # the protocol of models that this machine runs
_CITES = frozenset({"parallel"})  # protocols whose answers come with what they rest on


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A job, the providers it may name, and the prices of its models."""

    job: Job
    providers: Mapping[str, Provider]
    prices: PriceBook
    environment: Environment
    path: Path | None = None  # of the job's file, if it has one
    overrides: Mapping[str, object] = field(default_factory=dict)  # what flags changed in it
    processors: Mapping[str, InputProcessor] = field(default_factory=dict)  # that a caller from Python brings

    @property
    def folder(self) -> Path | None:
        """Where relative paths in a query begin."""
        return self.path.parent if self.path is not None else None

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model that the job may call, each once: primaries first."""
        return models_of((*self.job.task.revisions, *self.job.variants))

    def provider(self, model: Model) -> Provider:
        """The account that a model is called with."""
        return provider_of(model, self.providers)

    def price_lists(self) -> dict[Model, PriceList | None]:
        """The prices of each model; None where they are unknown."""
        with_files = bool(self.job.files.columns)
        return {
            model: self.prices.price_list(model, self.provider(model), with_files=with_files)
            for model in self.models
        }

    def secrets(self) -> dict[str, Secret | None]:
        """The key of each provider that the job calls, by the provider's name.

        Raises:
            Mistake: a variable is not set.
        """
        called = {model.provider: self.provider(model) for model in self.models}
        for provider in called.values():
            check_hosted(provider, self.environment.variables)
        return {name: secret_for(provider, self.environment.variables) for name, provider in called.items()}

    def check_columns(self, columns: Sequence[str]) -> None:
        """Refuse a source without the columns that the job asks for, with the place where it does."""
        if self.path is not None:
            check_columns(self.path, columns, overrides=self.overrides)


def load_setup(
    path: Path,
    *,
    environment: Environment,
    overrides: Mapping[str, object] | None = None,
    need_source: bool = True,
) -> Setup:
    """The setup that a job file spells, with the command line's overrides laid over it.

    Raises:
        Mistake: with file, line and column, and what would be right.
    """
    overrides = overrides or {}
    job = load_job(path, overrides=overrides, missing_source="refused" if need_source else "allowed")
    return _checked(
        Setup(
            job=job,
            providers=load_providers(path, env=environment.variables, overrides=overrides),
            prices=load_prices(path, overrides=overrides),
            environment=environment,
            path=path,
            overrides=overrides,
        )
    )


def setup_of(
    job: Job,
    *,
    near: Path | None,
    environment: Environment,
    processors: Mapping[str, InputProcessor] | None = None,
) -> Setup:
    """The setup of a job that was made in Python; providers.yaml and prices.yaml are looked for near a path.

    Raises:
        Mistake: a model's provider is unknown, or a limit cannot be kept.
    """
    return _checked(
        Setup(
            job=job,
            providers=load_providers(near, env=environment.variables),
            prices=load_prices(near),
            environment=environment,
            processors=processors or {},
        )
    )


def models_of(revisions: Sequence[Revision]) -> tuple[Model, ...]:
    """Every model that revisions may call, each once: primaries first."""
    longest = max(len(revision.models) for revision in revisions)
    return tuple(
        dict.fromkeys(
            revision.models[position].model
            for position in range(longest)
            for revision in revisions
            if position < len(revision.models)
        )
    )


def _checked(setup: Setup) -> Setup:
    """The setup, if its limits can be kept; a money limit that cannot is refused, not half kept."""
    check_workers(setup)
    check_money(setup, setup.job.limits)
    return replace(setup, job=replace(setup.job, tells_citations=_tells_citations(setup)))


def _tells_citations(setup: Setup) -> bool:
    """Whether answers may come with what they rest on; of models that rows name, their provider tells."""
    asked = {model.provider for model in models_of(setup.job.task.revisions)}
    own = setup.job.overrides.model
    if own is not None:
        asked.add(own.source.partition(":")[0])
    return any(name in asked and one.protocol in _CITES for name, one in setup.providers.items())


def check_money(setup: Setup, limits: Limits) -> None:
    """Refuse a sum of money that could be passed.

    Raises:
        Mistake: a model has no price, or its answers no bound.
    """
    if not limits.limit_money:
        return
    prices, limit = setup.price_lists(), _money_limit(limits)
    for revision in (*setup.job.task.revisions, *setup.job.variants):
        for choice in revision.models:
            price = prices[choice.model]
            if price is None:
                told = (
                    " (input: 0, output: 0, request: DOLLARS FOR A RUN)"
                    if setup.provider(choice.model).hosted is not None
                    else ""
                )
                raise Mistake(
                    f"limits.{limit} cannot be kept: the price of {choice.model} is unknown. "
                    f"Give it in prices.yaml{told}, or take the limit away."
                )
            if setup.provider(choice.model).hosted is not None and not price.is_by_call:
                raise Mistake(
                    f"limits.{limit} cannot be kept: nothing bounds the tokens of a run of {choice.model}. "
                    "Give its price in prices.yaml by the run (input: 0, output: 0, request: DOLLARS)."
                )
            bound = setup.provider(choice.model).most_output_tokens(choice)
            if bound is None and any(step.output for _, step in price.steps):
                raise Mistake(
                    f"limits.{limit} cannot be kept: the answers of {choice.model} have no bound. "
                    f"Set parameters.max_tokens in revision {revision.tag!r}."
                )


def _money_limit(limits: Limits) -> str:
    """The key of the first limit in dollars that is set."""
    keys = ("max_cost", "max_cost_per_group", "max_cost_per_day")
    return next(key for key in keys if getattr(limits, key) is not None)


def check_workers(setup: Setup) -> None:
    """Refuse several processes where they could not do what one does."""
    job = setup.job
    if job.workers == 1:
        return
    check_spread(setup)
    in_flight = [limit for limit in (job.limits.in_flight, *_in_flight_of(setup)) if limit is not None]
    if in_flight and min(in_flight) < job.workers:
        raise Mistake(
            f"workers: {job.workers} processes cannot share {min(in_flight)} calls in flight; "
            "have as many workers at most."
        )


def check_spread(setup: Setup) -> None:
    """Refuse workers, here or elsewhere, for a job whose rows they cannot run.

    Raises:
        Mistake: the job is none of a file, or a model is one of this machine or of hosted tasks.
    """
    if setup.path is None:
        raise Mistake(
            "workers: a job made in Python is run by its own process, which has the rows and the processors. "
            "Write it into a file, or leave workers at 1."
        )
    if any(setup.provider(model).protocol == LOCAL for model in setup.models):
        raise Mistake("workers: a local model uses all cores of one machine as it is. Leave workers at 1.")
    hosted = next((model for model in setup.models if setup.provider(model).hosted is not None), None)
    if hosted is not None:
        raise Mistake(
            f"workers: runs of hosted tasks, such as {hosted}, are waited for and need no second core. "
            "Leave workers at 1."
        )


def _in_flight_of(setup: Setup) -> Sequence[int | None]:
    return [setup.provider(model).limits.in_flight for model in setup.models]
