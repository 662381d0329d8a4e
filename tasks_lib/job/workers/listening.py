"""Where a batch listens for workers that others start."""

import socket
from typing import Final
from urllib.parse import urlsplit

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.spread import Spread
from tasks_lib.job.workers.recruiting import Listen

LOOPBACK: Final = "127.0.0.1"
_EVERY: Final = ("0.0.0.0", "::")  # noqa: S104  # an address that stands for all of this machine's
_ANYWHERE: Final = "192.0.2.1"  # an address of nobody (RFC 5737), on the other side of the default route
_ANY_PORT: Final = 9  # nothing is sent to it
_TO_ANSWER: Final = 10.0  # seconds for a cluster
_PEOPLE: Final = 3_600.0  # seconds that people may take to start a worker
_ENGINES: Final = 120.0  # seconds that an engine may


def listen_of(spread: Spread) -> Listen:
    """Where workers are listened for, as the job says, or else on the way to the cluster.

    A cluster that is started for the run is on this machine, and so are its workers.

    Raises:
        Mistake: there is no way to the cluster's machine.
    """
    host, advertise = spread.host, spread.advertise
    if host is None:
        host = _towards(spread)
    elif host in _EVERY and not advertise:
        advertise = (_towards(spread),)
    absence = _PEOPLE if spread.is_by_hand else _ENGINES
    return Listen(bind=(host,), advertise=advertise, port=spread.port, absence=absence)


def host_of(address: str) -> str | None:
    """The host that a cluster's address names; None: whatever cluster this machine is part of."""
    return urlsplit(address if "://" in address else f"//{address}").hostname if address != "auto" else None


def check_answers(address: str) -> None:
    """Nothing, if somebody answers at a cluster's address, or it does not say where that is.

    Engines themselves try for minutes, and for each worker anew.

    Raises:
        Mistake: nobody does.
    """
    try:
        host, port = host_of(address), urlsplit(address if "://" in address else f"//{address}").port
    except ValueError as error:
        raise Mistake(f"{address} is no address of a cluster: {error}") from error
    if host is None or port is None:
        return
    try:
        socket.create_connection((host, port), timeout=_TO_ANSWER).close()
    except OSError as error:
        raise Mistake(
            f"nobody answers at {address}: {error.strerror or error}. Does the cluster run, and does this "
            "machine reach it? Nothing was run."
        ) from error


def is_this_machine(host: str) -> bool:
    """Whether a name or an address is one by which a machine reaches itself, and no other does."""
    try:
        found = socket.getaddrinfo(host, _ANY_PORT, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return all(str(where[0]).startswith("127.") or where[0] == "::1" for *_, where in found)


def _towards(spread: Spread) -> str:
    """This machine's address on the way to the cluster."""
    if spread.address is None:
        return LOOPBACK
    host = host_of(spread.address) or _ANYWHERE
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, _ANY_PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as way:
            way.connect(where)  # finds the way, and sends nothing
            return str(way.getsockname()[0])
    except OSError as error:
        raise Mistake(
            f"there is no way from here to the cluster at {spread.address}: {error.strerror or error}. "
            "Say where workers call in: --listen, spread.listen."
        ) from error
