"""Which hosts may be asked for a URL that stands in a row, and which addresses are nobody's business."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from tasks_lib.inputs.unusable import Refused, Unusable

_PORTS: Final = {"https": 443, "http": 80}
_ENTRY: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?P<host>\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>\d{1,5}))?/?",
    re.IGNORECASE,
)
_V4_INSIDE: Final = (
    ipaddress.ip_network("64:ff9b::/96"),  # NAT64
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("::/96"),  # what was meant to be compatible with IPv4
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHost:
    """One entry of `allow_urls`."""

    scheme: str
    host: str  # *, *.example.com, example.com or an address, in lower case
    port: int

    @classmethod
    def parse(cls, text: str) -> "AllowedHost":
        """The entry that a text spells.

        Raises:
            ValueError: it is none.
        """
        match = _ENTRY.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"{text!r} is no host such as example.com, *.example.com or http://localhost:8080"
            )
        scheme = (match["scheme"] or "https").lower()
        return cls(
            scheme=scheme,
            host=match["host"].lower().strip("[]"),
            port=int(match["port"]) if match["port"] else _PORTS[scheme],
        )

    def allows(self, scheme: str, host: str, port: int) -> bool:
        """Whether a URL of these parts may be asked for."""
        if (scheme, port) != (self.scheme, self.port):
            return False
        if self.host == "*":
            return True
        if self.host.startswith("*."):
            return host.endswith(self.host[1:]) and host != self.host[2:]
        return host == self.host


class Hosts:
    """All entries of `allow_urls`."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Allow these.

        Raises:
            ValueError: one is no host.
        """
        self._allowed = tuple(AllowedHost.parse(entry) for entry in entries)

    def checked(self, text: str) -> httpx.URL:
        """The URL that a text spells, if it may be asked for.

        Raises:
            Refused: no entry allows it, or it has a login.
            Unusable: it is no URL.
        """
        try:
            url = httpx.URL(text.strip())
            host = url.raw_host.decode("ascii").lower().rstrip(".")
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise Unusable("a value that is no URL") from error
        if url.scheme not in _PORTS or not host:
            raise Unusable(f"{bare_url(url)} is no URL that begins with https://")
        if url.userinfo:
            raise Refused(f"{bare_url(url)}: a URL with a login in it is not asked for")
        port = url.port or _PORTS[url.scheme]
        if not any(one.allows(url.scheme, host, port) for one in self._allowed):
            named = f"{url.scheme}://{url.netloc.decode('ascii')}"
            raise Refused(f"{named} is not among the hosts that allow_urls names")
        return url


def is_public(address: Address) -> bool:
    """Whether an address belongs to the world, and not to this machine, its networks or its cloud."""
    inside = _inside(address)
    if inside is not None:
        return is_public(inside)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inside(address: Address) -> ipaddress.IPv4Address | None:
    """The address of the old kind that one of the new kind leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _V4_INSIDE):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def checked_addresses(host: str, addresses: Sequence[str], *, allow_private: bool) -> tuple[str, ...]:
    """The addresses of a host, each once, if all of them may be asked.

    Raises:
        Refused: one of them is not public.
        Unusable: there is none.
    """
    found = tuple(dict.fromkeys(addresses))
    if not found:
        raise Unusable(f"the host {host} has no address")
    if not allow_private:
        for text in found:
            if not is_public(ipaddress.ip_address(text.partition("%")[0])):
                raise Refused(
                    f"the host {host} has a private address, which is not asked; "
                    "allow_private_addresses: true would allow it"
                )
    return found


def bare_url(url: httpx.URL | str) -> str:
    """A URL without what may be a secret in it: login, query and fragment."""
    try:
        parsed = url if isinstance(url, httpx.URL) else httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return "a URL"
    shown = f"{parsed.scheme}://{parsed.host}{f':{parsed.port}' if parsed.port else ''}{parsed.path}"
    return shown if len(shown) <= 200 else f"{shown[:199]}…"
