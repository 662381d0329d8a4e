"""What travels to a worker: the job with its accounts and prices, and the keys that these name."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tasks_lib.configs import Environment
from tasks_lib.domain.provider import Provider
from tasks_lib.job.setup import Setup

_IN_MEMORY = Path(":memory:")


def packed(setup: Setup) -> Setup:
    """The setup with nothing of this process's environment; paths in it mean the same wherever one stands."""
    job = setup.job
    folders = tuple(folder.resolve() for folder in job.files.folders)
    return replace(
        setup,
        job=replace(
            job,
            files=replace(job.files, folders=folders),
            ledger=job.ledger if job.ledger == _IN_MEMORY else job.ledger.resolve(),
        ),
        providers={
            name: replace(one, ca_bundle=one.ca_bundle.resolve() if one.ca_bundle else None)
            for name, one in _called(setup).items()
        },
        environment=Environment.of({}),
        path=None,
        overrides={},
        processors={},  # of a caller from Python, who has no workers; see `job.setup.check_workers`
    )


def variables_for(setup: Setup) -> Mapping[str, str]:
    """The variables that hold keys and proxies of the accounts that the job calls, as far as they are set."""
    names = {name for one in _called(setup).values() for name in _named_by(one)}
    variables = setup.environment.variables
    return {name: variables[name] for name in sorted(names) if name in variables}


def unpacked(setup: Setup, variables: Mapping[str, str], *, environment: Environment) -> Setup:
    """The setup in the process that it has come to: the variables lie over that one's own."""
    laid_over = Environment.of({**environment.variables, **variables}, user=environment.user)
    return replace(setup, environment=laid_over)


def _called(setup: Setup) -> Mapping[str, Provider]:
    return {model.provider: setup.provider(model) for model in setup.models}


def _named_by(provider: Provider) -> tuple[str, ...]:
    hosted = provider.hosted
    of_hosted = (hosted.oauth_client_id, hosted.oauth_client_secret) if hosted is not None else ()
    proxy = provider.proxy if provider.proxy is not None and "://" not in provider.proxy else None
    return tuple(name for name in (provider.key, proxy, *of_hosted) if name is not None)
