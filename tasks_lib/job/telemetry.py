"""OpenTelemetry for a batch, where it is wanted: off, and not even imported, where it is not.

It is on if the program or `opentelemetry-instrument` has set up a tracer provider, or if the extra `otel` is
installed and the standard variables ask for it: by an endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT`, or one of a
signal's own) or an exporter (`OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER`). `OTEL_SDK_DISABLED=true`
switches it off.
"""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tasks_lib.job.setup import Setup

if TYPE_CHECKING:
    from tasks_lib.job.spans import Spans

_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER")


def telemetry_of(setup: Setup) -> "Spans | None":
    """What tells OpenTelemetry of a batch; None if nobody asked for it."""
    variables = setup.environment.variables
    if _said(variables, "OTEL_SDK_DISABLED").lower() == "true":
        return None
    # optional, and not to be imported where nobody wants it
    if _set_up_by_the_program():
        from opentelemetry import metrics, trace  # noqa: PLC0415  # see above

        from tasks_lib.job.spans import Spans  # noqa: PLC0415  # see above

        return Spans(setup, tracers=trace.get_tracer_provider(), meters=metrics.get_meter_provider())
    if not (_asked_for(variables) and _installed()):
        return None
    from tasks_lib.job.otel import pipeline_of  # noqa: PLC0415  # see above
    from tasks_lib.job.spans import Spans  # noqa: PLC0415  # see above

    pipeline = pipeline_of(variables)
    if pipeline is None:
        return None
    return Spans(setup, tracers=pipeline.tracers, meters=pipeline.meters, flush=pipeline.flush)


def _asked_for(variables: Mapping[str, str]) -> bool:
    if any(_said(variables, name) for name in _ENDPOINTS):
        return True
    return any(_said(variables, name).lower() not in {"", "none"} for name in _EXPORTERS)


def _said(variables: Mapping[str, str], name: str) -> str:
    """A variable's value; one that is empty counts as not set, as the specification has it."""
    return variables.get(name, "").strip()


def _set_up_by_the_program() -> bool:
    """Whether somebody has set a tracer provider; who did has imported the API."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return False
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)


def _installed() -> bool:
    try:
        return find_spec("opentelemetry.sdk") is not None
    except ModuleNotFoundError:  # not even the API
        return False
