"""The OpenAI chat-completions protocol, as OpenAI, its many imitators and local servers speak it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import httpx
import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Finish, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.protocol import Exchange
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
}
_KIND_OF_CODE = {
    "insufficient_quota": FailureKind.OUT_OF_CREDIT,  # comes as 429, and no wait will cure it
    "billing_hard_limit_reached": FailureKind.OUT_OF_CREDIT,
    "content_filter": FailureKind.REFUSED,
    "content_policy_violation": FailureKind.REFUSED,
    "json_validate_failed": FailureKind.INVALID_OUTPUT,  # Groq checks the schema itself and answers 400
    "model_not_found": FailureKind.UNKNOWN_MODEL,
}
_STRUCTURAL = ("properties", "items", "anyOf", "$defs", "definitions")


class OpenAI:
    """Asks one provider's models by `POST /chat/completions`."""

    def __init__(self, provider: Provider, key: Secret | None) -> None:
        """Speak with a provider's account; without a key no authorization is sent."""
        self._provider = provider
        self._key = key
        self._url = httpx.URL(provider.base_url.rstrip("/") + "/chat/completions")
        headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "rowmill"}
        if key is not None:
            headers["authorization"] = f"Bearer {key.reveal()}"
        self._headers = httpx.Headers(headers)
        self._formats: dict[int, tuple[Mapping[str, JsonValue], JsonValue]] = {}
        self._timeout = {
            "connect": provider.timeouts.connect,
            "read": provider.timeouts.total,
            "write": provider.timeouts.total,
            "pool": provider.timeouts.total,
        }

    def exchange(self, messages: Sequence[Message], choice: ModelChoice, output: Output) -> Exchange:
        """One request, one response."""
        body = orjson.dumps(self.body(messages, choice, output))
        response = yield httpx.Request(
            "POST",
            self._url,
            headers=self._headers,
            content=body,
            extensions={"timeout": self._timeout},
        )
        return self._meaning(response)

    def body(self, messages: Sequence[Message], choice: ModelChoice, output: Output) -> dict[str, JsonValue]:
        """The request's JSON."""
        body: dict[str, JsonValue] = {
            "model": choice.model.name,
            "messages": [{"role": message.role, "content": message.text} for message in messages],
        }
        for name, value in choice.parameters.items():
            body[self._provider.max_tokens_field if name == "max_tokens" else name] = value
        if output.modality is Modality.JSON:
            self._ask_for_json(body, output)
        return body

    def _ask_for_json(self, body: dict[str, JsonValue], output: Output) -> None:
        way = self._provider.structured_output
        if way == "json_schema" and output.schema is not None:
            body["response_format"] = self._schema_format(output.schema)
            return
        if way != "prompt":
            body["response_format"] = {"type": "json_object"}
        told = "Answer with one JSON value and nothing else."
        if output.schema is not None:
            told += f" It must meet this JSON Schema: {orjson.dumps(output.schema).decode()}"
        messages = body["messages"]
        assert isinstance(messages, list)  # noqa: S101  # made above; tells mypy
        messages.insert(0, {"role": "system", "content": told})

    def _schema_format(self, schema: Mapping[str, JsonValue]) -> JsonValue:
        """The response format that asks for a schema, made once for all rows of a task."""
        known = self._formats.get(id(schema))
        if known is not None and known[0] is schema:
            return known[1]
        told: JsonValue = {"name": "answer", "schema": schema, "strict": fits_strict_mode(schema)}
        made: JsonValue = {"type": "json_schema", "json_schema": told}
        self._formats[id(schema)] = (schema, made)  # holding the schema keeps its id from being another's
        return made

    def _meaning(self, response: httpx.Response) -> Reply | Failure:
        """What a response says; the key, should it be echoed, is blotted out."""
        request_id = response.headers.get("x-request-id") or response.headers.get("request-id")
        if response.status_code != 200:
            return self._failure(response, request_id)
        try:
            body = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            return self._broken(response, request_id, "a body that is not JSON")
        if not isinstance(body, dict):
            return self._broken(response, request_id, "a body that is not an object")
        if isinstance(body.get("error"), dict) and not body.get("choices"):  # some routers answer so
            return self._failure(response, request_id)
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        message = first.get("message") if isinstance(first, dict) else None
        if not isinstance(first, dict) or not isinstance(message, dict):
            return self._broken(response, request_id, "a body without an answer", usage=usage_of(body))
        refusal = message.get("refusal")
        finish = _finish(first.get("finish_reason"))
        if isinstance(refusal, str) and refusal:
            finish = Finish.REFUSED
        model = body.get("model")
        return Reply(
            text=refusal if finish is Finish.REFUSED and refusal else _text(message.get("content")),
            finish=finish,
            usage=usage_of(body),
            model=model if isinstance(model, str) else None,
            http_status=200,
            request_id=request_id or _string(body.get("id")),
        )

    def _broken(
        self, response: httpx.Response, request_id: str | None, what: str, usage: Usage | None = None
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

    def _failure(self, response: httpx.Response, request_id: str | None) -> Failure:
        status = response.status_code
        message, code = _told(response.content)
        kind = _KIND_OF_CODE.get(code) if code else None
        if kind is None:
            kind = _kind_of(status, code)
        if not message:
            message = self._shown(response)
        elif self._key is not None:
            message = self._key.hidden_in(message)
        return Failure(
            kind=kind,
            message=f"{status} {message}".strip()[: _SHOWN * 2],
            http_status=status,
            request_id=request_id,
            retry_after=retry_after_seconds(response.headers),
        )

    def _shown(self, response: httpx.Response) -> str:
        """The beginning of a strange body, in one line, and without the key."""
        text = response.content[: _SHOWN * 4].decode("utf-8", "replace")
        line = " ".join(text.split()) or "nothing"
        if self._key is not None:
            line = self._key.hidden_in(line)
        return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def fits_strict_mode(schema: object) -> bool:
    """Whether OpenAI's strict mode takes a schema: closed objects, with every property required."""
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, Mapping):
        names = set(properties) if isinstance(properties, Mapping) else set()
        if schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != names:
            return False
    parts: list[object] = []
    for name in _STRUCTURAL:
        part = schema.get(name)
        parts.extend(part.values() if isinstance(part, Mapping) and name != "items" else _as_list(part))
    return all(fits_strict_mode(part) for part in parts)


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


def _kind_of(status: int, code: str | None) -> FailureKind:
    if status == 200:  # an error in the body; its code is often the status it should have had
        status = int(code) if code and code.isdigit() else 500
    if status >= 500:
        return FailureKind.SERVER_ERROR
    return _KIND_OF_STATUS.get(status, FailureKind.REJECTED)


def _told(content: bytes) -> tuple[str, str | None]:
    """Message and code of an error body, in the shapes that are in use; nothing if it has none of them."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return "", None
    if not isinstance(body, dict):
        return "", None
    error = body.get("error")
    if isinstance(error, dict):
        code = error.get("code") or error.get("type")
        return str(error.get("message") or ""), None if code is None else str(code)
    for told in (error, body.get("message"), body.get("detail")):
        if told:
            return told if isinstance(told, str) else orjson.dumps(told).decode(), None
    return "", None


def _finish(reason: object) -> Finish:
    if reason == "length":
        return Finish.LENGTH
    return Finish.REFUSED if reason == "content_filter" else Finish.STOP


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
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _count(within: object, name: str) -> int:
    value = within.get(name) if isinstance(within, dict) else None
    return value if isinstance(value, int) and value > 0 else 0
