"""Providers: the built-in ones, the user's own over them, and the environment over both."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from tasks_lib.configs.beside import beside
from tasks_lib.configs.ca_bundle import wrong_with_bundle
from tasks_lib.configs.document import Document, parse_document, read_document
from tasks_lib.configs.hosted import hosted_of, oauth_for
from tasks_lib.configs.job_file import LimitsFile
from tasks_lib.configs.paths import path_from
from tasks_lib.configs.places import checked_url
from tasks_lib.configs.problems import ConfigError, Problem, did_you_mean, quoted
from tasks_lib.configs.provider_file import ProviderFile, ProvidersFile
from tasks_lib.configs.validation import validated
from tasks_lib.domain.job import Limits
from tasks_lib.domain.provider import Provider, Secret, Timeouts
from tasks_lib.domain.task import Model

_LONGEST_KEY = 4096  # characters; a header has to carry it


def load_providers(
    path: Path | None, *, env: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Mapping[str, Provider]:
    """The providers that a job or task file may use, by name.

    The built-in ones; over them, key by key, the file that the job's `providers` names, or else the
    `providers.yaml` in the job's folder or in the one above; over all, for each, the variable NAME_BASE_URL.

    Raises:
        ConfigError: everything that is wrong with the providers file or such a variable.
    """
    problems: list[Problem] = []
    providers = {
        name: _provider(name, merged, env=env, problems=problems)
        for name, merged in _merged(path, overrides or {}).items()
    }
    if problems:
        raise ConfigError(problems)
    return providers


def provider_files(
    path: Path | None, overrides: Mapping[str, object] | None = None
) -> Mapping[str, ProviderFile]:
    """What is told of the providers that a job or task file may use, by name, whatever the environment.

    Raises:
        ConfigError: everything that is wrong with the providers file.
    """
    return {name: merged.file for name, merged in _merged(path, overrides or {}).items()}


def provider_of(model: Model, providers: Mapping[str, Provider]) -> Provider:
    """The provider of a model.

    Raises:
        ConfigError: there is none of that name.
    """
    if model.provider in providers:
        return providers[model.provider]
    remedy = did_you_mean(model.provider, sorted(providers), plural="providers")
    raise ConfigError(
        [Problem(file=None, message=f"unknown provider {quoted(model.provider)}", remedy=remedy)]
    )


def secret_for(provider: Provider, env: Mapping[str, str]) -> Secret | None:
    """The key of our account; None if none is sent.

    A server on this machine needs no key, and gets one if the variable is set.

    Raises:
        ConfigError: the variable is not set, or what it holds cannot be a key.
    """
    if provider.key is None:
        return None
    value = env.get(provider.key, "").strip()
    if value:
        if len(value) > _LONGEST_KEY or not value.isascii() or not value.isprintable() or " " in value:
            message = f"what {provider.key} holds cannot be the key of provider {provider.name!r}"
            remedy = "A key has no spaces, line breaks or letters beyond ASCII."
            raise ConfigError([Problem(file=None, message=message, remedy=remedy)])
        return Secret(provider.key, value)
    if is_loopback(provider.base_url) or oauth_for(provider, env) is not None:
        return None
    raise ConfigError(
        [
            Problem(
                file=None,
                message=f"{provider.key} is not set, and provider {provider.name!r} needs it",
                remedy=f"Set it with: export {provider.key}=…; {_or_oauth(provider)}for a server of your "
                f"own, set {base_url_variable(provider.name)} to its address.",
            )
        ]
    )


def _or_oauth(provider: Provider) -> str:
    hosted = provider.hosted
    if hosted is None or hosted.oauth_client_id is None:
        return ""
    return f"or set {hosted.oauth_client_id} and {hosted.oauth_client_secret}; "


def is_loopback(address: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def base_url_variable(name: str) -> str:
    """The variable that wins over a provider's base_url."""
    return "".join(letter if letter.isalnum() else "_" for letter in name).upper() + "_BASE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    """A provider's keys, with the user's document if it says something of it."""

    file: ProviderFile
    document: Document | None
    model_path: Path | None
    ca_bundle: Path | None


@cache
def _built_in() -> Mapping[str, Mapping[str, Any]]:
    content = resources.files("tasks_lib.configs").joinpath("providers.yaml").read_bytes()
    document = parse_document(content, file="built-in providers.yaml", folder=Path())
    validated(document, ProvidersFile)
    providers: dict[str, Mapping[str, Any]] = document.value
    return providers


def _merged(path: Path | None, overrides: Mapping[str, object]) -> Mapping[str, _Merged]:
    found = beside(path, "providers", overrides)
    document = None if found is None else read_document(found, empty="allowed")
    own: Mapping[str, Any] = {}
    if document is not None:
        validated(document, ProvidersFile)
        own = document.value
    built_in = _built_in()
    return {
        name: _over(built_in.get(name, {}), own.get(name) or {}, document=document if name in own else None)
        for name in dict.fromkeys((*built_in, *own))
    }


def _over(below: Mapping[str, Any], above: Mapping[str, Any], *, document: Document | None) -> _Merged:
    merged = _laid_over(below, above)
    folder = Path() if document is None else document.folder
    paths = {
        key: None if merged.get(key) is None else path_from(folder, str(merged[key]))
        for key in ("model_path", "ca_bundle")
    }
    return _Merged(file=ProviderFile.model_validate(merged), document=document, **paths)


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another, key by key; a key without a value takes away what is below."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = (
            _laid_over(under, value) if isinstance(value, Mapping) and isinstance(under, Mapping) else value
        )
    return merged


def _provider(name: str, merged: _Merged, *, env: Mapping[str, str], problems: list[Problem]) -> Provider:
    file = merged.file
    protocol = file.protocol or "openai"
    timeouts = Timeouts()
    told = file.timeouts
    if file.structured_output == "tool" and protocol != "anthropic" and merged.document is not None:
        message = f"{name}.structured_output: tool is known to the protocol anthropic only, not to {protocol}"
        problems.append(merged.document.problem((name, "structured_output"), message))

    def tell(key: str, wrong: str, remedy: str | None) -> None:
        document, message = merged.document, f"{name}.{key} {wrong}"
        problems.append(
            Problem(file=None, message=message, remedy=remedy)
            if document is None
            else document.problem((name, key), message, remedy)
        )

    return Provider(
        name=name,
        protocol=protocol,
        base_url=_base_url(name, merged, env=env, problems=problems),
        key=file.key,
        limits=limits_of(file.limits),
        timeouts=Timeouts(
            connect=told.connect if told and told.connect else timeouts.connect,
            read=told.read if told and told.read else timeouts.read,
            total=told.total if told and told.total else timeouts.total,
            run=told.run if told and told.run else timeouts.run,
        ),
        proxy=file.proxy,
        ca_bundle=_ca_bundle(name, merged, problems=problems),
        http2=bool(file.http2),
        idempotency_header=file.idempotency_header,
        structured_output=file.structured_output or "json_schema",
        max_tokens_field=file.max_tokens_field or "max_tokens",
        carries=frozenset(file.carries or ()),
        image_response_format=file.image_response_format,
        model_path=merged.model_path,
        free=bool(file.free),
        hosted=hosted_of(file, env=env, tell=tell),
    )


def _ca_bundle(name: str, merged: _Merged, *, problems: list[Problem]) -> Path | None:
    bundle = merged.ca_bundle
    wrong = None if bundle is None else wrong_with_bundle(bundle)
    if wrong is not None:
        message = f"{name}.ca_bundle: {wrong}"
        document = merged.document
        problems.append(
            Problem(file=None, message=message)
            if document is None
            else document.problem((name, "ca_bundle"), message)
        )
    return bundle


def _base_url(name: str, merged: _Merged, *, env: Mapping[str, str], problems: list[Problem]) -> str:
    told = merged.file.base_url
    if merged.file.protocol == "local":
        return told or ""  # its servers are started by the run, wherever a port is free
    variable = base_url_variable(name)
    value = env.get(variable, "").strip()
    if value:
        try:
            return checked_url(value)
        except PydanticCustomError as error:
            message = f"{variable} {error.message()}"
            problems.append(Problem(file=None, message=message))
    elif told is None:
        message = f"provider {quoted(name)} has no base_url"
        remedy = f"Write base_url beneath it, or set {variable}."
        document = merged.document
        problems.append(
            Problem(file=None, message=message, remedy=remedy)
            if document is None
            else document.key_problem((name,), message, remedy)
        )
    return told or ""


def limits_of(file: LimitsFile | None) -> Limits:
    """The limits that a file tells."""
    if file is None:
        return Limits()
    return Limits(
        requests_per_minute=file.requests_per_minute,
        tokens_per_minute=file.tokens_per_minute,
        input_tokens_per_minute=file.input_tokens_per_minute,
        output_tokens_per_minute=file.output_tokens_per_minute,
        requests_per_day=file.requests_per_day,
        tokens_per_day=file.tokens_per_day,
        in_flight=file.in_flight,
        max_cost=file.max_cost,
        max_cost_per_group=file.max_cost_per_group,
        max_cost_per_day=file.max_cost_per_day,
        max_failures=file.max_failures,
    )
