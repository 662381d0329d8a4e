"""Google's Gemini API (generateContent): text, JSON, files in, pictures and speech out.

It has no field for the end user of a call. Metadata that is `carried` goes as labels, by which Google breaks
bills down, where the provider's `carries` names them: Vertex AI has them, and not every model's API does.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import orjson

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Finish, Media, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.google_errors import Errors
from tasks_lib.providers.google_media import media_of
from tasks_lib.providers.google_request import Frame, frame_of, unfit
from tasks_lib.providers.protocol import Exchange, Request, Response

_REFUSED = frozenset(
    [
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "ESCALATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    ]
)
_LENGTH = frozenset(["MAX_TOKENS", "CONTINUATION"])
_BARRED = "PUP_LIMITED_DISABLED"  # the account, for what it was used for before
_BROKEN_OFF = frozenset(
    [
        "OTHER",
        "IMAGE_OTHER",
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
    ]
)

_MOST_FRAMES = 256  # a batch has one for each model of each revision
_MOST_TOKENS = 10**9  # beyond it a count is nonsense, and nothing that money or a database should reckon with


class Google:
    """Asks one provider's models by `POST /models/{model}:generateContent`."""

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
        self._headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "rowmill",
        }
        if key is not None:
            self._headers["x-goog-api-key"] = key.reveal()
        self._idempotency_header = (provider.idempotency_header or "").lower()
        self._frames: dict[tuple[int, int], Frame] = {}  # by the identities of choice and output

    def exchange(
        self,
        messages: Sequence[Message],
        choice: ModelChoice,
        output: Output,
        *,
        idempotency_key: str | None = None,
        carried: Carried | None = None,
    ) -> Exchange:
        """One request, one response; none for what the API takes from nobody."""
        reason = unfit(messages, output)
        if reason is not None:
            return Failure(kind=FailureKind.REJECTED, message=reason)
        headers = self._headers
        if idempotency_key is not None and self._idempotency_header:
            headers = {**headers, self._idempotency_header: idempotency_key}
        frame = self._frame(choice, output)
        body = frame.body(messages, carried)
        response = yield Request(method="POST", url=frame.url, headers=headers, body=body)
        return self._meaning(response, output)

    def _frame(self, choice: ModelChoice, output: Output) -> Frame:
        """All but the messages, which is the same for every row of a revision."""
        name = (id(choice), id(output))
        frame = self._frames.get(name)
        if frame is None:
            if len(self._frames) >= _MOST_FRAMES:
                self._frames.clear()
            frame = self._frames[name] = frame_of(self._provider, choice, output)
        return frame

    def _meaning(self, response: Response, output: Output) -> Reply | Failure:
        """What a response says; the key, should it be echoed, is blotted out."""
        request_id = response.headers.get("x-goog-request-id") or response.headers.get("x-request-id")
        if response.status != 200:
            return self._errors.failure(response, request_id)
        try:
            body = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return self._errors.broken(response, request_id, "a body that is not JSON")
        if isinstance(body, list) and len(body) == 1:  # as streams and some gateways frame it
            body = body[0]
        if not isinstance(body, dict):
            return self._errors.broken(response, request_id, "a body that is not an object")
        usage = usage_of(body)
        if isinstance(body.get("error"), dict) and not body.get("candidates"):  # some gateways answer so
            return self._errors.failure(response, request_id, usage=usage)
        return self._answer(body, response, output, usage, request_id or _string(body.get("responseId")))

    def _answer(
        self,
        body: Mapping[str, Any],
        response: Response,
        output: Output,
        usage: Usage | None,
        request_id: str | None,
    ) -> Reply | Failure:
        """The first candidate, or why there is none."""
        model = _string(body.get("modelVersion"))
        candidates = body.get("candidates")
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(first, dict):
            blocked = _member(body.get("promptFeedback"), "blockReason")
            if blocked is None:
                return self._errors.broken(response, request_id, "a body without an answer", usage=usage)
            told = _string(_member(body.get("promptFeedback"), "blockReasonMessage"))
            return self._refused(f"the prompt was blocked: {blocked}", told, usage, model, request_id)
        reason = _string(first.get("finishReason")) or "STOP"
        told = _string(first.get("finishMessage"))
        if reason == _BARRED:
            return Failure(
                kind=FailureKind.FORBIDDEN,
                message=self._errors.hidden(f"200 {reason}: {told}" if told else f"200 {reason}"),
                http_status=200,
                request_id=request_id,
                usage=usage,
                model=model,
            )
        if reason in _BROKEN_OFF:
            what = f"an answer that was broken off ({reason})"
            return self._errors.broken(response, request_id, what, usage=usage)
        if reason in _REFUSED:
            return self._refused(reason, told, usage, model, request_id)
        parts = _parts_of(first)
        media: Media | None = None
        if output.modality.is_media:
            try:
                media = media_of(parts, speech=output.modality is Modality.AUDIO)
            except ValueError:
                what = "a file that is not base64"
                return self._errors.broken(response, request_id, what, usage=usage)
        return Reply(
            text="".join(part["text"] for part in parts if isinstance(part.get("text"), str)),
            media=media,
            finish=Finish.LENGTH if reason in _LENGTH else Finish.STOP,
            usage=usage,
            model=model,
            http_status=200,
            request_id=request_id,
        )

    def _refused(
        self, reason: str, told: str | None, usage: Usage | None, model: str | None, request_id: str | None
    ) -> Reply:
        return Reply(
            text=self._errors.hidden(f"{reason}: {told}" if told else reason),
            finish=Finish.REFUSED,
            usage=usage,
            model=model,
            http_status=200,
            request_id=request_id,
        )


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The tokens a response reports; None if it reports none, or nonsense.

    Thoughts are counted beside the answer and billed as such; what tools added to the prompt, beside the
    prompt. A count that is left out is zero.
    """
    usage = body.get("usageMetadata")
    if not isinstance(usage, dict) or not _is_count(usage.get("promptTokenCount")):
        return None
    counted = [
        usage.get(name, 0)
        for name in (
            "promptTokenCount",
            "toolUsePromptTokenCount",
            "candidatesTokenCount",
            "thoughtsTokenCount",
        )
    ]
    if not all(_is_count(count) for count in counted):
        return None
    prompt, tools, answer, thoughts = counted
    if prompt + tools > _MOST_TOKENS or answer + thoughts > _MOST_TOKENS:
        return None
    cached = usage.get("cachedContentTokenCount")
    return Usage(
        input_tokens=prompt + tools,
        output_tokens=answer + thoughts,
        cached_tokens=min(prompt, cached) if _is_count(cached) else 0,
        reasoning_tokens=thoughts,
    )


def _parts_of(candidate: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parts of an answer, without the model's thoughts."""
    parts = _member(candidate.get("content"), "parts")
    return [part for part in _as_list(parts) if isinstance(part, dict) and part.get("thought") is not True]


def _member(within: object, name: str) -> object:
    return within.get(name) if isinstance(within, dict) else None


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MOST_TOKENS  # and no bool, which is an int, too
