"""Anthropic's Messages API: text and JSON, with images, PDFs and text files as input.

Of what is `carried` it takes the user (`metadata.user_id`) and no further metadata. `parameters` are its own
(temperature, top_k, stop_sequences, thinking, ...), under their own names. `cache_control` among them is put
at the end of the system prompt, if there is one: that is what rows have in common, and what is written into
a cache with a row's own message is never read again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import orjson

from tasks_lib.domain.answer_form import form_in_words, schema_asked
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Finish, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.anthropic_blocks import content_of, why_not_sent
from tasks_lib.providers.anthropic_errors import Errors
from tasks_lib.providers.protocol import Exchange, Request, Response
from tasks_lib.providers.schema_subset import Subset, convert

_VERSION = "2023-06-01"
_FINISH = {
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "refusal": Finish.REFUSED,
}
_PAUSED = "pause_turn"  # a long turn with the API's own tools; sent back as it is, it goes on
_MOST_TURNS = 5  # of one exchange
_NOTHING = Usage(input_tokens=0, output_tokens=0)
_ANSWER = "answer"  # the name of the tool that an answer is given with

_MOST_FRAMES = 256  # a batch has one for each model of each revision
_MOST_TOKENS = 10**9  # beyond it a count is nonsense, and nothing that money or a database should reckon with

_SUBSET = Subset(  # https://platform.claude.com/docs/en/build-with-claude/structured-outputs
    keywords=frozenset(
        [
            "type",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "minItems",
            "anyOf",
            "enum",
            "const",
            "$ref",
            "$defs",
            "definitions",
            "format",
            "description",
        ]
    ),
    formats=frozenset(
        ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"]
    ),
    enum_of=(str, int, float, bool, type(None)),
    least_items=frozenset([0, 1]),
    closed_objects=True,
    typed=True,
    recursive=False,
    most_optional=24,
    most_unions=16,
)


class Anthropic:
    """Asks one provider's models by `POST /messages`."""

    def __init__(self, provider: Provider, key: Secret | None) -> None:
        """Speak with a provider's account; without a key none is sent.

        Raises:
            ValueError: the key cannot be put into a header.
        """
        if key is not None and not (key.reveal().isascii() and key.reveal().isprintable()):
            raise ValueError(
                f"what {key.name} holds cannot be put into a header"
            )  # whose error would show it
        self._provider = provider
        self._errors = Errors(key)
        self._url = provider.base_url.rstrip("/") + "/messages"
        self._headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "rowmill",
            "anthropic-version": _VERSION,
        }
        if key is not None:
            self._headers["x-api-key"] = key.reveal()
        self._idempotency_header = (provider.idempotency_header or "").lower()
        self._frames: dict[tuple[int, int], _Frame] = {}  # by the identities of choice and output

    def exchange(
        self,
        messages: Sequence[Message],
        choice: ModelChoice,
        output: Output,
        *,
        idempotency_key: str | None = None,
        carried: Carried | None = None,
    ) -> Exchange:
        """One request, one response; several only where the API pauses a turn that uses its own tools."""
        reason = why_not_sent(messages)
        if reason is not None:
            return Failure(kind=FailureKind.REJECTED, message=reason)
        headers = self._headers
        if idempotency_key is not None and self._idempotency_header:
            headers = {**headers, self._idempotency_header: idempotency_key}
        frame = self._frame(choice, output)
        before = frame.before_messages(messages, user=carried.user if carried is not None else None)
        turns: list[dict[str, Any]] = [
            {"role": message.role, "content": content_of(message)}
            for message in messages
            if message.role != "system"
        ]
        said: list[str] = []
        spent: Usage | None = _NOTHING
        body = before + orjson.dumps(turns) + b"}"
        while True:
            response = yield Request(method="POST", url=self._url, headers=headers, body=body)
            turn = self._meaning(response, spent, by_tool=frame.by_tool)
            if isinstance(turn, Failure):
                return turn
            said.append(turn.text)
            spent = turn.usage
            if not turn.is_paused or len(said) == _MOST_TURNS:
                return Reply(
                    text="".join(said),
                    finish=turn.finish,
                    usage=spent,
                    model=turn.model,
                    http_status=200,
                    request_id=turn.request_id,
                )
            turns = [*turns, {"role": "assistant", "content": turn.content}]
            try:
                body = before + orjson.dumps(turns) + b"}"
            except orjson.JSONEncodeError:
                return self._errors.broken(
                    response, "a turn that is nested too deep", request_id=turn.request_id, usage=spent
                )
            headers = self._headers  # without a key that names another request

    def _frame(self, choice: ModelChoice, output: Output) -> "_Frame":
        """The JSON before system prompt and messages, which is the same for every row of a revision."""
        name = (id(choice), id(output))
        frame = self._frames.get(name)
        if frame is None:
            if len(self._frames) >= _MOST_FRAMES:
                self._frames.clear()
            frame = self._frames[name] = _frame_of(self._provider, choice, output)
        return frame

    def _meaning(self, response: Response, spent: Usage | None, *, by_tool: bool) -> "_Turn | Failure":
        """What a response says, with what was spent on the turns before it."""
        headers, before = response.headers, None if spent is _NOTHING else spent
        request_id = headers.get("request-id") or headers.get("x-request-id")
        if response.status != 200:
            return self._errors.failure(response, request_id=request_id, usage=before)
        try:
            body = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return self._errors.broken(response, "a body that is not JSON", request_id=request_id)
        if not isinstance(body, dict):
            return self._errors.broken(response, "a body that is not an object", request_id=request_id)
        if body.get("type") == "error" or isinstance(body.get("error"), dict):
            return self._errors.failure(response, request_id=request_id, usage=before)
        usage = _sum(spent, usage_of(body))
        content = body.get("content")
        if not isinstance(content, list):
            return self._errors.broken(
                response, "a body without an answer", request_id=request_id, usage=usage
            )
        reason = body.get("stop_reason")
        finish = _FINISH.get(reason, Finish.STOP) if isinstance(reason, str) else Finish.STOP
        text = _text_of(content, by_tool=by_tool)
        if finish is Finish.REFUSED and not text:
            text = _explained(body.get("stop_details"))
        return _Turn(
            text=text,
            finish=finish,
            is_paused=reason == _PAUSED,
            content=content,
            usage=usage,
            model=_string(body.get("model")),
            request_id=request_id or _string(body.get("id")),
        )


class _Turn(NamedTuple):
    """What one response says."""

    text: str
    finish: Finish
    is_paused: bool
    content: list[Any]
    usage: Usage | None  # with that of the turns before
    model: str | None
    request_id: str | None


class _Frame(NamedTuple):
    """A request's JSON without system prompt, user and messages, and what is told of the answer's form."""

    open: bytes  # without its closing brace
    told: str | None
    by_tool: bool
    metadata: Mapping[str, JsonValue]  # the parameters' own
    cache_control: JsonValue  # the same; None: there is none
    made_for: tuple[ModelChoice, Output]  # held, so that their identities are given to no others

    def before_messages(self, messages: Sequence[Message], *, user: str | None) -> bytes:
        """The JSON up to the messages: a system prompt ends with, or is, what is told."""
        system = [message.text for message in messages if message.role == "system"]
        if self.told is not None:
            system.append(self.told)
        parts = [self.open]
        metadata = {**self.metadata, "user_id": user} if user is not None else self.metadata
        if metadata:
            parts.append(b'"metadata":' + orjson.dumps(metadata))
        if system:
            text = "\n\n".join(system)
            cached = {"type": "text", "text": text, "cache_control": self.cache_control}
            parts.append(b'"system":' + orjson.dumps(text if self.cache_control is None else [cached]))
        elif self.cache_control is not None:
            parts.append(b'"cache_control":' + orjson.dumps(self.cache_control))
        parts.append(b'"messages":')
        return b",".join(parts)


def _frame_of(provider: Provider, choice: ModelChoice, output: Output) -> _Frame:
    asked: dict[str, Any] = {
        name: value
        for name, value in choice.parameters.items()
        if name not in ("messages", "system", "max_completion_tokens")  # which are the row's, or OpenAI's
    }
    model = asked.pop("model", choice.model.name)  # a gateway may want another name than prices have
    metadata, cache_control = asked.pop("metadata", None), asked.pop("cache_control", None)
    asked["max_tokens"] = provider.most_output_tokens(choice)  # the API takes no request without it
    schema = schema_asked(output)
    told = form_in_words(output)
    by_tool = False
    if schema is not None and provider.structured_output == "json_schema":
        converted = convert(schema, _SUBSET).schema
        if converted is not None:
            own = asked.get("output_config")
            form = {"format": {"type": "json_schema", "schema": converted}}
            asked["output_config"] = {**own, **form} if isinstance(own, dict) else form
            told = None
    elif schema is not None and provider.structured_output == "tool" and schema.get("type") == "object":
        described = {"name": _ANSWER, "description": "Gives the answer.", "input_schema": schema}
        asked["tools"] = [*_as_list(asked.get("tools")), described]
        asked["tool_choice"] = {"type": "tool", "name": _ANSWER}
        told, by_tool = None, True
    before = orjson.dumps({"model": model, **asked})[:-1]
    return _Frame(
        open=before,
        told=told,
        by_tool=by_tool,
        metadata=metadata if isinstance(metadata, dict) else {},
        cache_control=cache_control,
        made_for=(choice, output),
    )


def subset_for(asked: Mapping[str, JsonValue]) -> Subset:  # noqa: ARG001  # the same for all schemas
    """What of a schema the API is told."""
    return _SUBSET


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The tokens that a response reports, those of its cache counted in; None for none, or nonsense.

    Thinking is part of the output, and is not told apart.
    """
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    uncached, output = usage.get("input_tokens"), usage.get("output_tokens")
    if not _is_count(uncached) or not _is_count(output):
        return None
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    return Usage(
        input_tokens=min(_MOST_TOKENS, uncached + read + written),
        output_tokens=output,
        cached_tokens=read,
        cache_write_tokens=min(written, _MOST_TOKENS - read),
    )


def _sum(before: Usage | None, usage: Usage | None) -> Usage | None:
    """The usage of two turns; unknown where one is."""
    if before is None or usage is None:
        return None
    return Usage(
        input_tokens=before.input_tokens + usage.input_tokens,
        output_tokens=before.output_tokens + usage.output_tokens,
        cached_tokens=before.cached_tokens + usage.cached_tokens,
        cache_write_tokens=before.cache_write_tokens + usage.cache_write_tokens,
    )


def _text_of(content: list[Any], *, by_tool: bool) -> str:
    """The text of the answer's blocks, or the input that the tool for answers was called with."""
    if by_tool:
        for block in content:
            if isinstance(block, dict) and block.get("type") == "tool_use" and block.get("name") == _ANSWER:
                return _dumped(block.get("input"))
    parts = (
        block.get("text") for block in content if isinstance(block, dict) and block.get("type") == "text"
    )
    return "".join(part for part in parts if isinstance(part, str))


def _dumped(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested deeper than can be written
        return ""


def _explained(details: object) -> str:
    """What the API says of a refusal."""
    if not isinstance(details, dict):
        return ""
    return _string(details.get("explanation")) or _string(details.get("category")) or ""


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MOST_TOKENS  # and no bool, which is an int, too


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if _is_count(value) else 0
