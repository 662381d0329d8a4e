"""How a provider is reached: the proxy and the certificates, from its settings or the environment."""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tasks_lib.configs.ca_bundle import wrong_with_bundle
from tasks_lib.configs.problems import ConfigError, Problem
from tasks_lib.configs.provider_file import PROXY_SCHEMES
from tasks_lib.configs.providers import is_loopback
from tasks_lib.domain.provider import Provider, Route, Secret

_CA_BUNDLE: Final = "SSL_CERT_FILE"


def route_for(provider: Provider, env: Mapping[str, str]) -> Route:
    """The way to a provider.

    Its own settings first; without them HTTPS_PROXY or HTTP_PROXY, ALL_PROXY and NO_PROXY (in either case),
    and SSL_CERT_FILE. A server on this machine is never behind the environment's proxy.

    Raises:
        ConfigError: a variable is not set, or what it holds is no proxy, or no certificates.
    """
    return Route(
        proxy=_proxy(provider, env),
        ca_bundle=provider.ca_bundle or _bundle_of(env),
        http2=provider.http2,
    )


def _proxy(provider: Provider, env: Mapping[str, str]) -> Secret | None:
    told = provider.proxy
    if told is not None and "://" in told:
        return Secret("proxy", told)
    if told is not None:
        value = env.get(told, "").strip()
        if not value:
            message = f"{told} is not set, and provider {provider.name!r} is reached through the proxy in it"
            raise _refused(message, f"Set it with: export {told}=http://…")
        return _checked(told, value)
    if is_loopback(provider.base_url) or provider.protocol == "local":
        return None
    parts = urlsplit(provider.base_url)
    if _is_direct(parts.hostname or "", parts.port, env.get("no_proxy", "") or env.get("NO_PROXY", "")):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            value = env.get(variable, "").strip()
            if value and not (
                variable == "HTTP_PROXY" and "REQUEST_METHOD" in env
            ):  # a CGI's visitors set it
                return _checked(variable, value)
    return None


def _is_direct(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether NO_PROXY names a host: by name, by domain, with a port, by network, or all with `*`."""
    for entry in (word.strip().lower() for word in no_proxy.split(",")):
        if entry == "*":
            return True
        name, _, of_port = entry.removeprefix("*").removeprefix(".").partition(":")
        at_port = not of_port or of_port == str(port)
        if name and at_port and (host == name or host.endswith(f".{name}")):
            return True
        if "/" in entry and _lies_in(host, entry):
            return True
    return False


def _lies_in(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _checked(variable: str, value: str) -> Secret:
    """The address that a variable holds; without a scheme it is an HTTP proxy's, as everywhere."""
    address = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises when it is none
        is_proxy = parts.scheme in PROXY_SCHEMES and bool(parts.hostname)
    except ValueError:
        is_proxy = False
    if not is_proxy or not address.isprintable() or " " in address:
        raise _refused(f"what {variable} holds is not the address of a proxy", "It is like http://proxy:3128")
    return Secret(variable, address)


def _bundle_of(env: Mapping[str, str]) -> Path | None:
    told = env.get(_CA_BUNDLE, "").strip()
    if not told:
        return None
    wrong = wrong_with_bundle(Path(told))
    if wrong is not None:
        raise _refused(f"{_CA_BUNDLE}: {wrong}", None)
    return Path(told)


def _refused(message: str, remedy: str | None) -> ConfigError:
    return ConfigError([Problem(file=None, message=message, remedy=remedy)])
