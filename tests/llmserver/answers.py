"""The bodies of OpenAI's answers in words, pictures and speech: good ones, spoiled ones, and errors."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tests.llmserver import media
from tests.llmserver.faults import Settings
from tests.llmserver.instances import instance_of

_ROW: Final = re.compile(rb"""row[_-]?id[\\"':= #]+([\w.-]+)""")
_ERRORS: Final = {
    400: ("invalid_request_error", None, "This request is refused."),
    401: ("invalid_request_error", "invalid_api_key", "This key is not known here."),
    403: ("invalid_request_error", "forbidden", "This key may not do that."),
    404: ("invalid_request_error", "model_not_found", "There is no such model."),
    429: ("requests", "rate_limit_exceeded", "Too many requests."),
    503: ("server_error", None, "Overloaded; come back later."),
    529: ("server_error", None, "Overloaded; come back later."),
}
HTML_PAGE: Final = (
    b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
)


class Refused(ValueError):
    """A body that a provider would answer 400, with the reason."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request body asks for; the schema is None when text is wanted, or a file of a type."""

    model: str
    schema: Any
    size: int
    file_type: str = ""


SPOKEN: Final = ("/chat/completions", "/images/generations", "/audio/speech")
"""The endpoints, by the ends of their paths."""
_FILES: Final[Mapping[str, tuple[str, Callable[[str], bytes]]]] = {
    "png": ("application/json", media.png),
    "jpeg": ("application/json", media.jpeg),
    "wav": ("audio/wav", media.wav),
}


def asked(body: bytes, path: str = "/chat/completions") -> Asked:
    """What the body asks for at the endpoint.

    Raises:
        Refused: It is not JSON, or lacks what every request has, or wants a stream.
    """
    if not path.endswith("/chat/completions"):
        return _file_asked(body, path)
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("The body is not JSON.") from None
    if not isinstance(told, dict):
        raise Refused("The body is not a JSON object.")
    model, messages = told.get("model"), told.get("messages")
    if not (isinstance(model, str) and model):
        raise Refused("The body names no model.")
    if not (isinstance(messages, list) and messages and isinstance(messages[0], dict)):
        raise Refused("The body has no messages.")
    if told.get("stream"):
        raise Refused("Streams are not spoken here.")
    wanted = told.get("response_format")
    if not wanted:
        return Asked(model, None, len(body))
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return Asked(model, schema, len(body))
        case {"type": "json_object"}:
            return Asked(model, {"type": "object", "properties": {"row_id": {"type": "string"}}}, len(body))
        case {"type": "text"}:
            return Asked(model, None, len(body))
    raise Refused("The response_format is not one of text, json_object, json_schema.")


def _file_asked(body: bytes, path: str) -> Asked:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("The body is not JSON.") from None
    is_picture = path.endswith("/images/generations")
    needed = ("model", "prompt") if is_picture else ("model", "input", "voice")
    for field in needed:
        if not (isinstance(told, dict) and isinstance(told.get(field), str) and told[field]):
            raise Refused(f"The body has no {field}.")
    wanted = told.get("output_format", "png") if is_picture else told.get("response_format", "wav")
    if wanted not in (("png", "jpeg") if is_picture else ("wav",)):
        raise Refused(f"Nothing is made as {wanted}.")
    return Asked(told["model"], None, len(body), wanted)


def row_id_of(body: bytes) -> str:
    """The row that the body names (`row_id: 123`), or a hash of the body."""
    found = _ROW.search(body)
    return found[1].decode() if found else hashlib.md5(body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion's body and what it is billed as."""

    body: bytes
    tokens_in: int
    tokens_out: int
    cached: int
    reasoning: int
    kind: str = "application/json"


def completion(
    settings: Settings, wants: Asked, row_id: str, fault: str | None, *, number: int, created: int
) -> Completion:
    """The answer to this request, spoiled as the fault says."""
    if wants.file_type:
        return _file(wants, row_id, fault)
    if wants.schema is not None:
        text = orjson.dumps(instance_of(wants.schema, row_id)).decode()
    elif settings.content == "echo":
        text = f"row {row_id}"
    elif settings.content == "json":
        text = orjson.dumps({"row_id": row_id}).decode()
    else:
        text = settings.content
    content, refusal, finish = orjson.dumps(text), b"null", b"stop"
    if fault == "e_badcontent":
        text = f"Here you are: {{'row': {row_id},}}"
        content = orjson.dumps(text)
    elif fault == "e_length":
        text = text[: max(1, len(text) // 2)]
        content, finish = orjson.dumps(text), b"length"
    elif fault == "e_empty":
        text, content, finish = "", b"null", b"content_filter"
    elif fault == "e_refusal":
        text = "I will not answer that."
        content, refusal = b"null", orjson.dumps(text)
    tokens_in = max(1, -(-wants.size // 4))
    tokens_out = max(1, -(-len(text) // 4)) + settings.reasoning
    cached = int(tokens_in * settings.cached)
    body = (
        b'{"id":"chatcmpl-%d","object":"chat.completion","created":%d,"model":%b,"choices":[{"index":0,"message":'
        b'{"role":"assistant","content":%b,"refusal":%b},"logprobs":null,"finish_reason":"%b"}],"usage":'
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d},'
        b'"completion_tokens_details":{"reasoning_tokens":%d}}}'
    ) % (
        number, created, orjson.dumps(wants.model), content, refusal, finish,
        tokens_in, tokens_out, tokens_in + tokens_out, cached, settings.reasoning,
    )  # fmt: skip  # one line a part of the body
    return Completion(body, tokens_in, tokens_out, cached, settings.reasoning)


def _file(wants: Asked, row_id: str, fault: str | None) -> Completion:
    """A picture in Base64 with its tokens, or a recording, which tells none."""
    kind, make = _FILES[wants.file_type]
    content = b"no such file" if fault == "e_badcontent" else make(row_id)
    tokens_in, tokens_out = max(1, -(-wants.size // 4)), len(content)
    if kind != "application/json":
        return Completion(content, tokens_in, tokens_out, 0, 0, kind)
    picture: dict[str, str | bool] = {"b64_json": base64.b64encode(content).decode()}
    if fault == "e_refusal":
        picture = {"url": "", "respect_moderation": False}
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    body = {"created": 1, "data": [picture], "output_format": wants.file_type, "usage": usage}
    return Completion(orjson.dumps(body), tokens_in, tokens_out, 0, 0)


def error(status: int, reason: str = "") -> bytes:
    """The body of an error, with the reason in place of the usual text."""
    kind, code, text = _ERRORS.get(
        status, ("server_error" if status >= 500 else "invalid_request_error", None, "This failed.")
    )
    return orjson.dumps({"error": {"message": reason or text, "type": kind, "param": None, "code": code}})
