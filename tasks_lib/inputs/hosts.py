"""Which hosts may be asked for a URL that stands in a row, and which addresses are nobody's business."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import httpx

from tasks_lib.domain.hosts import PORTS, AllowedHost
from tasks_lib.inputs.unusable import Refused, Unusable

_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_V4_INSIDE: Final = (
    ipaddress.ip_network("64:ff9b::/96"),  # NAT64
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("::/96"),  # what was meant to be compatible with IPv4
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MayAsk = Callable[[Address], bool]


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
        if url.scheme not in PORTS or not _HOST.fullmatch(host):
            raise Unusable(f"{bare_url(url)} is no URL that begins with https://")
        if url.userinfo:
            raise Refused(f"{bare_url(url)}: a URL with a login in it is not asked for")
        port = url.port or PORTS[url.scheme]
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


def any_address(address: Address) -> bool:
    """True, of private addresses, too."""
    del address
    return True


def checked_addresses(host: str, addresses: Sequence[str], *, may_ask: MayAsk = is_public) -> tuple[str, ...]:
    """The addresses of a host, each once, if all of them may be asked.

    Raises:
        Refused: one of them may not be asked.
        Unusable: there is none.
    """
    found = tuple(dict.fromkeys(addresses))
    if not found:
        raise Unusable(f"the host {host} has no address")
    for text in found:
        if not may_ask(ipaddress.ip_address(text.partition("%")[0])):
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
