"""A batch as OpenTelemetry's GenAI conventions have it: spans of calls, their durations and their tokens.

batch          one for each batch
task_run       one for each row that was run, under the batch
chat {model}   one for each attempt, under its task run; of kind CLIENT, as are its two metrics

All are made after the fact, with the times that were recorded, so that nothing waits for them. Of prompts,
answers, messages of errors and keys of rows nothing is told; `rowmill.task_run_id` finds them in the ledger.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from threading import Event, Thread
from urllib.parse import urlsplit

import anyio
from anyio import to_thread
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, set_span_in_context

from tasks_lib.domain.output import Modality
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.run import Attempt, TaskRun
from tasks_lib.domain.task import ModelChoice
from tasks_lib.job.setup import Setup
from tasks_lib.job.tally import Outcome, Summary

PATIENCE = 3.0  # seconds that the end of a batch waits for the last spans to be sent
SHORT_OF_IT = 1.0  # the same where somebody wants it to end

Value = str | int | float

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**n for n in range(14))  # 1 to 67,108,864
_KNOWN_AS = {  # names of providers where the conventions have another one
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
_PARAMETERS = {  # of a request, by the names of the conventions
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}
_log = logging.getLogger(__name__)


class Spans:
    """Tells OpenTelemetry of one batch. Nothing that goes wrong here reaches the batch."""

    def __init__(
        self,
        setup: Setup,
        *,
        tracers: TracerProvider,
        meters: MeterProvider,
        flush: Callable[[], object] | None = None,
    ) -> None:
        """Tell these providers; `flush` sends what is waiting, and may take long. None: others see to it."""
        ours = version("rowmill")
        self._tracer = tracers.get_tracer("rowmill", ours)
        meter = meters.get_meter("rowmill", ours)
        self._durations = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._setup = setup
        self._flush = flush
        self._batch: Span | None = None
        self._under: Context | None = None  # the batch, as the parent of its runs
        self._known: dict[tuple[str, int], tuple[str, dict[str, Value], dict[str, Value]]] = {}
        self._broken = False

    def begun(self, *, batch_id: str, rows: int | None, started_at: datetime) -> None:
        """The batch has begun, with so many rows, or nobody knows how many."""
        job = self._setup.job
        attributes: dict[str, Value] = {
            "rowmill.batch_id": batch_id,
            "rowmill.job": job.name,
            "rowmill.task": job.task.name,
        }
        if rows is not None:
            attributes["rowmill.rows"] = rows
        self._harmless(lambda: self._begin(attributes, started_at))

    def heard(self, task_run: TaskRun) -> None:
        """A task run is over, and with the ledger."""
        self._harmless(lambda: self._tell(task_run))

    async def ended(self, summary: Summary) -> None:
        """The batch is over; waits some seconds at most for the last spans to be sent."""
        self._harmless(lambda: self._end(summary))
        if self._flush is None:
            return
        sent = Event()
        # not the event loop's own threads: the program's end would wait for them
        Thread(target=self._send, args=(self._flush, sent), name="rowmill-telemetry", daemon=True).start()
        patience = SHORT_OF_IT if summary.outcome is Outcome.INTERRUPTED else PATIENCE
        with anyio.CancelScope(shield=True):
            in_time = await to_thread.run_sync(sent.wait, patience)
        if not in_time:
            _log.warning(
                "OpenTelemetry: the last spans were not taken within %g s, and may be lost", patience
            )

    def _harmless(self, told: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            told()
        except Exception as error:  # noqa: BLE001  # whatever it is: telemetry never fails a run
            self._broken = True
            _log.warning("OpenTelemetry is off for the rest of the batch: %s", error)

    def _send(self, flush: Callable[[], object], sent: Event) -> None:
        self._harmless(flush)
        sent.set()

    def _begin(self, attributes: Mapping[str, Value], started_at: datetime) -> None:
        self._batch = self._tracer.start_span("batch", attributes=attributes, start_time=_ns(started_at))
        self._under = set_span_in_context(self._batch)

    def _end(self, summary: Summary) -> None:
        batch, self._batch = self._batch, None
        if batch is None:
            return
        for name in ("completed", "failed", "skipped", "cancelled"):
            batch.set_attribute(f"rowmill.rows.{name}", getattr(summary, name))
        batch.set_attribute("rowmill.outcome", summary.outcome.value)
        batch.set_attribute("rowmill.cost", float(summary.cost))
        if summary.outcome not in {Outcome.COMPLETED, Outcome.COMPLETED_WITH_FAILURES}:
            batch.set_attribute("error.type", summary.outcome.value)
            batch.set_status(Status(StatusCode.ERROR))
        batch.end()

    def _tell(self, task_run: TaskRun) -> None:
        plan, data = task_run.plan, task_run.data
        attributes: dict[str, Value] = {
            "rowmill.task_run_id": plan.task_run_id,
            "rowmill.row_number": plan.row_number,
            "rowmill.revision": plan.revision.tag,
            "rowmill.status": task_run.status.value,
        }
        if plan.reporting_group is not None:
            attributes["rowmill.reporting_group"] = plan.reporting_group
        if data.cost is not None:
            attributes["rowmill.cost"] = float(data.cost)
        if task_run.joined_to is not None:
            attributes["rowmill.joined_to"] = task_run.joined_to
        if task_run.failure is not None:
            attributes["error.type"] = task_run.failure.kind.value
        span = self._tracer.start_span(
            "task_run", context=self._under, attributes=attributes, start_time=_ns(task_run.created_at)
        )
        if task_run.attempts:
            under = set_span_in_context(span, self._under)
            for attempt in task_run.attempts:
                if not attempt.is_call:
                    continue  # its model was known to be down
                name, of_span, of_metrics = self._of_calls(plan, attempt)
                call = self._tracer.start_span(
                    name,
                    context=under,
                    kind=SpanKind.CLIENT,
                    attributes=of_span | _of_attempt(attempt),
                    start_time=_ns(attempt.started_at),
                )
                if attempt.failure is not None:
                    call.set_status(_FAILED)
                call.end(_ns(attempt.started_at) + int(attempt.worked * 1e9))
                self._measure(attempt, of_metrics)
        if task_run.failure is not None:
            span.set_status(_FAILED)
        span.end(_ns(task_run.finished_at))

    def _measure(self, attempt: Attempt, of_metrics: dict[str, Value]) -> None:
        attributes = of_metrics
        if attempt.answered_by is not None:
            attributes = {**attributes, "gen_ai.response.model": attempt.answered_by}
        usage = attempt.usage
        if usage is not None:
            self._tokens.record(usage.input_tokens, {**attributes, "gen_ai.token.type": "input"})
            self._tokens.record(usage.output_tokens, {**attributes, "gen_ai.token.type": "output"})
        if attempt.failure is not None:
            attributes = {**attributes, "error.type": attempt.failure.kind.value}
        self._durations.record(attempt.worked, attributes)

    def _of_calls(self, plan: Plan, attempt: Attempt) -> tuple[str, dict[str, Value], dict[str, Value]]:
        """The name of a call's span, and what is the same for all calls of its sort: of spans, of metrics."""
        key = plan.revision.fingerprint, attempt.position
        known = self._known.get(key)
        if known is None:
            choice = plan.models[attempt.position]
            provider = self._setup.providers.get(choice.model.provider)
            of_metrics = _of_model(choice, provider)
            of_span = of_metrics | _of_request(choice, plan.output.modality)
            known = self._known[key] = f"chat {choice.model.name}", of_span, of_metrics
        return known


_FAILED = Status(StatusCode.ERROR)  # without a description: an error's message may quote what was asked


def _of_model(choice: ModelChoice, provider: Provider | None) -> dict[str, Value]:
    model = choice.model
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _KNOWN_AS.get(model.provider, model.provider),
        "gen_ai.request.model": model.name,
    }
    address = urlsplit(provider.base_url) if provider is not None else None
    if address is not None and address.hostname:
        attributes["server.address"] = address.hostname
        attributes["server.port"] = address.port or (80 if address.scheme == "http" else 443)
    return attributes


def _of_request(choice: ModelChoice, modality: Modality) -> dict[str, Value]:
    attributes: dict[str, Value] = {"gen_ai.output.type": modality.value}
    if choice.most_output_tokens is not None:
        attributes["gen_ai.request.max_tokens"] = choice.most_output_tokens
    for parameter, name in _PARAMETERS.items():
        value = choice.parameters.get(parameter)
        if isinstance(value, int | float):
            attributes[name] = value
    return attributes


def _of_attempt(attempt: Attempt) -> dict[str, Value]:
    attributes: dict[str, Value] = {"rowmill.waited": attempt.waited}
    usage = attempt.usage
    if usage is not None:
        attributes["gen_ai.usage.input_tokens"] = usage.input_tokens
        attributes["gen_ai.usage.output_tokens"] = usage.output_tokens
        if usage.cached_tokens:
            attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
        if usage.reasoning_tokens:
            attributes["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
    if attempt.answered_by is not None:
        attributes["gen_ai.response.model"] = attempt.answered_by
    if attempt.cost is not None:
        attributes["rowmill.cost"] = float(attempt.cost)
    if attempt.http_status is not None:
        attributes["http.response.status_code"] = attempt.http_status
    if attempt.failure is not None:
        attributes["error.type"] = attempt.failure.kind.value
    return attributes


def _ns(moment: datetime) -> int:
    """Nanoseconds since 1970, exact to the microsecond that a datetime holds."""
    return round(moment.timestamp() * 1e6) * 1_000
