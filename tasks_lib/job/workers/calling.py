"""How a worker from elsewhere calls in at its batch."""

import json
import ssl
from dataclasses import asdict
from pathlib import Path

import anyio
from anyio.streams.tls import TLSStream

from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.workers.channel import LOST, Channel
from tasks_lib.job.workers.handshake import MAGIC, WELCOME, believing, hello, made_here, made_of
from tasks_lib.job.workers.liveliness import make_lively
from tasks_lib.job.workers.recruiting import Ticket

_TO_CONNECT = 10.0  # seconds, for one host
_TRIES, _BETWEEN = 5, 2.0  # of all hosts, and seconds between
_SOON = (
    0.5  # seconds; where nobody listens now, a batch has most likely ended: it listened before its tickets
)


class NotLetIn(Mistake):
    """A worker cannot take part in its batch; the text says why, and what would help."""


async def call_in(ticket: Ticket, *, made: str | None = None) -> Channel:
    """The channel to the batch that a ticket is for, with the ticket shown and welcome.

    The batch says nothing to a ticket that it does not know: it hangs up. What is `made`, by default what
    this process runs, has to be the same as there.

    Raises:
        NotLetIn: nobody answers, or who answers is not the batch, or does not want this worker.
    """
    made = made or made_here()
    try:
        context, said = believing(ticket.certificate), hello(ticket.number, ticket.secret, made)
    except ValueError as error:
        raise NotLetIn(f"the ticket is broken: {error}") from error
    why, refusals = "", 0
    for again in range(_TRIES):
        if again:
            is_deserted = refusals == len(ticket.hosts)
            if is_deserted and again > 1:
                break
            await anyio.sleep(_SOON if is_deserted else _BETWEEN)
        refusals = 0
        for host in ticket.hosts:
            try:
                with anyio.fail_after(_TO_CONNECT):
                    return await _called(host, ticket.port, context, said, made)
            except ssl.SSLCertVerificationError as error:
                why = f"who answers at {host} port {ticket.port} is another than the ticket is for"
                raise NotLetIn(f"{why}: {error.verify_message}") from error
            except TimeoutError:
                why = f"{host} port {ticket.port} does not answer"
            except (OSError, *LOST) as error:
                why = f"{host} port {ticket.port}: {error or 'it hung up'}"
                refusals += isinstance(error.__cause__, ConnectionRefusedError)
    raise NotLetIn(
        f"no batch can be reached: {why}. Is it over? Does this machine reach that address, "
        "and does a firewall let it through?"
    )


async def _called(host: str, port: int, context: ssl.SSLContext, said: bytes, made: str) -> Channel:
    stream = await anyio.connect_tcp(host, port)
    try:
        make_lively(stream)
        tls = await TLSStream.wrap(stream, server_side=False, ssl_context=context, standard_compatible=False)
        await tls.send(said)
        await _welcomed(tls, made)
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    return Channel(tls)


async def _welcomed(tls: TLSStream, made: str) -> None:
    """Hear what the batch runs.

    Raises:
        NotLetIn: it is something else, or the batch does not know the ticket.
    """
    heard = b""
    try:
        while len(heard) < WELCOME.size:
            heard += await tls.receive(WELCOME.size - len(heard))
    except (OSError, *LOST) as error:
        raise NotLetIn(
            "the batch has hung up: the ticket was used before, or is another batch's, or its "
            "worker was given up"
        ) from error
    magic, theirs = WELCOME.unpack(heard)
    if magic != MAGIC or made_of(theirs) != made:
        raise NotLetIn(f"this worker has {made}, and its batch {made_of(theirs)}: install the same here")


def read_ticket(path: Path) -> Ticket:
    """The ticket in a file, as `ticket_as_json` writes it.

    Raises:
        NotLetIn: there is none in it.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        hosts = tuple(str(host) for host in told["hosts"])
        texts = {name: str(told[name]) for name in ("certificate", "secret", "batch_id")}
        return Ticket(hosts=hosts, port=int(told["port"]), number=int(told["number"]), **texts)
    except OSError as error:
        raise NotLetIn(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise NotLetIn(f"{path} holds no ticket") from error


def ticket_as_json(ticket: Ticket) -> str:
    """A ticket as text, secret and all: to be written where only its user can read it (mode 0600)."""
    return json.dumps(asdict(ticket), indent=1)
