"""Keys of accounts that lie in Prefect's Secret blocks.

The environment wins. What it lacks is looked for in the block whose name is that of the variable in lower
case, with dashes: OPENAI_API_KEY in `openai-api-key`. Only what the job needs is looked for, and it goes
nowhere but into the `Environment` that the batch is run with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from prefect.blocks.system import Secret
from prefect.exceptions import ObjectNotFound

from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.provider import Provider
from tasks_lib.job.setup import Setup

STAND_IN: Final = "00000000-0000-4000-8000-000000000000"
"""Where a job is only checked: a value that any variable of an account might have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An environment with what Secret blocks hold, and the variables that are in neither."""

    environment: Environment
    in_blocks: tuple[str, ...]
    missing: tuple[str, ...]

    @classmethod
    def without_blocks(cls, setup: Setup) -> "Found":
        """What the environment alone has of what a job needs."""
        return cls(environment=setup.environment, in_blocks=(), missing=_lacking(setup))


def block_of(variable: str) -> str:
    """The name of the Secret block that stands in for a variable: lower case, digits and dashes."""
    return "-".join(part for part in variable.lower().replace("_", "-").split("-") if part)


def variables_of(setup: Setup) -> tuple[str, ...]:
    """The variables that hold secrets and ids of the accounts that a job may call, each once.

    Where rows name their model, any provider may be called, and all count.
    """
    named = {model.provider for model in setup.models}
    if setup.job.overrides.model is not None or setup.job.overrides.provider is not None:
        named = set(setup.providers)
    found = [name for each in sorted(named) for name in _of(setup.providers[each])]
    if setup.job.webhook is not None and setup.job.webhook.secret is not None:
        found.append(setup.job.webhook.secret)
    return tuple(dict.fromkeys(found))


async def with_blocks(setup: Setup) -> Found:
    """The job's environment, with what it lacks from Secret blocks.

    Raises:
        Mistake: a block holds something that is not text.
    """
    variables = dict(setup.environment.variables)
    lacking = _lacking(setup)
    in_blocks: list[str] = []
    for name in lacking:
        value = await _held_by(block_of(name))
        if value is not None:
            variables[name] = value
            in_blocks.append(name)
    return Found(
        environment=_with(setup.environment, variables),
        in_blocks=tuple(in_blocks),
        missing=tuple(name for name in lacking if name not in in_blocks),
    )


def with_stand_ins(found: Found) -> Environment:
    """An environment to check a job in, where some variables are only known to the machine that runs it."""
    stand_ins = dict.fromkeys(found.missing, STAND_IN)
    return _with(found.environment, {**found.environment.variables, **stand_ins})


def naming_both_places(mistake: Mistake, missing: tuple[str, ...]) -> Mistake:
    """The mistake; one about a variable that is not set names the block that would do as well."""
    text = str(mistake)
    named = [name for name in missing if f"{name} is not set" in text]
    if not named:
        return mistake
    blocks = " and ".join(f"{name} in the Prefect Secret block {block_of(name)!r}" for name in named)
    return Mistake(f"{text}\nOr keep {blocks}; neither the environment nor such a block has it.")


def _lacking(setup: Setup) -> tuple[str, ...]:
    variables = setup.environment.variables
    return tuple(name for name in variables_of(setup) if not variables.get(name, "").strip())


def _of(provider: Provider) -> list[str]:
    hosted = provider.hosted
    if hosted is None:
        return [provider.key] if provider.key else []
    ids = [one for one in (hosted.org_id, hosted.project_id) if one and one.isidentifier()]
    secrets = (provider.key, hosted.oauth_client_id, hosted.oauth_client_secret)
    return [*ids, *(name for name in secrets if name)]


async def _held_by(block: str) -> str | None:
    try:
        secret: Secret[Any] = await Secret.aload(block, validate=False)
    except (ValueError, ObjectNotFound):  # there is none; Prefect says so with the former
        return None
    value = secret.value.get_secret_value()  # `get` would make a number of a key that looks like one
    if not isinstance(value, str):
        raise Mistake(f"The Prefect Secret block {block!r} does not hold a text.")
    return value.strip() or None


def _with(environment: Environment, variables: Mapping[str, str]) -> Environment:
    return Environment.of(variables, user=environment.user)
