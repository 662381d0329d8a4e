"""A batch as OpenTelemetry sees it."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import httpx
import pyarrow as pa
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tasks_lib.configs import Environment
from tasks_lib.domain.job import Limits
from tasks_lib.domain.retries import Retries
from tasks_lib.job.batch import Batch
from tasks_lib.job.books import Books
from tasks_lib.job.checks import planner_of
from tasks_lib.job.library import _setup
from tasks_lib.job.otel import _names, pipeline_of
from tasks_lib.job.setup import Setup
from tasks_lib.job.spans import Spans
from tasks_lib.job.stretches import Options, Stretches
from tasks_lib.job.tally import Outcome, Summary
from tasks_lib.job.telemetry import telemetry_of
from tasks_lib.ledger import open_ledger
from tasks_lib.rows import open_table
from tests.cli.conftest import ROOT, Project, begun, project, server  # noqa: F401  # fixtures
from tests.job.otlp import receiver
from tests.job.pretend import ENVIRONMENT, Pretend, completion, says, task

SECRETS = ("Review:", "good", "ugly", "no JSON", "positive", "not-a-key")  # of prompts, answers, errors


def setup(ledger: Path, variables: Mapping[str, str] | None = None) -> Setup:
    environment = Environment.of({**ENVIRONMENT.variables, **(variables or {})})
    return _setup(
        task(parameters={"max_tokens": 50, "temperature": 0}),
        inputs=None,
        key="id",
        reporting_group=None,
        limits=Limits(in_flight=2),
        retries=Retries(content=1, transient=1, wait_initial=0.001, wait_max=0.002),
        ledger=ledger,
        environment=environment,
    )


def answer(text: str) -> httpx.Response:
    """Rows with `ugly` in them are never answered in JSON."""
    return completion("no JSON") if "ugly" in text else says(text)


class Told:
    """Spans and metrics in memory."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self.memory = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(exporter or self.memory))
        self.meters = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.memory.get_finished_spans() if span.name == name]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


def run(one: Setup, texts: list[str], spans: Spans | None) -> Summary:
    """A batch over these texts that tells these spans."""
    table = pa.table({"id": [f"key-{n}" for n in range(len(texts))], "text": texts})

    async def story() -> Summary:
        with open_table(table, key="id") as source, open_ledger(one.job.ledger) as ledger:
            batch = Batch(one, ledger=ledger)
            if spans is not None:
                batch._telemetry = spans
            rows = source.rows(size=10, columns=("text",))
            stretches = Stretches(
                rows,
                planner=planner_of(one.job),
                ledger=ledger,
                options=Options(),
                tally=batch.tally,
                books=Books(batch.tally, batch.stop),
            )
            return await batch.run(stretches.fetch, rows=len(texts), transport=Pretend(answer).transport)

    return asyncio.run(story())


def seconds(ns: int | None) -> float:
    assert ns is not None
    return ns / 1e9


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def summary(tmp_path: Path, told: Told) -> Summary:
    one = setup(tmp_path / "ledger.duckdb")
    spans = Spans(one, tracers=told.tracers, meters=told.meters)
    return run(one, ["good 1", "good 2", "ugly 3"], spans)


def test_a_span_for_the_batch_its_runs_and_their_attempts(told: Told, summary: Summary) -> None:
    """Attempts are under their task run, task runs under the batch, and all are one trace."""
    (batch,) = told.spans("batch")
    runs, calls = told.spans("task_run"), told.spans("chat gpt-5-mini")
    assert (len(runs), len(calls)) == (3, 4), "one answer was asked for again"
    assert batch.parent is None
    assert {run.parent.span_id for run in runs if run.parent} == {batch.context.span_id}
    parents = [call.parent.span_id for call in calls if call.parent]
    assert sorted(parents.count(run.context.span_id) for run in runs) == [1, 1, 2]
    assert len({span.context.trace_id for span in (batch, *runs, *calls)}) == 1
    assert batch.attributes is not None
    assert batch.attributes["rowmill.batch_id"] == summary.batch_id
    assert batch.attributes["rowmill.rows.completed"] == 2
    assert batch.attributes["rowmill.rows.failed"] == 1
    assert batch.status.status_code is StatusCode.UNSET, "rows that fail are no failed batch"


def test_the_attributes_of_a_call_are_those_of_the_conventions(told: Told, summary: Summary) -> None:
    """Operation, provider, models, parameters, tokens and server; the kind is CLIENT."""
    call = next(span for span in told.spans("chat gpt-5-mini") if span.status.is_unset)
    assert call.kind is SpanKind.CLIENT
    attributes = dict(call.attributes or {})
    assert attributes.pop("rowmill.waited") is not None
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 0,
        "gen_ai.output.type": "json",
        "gen_ai.response.model": "gpt-5-mini-2026",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "server.address": "api.openai.com",
        "server.port": 443,
        "http.response.status_code": 200,
        "rowmill.cost": 0.0000125,
    }


def test_a_failed_call_has_its_kind_and_no_message(told: Told, summary: Summary) -> None:
    """error.type is the failure's kind; the status has no description, which might quote the answer."""
    failed = [span for span in told.spans("chat gpt-5-mini") if not span.status.is_unset]
    (task_run,) = [span for span in told.spans("task_run") if not span.status.is_unset]
    assert [(span.attributes or {})["error.type"] for span in [*failed, task_run]] == ["invalid_output"] * 3
    assert {(span.status.status_code, span.status.description) for span in [*failed, task_run]} == {
        (StatusCode.ERROR, None)
    }


def test_the_times_are_those_of_the_ledger(told: Told, summary: Summary) -> None:
    """A span is made after the fact, and begins and ends when the attempt did."""
    with duckdb.connect(str(summary.ledger), read_only=True) as ledger:
        recorded = ledger.execute("select started_at, worked from attempts order by started_at").fetchall()
    calls = sorted(told.spans("chat gpt-5-mini"), key=lambda span: span.start_time or 0)
    for span, (started_at, worked) in zip(calls, recorded, strict=True):
        assert isinstance(started_at, datetime)
        assert seconds(span.start_time) == pytest.approx(started_at.timestamp(), abs=2e-6)
        assert seconds(span.end_time) - seconds(span.start_time) == pytest.approx(worked, abs=2e-6)
    (batch,) = told.spans("batch")
    for run_ in told.spans("task_run"):
        assert seconds(batch.start_time) <= seconds(run_.start_time) <= seconds(run_.end_time)
        assert seconds(run_.end_time) <= seconds(batch.end_time)


def test_durations_and_tokens_are_measured_with_the_advised_buckets(told: Told, summary: Summary) -> None:
    """Both metrics of the conventions; a failed call's duration is told apart by its error."""
    durations = told.points("gen_ai.client.operation.duration")
    assert {point.attributes.get("error.type"): point.count for point in durations} == {
        None: 2,
        "invalid_output": 2,
    }
    assert durations[0].explicit_bounds[:3] == (0.01, 0.02, 0.04)
    assert durations[0].explicit_bounds[-1] == 81.92
    tokens = told.points("gen_ai.client.token.usage")
    assert {point.attributes["gen_ai.token.type"]: point.sum for point in tokens} == {
        "input": 40,
        "output": 20,
    }
    assert tokens[0].explicit_bounds == tuple(4**n for n in range(14))
    assert set(tokens[0].attributes) == {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.type",
        "server.address",
        "server.port",
    }


def test_nothing_of_what_was_asked_or_answered_is_told(told: Told, summary: Summary) -> None:
    """No prompt, answer, error message, row key or account key is anywhere in a span or metric."""
    everything = "".join(span.to_json() for span in told.memory.get_finished_spans())
    assert "chat gpt-5-mini" in everything
    data = told.reader.get_metrics_data()
    assert data is not None
    everything += data.to_json()
    assert [secret for secret in (*SECRETS, "key-1") if secret in everything] == []


def test_a_batch_that_was_stopped_is_an_error(tmp_path: Path, told: Told, summary: Summary) -> None:
    """The batch's span says how it ended, with its outcome as the error's type."""
    one = setup(tmp_path / "other.duckdb")
    spans = Spans(one, tracers=told.tracers, meters=told.meters)
    spans.begun(batch_id="b", rows=None, started_at=datetime.now().astimezone())
    asyncio.run(spans.ended(replace(summary, outcome=Outcome.REFUSED)))
    batch = told.spans("batch")[-1]
    assert batch.status.status_code is StatusCode.ERROR
    assert (batch.attributes or {})["error.type"] == "refused"


class Broken(SpanExporter):
    """Raises, as no exporter should."""

    def export(self, spans: object) -> SpanExportResult:
        raise RuntimeError("the collector is on fire")

    def shutdown(self) -> None: ...


def test_an_error_of_telemetry_is_no_error_of_the_batch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a provider does, the rows are answered; one warning says that nothing more is told."""
    one = setup(tmp_path / "ledger.duckdb")
    told = Told()

    class Failing(TracerProvider):
        def get_tracer(self, *_: object, **__: object) -> Any:
            return self

        def start_span(self, *_: object, **__: object) -> Any:
            raise RuntimeError("no span for you")

    spans = Spans(one, tracers=Failing(shutdown_on_exit=False), meters=told.meters)
    assert run(one, ["good 1", "good 2"], spans).completed == 2
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("tasks_lib")]
    assert warnings == ["OpenTelemetry is off for the rest of the batch: no span for you"]
    other = setup(tmp_path / "other.duckdb")
    broken = Told(Broken())
    assert run(other, ["good 1"], Spans(other, tracers=broken.tracers, meters=broken.meters)).completed == 1


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_SERVICE_NAME": "mine"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_it_is_off_unless_it_is_asked_for(tmp_path: Path, variables: dict[str, str]) -> None:
    """Without an endpoint or exporter, or with the SDK disabled, there is nothing to tell."""
    assert telemetry_of(setup(tmp_path / "ledger.duckdb", variables)) is None


def test_what_the_program_has_set_up_is_used_and_left_alone(tmp_path: Path) -> None:
    """Whoever has providers of their own finds the batch in them, with no variable set."""
    program = f"""
import asyncio, pathlib
from opentelemetry import context, trace
from tests.job.test_telemetry import Told, run, setup
from tasks_lib.job.telemetry import telemetry_of
one = setup(pathlib.Path({str(tmp_path)!r}) / "ledger.duckdb")
assert telemetry_of(one) is None
told = Told()
trace.set_tracer_provider(told.tracers)
with trace.get_tracer("theirs").start_as_current_span("nightly"):
    run(one, ["good 1"], telemetry_of(one))
spans = {{span.name: span for span in told.memory.get_finished_spans()}}
print(sorted(spans), spans["batch"].parent == spans["nightly"].context)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "['batch', 'chat gpt-5-mini', 'nightly', 'task_run'] True", done.stderr


def test_a_collector_that_says_nothing_is_not_waited_for(
    tmp_path: Path, summary: Summary, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of a batch waits a little for the last spans, and says so if they were not taken."""
    spans = Spans(
        setup(tmp_path / "other.duckdb"),
        tracers=told.tracers,
        meters=told.meters,
        flush=Event().wait,  # for ever
    )
    asyncio.run(spans.ended(replace(summary, outcome=Outcome.INTERRUPTED)))
    (record,) = caplog.records
    assert "not taken within 1 s" in record.getMessage()


def test_where_it_is_off_it_is_not_imported() -> None:
    """Neither the API nor the SDK is imported by a program that runs a batch without telemetry."""
    program = (
        "import sys, tasks_lib.job.batch, tasks_lib.job.telemetry\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("told", "traces", "metrics"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, ["otlp_proto_http"], ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, ["otlp_proto_http"], []),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp_proto_http"], []),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ["console", "otlp_proto_http"], []),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_METRICS_EXPORTER": "none"},
            ["otlp_proto_http"],
            [],
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
            },
            ["otlp_proto_grpc"],
            ["otlp_proto_http"],
        ),
    ],
)
def test_the_standard_variables_choose_the_exporters(
    told: dict[str, str], traces: list[str], metrics: list[str]
) -> None:
    """An endpoint alone means OTLP over HTTP; an exporter that is named wins, for its own signal."""
    assert (_names("traces", told), _names("metrics", told)) == (traces, metrics)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"OTEL_TRACES_EXPORTER": "carrier_pigeon"}, "opentelemetry-exporter-carrier-pigeon"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}, "http/protobuf, grpc"),
    ],
)
def test_what_cannot_be_had_is_a_warning(
    variables: dict[str, str], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An exporter that is not installed switches telemetry off, and says which package has it."""
    assert pipeline_of(variables) is None
    (record,) = caplog.records
    assert record.getMessage().startswith("OpenTelemetry is off: ")
    assert why in record.getMessage()


def test_a_run_is_sent_to_a_collector(project: Project) -> None:  # noqa: F811  # the fixture
    """With nothing but the endpoint set, `rowmill run` sends its spans and metrics there before it ends."""
    with receiver() as collector:
        done = project.rowmill(
            "run",
            project.job,
            env=project.environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
                OTEL_EXPORTER_OTLP_HEADERS="x-team=mills",
                OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
            ),
        )
        assert done.code == 0, done.err
        resources = [resource for request in collector.traces for resource in request.resource_spans]
        spans = [span for one in resources for scope in one.scope_spans for span in scope.spans]
        metrics = {
            metric.name
            for request in collector.metrics
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
    names = [span.name for span in spans]
    assert {name: names.count(name) for name in set(names)} == {
        "batch": 1,
        "task_run": 20,
        "chat pretend-1": 20,
    }
    attributes = {one.key: one.value.string_value for one in resources[0].resource.attributes}
    assert attributes["service.name"] == "rowmill"
    assert attributes["deployment.environment.name"] == "test"
    assert metrics == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}
    assert {headers.get("x-team") for headers in collector.headers} == {"mills"}
    assert b"fine thing" not in b"".join(body for bodies in collector.bodies.values() for body in bodies)


def test_a_collector_that_refuses_is_one_warning(project: Project) -> None:  # noqa: F811  # the fixture
    """Spans that nobody takes cost a line for each signal on standard error, and the run is whole."""
    with receiver(status=403) as collector:
        done = project.rowmill(
            "run",
            project.job,
            "--json",
            env=project.environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="5"
            ),
        )
        assert len(collector.bodies["/v1/traces"]) > 3
    assert done.code == 0
    told = [line for line in done.err.splitlines() if "export" in line.lower()]
    assert 1 <= len(told) <= 2, done.err
    assert "Traceback" not in done.err
