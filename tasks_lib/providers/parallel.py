"""Parallel's Task API: a row is a run of a processor, which is begun, waited for, and read.

The model's name is the processor (`parallel:core`). The input is the prompt as text, or with the parameter
`input: object` the placeholders' values. The output's schema goes as `task_spec`, and what it cannot say is
checked on our side. Each run has metadata by which it is found again: `row_key`, `identity`, `task_run_id`,
and the row's reporting group, reference and metadata as far as they fit.

With `min_confidence` an answer that rests on less goes on to the next model; the last one's is kept, with a
warning. The API has no list of runs, no idempotency key and no cancel: a run whose id was lost is found only
where whoever carries the requests begins runs in groups (`engine/parallel_groups.py`).
"""

from collections.abc import Generator, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.labels import LONGEST_METADATA, MOST_METADATA
from tasks_lib.domain.output import Output, Reply
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.remote import Citation, RemoteRun
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.blotted import SHOWN
from tasks_lib.providers.parallel_errors import Errors, request_id_of, told_of
from tasks_lib.providers.parallel_parameters import CONFIDENCES, SENT
from tasks_lib.providers.parallel_spec import LONGEST_RUN, spec_of
from tasks_lib.providers.protocol import Accepted, Exchange, Pause, Request, Response, Step

LOST: Final = "x-rowmill-lost"
"""A header by which whoever carries a request learns that such a run may have been begun before."""
ACTIVE: Final = frozenset({"queued", "running", "cancelling"})
ENDED: Final = frozenset({"completed", "failed", "cancelled"})
RUNS: Final = "/v1/tasks/runs"
IDENTITY: Final = "identity"
"""The metadata key that names the row under its revision."""
_LONGEST_KEY: Final = 16  # characters of a metadata key
_FIRST_LOOK: Final = 1.0  # seconds; a third more each time
_LAST_LOOK: Final = 30.0
_MOST_IN_VAIN: Final = 8  # looks in a row that gave no status
_RESULT_HELD: Final = 5  # seconds that the API may hold the result of a run that it says has ended
_SHOWN: Final = 2_000  # characters of an answer that is not kept
_MOST_FRAMES: Final = 256
_LOOK_AGAIN: Final = frozenset({404, 408, 409, 425, 429})
_NOTHING: Final = Usage(input_tokens=0, output_tokens=0)


class Parallel:
    """Has one account's rows run."""

    def __init__(self, provider: Provider, key: Secret | None) -> None:
        """Speak with a provider's account.

        Raises:
            ValueError: the key cannot be put into a header.
        """
        if key is not None and not (key.reveal().isascii() and key.reveal().isprintable()):
            raise ValueError(
                f"what {key.name} holds cannot be put into a header"
            )  # whose error would show it
        self._errors = Errors(key)
        self._url = provider.base_url.rstrip("/") + RUNS
        self._headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "rowmill",
        }
        if key is not None:
            self._headers["x-api-key"] = key.reveal()
        self._patience = provider.timeouts.run
        self._frames: dict[tuple[int, int], _Frame] = {}  # by the identities of choice and output

    def run(
        self, plan: Plan, choice: ModelChoice, *, remote_id: str | None = None, lost: bool = False
    ) -> Exchange:
        """Begin a run, or take one up; wait for its end; read what it found."""
        frame = self._frame(choice, plan.output)
        headers = self._headers if frame.betas is None else {**self._headers, "parallel-beta": frame.betas}
        if remote_id is None:
            body = frame.body(plan)
            if isinstance(body, Failure):
                return body
            asking = {**headers, LOST: "1"} if lost else headers
            begun = yield Request(method="POST", url=self._url, headers=asking, body=body)
            remote_id = _run_id_of(begun)
            if remote_id is None:
                return self._errors.not_begun(begun)
            yield Accepted(remote_id=remote_id)
        run = yield from self._end_of(remote_id, headers)
        if isinstance(run, Failure):
            return run
        if run.get("status") != "completed":
            return self._failed(run, remote_id)
        return (yield from self._result(plan, choice, frame, remote_id, headers))

    def _frame(self, choice: ModelChoice, output: Output) -> "_Frame":
        """What is the same for every row of a revision."""
        name = (id(choice), id(output))
        frame = self._frames.get(name)
        if frame is None:
            if len(self._frames) >= _MOST_FRAMES:
                self._frames.clear()
            frame = self._frames[name] = _frame_of(choice, output)
        return frame

    def _end_of(
        self, run_id: str, headers: Mapping[str, str]
    ) -> Generator[Step, Response, dict[str, Any] | Failure]:
        """The run as it is told when it has ended."""
        wait, in_vain, blocked = _FIRST_LOOK, 0, 0.0
        while True:
            response = yield Request(method="GET", url=f"{self._url}/{run_id}", headers=headers)
            run = _object_in(response) if response.status == 200 else None
            status = _string(run.get("status")) if run is not None else None
            if run is not None and status in ENDED:
                return run
            if status is None:
                in_vain += 1
                if in_vain > _MOST_IN_VAIN or not _may_pass(response.status):
                    return self._out_of_sight(response, run_id)
            else:
                in_vain = 0
            if status == "action_required":  # neither active nor ended: somebody there would have to act
                if blocked >= self._patience:
                    return Failure(
                        kind=FailureKind.GIVEN_UP,
                        message=f"{run_id} is action_required since {blocked:.0f} s",
                        remote=RemoteRun(remote_id=run_id, status="action_required"),
                    )
                blocked += wait
            yield Pause(seconds=wait)
            wait = min(_LAST_LOOK, wait * 4 / 3)

    def _out_of_sight(self, response: Response, run_id: str) -> Failure:
        """What it means that a run's status cannot be had."""
        if response.status != 404:
            return self._errors.of(response)
        return Failure(
            kind=FailureKind.BROKEN_REPLY,
            message=f"404 this account has no run {run_id}",
            http_status=404,
            request_id=request_id_of(response),
            remote=RemoteRun(remote_id=run_id, status="not_found"),
        )

    def _failed(self, run: dict[str, Any], run_id: str) -> Failure:
        """A run that failed, which costs nothing, or that somebody cancelled there."""
        error = run.get("error")
        told = told_of(error) if isinstance(error, dict) else None
        status = run.get("status")
        message = (told.message if told else "") or "no reason was told"
        return Failure(
            kind=FailureKind.RUN_FAILED,
            message=f"the run {run_id} is {status}: {self._errors.hidden(message)[: SHOWN * 2]}",
            request_id=told.ref_id if told else None,
            remote=_remote_of(run, run_id, {}),
            model=_string(run.get("processor")),
        )

    def _result(
        self, plan: Plan, choice: ModelChoice, frame: "_Frame", run_id: str, headers: Mapping[str, str]
    ) -> Exchange:
        """What a completed run has found."""
        url = f"{self._url}/{run_id}/result?timeout={_RESULT_HELD}"
        wait = _FIRST_LOOK
        for _ in range(_MOST_IN_VAIN):
            response = yield Request(method="GET", url=url, headers=headers)
            whole = _object_in(response) if response.status == 200 else None
            output = whole.get("output") if whole is not None else None
            if whole is not None and isinstance(output, dict):
                told = whole.get("run")
                run = told if isinstance(told, dict) else {}
                return self._judged(plan, choice, frame, _remote_of(run, run_id, output), response, output)
            if response.status == 404:  # it failed after all, or was never there: its own record tells
                again = yield from self._end_of(run_id, headers)
                if isinstance(again, Failure) or again.get("status") != "completed":
                    return again if isinstance(again, Failure) else self._failed(again, run_id)
            elif not _may_pass(response.status):
                break
            yield Pause(seconds=wait)
            wait = min(_LAST_LOOK, wait * 4 / 3)
        return self._errors.of(response)

    def _judged(
        self,
        plan: Plan,
        choice: ModelChoice,
        frame: "_Frame",
        remote: RemoteRun,
        response: Response,
        output: dict[str, Any],
    ) -> Reply | Failure:
        """The answer, or why the next processor is to be asked."""
        content = output.get("content")
        text = content if isinstance(content, str) else _dumped(content)
        doubt = frame.doubt(remote)
        if doubt is not None:
            is_last = choice == plan.models[-1] or FailureKind.LOW_CONFIDENCE not in plan.fallback_on
            if not is_last:
                return Failure(
                    kind=FailureKind.LOW_CONFIDENCE,
                    message=doubt,
                    http_status=response.status,
                    request_id=request_id_of(response),
                    usage=_NOTHING,  # it is billed, by the run
                    text=text[:_SHOWN],
                    model=remote.processor,
                    remote=remote,
                )
            remote = _warned(remote, doubt)
        return Reply(
            text=text,
            model=remote.processor,
            http_status=response.status,
            request_id=request_id_of(response),
            remote=remote,
        )


class _Frame(NamedTuple):
    """What is the same for every row of a revision."""

    fields: Mapping[str, JsonValue]
    spec_length: int  # characters
    is_object: bool
    betas: str | None
    least: int  # in CONFIDENCES; 0: any will do
    fields_held: frozenset[str]  # whose confidence counts; none: all
    made_for: tuple[ModelChoice, Output]  # held, so that their identities are given to no others

    def body(self, plan: Plan) -> bytes | Failure:
        """The JSON that begins a row's run; a Failure if it cannot be one."""
        given: JsonValue = {**plan.submitted, **plan.processed} if self.is_object else _text_of(plan)
        length = len(given) if isinstance(given, str) else len(_dumped(given))
        if length + self.spec_length > LONGEST_RUN:
            return Failure(
                kind=FailureKind.BAD_ROW,
                message=f"input and task_spec have {length + self.spec_length} of {LONGEST_RUN} characters",
            )
        if any(message.files for message in plan.messages):
            return Failure(kind=FailureKind.REJECTED, message="Parallel takes no files")
        return orjson.dumps({**self.fields, "metadata": metadata_of(plan), "input": given})

    def doubt(self, remote: RemoteRun) -> str | None:
        """Which fields rest on too little; None if none does."""
        if not self.least:
            return None
        weak = {
            citation.field: citation.confidence
            for citation in remote.citations
            if citation.confidence in CONFIDENCES
            and CONFIDENCES.index(citation.confidence) < self.least
            and (not self.fields_held or citation.field.partition(".")[0] in self.fields_held)
        }
        if not weak:
            return None
        told = ", ".join(f"{name} {confidence}" for name, confidence in weak.items())
        return f"confidence below {CONFIDENCES[self.least]}: {told}"


def _frame_of(choice: ModelChoice, output: Output) -> _Frame:
    parameters = choice.parameters
    spec = spec_of(parameters, output).told
    sent = {name: parameters[name] for name in SENT if parameters.get(name) is not None}
    betas, fields = parameters.get("betas"), parameters.get("confidence_fields")
    least = parameters.get("min_confidence")
    return _Frame(
        fields={"processor": choice.model.name, "task_spec": spec, **sent},
        spec_length=len(_dumped(spec)),
        is_object=parameters.get("input") == "object",
        betas=",".join(str(beta) for beta in betas) if isinstance(betas, list) and betas else None,
        least=CONFIDENCES.index(least) if isinstance(least, str) and least in CONFIDENCES else 0,
        fields_held=frozenset(str(field) for field in fields) if isinstance(fields, list) else frozenset(),
        made_for=(choice, output),
    )


def metadata_of(plan: Plan) -> dict[str, str]:
    """What names a row's run at Parallel: ours first, then the job's own as far as it fits."""
    told = {
        "row_key": plan.row_key[:LONGEST_METADATA],
        IDENTITY: plan.identity,
        "task_run_id": plan.task_run_id,
        "reporting_group": plan.reporting_group or "",
        "reference": plan.reference or "",
        "context_id": plan.context_id or "",
    }
    told = {name: value for name, value in told.items() if value}
    for name, value in plan.metadata.items():
        if len(told) < MOST_METADATA and len(name) <= _LONGEST_KEY and len(value) <= LONGEST_METADATA:
            told.setdefault(name, value)
    return told


def _text_of(plan: Plan) -> str:
    """The prompt as one text: a run has no roles."""
    return "\n\n".join(message.text for message in plan.messages if message.text)


def _run_id_of(response: Response) -> str | None:
    """The id of a run that was begun; None if the response tells of none."""
    run = _object_in(response) if 200 <= response.status < 300 else None
    run_id = run.get("run_id") if run is not None else None
    return run_id if isinstance(run_id, str) and run_id else None


def _may_pass(status: int) -> bool:
    """Whether the same request may be answered otherwise in a while."""
    return status >= 500 or status < 300 or status in _LOOK_AGAIN


def _remote_of(run: dict[str, Any], run_id: str, output: dict[str, Any]) -> RemoteRun:
    """What the API tells of a run, beside its answer."""
    warnings = run.get("warnings")
    kept = {
        name: run.get(name) for name in ("interaction_id", "metadata", "created_at", "modified_at", "error")
    } | {name: output.get(name) for name in ("output_schema", "mcp_tool_calls")}
    kept["warnings"] = warnings
    kept["seconds"] = _seconds(run.get("created_at"), run.get("modified_at"))
    basis = output.get("basis")
    return RemoteRun(
        remote_id=run_id,
        group_id=_string(run.get("taskgroup_id")),
        status=_string(run.get("status")) or "completed",
        processor=_string(run.get("processor")),
        run_data={name: value for name, value in kept.items() if value is not None},
        warnings=tuple(_warning(one) for one in warnings) if isinstance(warnings, list) else (),
        citations=tuple(_citations(basis)) if isinstance(basis, list) else (),
    )


def _warned(remote: RemoteRun, warning: str) -> RemoteRun:
    return RemoteRun(
        remote_id=remote.remote_id,
        group_id=remote.group_id,
        status=remote.status,
        processor=remote.processor,
        run_data=remote.run_data,
        warnings=(*remote.warnings, warning),
        citations=remote.citations,
    )


def _warning(told: object) -> str:
    """A warning in one line, of whatever type it is."""
    if not isinstance(told, dict):
        return str(told)
    detail = told.get("detail")
    return f"{told.get('type')}: {told.get('message')}" + (f" {_dumped(detail)}" if detail else "")


def _citations(basis: list[Any]) -> Iterator[Citation]:
    """One for each source of each field; a field without a source has one with none."""
    for entry in basis:
        if not isinstance(entry, dict):
            continue
        field = _string(entry.get("field")) or ""
        reasoning, confidence = _string(entry.get("reasoning")), _string(entry.get("confidence")) or None
        sources = entry.get("citations")
        told = [one for one in sources if isinstance(one, dict)] if isinstance(sources, list) else []
        for source in told or [{}]:
            excerpts = source.get("excerpts")
            yield Citation(
                field=field,
                reasoning=reasoning,
                confidence=confidence,
                url=_string(source.get("url")),
                title=_string(source.get("title")),
                excerpts=tuple(str(one) for one in excerpts) if isinstance(excerpts, list) else (),
            )


def _seconds(begin: object, end: object) -> float | None:
    """From a run's making to its last change, which is its end: queue and work together."""
    try:
        return (datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(begin))).total_seconds()
    except (ValueError, TypeError):  # not told, or one of them without a zone
        return None


def _object_in(response: Response) -> dict[str, Any] | None:
    try:
        whole = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return None
    return whole if isinstance(whole, dict) else None


def _dumped(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested deeper than can be written
        return ""


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
