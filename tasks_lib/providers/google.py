"""Google's Gemini API (generateContent): text, JSON, files in, pictures and speech out.

It has no field for the end user of a call. Metadata that is `carried` goes as labels, by which Google breaks
bills down, where the provider's `carries` names them: Vertex AI has them, and not every model's API does.
"""

import binascii
import io
import re
import wave
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import quote

import orjson

from tasks_lib.domain.answer_form import form_in_words, schema_asked
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Finish, Media, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.protocol import Exchange, Request, Response
from tasks_lib.providers.schema_subset import Subset, convert
from tasks_lib.providers.waits import LONGEST, retry_after_seconds

_SHOWN = 300  # characters of a strange body that an error shows

_KIND_OF_STATUS = {
    401: FailureKind.UNAUTHORIZED,
    402: FailureKind.OUT_OF_CREDIT,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.UNKNOWN_MODEL,
    408: FailureKind.SERVER_ERROR,
    409: FailureKind.SERVER_ERROR,  # ABORTED
    429: FailureKind.RATE_LIMITED,
    499: FailureKind.SERVER_ERROR,  # CANCELLED, and not by us
}
_KIND_OF_REASON = {
    "API_KEY_INVALID": FailureKind.UNAUTHORIZED,  # comes as 400, for expired keys, too
    "API_KEY_EXPIRED": FailureKind.UNAUTHORIZED,
    "ACCESS_TOKEN_EXPIRED": FailureKind.UNAUTHORIZED,
    "BILLING_DISABLED": FailureKind.OUT_OF_CREDIT,
    "FAILED_PRECONDITION": FailureKind.FORBIDDEN,  # a status: not from this country, or not without billing
}
_BAD_KEY = re.compile(r"api[ _]key (not valid|not found|expired|is invalid)", re.IGNORECASE)
_SPENT = re.compile(r"credits? (are|is) depleted|spend(ing)? (cap|limit)", re.IGNORECASE)
_MAYBE_BILLED_STATUS = frozenset({408, 499, 504})  # the model may have worked on when the gateway gave up

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

_OUR_NAMES = {
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_BESIDE_CONFIG = frozenset(
    ["safetySettings", "tools", "toolConfig", "cachedContent", "serviceTier", "store", "labels"]
)
_LONGEST_LABEL = 63  # characters of a label's name, and of its value
_OF_THE_ROW = frozenset(["contents", "systemInstruction", "model"])

_SUBSET = Subset(  # of `responseJsonSchema`, as its reference lists it
    keywords=frozenset(
        [
            "$ref",
            "$defs",
            "type",
            "format",
            "title",
            "description",
            "enum",
            "items",
            "prefixItems",
            "minItems",
            "maxItems",
            "minimum",
            "maximum",
            "anyOf",
            "oneOf",
            "properties",
            "additionalProperties",
            "propertyOrdering",
            "required",
        ]
    ),
    formats=frozenset(["date-time", "date", "time"]),
    enum_of=(str, int, float),
    recursive=False,  # such references are unrolled only a little, and refused in required properties
)
_SUBSET_WITHOUT_REFERENCES = Subset(
    keywords=_SUBSET.keywords - {"$ref", "$defs"},
    formats=_SUBSET.formats,
    enum_of=_SUBSET.enum_of,
    recursive=False,
)

_AS_PLAIN_TEXT = frozenset(
    ["application/json", "application/jsonl", "application/x-ndjson", "application/xml", "application/yaml"]
)
_TAKEN = ("image/", "audio/", "video/", "text/")
_PCM = re.compile(r"audio/(l16|pcm)\b", re.IGNORECASE)
_RATE = re.compile(r"\brate=([0-9]{1,6})\b", re.IGNORECASE)
_CHANNELS = re.compile(r"\bchannels=([1-8])\b", re.IGNORECASE)
_USUAL_RATE = 24_000  # samples a second
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")

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
        self._key = key
        self._base = provider.base_url.rstrip("/")
        self._headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "rowmill",
        }
        if key is not None:
            self._headers["x-goog-api-key"] = key.reveal()
        self._idempotency_header = (provider.idempotency_header or "").lower()
        self._has_labels = "labels" in provider.carries
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
        """One request, one response; none for what the API takes from nobody."""
        unfit = _unfit(messages, output)
        if unfit is not None:
            return Failure(kind=FailureKind.REJECTED, message=unfit)
        headers = self._headers
        if idempotency_key is not None and self._idempotency_header:
            headers = {**headers, self._idempotency_header: idempotency_key}
        frame = self._frame(choice, output)
        asked = frame.asked(messages)
        labels = _labels(carried.metadata) if self._has_labels and carried is not None else {}
        if labels or frame.labels:
            asked["labels"] = {**frame.labels, **labels}
        body = orjson.dumps(asked)[:-1] + frame.after
        response = yield Request(method="POST", url=frame.url, headers=headers, body=body)
        return self._meaning(response, output)

    def _frame(self, choice: ModelChoice, output: Output) -> "_Frame":
        """All but the messages, which is the same for every row of a revision."""
        name = (id(choice), id(output))
        frame = self._frames.get(name)
        if frame is None:
            if len(self._frames) >= _MOST_FRAMES:
                self._frames.clear()
            frame = self._frames[name] = _frame_of(self._provider, self._base, choice, output)
        return frame

    def _meaning(self, response: Response, output: Output) -> Reply | Failure:
        """What a response says; the key, should it be echoed, is blotted out."""
        request_id = response.headers.get("x-goog-request-id") or response.headers.get("x-request-id")
        if response.status != 200:
            return self._failure(response, request_id)
        try:
            body = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return self._broken(response, request_id, "a body that is not JSON")
        if isinstance(body, list) and len(body) == 1:  # as streams and some gateways frame it
            body = body[0]
        if not isinstance(body, dict):
            return self._broken(response, request_id, "a body that is not an object")
        usage = usage_of(body)
        if isinstance(body.get("error"), dict) and not body.get("candidates"):  # some gateways answer so
            return self._failure(response, request_id, usage=usage)
        request_id = request_id or _string(body.get("responseId"))
        model = _string(body.get("modelVersion"))
        candidates = body.get("candidates")
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(first, dict):
            blocked = _member(body.get("promptFeedback"), "blockReason")
            if blocked is None:
                return self._broken(response, request_id, "a body without an answer", usage=usage)
            told = _string(_member(body.get("promptFeedback"), "blockReasonMessage"))
            return self._refused(f"the prompt was blocked: {blocked}", told, usage, model, request_id)
        reason = _string(first.get("finishReason")) or "STOP"
        told = _string(first.get("finishMessage"))
        if reason == _BARRED:
            return Failure(
                kind=FailureKind.FORBIDDEN,
                message=self._hidden(f"200 {reason}: {told}" if told else f"200 {reason}"),
                http_status=200,
                request_id=request_id,
                usage=usage,
                model=model,
            )
        if reason in _BROKEN_OFF:
            what = f"an answer that was broken off ({reason})"
            return self._broken(response, request_id, what, usage=usage)
        if reason in _REFUSED:
            return self._refused(reason, told, usage, model, request_id)
        parts = _parts_of(first)
        media: Media | None = None
        if output.modality.is_media:
            try:
                media = _media_of(parts, speech=output.modality is Modality.AUDIO)
            except ValueError:
                what = "a file that is not base64"
                return self._broken(response, request_id, what, usage=usage)
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
            text=self._hidden(f"{reason}: {told}" if told else reason),
            finish=Finish.REFUSED,
            usage=usage,
            model=model,
            http_status=200,
            request_id=request_id,
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
        if 300 <= status < 400:
            told = _Told(message=f"redirects to {response.headers.get('location')}: set the base URL right")
        kind = _kind_of(told.code if status == 200 else status, told)
        waits = [
            wait for wait in (retry_after_seconds(response.headers), told.retry_after) if wait is not None
        ]
        message = self._hidden(told.message)[: _SHOWN * 2] or self._shown(response)
        half_done = status == 200 and kind is FailureKind.SERVER_ERROR
        processed = half_done or status in _MAYBE_BILLED_STATUS
        return Failure(
            kind=kind,
            message=f"{status} {message}",
            http_status=status,
            request_id=request_id,
            retry_after=max(waits, default=None),
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
    """A request but for its messages, and what these are told of the answer's form."""

    url: str
    after: bytes  # JSON, from behind the messages on
    told: str | None
    instructs: bool  # whether there may be a system instruction
    labels: Mapping[str, JsonValue]  # the parameters' own
    made_for: tuple[ModelChoice, Output]  # held, so that their identities are given to no others

    def asked(self, messages: Sequence[Message]) -> dict[str, Any]:
        """The messages as the API has them: what the system says apart, where models take that."""
        system = [message.text for message in messages if message.role == "system" and message.text]
        if self.told is not None:
            system.append(self.told)
        contents = [
            {"role": "user" if message.role == "user" else "model", "parts": _parts(message)}
            for message in messages
            if message.role != "system"
        ]
        if not system:
            return {"contents": contents}
        said = {"parts": [{"text": "\n\n".join(system)}]}
        if contents and self.instructs:
            return {"systemInstruction": said, "contents": contents}
        return {"contents": [{"role": "user", **said}, *contents]}


def _labels(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as labels may be: small letters, digits, _ and -; names with no letter first are left out."""
    labels = {_as_label(name): _as_label(value) for name, value in metadata.items()}
    return {name: value for name, value in labels.items() if name[:1].isalpha()}


def _as_label(text: str) -> str:
    return "".join(
        letter if letter.isalnum() or letter == "-" else "_" for letter in text.lower()[:_LONGEST_LABEL]
    )


def _unfit(messages: Sequence[Message], output: Output) -> str | None:
    """Why a question cannot be put at all, at whatever price."""
    speaks = output.modality is Modality.AUDIO
    for message in messages:
        for file in message.files:
            if speaks:
                return "speech is made from text, and files came with the message"
            sort = file.mime_type
            if not sort.startswith(_TAKEN) and sort not in _AS_PLAIN_TEXT and sort != "application/pdf":
                return (
                    f"the file {file.name} is {sort}, which Gemini does not take: it takes pictures, PDFs, "
                    "recordings, films and text"
                )
    return None


def _parts(message: Message) -> list[dict[str, Any]]:
    """Files first, as the documentation advises, then the text; an empty one beside files is left out."""
    parts: list[dict[str, Any]] = [_file(file) for file in message.files]
    if message.text or not parts:
        parts.append({"text": message.text})
    return parts


def _file(file: Attachment) -> dict[str, Any]:
    mime_type = "text/plain" if file.mime_type in _AS_PLAIN_TEXT else file.mime_type
    return {"inlineData": {"mimeType": mime_type, "data": b64encode(file.content).decode("ascii")}}


def _frame_of(provider: Provider, base: str, choice: ModelChoice, output: Output) -> _Frame:
    config: dict[str, JsonValue] = {}
    beside: dict[str, JsonValue] = {}
    within = choice.parameters.get("generationConfig")
    given = {**(within if isinstance(within, dict) else {}), **choice.parameters}
    given.pop("generationConfig", None)
    voice = given.pop("voice", None) if output.modality is Modality.AUDIO else None
    for name, value in given.items():
        if name in _OF_THE_ROW:
            continue
        if name in _BESIDE_CONFIG:
            beside[name] = value
        elif name == "stop" and not isinstance(value, list):
            config["stopSequences"] = [value]
        else:
            config[_OUR_NAMES.get(name, name)] = value
    form, told = _form_of(output, way=provider.structured_output)
    config.update(form)
    if output.modality is Modality.IMAGE:
        config.setdefault("responseModalities", ["TEXT", "IMAGE"])
    elif output.modality is Modality.AUDIO:
        config.setdefault("responseModalities", ["AUDIO"])
        if isinstance(voice, str):
            config.setdefault("speechConfig", _speech(voice))
    if config:
        beside["generationConfig"] = config
    labels = beside.pop("labels", None)
    return _Frame(
        url=f"{base}/{_path(choice)}:generateContent",
        after=b"," + orjson.dumps(beside)[1:] if beside else b"}",
        told=told,
        # Models of speech, and some of pictures, answer 400 to a system instruction.
        instructs=not output.modality.is_media,
        labels=labels if isinstance(labels, dict) else {},
        made_for=(choice, output),
    )


def _path(choice: ModelChoice) -> str:
    """Where a model is asked: models/NAME, or tunedModels/NAME, which may be in the name already."""
    given = choice.parameters.get("model")  # a gateway may want another name than prices have
    name = given if isinstance(given, str) and given else choice.model.name
    for folder in ("models", "tunedModels"):
        if name.startswith(f"{folder}/"):
            return f"{folder}/{quote(name[len(folder) + 1 :], safe='')}"
    return f"models/{quote(name, safe='')}"


def _speech(voice: str) -> JsonValue:
    return {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}


def subset_for(asked: Mapping[str, JsonValue]) -> Subset:
    """What of a schema the API is told."""
    return _SUBSET_WITHOUT_REFERENCES if "definitions" in asked else _SUBSET


def _form_of(output: Output, *, way: str) -> tuple[dict[str, JsonValue], str | None]:
    """How an answer's form is asked for: by the API's own means, in words, or both."""
    asked = schema_asked(output)
    if way == "json_schema" and asked is not None:
        schema = convert(asked, subset_for(asked)).schema
        if schema is not None:
            return {"responseMimeType": "application/json", "responseJsonSchema": dict(schema)}, None
    has_mode = output.modality is Modality.JSON and way != "prompt"
    return {"responseMimeType": "application/json"} if has_mode else {}, form_in_words(output)


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


class _Told(NamedTuple):
    """What an error body says."""

    message: str = ""
    code: int = 500
    reasons: tuple[str, ...] = ()  # of its details, and its status
    retry_after: float | None = None  # seconds
    is_hopeless: bool = False  # no wait of minutes frees the quota


def _kind_of(status: int, told: _Told) -> FailureKind:
    for reason in told.reasons:
        if reason in _KIND_OF_REASON:
            return _KIND_OF_REASON[reason]
    if status in (400, 403) and _BAD_KEY.search(told.message):
        return FailureKind.UNAUTHORIZED
    if status == 429 and (told.is_hopeless or _SPENT.search(told.message)):
        return FailureKind.OUT_OF_CREDIT
    if status in _KIND_OF_STATUS:
        return _KIND_OF_STATUS[status]
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.REJECTED


def _told(content: bytes | memoryview) -> _Told:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _Told()
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return _Told(message=error if isinstance(error, str) else "")
    told_details = error.get("details")
    details = [detail for detail in _as_list(told_details) if isinstance(detail, dict)]
    reasons = [error.get("status"), *(detail.get("reason") for detail in details)]
    code = error.get("code")
    return _Told(
        message=_string(error.get("message")) or "",
        code=code if type(code) is int and 400 <= code < 600 else 500,
        reasons=tuple(reason for reason in reasons if isinstance(reason, str)),
        retry_after=_retry_delay(details),
        is_hopeless=any(_is_hopeless(violation) for violation in _violations(details)),
    )


def _violations(details: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    for detail in details:
        for violation in _as_list(detail.get("violations")):
            if isinstance(violation, dict):
                yield violation


def _is_hopeless(violation: Mapping[str, Any]) -> bool:
    """Whether it is a day's quota that is used up, or one of nothing at all."""
    return "PerDay" in str(violation.get("quotaId")) or violation.get("quotaValue") == "0"


def _retry_delay(details: Iterable[Mapping[str, Any]]) -> float | None:
    """Seconds, out of a duration such as 34.07s."""
    for detail in details:
        delay = detail.get("retryDelay")
        found = _SECONDS.fullmatch(delay) if isinstance(delay, str) else None
        if found:
            return min(float(found[1]), LONGEST)
    return None


def _parts_of(candidate: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parts of an answer, without the model's thoughts."""
    parts = _member(candidate.get("content"), "parts")
    return [part for part in _as_list(parts) if isinstance(part, dict) and part.get("thought") is not True]


def _media_of(parts: Iterable[Mapping[str, Any]], *, speech: bool) -> Media | None:
    """The first picture, or the whole recording, which may come in several parts of bare samples.

    Raises:
        ValueError: a file is not base64.
    """
    wanted = "audio/" if speech else "image/"
    samples: list[bytes] = []
    form = ""
    for part in parts:
        data = part.get("inlineData")
        mime_type, content = _string(_member(data, "mimeType")), _string(_member(data, "data"))
        if mime_type is None or not content or not mime_type.lower().startswith(wanted):
            continue
        decoded = _unpacked(content)
        if not _PCM.match(mime_type):
            return Media(content=decoded, mime_type=mime_type)
        form = form or mime_type
        samples.append(decoded)
    return Media(content=_wav(b"".join(samples), form), mime_type="audio/wav") if samples else None


def _unpacked(content: str) -> bytes:
    """Bytes out of base64, in either of its alphabets, as JSON of protocol buffers may have it."""
    text = content.replace("-", "+").replace("_", "/")
    if not text.isascii():
        raise ValueError("not base64")
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _wav(samples: bytes, mime_type: str) -> bytes:
    """Bare samples of 16 bits, least byte first, with the header that players need.

    The type's L16 would have the greatest byte first (RFC 2586); what comes is the other way round.
    """
    rate, channels = _RATE.search(mime_type), _CHANNELS.search(mime_type)
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(int(channels[1]) if channels else 1)
        recording.setsampwidth(2)
        recording.setframerate((int(rate[1]) if rate else 0) or _USUAL_RATE)
        recording.writeframes(samples)
    return file.getvalue()


def _member(within: object, name: str) -> object:
    return within.get(name) if isinstance(within, dict) else None


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MOST_TOKENS  # and no bool, which is an int, too
