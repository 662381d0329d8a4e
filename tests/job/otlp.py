"""A receiver of OTLP over HTTP on loopback, which keeps what it is sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(kw_only=True)
class Receiver:
    """What came in, by path, and where to send it."""

    endpoint: str
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def traces(self) -> list[ExportTraceServiceRequest]:
        """The requests that carried spans."""
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies.get("/v1/traces", [])]

    @property
    def metrics(self) -> list[ExportMetricsServiceRequest]:
        """The requests that carried metrics."""
        return [ExportMetricsServiceRequest.FromString(body) for body in self.bodies.get("/v1/metrics", [])]


@contextmanager
def receiver(*, status: int = 200) -> Iterator[Receiver]:
    """A receiver that answers everything with a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that the library asks for
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.bodies.setdefault(self.path, []).append(body)
            made.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(endpoint=f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
