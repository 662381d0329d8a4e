"""The OpenAI chat-completions protocol, as OpenAI, its many imitators and local servers speak it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import orjson

from tasks_lib.domain.answer_form import form_in_words, schema_asked
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Finish, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.protocol import Exchange, Request, Response
from tasks_lib.providers.waits import retry_after_seconds

_SHOWN = 300  # characters of a strange body that an error shows

_KIND_OF_STATUS = {
    401: FailureKind.UNAUTHORIZED,
    402: FailureKind.OUT_OF_CREDIT,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.UNKNOWN_MODEL,
    408: FailureKind.SERVER_ERROR,
    409: FailureKind.SERVER_ERROR,
    425: FailureKind.SERVER_ERROR,
    429: FailureKind.RATE_LIMITED,
    498: FailureKind.RATE_LIMITED,  # Groq: the flexible tier is full
}
_LIKE_A_STATUS = re.compile("[45][0-9][0-9]")
_KIND_OF_CODE = {
    "insufficient_quota": FailureKind.OUT_OF_CREDIT,  # comes as 429, and no wait will cure it
    "billing_hard_limit_reached": FailureKind.OUT_OF_CREDIT,
    "content_filter": FailureKind.REFUSED,
    "content_policy_violation": FailureKind.REFUSED,
    "json_validate_failed": FailureKind.INVALID_OUTPUT,  # Groq checks the schema itself and answers 400
    "model_not_found": FailureKind.UNKNOWN_MODEL,
    "model_not_available": FailureKind.UNKNOWN_MODEL,  # Together, as 400
    "dedicated_endpoint_not_running": FailureKind.UNKNOWN_MODEL,  # the same
    "invalid_api_key": FailureKind.UNAUTHORIZED,
}
_MAYBE_BILLED_STATUS = frozenset({408, 504, 524})  # the model may have worked on when the gateway gave up
_MAYBE_BILLED_KINDS = frozenset({FailureKind.REFUSED, FailureKind.INVALID_OUTPUT})  # a model has looked at it

_FINISH = {
    "length": Finish.LENGTH,
    "model_length": Finish.LENGTH,  # Mistral: the context is full
    "max_tokens": Finish.LENGTH,
    "content_filter": Finish.REFUSED,
}
_BROKEN_OFF = frozenset({"error", "abort", "insufficient_system_resource"})  # OpenRouter, vLLM, DeepSeek

_STRICT_KEYWORDS = frozenset(
    [
        "$schema",
        "title",
        "description",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "enum",
        "const",
        "$ref",
        "$defs",
        "definitions",
        "pattern",
        "format",
        "multipleOf",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
    ]
)
_STRICT_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
)

_MOST_FRAMES = 256  # a batch has one for each model of each revision
_MOST_TOKENS = 10**9  # beyond it a count is nonsense, and nothing that money or a database should reckon with


class OpenAI:
    """Asks one provider's models by `POST /chat/completions`."""

    def __init__(self, provider: Provider, key: Secret | None) -> None:
        """Speak with a provider's account; without a key no authorization is sent.

        Raises:
            ValueError: the key cannot be put into a header.
        """
        if key is not None and not (key.reveal().isascii() and key.reveal().isprintable()):
            raise ValueError(
                f"what {key.name} holds cannot be put into a header"
            )  # whose error would show it
        self._provider = provider
        self._key = key
        self._url = provider.base_url.rstrip("/") + "/chat/completions"
        self._headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "rowmill",
        }
        if key is not None:
            self._headers["authorization"] = f"Bearer {key.reveal()}"
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
        """One request, one response."""
        headers = self._headers
        if idempotency_key is not None and self._idempotency_header:
            headers = {**headers, self._idempotency_header: idempotency_key}
        frame = self._frame(choice, output)
        body = frame.before + orjson.dumps(frame.messages(messages)) + frame.after
        response = yield Request(method="POST", url=self._url, headers=headers, body=body)
        return self._meaning(response)

    def _frame(self, choice: ModelChoice, output: Output) -> "_Frame":
        """The JSON around the messages, which is the same for every row of a revision."""
        name = (id(choice), id(output))
        frame = self._frames.get(name)
        if frame is None:
            if len(self._frames) >= _MOST_FRAMES:
                self._frames.clear()
            frame = self._frames[name] = _frame_of(self._provider, choice, output)
        return frame

    def _meaning(self, response: Response) -> Reply | Failure:
        """What a response says; the key, should it be echoed, is blotted out."""
        request_id = response.headers.get("x-request-id") or response.headers.get("request-id")
        if response.status != 200:
            return self._failure(response, request_id)
        try:
            body = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return self._broken(response, request_id, "a body that is not JSON")
        if not isinstance(body, dict):
            return self._broken(response, request_id, "a body that is not an object")
        usage = usage_of(body)
        if isinstance(body.get("error"), dict) and not body.get("choices"):  # some routers answer so
            return self._failure(response, request_id, usage=usage)
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        message = first.get("message") if isinstance(first, dict) else None
        if not isinstance(first, dict) or not isinstance(message, dict):
            return self._broken(response, request_id, "a body without an answer", usage=usage)
        reason = _string(first.get("finish_reason"))
        if reason in _BROKEN_OFF or isinstance(first.get("error"), dict):
            return self._broken(response, request_id, "an answer that was broken off", usage=usage)
        refusal = _string(message.get("refusal"))
        return Reply(
            text=refusal or _text(message.get("content")),
            finish=Finish.REFUSED if refusal else _FINISH.get(reason or "", Finish.STOP),
            usage=usage,
            model=_string(body.get("model")),
            http_status=200,
            request_id=request_id or _string(body.get("id")),
        )

    def _broken(
        self, response: Response, request_id: str | None, what: str, usage: Usage | None = None
    ) -> Failure:
        """A 200 that is no answer: one was probably made, and billed."""
        return Failure(
            kind=FailureKind.BROKEN_REPLY,
            message=f"200 with {what}: {self._shown(response)}",
            http_status=200,
            request_id=request_id,
            usage=usage,
            maybe_billed=usage is None,
        )

    def _failure(self, response: Response, request_id: str | None, usage: Usage | None = None) -> Failure:
        status = response.status
        told = _told(response.body)
        retry_after = retry_after_seconds(response.headers)
        kind = _kind_of(status, told, retry_after=retry_after)
        if 300 <= status < 400:
            told = _Told(message=f"redirects to {response.headers.get('location')}: set the base URL right")
        message = self._hidden(told.message)[: _SHOWN * 2] or self._shown(response)
        half_done = status == 200 and kind is FailureKind.SERVER_ERROR
        processed = half_done or status in _MAYBE_BILLED_STATUS or kind in _MAYBE_BILLED_KINDS
        return Failure(
            kind=kind,
            message=f"{status} {message}",
            http_status=status,
            request_id=request_id,
            retry_after=retry_after,
            usage=usage,
            maybe_billed=processed and usage is None,
        )

    def _shown(self, response: Response) -> str:
        """The beginning of a strange body, in one line, and without the key."""
        text = self._hidden(str(response.body, "utf-8", "replace"))
        line = " ".join(text[: _SHOWN * 4].split()) or "nothing"
        return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"

    def _hidden(self, text: str) -> str:
        return text if self._key is None else self._key.hidden_in(text)


class _Frame(NamedTuple):
    """A request's JSON before and after its messages, and what these are told of the answer's form."""

    before: bytes
    after: bytes
    told: str | None
    made_for: tuple[ModelChoice, Output]  # held, so that their identities are given to no others

    def messages(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        """The messages with a system prompt that ends, or is, what is told: many models take only one."""
        listed = [{"role": message.role, "content": message.text} for message in messages]
        if self.told is None:
            return listed
        if listed and listed[0]["role"] == "system":
            listed[0]["content"] += f"\n\n{self.told}"
            return listed
        return [{"role": "system", "content": self.told}, *listed]


def _frame_of(provider: Provider, choice: ModelChoice, output: Output) -> _Frame:
    parameters: dict[str, JsonValue] = {
        provider.max_tokens_field if name == "max_tokens" else name: value
        for name, value in choice.parameters.items()
        if name != "messages"  # which are the row's
    }
    model = parameters.pop("model", choice.model.name)  # a gateway may want another name than prices have
    response_format, told = _form_of(output, way=provider.structured_output)
    if response_format is not None:
        parameters["response_format"] = response_format
    before = b'{"model":%b,"messages":' % orjson.dumps(model)
    after = b"," + orjson.dumps(parameters)[1:] if parameters else b"}"
    return _Frame(before, after, told, (choice, output))


def _form_of(output: Output, *, way: str) -> tuple[JsonValue, str | None]:
    """How an answer's form is asked for: by the API's own means, in words, or both."""
    schema = schema_asked(output)
    if way == "json_schema" and schema is not None:
        strict = fits_strict_mode(schema)
        described: JsonValue = {"name": "answer", "schema": schema, "strict": strict}
        return {"type": "json_schema", "json_schema": described}, None
    has_mode = output.modality is Modality.JSON and way != "prompt"
    return {"type": "json_object"} if has_mode else None, form_in_words(output)


def fits_strict_mode(schema: Mapping[str, JsonValue]) -> bool:
    """Whether OpenAI's strict mode takes a schema, which otherwise answers 400 to every row.

    The root is an object; objects are closed, with every property required; every part has a type, is one of
    several or refers to another; and no keyword is used beyond those that the documentation lists.
    """
    return schema.get("type") == "object" and "anyOf" not in schema and _is_strict(schema)


def _is_strict(schema: object) -> bool:
    if not isinstance(schema, Mapping) or not _STRICT_KEYWORDS.issuperset(schema):
        return False
    if not ("type" in schema or "anyOf" in schema or "$ref" in schema):
        return False
    if schema.get("format", "date") not in _STRICT_FORMATS or "(?" in schema.get("pattern", ""):
        return False
    properties = schema.get("properties", {})
    if "object" in _as_list(schema.get("type")) or properties:
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(properties):
            return False
    parts = [
        *properties.values(),
        *schema.get("$defs", {}).values(),
        *schema.get("definitions", {}).values(),
        *schema.get("anyOf", ()),
        *([schema["items"]] if "items" in schema else ()),
    ]
    return all(_is_strict(part) for part in parts)


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The tokens a response reports; None if it reports none, or nonsense."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(prompt) or not _is_count(completion):
        return None
    cached = _count(usage.get("prompt_tokens_details"), "cached_tokens")
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_tokens=min(prompt, cached or _count(usage, "prompt_cache_hit_tokens")),  # the second: DeepSeek
        reasoning_tokens=min(completion, _count(usage.get("completion_tokens_details"), "reasoning_tokens")),
    )


class _Told(NamedTuple):
    """What an error body says, in the shapes that are in use."""

    message: str = ""
    codes: tuple[str, ...] = ()
    flagged: bool = False  # for its content, by a moderator


def _kind_of(status: int, told: _Told, *, retry_after: float | None) -> FailureKind:
    for code in told.codes:
        if code in _KIND_OF_CODE:
            return _KIND_OF_CODE[code]
    if status == 200:  # an error in the body; its code is often the status it should have had
        status = next((int(code) for code in told.codes if _LIKE_A_STATUS.fullmatch(code)), 500)
    if status == 403 and told.flagged:
        return FailureKind.REFUSED  # OpenRouter: this row is, and not we
    if status == 402 and retry_after is not None:
        return FailureKind.RATE_LIMITED  # OpenRouter: the credit is only held by calls in flight
    if status >= 500:
        return FailureKind.SERVER_ERROR
    return _KIND_OF_STATUS.get(status, FailureKind.REJECTED)


def _told(content: bytes | memoryview) -> _Told:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _Told()
    if not isinstance(body, dict):
        return _Told()
    error = body.get("error")
    holder = error if isinstance(error, dict) else body  # Mistral and older vLLM tell without a frame
    codes = [holder.get("code"), holder.get("type")]
    metadata = holder.get("metadata")
    messages = (error, holder.get("message"), body.get("message"), body.get("detail"))
    return _Told(
        message=next((message for message in messages if isinstance(message, str) and message), ""),
        codes=tuple(str(code) for code in codes if isinstance(code, str | int)),
        flagged=isinstance(metadata, dict) and bool(metadata.get("reasons")),
    )


def _text(content: object) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MOST_TOKENS  # and no bool, which is an int, too


def _count(within: object, name: str) -> int:
    value = within.get(name) if isinstance(within, dict) else None
    return value if _is_count(value) else 0
