"""OpenTelemetry's SDK as the standard variables ask for it, once for the whole process.

The SDK reads most of them itself: where to, with which headers, how often, how many, what service. What is
left is which exporters: `otlp` speaks HTTP unless `OTEL_EXPORTER_OTLP_PROTOCOL` says `grpc`, and is what an
endpoint without an exporter means. Other exporters are found by their entry points.

The providers are ours and not the process's: what other libraries would tell is not sent because of us.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points, version
from typing import Any

from opentelemetry.metrics import MeterProvider as AnyMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import TracerProvider as AnyTracerProvider

_QUEUE = 16_384  # spans that wait for an export; what comes on top is dropped, so that nobody waits
_HTTP, _GRPC = "otlp_proto_http", "otlp_proto_grpc"
_BY_PROTOCOL = {"http/protobuf": _HTTP, "grpc": _GRPC}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Where spans and metrics go."""

    tracers: AnyTracerProvider
    meters: AnyMeterProvider

    def flush(self) -> None:
        """Send what is waiting; may take as long as the exporters' own timeouts."""
        for provider in (self.tracers, self.meters):
            if isinstance(provider, TracerProvider | MeterProvider):
                provider.force_flush()


def pipeline_of(variables: Mapping[str, str]) -> Pipeline | None:
    """The process's pipeline; None, with a warning, if the variables ask for what is not there."""
    told = {name: value for name, value in variables.items() if name.startswith("OTEL_")}
    try:
        return _pipeline(tuple(sorted(told.items())))
    except Exception as error:  # noqa: BLE001  # whatever an exporter raises: telemetry never fails a run
        _log.warning("OpenTelemetry is off: %s", error)
        return None


@cache
def _pipeline(variables: tuple[tuple[str, str], ...]) -> Pipeline:
    told = dict(variables)
    resource = _resource()
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    queue = None if "OTEL_BSP_MAX_QUEUE_SIZE" in told else _QUEUE
    for made in _made("traces", told):
        tracers.add_span_processor(BatchSpanProcessor(made, max_queue_size=queue))
    readers = [
        made if isinstance(made, MetricReader) else PeriodicExportingMetricReader(made)
        for made in _made("metrics", told)
    ]
    meters = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    return Pipeline(tracers=tracers, meters=meters)


def _resource() -> Resource:
    """What the variables say of this process, and its name where they do not."""
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        ours = {SERVICE_NAME: "rowmill", SERVICE_VERSION: version("rowmill")}
        return resource.merge(Resource(ours))
    return resource


def _made(signal: str, told: Mapping[str, str]) -> list[Any]:  # exporters, of whatever package
    made = []
    for name in _names(signal, told):
        found = next(iter(entry_points(group=f"opentelemetry_{signal}_exporter", name=name)), None)
        if found is None:
            package = f"opentelemetry-exporter-{name.replace('_', '-')}"
            raise LookupError(f"there is no exporter {name!r} for {signal}; {package} may have it")
        exporter = found.load()()
        logging.getLogger(type(exporter).__module__).addFilter(_Once())
        made.append(exporter)
    return made


def _names(signal: str, told: Mapping[str, str]) -> list[str]:
    """The entry points of a signal's exporters."""
    named = told.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    if not named:
        endpoints = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        named = "otlp" if any(told.get(endpoint, "").strip() for endpoint in endpoints) else "none"
    names = [name.strip().lower() for name in named.split(",")]
    return [_otlp(signal, told) if name == "otlp" else name for name in names if name not in {"", "none"}]


def _otlp(signal: str, told: Mapping[str, str]) -> str:
    general = told.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip()
    protocol = told.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "").strip() or general
    if not protocol:
        return _HTTP  # as the specification advises
    if protocol not in _BY_PROTOCOL:
        raise LookupError(f"the protocol {protocol!r} is none of {', '.join(_BY_PROTOCOL)}")
    return _BY_PROTOCOL[protocol]


class _Once(logging.Filter):
    """Lets each sort of message through once: a collector that is away says so in every export."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[object] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether nothing of the sort was said before."""
        if record.msg in self._said:
            return False
        self._said.add(record.msg)
        return True
