"""Hosts that a job allows to be asked for what its rows name."""

import re
from dataclasses import dataclass
from typing import Final

PORTS: Final = {"https": 443, "http": 80}
_ENTRY: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?P<host>\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>\d{1,5}))?/?",
    re.IGNORECASE,
)


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
        if match is None or not 0 <= int(match["port"] or 0) < 65_536:
            raise ValueError(
                f"{text!r} is no host such as example.com, *.example.com or http://localhost:8080"
            )
        scheme = (match["scheme"] or "https").lower()
        return cls(
            scheme=scheme,
            host=match["host"].lower().strip("[]"),
            port=int(match["port"]) if match["port"] else PORTS[scheme],
        )

    def allows(self, scheme: str, host: str, port: int) -> bool:
        """Whether a URL of these parts may be asked for; `*.example.com` leaves out example.com itself."""
        if (scheme, port) != (self.scheme, self.port):
            return False
        if self.host == "*":
            return True
        if self.host.startswith("*."):
            return host.endswith(self.host[1:]) and host != self.host[1:]
        return host == self.host
