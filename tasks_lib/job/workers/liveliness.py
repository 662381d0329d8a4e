"""What a connection between machines is told of: no waiting for company, and a look at who says nothing."""

import socket

from anyio.abc import SocketAttribute, SocketStream

_IDLE = 20  # seconds of silence before the system asks whether the other machine is there


def make_lively(stream: SocketStream) -> None:
    """Send at once what is sent, and have the system find out, too, when the other machine is gone.

    Raises:
        OSError: the connection is gone already.
    """
    raw = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - anyio's
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # not by this name on every system
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE)
