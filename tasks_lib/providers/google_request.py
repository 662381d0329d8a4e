"""What is asked of Gemini: messages, files, parameters, and the form of the answer."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from tasks_lib.domain.answer_form import form_in_words, schema_asked
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import ModelChoice
from tasks_lib.providers.schema_subset import Subset, convert

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


class Frame(NamedTuple):
    """A request but for its messages, and what these are told of the answer's form."""

    url: str
    after: bytes  # JSON, from behind the messages on
    told: str | None
    instructs: bool  # whether there may be a system instruction
    has_labels: bool  # whether metadata goes as labels
    labels: Mapping[str, JsonValue]  # the parameters' own
    made_for: tuple[ModelChoice, Output]  # held, so that their identities are given to no others

    def body(self, messages: Sequence[Message], carried: Carried | None) -> bytes:
        """The whole request."""
        asked = self._asked(messages)
        labels = _labels(carried.metadata) if self.has_labels and carried is not None else {}
        if labels or self.labels:
            asked["labels"] = {**self.labels, **labels}
        return orjson.dumps(asked)[:-1] + self.after

    def _asked(self, messages: Sequence[Message]) -> dict[str, Any]:
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


def unfit(messages: Sequence[Message], output: Output) -> str | None:
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


def frame_of(provider: Provider, choice: ModelChoice, output: Output) -> Frame:
    """What every row of a revision has in common, for one model."""
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
    return Frame(
        url=f"{provider.base_url.rstrip('/')}/{_path(choice)}:generateContent",
        after=b"," + orjson.dumps(beside)[1:] if beside else b"}",
        told=told,
        # Models of speech, and some of pictures, answer 400 to a system instruction.
        instructs=not output.modality.is_media,
        has_labels="labels" in provider.carries,
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
