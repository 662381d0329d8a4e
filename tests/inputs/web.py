"""A web server on loopback with pages of a test's own, which notes what it was asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Web:
    """What the server answers, by path; `asked` holds the paths in order."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.over = threading.Event()  # set when the test is, so that nobody goes on answering

    @property
    def host(self) -> str:
        """An entry of allow_urls."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        """The address of a page."""
        return f"{self.host}{path}"

    def has(self, path: str, body: bytes, *, kind: str = "text/html", status: int = 200, **more: str) -> str:
        """Answer a path with this; gives its address."""

        def page(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            headers = {"content-type": kind, "content-length": str(len(body))}
            headers |= {name.replace("_", "-"): value for name, value in more.items()}
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

        self.pages[path] = page
        return self.url(path)

    def leads(self, path: str, to: str, *, status: int = 302) -> str:
        """Answer a path with a redirect."""
        return self.has(path, b"", status=status, location=to)


@contextmanager
def running_web() -> Iterator[Web]:
    """The server, on a free port, until the test is over."""
    web: Web

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked.append(self.path)
            page = web.pages.get(self.path)
            if page is None:
                self.send_error(404)
                return
            try:
                page(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web = Web(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        web.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
