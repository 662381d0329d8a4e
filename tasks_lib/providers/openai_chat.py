"""Chat completions: what is asked in one, and what an answer says."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from tasks_lib.domain.answer_form import form_in_words, schema_asked
from tasks_lib.domain.failure import Failure
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Finish, Media, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import ModelChoice
from tasks_lib.providers.openai_carried import chat_fields
from tasks_lib.providers.openai_errors import Errors
from tasks_lib.providers.openai_media import media_of
from tasks_lib.providers.openai_parts import parts_of
from tasks_lib.providers.openai_strict import fits_strict_mode
from tasks_lib.providers.openai_usage import usage_of
from tasks_lib.providers.protocol import Response

_FINISH = {
    "length": Finish.LENGTH,
    "model_length": Finish.LENGTH,  # Mistral: the context is full
    "max_tokens": Finish.LENGTH,
    "content_filter": Finish.REFUSED,
}
_BROKEN_OFF = frozenset({"error", "abort", "insufficient_system_resource"})  # OpenRouter, vLLM, DeepSeek

_ASK_FOR_MEDIA = frozenset(
    {"audio", "modalities"}
)  # parameters that chat models which draw or speak are asked by


class Frame(NamedTuple):
    """A request's JSON before and after its messages, and what these are told of the answer's form."""

    before: bytes
    after: bytes
    told: str | None
    detail: JsonValue  # in which pictures are looked at
    carries: frozenset[str]  # what the provider has a field for, and the parameters do not say themselves
    is_for_chat: bool  # False: a picture or recording is asked for at an endpoint of its own
    made_for: tuple[ModelChoice, Output]  # held, so that their identities are given to no others

    def body(self, messages: Sequence[Message], carried: Carried | None) -> bytes:
        """The whole request.

        Raises:
            CannotBeSent: a file is of a sort that the API does not take.
        """
        between = b""
        if carried is not None:
            fields = chat_fields(carried, self.carries)
            between = b"," + orjson.dumps(fields)[1:-1] if fields else b""
        return self.before + orjson.dumps(self._messages(messages)) + between + self.after

    def _messages(self, messages: Sequence[Message]) -> list[dict[str, JsonValue]]:
        """The messages with a system prompt that ends, or is, what is told: many models take only one."""
        all_of: list[dict[str, JsonValue]] = [
            {"role": message.role, "content": message.text if not message.files else self._parts(message)}
            for message in messages
        ]
        if self.told is None:
            return all_of
        if all_of and all_of[0]["role"] == "system" and not messages[0].files:
            all_of[0]["content"] = f"{messages[0].text}\n\n{self.told}"
            return all_of
        return [{"role": "system", "content": self.told}, *all_of]

    def _parts(self, message: Message) -> list[JsonValue]:
        return parts_of(message, detail=self.detail)


def frame_of(provider: Provider, choice: ModelChoice, output: Output) -> Frame:
    """The JSON around the messages, which is the same for every row of a revision."""
    parameters: dict[str, JsonValue] = {
        provider.max_tokens_field if name == "max_tokens" else name: value
        for name, value in choice.parameters.items()
        if name != "messages"  # which are the row's
    }
    model = parameters.pop("model", choice.model.name)  # a gateway may want another name than prices have
    detail = parameters.pop("detail", None)  # is said of each picture, and not of the request
    carries = provider.carries
    if "store" in parameters and not parameters["store"]:
        carries -= {"metadata"}  # see chat_fields
    carries -= parameters.keys()
    if output.modality is Modality.AUDIO:
        parameters = _spoken(parameters, output)
    response_format, told = _form_of(output, way=provider.structured_output)
    if response_format is not None:
        parameters["response_format"] = response_format
    before = b'{"model":%b,"messages":' % orjson.dumps(model)
    after = b"," + orjson.dumps(parameters)[1:] if parameters else b"}"
    is_for_chat = not (output.modality.is_media and _ASK_FOR_MEDIA.isdisjoint(choice.parameters))
    return Frame(before, after, told, detail, carries, is_for_chat, (choice, output))


def _spoken(parameters: Mapping[str, JsonValue], output: Output) -> dict[str, JsonValue]:
    """The parameters of a model that speaks; voice and format are required, and need not be told."""
    audio = parameters.get("audio")
    told = audio if isinstance(audio, Mapping) else {}
    asked = {"voice": "alloy", "format": output.file_type or "mp3", **told}
    return {"modalities": ["text", "audio"], **parameters, "audio": asked}


def _form_of(output: Output, *, way: str) -> tuple[JsonValue, str | None]:
    """How an answer's form is asked for: by the API's own means, in words, or both."""
    schema = schema_asked(output)
    if way == "json_schema" and schema is not None:
        strict = fits_strict_mode(schema)
        described: JsonValue = {"name": "answer", "schema": schema, "strict": strict}
        return {"type": "json_schema", "json_schema": described}, None
    has_mode = output.modality is Modality.JSON and way != "prompt"
    return {"type": "json_object"} if has_mode else None, form_in_words(output)


def completion(response: Response, errors: Errors) -> Reply | Failure:
    """What a response to a chat completion says."""
    request_id = request_id_of(response)
    if response.status != 200:
        return errors.failure(response, request_id)
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return errors.broken(response, request_id, "a body that is not JSON")
    if not isinstance(body, dict):
        return errors.broken(response, request_id, "a body that is not an object")
    usage = usage_of(body)
    if isinstance(body.get("error"), dict) and not body.get("choices"):  # some routers answer so
        return errors.failure(response, request_id, usage=usage)
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(first, dict) or not isinstance(message, dict):
        return errors.broken(response, request_id, "a body without an answer", usage=usage)
    reason = _string(first.get("finish_reason"))
    if reason in _BROKEN_OFF or isinstance(first.get("error"), dict):
        return errors.broken(response, request_id, "an answer that was broken off", usage=usage)
    refusal = _string(message.get("refusal"))
    media, transcript = _media(message)
    return Reply(
        text=refusal or _text(message.get("content")) or transcript,
        media=media,
        finish=Finish.REFUSED if refusal else _FINISH.get(reason or "", Finish.STOP),
        usage=usage,
        model=_string(body.get("model")),
        http_status=200,
        request_id=request_id or _string(body.get("id")),
    )


def request_id_of(response: Response) -> str | None:
    """What the provider calls the request."""
    return response.headers.get("x-request-id") or response.headers.get("request-id")


def _media(message: Mapping[str, Any]) -> tuple[Media | None, str]:
    """What a model spoke, with its words, or drew: OpenRouter and others put pictures beside the content."""
    audio, images = message.get("audio"), message.get("images")
    if isinstance(audio, dict):
        return media_of(audio.get("data"), format=audio.get("format")), _string(audio.get("transcript")) or ""
    first = images[0] if isinstance(images, list) and images else None
    told = first.get("image_url") if isinstance(first, dict) else None
    return media_of(told.get("url")) if isinstance(told, dict) else None, ""


def _text(content: object) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
