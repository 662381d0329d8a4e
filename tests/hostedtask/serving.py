"""The pretend task on loopback, in a thread of the test's own process, so that it outlives what it serves."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.hostedtask.host import Host


class Served:
    """A host and its address; `before` and `after` are told of each request, by method and path."""

    def __init__(self, host: Host, url: str) -> None:
        self.host = host
        self.url = url
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.after: Callable[[str, str], None] = lambda method, path: None
        self.lock = threading.Lock()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Whoever asked was killed, which is no matter of ours."""


@contextmanager
def served(*, seconds: float, ends=None) -> Iterator[Served]:
    """A host whose runs take so many seconds."""
    host = Host(time.monotonic, seconds=seconds, ends=ends)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):  # the library's name
            self._do()

        def do_POST(self):  # as above
            self._do()

        def _do(self):
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            one.before(self.command, address.path)
            identity = parse_qs(address.query).get("identity", [None])[0]
            with one.lock:
                status, told = host.answer(self.command, address.path, identity, body)
            one.after(self.command, address.path)
            content = orjson.dumps(told)
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # whoever asked was killed
                self.close_connection = True

        def log_message(self, *_):
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    one = Served(host, f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
