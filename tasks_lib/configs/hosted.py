"""What is to be known of an account with hosted tasks beside its address and its key."""

from collections.abc import Callable, Mapping
from typing import Final

from tasks_lib.configs.problems import ConfigError, Problem
from tasks_lib.configs.provider_file import ProviderFile
from tasks_lib.domain.hosted_tasks import HOSTED_PROTOCOLS, is_uuid
from tasks_lib.domain.provider import Hosted, Provider, Secret

_OAUTH: Final = ("oauth_client_id", "oauth_client_secret", "oauth_url")
_IDS: Final = ("org_id", "project_id")
_KNOWN_TO: Final[Mapping[str, str]] = {
    **dict.fromkeys((*_IDS, *_OAUTH, "dollars_per_credit"), "rightbrain"),
    "edition": "webagent",
}
_LONGEST: Final = 4096  # characters of a secret

Tell = Callable[[str, str, str | None], None]
"""Told a key, what is wrong with it, and what to do about it."""


def hosted_of(file: ProviderFile, *, env: Mapping[str, str], tell: Tell) -> Hosted | None:
    """What a provider's file tells of its hosted tasks; None if its models are no such tasks.

    An id that is a variable's name is what the variable holds, if that is a UUID, and else stays the name:
    `check_hosted` refuses it once the provider is used.
    """
    protocol = file.protocol or "openai"
    for key, known_to in _KNOWN_TO.items():
        if getattr(file, key) is not None and protocol != known_to:
            tell(key, f"is known to the protocol {known_to} only, not to {protocol}", None)
    if protocol not in HOSTED_PROTOCOLS:
        return None
    if protocol == "rightbrain":
        for key in _IDS:
            if getattr(file, key) is None:
                tell(
                    key, "is needed by the protocol rightbrain", "Write a UUID, or a variable that holds one."
                )
        told = [key for key in _OAUTH if getattr(file, key) is not None]
        missing = [key for key in _OAUTH if key not in told]
        if told and told != ["oauth_url"] and missing:
            tell(told[0], f"needs {' and '.join(missing)} beside it", None)
    return Hosted(
        org_id=_id(file.org_id, env),
        project_id=_id(file.project_id, env),
        oauth_client_id=file.oauth_client_id,
        oauth_client_secret=file.oauth_client_secret,
        oauth_url=file.oauth_url,
        dollars_per_credit=file.dollars_per_credit,
        edition=file.edition or "self_hosted",
    )


def check_hosted(provider: Provider, env: Mapping[str, str]) -> None:
    """Makes sure that a provider which is used has the ids that its addresses are made of.

    Raises:
        ConfigError: a variable is not set, or holds no UUID.
    """
    hosted = provider.hosted
    if hosted is None:
        return
    problems = [
        _unresolved(provider, key, value, env)
        for key, value in (("org_id", hosted.org_id), ("project_id", hosted.project_id))
        if value is not None and not is_uuid(value)
    ]
    if problems:
        raise ConfigError(problems)


def oauth_for(provider: Provider, env: Mapping[str, str]) -> tuple[Secret, Secret] | None:
    """The id and the secret of the OAuth client by which tokens are had; None where a key is sent instead.

    A key wins: whoever sets its variable means it. Only one of the client's two variables is as good as none.

    Raises:
        ConfigError: what a variable holds cannot be sent.
    """
    hosted = provider.hosted
    if hosted is None or hosted.oauth_client_id is None or hosted.oauth_client_secret is None:
        return None
    if provider.key is not None and env.get(provider.key, "").strip():
        return None
    names = (hosted.oauth_client_id, hosted.oauth_client_secret)
    values = [env.get(name, "").strip() for name in names]
    if not all(values):
        return None
    for name, value in zip(names, values, strict=True):
        if len(value) > _LONGEST or not value.isascii() or not value.isprintable() or " " in value:
            message = (
                f"what {name} holds cannot be of an OAuth client, which provider {provider.name!r} needs"
            )
            remedy = "It has no spaces, line breaks or letters beyond ASCII."
            raise ConfigError([Problem(file=None, message=message, remedy=remedy)])
    return Secret(names[0], values[0]), Secret(names[1], values[1])


def _id(told: str | None, env: Mapping[str, str]) -> str | None:
    if told is None or is_uuid(told):
        return told
    value = env.get(told, "").strip()
    return value.lower() if is_uuid(value) else told


def _unresolved(provider: Provider, key: str, variable: str, env: Mapping[str, str]) -> Problem:
    if not env.get(variable, "").strip():
        message = f"{variable} is not set, and provider {provider.name!r} needs it"
        return Problem(file=None, message=message, remedy=f"Set it with: export {variable}=…, to its {key}.")
    message = f"what {variable} holds is no UUID, and provider {provider.name!r} needs one as its {key}"
    return Problem(file=None, message=message)
