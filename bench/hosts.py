"""Hosts that are network namespaces of this machine, each with a link of its own to it; needs root."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_NET = "10.77"  # and the host's number: this machine is .1 there, and the host .2


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host, and how this machine is called from there."""

    name: str
    link: str  # this machine's end of it
    here: str  # this machine's address

    def command(self, *words: str) -> Sequence[str]:
        """A command line that is run there."""
        return ("ip", "netns", "exec", self.name, *words)

    def cut(self) -> None:
        """Pull the link: what is sent is lost, and nobody is told."""
        _ip("link", "set", self.link, "down")

    def join(self) -> None:
        """Put the link back."""
        _ip("link", "set", self.link, "up")


@contextmanager
def hosts(number: int) -> Iterator[tuple[Host, ...]]:
    """So many hosts, gone afterwards.

    Raises:
        RuntimeError: they cannot be made, as by who is not root.
    """
    made = tuple(
        Host(name=f"rowmill-{n}", link=f"rowmill-{n}", here=f"{_NET}.{n}.1") for n in range(1, number + 1)
    )
    try:
        for n, host in enumerate(made, 1):
            _ip("netns", "add", host.name)
            _ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            _ip("addr", "add", f"{host.here}/24", "dev", host.link)
            _ip("link", "set", host.link, "up")
            for words in (
                ("link", "set", "lo", "up"),
                ("addr", "add", f"{_NET}.{n}.2/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("route", "add", "default", "via", host.here),
            ):
                _ip("-n", host.name, *words)
        yield made
    finally:
        for host in made:
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
