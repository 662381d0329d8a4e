"""Every sort of request that the protocols make, held against what the APIs' own specifications allow.

OpenAI's and Anthropic's are the OpenAPI documents that llm-comply carries. A name that they do not know is
refused here, though the documents themselves would let it pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from functools import cache
from importlib import resources
from typing import Any

import jsonschema_rs
import orjson
import pytest
from llm_comply.schema import SpecLoader

from tasks_lib.configs import load_providers
from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Secret
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.providers.anthropic import Anthropic
from tasks_lib.providers.google import Google
from tasks_lib.providers.openai import OpenAI
from tasks_lib.providers.protocol import Request, Response
from tests.providers.google_shape import REQUEST

SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"type": "string", "enum": ["good", "bad"], "description": "of the writer"},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "place": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
        "words": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["mood", "stars", "place", "words"],
    "additionalProperties": False,
    "$defs": {
        "place": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        }
    },
}
PNG = Attachment(name="a.png", mime_type="image/png", content=b"\x89PNG\r\n\x1a\n")
PDF = Attachment(name="b.pdf", mime_type="application/pdf", content=b"%PDF-1.7")
WAV = Attachment(name="c.wav", mime_type="audio/wav", content=b"RIFF")
CSV = Attachment(name="d.csv", mime_type="text/csv", content=b"a,b\n1,2\n")
JSON = Attachment(name="e.json", mime_type="application/json", content=b"{}")
CARRIED = Carried(user="u-1", metadata={"team": "blue"})
COLUMNS = (CsvColumn(name="a", type=ColumnType.INTEGER), CsvColumn(name="b"))
OUTPUTS = {
    "text": Output.of(Modality.TEXT),
    "json_schema": Output.of(Modality.JSON, SCHEMA),
    "json": Output.of(Modality.JSON),
    "csv": Output.of(Modality.CSV),
    "csv_columns": Output.of(Modality.CSV, columns=COLUMNS),
    "pdf": Output.of(Modality.PDF),
    "image": Output.of(Modality.IMAGE),
    "audio": Output.of(Modality.AUDIO),
}
NO_ANSWER = Response(status=500, headers={})
PROTOCOLS = {"openai": OpenAI, "anthropic": Anthropic, "google": Google}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, and the shape that its request must have."""

    protocol: str
    shape: str
    model: str = "m"
    output: str = "text"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Attachment] = ()
    system: str | None = "Be brief."
    carried: Carried | None = None
    newer: frozenset[str] = frozenset()  # than the specification at hand

    def request(self) -> Request:
        """What goes out for it to the built-in provider."""
        provider = load_providers(None, env={})[self.protocol]
        assert provider.protocol == self.protocol
        messages = [Message(role="user", text="Hello", files=tuple(self.files))]
        if self.system is not None:
            messages.insert(0, Message(role="system", text=self.system))
        protocol = PROTOCOLS[self.protocol](provider, Secret("A_KEY", "not-a-key"))
        exchange = protocol.exchange(
            messages,
            ModelChoice(model=Model(self.protocol, self.model), parameters=self.parameters),
            OUTPUTS[self.output],
            carried=self.carried,
        )
        request = next(exchange)
        assert isinstance(request, Request)
        return request


CHAT, IMAGE, EDIT, SPEECH = (
    f"openai_chat:Create{name}Request" for name in ("ChatCompletion", "Image", "ImageEdit", "Speech")
)
MESSAGES, CONTENT = "anthropic:CreateMessageParams", "google"
COMMON = {"temperature": 0.2, "top_p": 0.9, "max_tokens": 64}
WORDS = ("text", "json_schema", "json", "csv", "csv_columns", "pdf")

CASES = {
    **{f"openai {name}": Asked(protocol="openai", shape=CHAT, output=name) for name in WORDS},
    "openai parameters": Asked(
        protocol="openai",
        shape=CHAT,
        parameters={**COMMON, "stop": ["END"], "seed": 7, "presence_penalty": 0.1, "reasoning_effort": "low"},
    ),
    "openai files": Asked(protocol="openai", shape=CHAT, files=(PNG, PDF, WAV, CSV, JSON)),
    "openai picture closely": Asked(
        protocol="openai", shape=CHAT, files=(PNG,), parameters={"detail": "high"}
    ),
    "openai carried": Asked(
        protocol="openai", shape=CHAT, carried=CARRIED, newer=frozenset({"safety_identifier"})
    ),
    "openai speech by chat": Asked(
        protocol="openai", shape=CHAT, output="audio", parameters={"audio": {"voice": "ash", "format": "wav"}}
    ),
    "openai image": Asked(
        protocol="openai",
        shape=IMAGE,
        model="gpt-image-1",
        output="image",
        parameters={"size": "1024x1024", "quality": "low"},
        carried=CARRIED,
    ),
    "openai image by an old model": Asked(protocol="openai", shape=IMAGE, model="dall-e-3", output="image"),
    "openai image of pictures": Asked(
        protocol="openai", shape=EDIT, model="gpt-image-1", output="image", files=(PNG, PNG)
    ),
    "openai image of a picture": Asked(
        protocol="openai", shape=EDIT, model="gpt-image-1", output="image", files=(PNG,)
    ),
    "openai speech": Asked(
        protocol="openai", shape=SPEECH, model="gpt-4o-mini-tts", output="audio", parameters={"speed": 1.5}
    ),
    **{f"anthropic {name}": Asked(protocol="anthropic", shape=MESSAGES, output=name) for name in WORDS},
    "anthropic parameters": Asked(
        protocol="anthropic",
        shape=MESSAGES,
        parameters={**COMMON, "stop_sequences": ["END"], "top_k": 5, "thinking": {"type": "disabled"}},
    ),
    "anthropic files": Asked(protocol="anthropic", shape=MESSAGES, files=(PNG, PDF, CSV)),
    "anthropic carried": Asked(protocol="anthropic", shape=MESSAGES, carried=CARRIED),
    **{
        f"google {name}": Asked(protocol="google", shape=CONTENT, output=name)
        for name in (*WORDS, "image", "audio")
    },
    "google parameters": Asked(
        protocol="google",
        shape=CONTENT,
        parameters={
            **COMMON,
            "stop": "END",
            "seed": 7,
            "top_k": 5,
            "presence_penalty": 0.1,
            "frequency_penalty": 0.1,
            "thinkingConfig": {"thinkingBudget": 0},
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        },
    ),
    "google files": Asked(protocol="google", shape=CONTENT, files=(PNG, PDF, WAV, CSV, JSON)),
    "google carried": Asked(protocol="google", shape=CONTENT, carried=CARRIED),
    "google image of a picture": Asked(
        protocol="google",
        shape=CONTENT,
        output="image",
        files=(PNG,),
        parameters={"imageConfig": {"aspectRatio": "1:1"}},
    ),
    "google voice": Asked(protocol="google", shape=CONTENT, output="audio", parameters={"voice": "Kore"}),
}


@cache
def specification(name: str) -> dict[str, Any]:
    """The components of one of the documents, with its older way to say null made the present one."""
    path = resources.files("llm_comply") / "specs" / f"{name}.json"
    components: dict[str, Any] = SpecLoader(str(path))._spec["components"]
    return components


@cache
def validator(shape: str) -> Any:
    """What takes the requests of this shape, and no name beside those it knows."""
    document, _, name = shape.partition(":")
    if not name:
        return jsonschema_rs.validator_for(REQUEST, offline=True)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": f"#/components/schemas/{name}",
        "unevaluatedProperties": False,
        "components": specification(document),
    }
    return jsonschema_rs.validator_for(schema, offline=True)


def wrong_with(shape: str, body: object) -> list[str]:
    return [
        f"{list(error.instance_path)}: {error.message}"[:500] for error in validator(shape).iter_errors(body)
    ]


def fields_of(request: Request) -> dict[str, Any]:
    """A request's body, whether JSON or a form; of a form, files are their names."""
    content_type = request.headers["content-type"]
    if content_type == "application/json":
        body: dict[str, Any] = orjson.loads(request.body)
        return body
    form = message_from_bytes(b"content-type: %b\r\n\r\n" % content_type.encode() + request.body, policy=HTTP)
    fields: dict[str, Any] = {}
    for part in form.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        value = part.get_filename() or part.get_payload(decode=True).decode()
        if name.endswith("[]"):
            fields.setdefault(name.removesuffix("[]"), []).append(value)
        else:
            fields[name] = value
    return fields


@pytest.mark.parametrize("name", CASES)
def test_a_request_is_one_that_the_specification_allows(name: str) -> None:
    """R15, R19, R20: modalities, files, schemas, parameters, what is carried: all as the API has it."""
    asked = CASES[name]
    body = fields_of(asked.request())
    told = {key: value for key, value in body.items() if key not in asked.newer}
    assert wrong_with(asked.shape, told) == []
    assert asked.newer <= set(body)


@pytest.mark.parametrize("name", CASES)
def test_the_specifications_refuse_what_they_do_not_know(name: str) -> None:
    """A name too many, or one of its own of the wrong type, does not pass: else nothing would be proved."""
    asked = CASES[name]
    body = {key: value for key, value in fields_of(asked.request()).items() if key not in asked.newer}
    assert wrong_with(asked.shape, {**body, "no_such_field": 1})
    text = next(key for key in ("messages", "contents", "prompt", "input") if key in body)
    assert wrong_with(asked.shape, {**body, text: 7})
    assert all(wrong_with(asked.shape, {**body, newer: "x"}) for newer in asked.newer), "known by now"


def test_each_protocol_is_asked_for_all_that_it_can_do() -> None:
    """R19: text, JSON, CSV and documents by each; pictures and speech where there are endpoints for them."""
    done = {(asked.protocol, asked.output) for asked in CASES.values()}
    assert done == {(protocol, name) for protocol in PROTOCOLS for name in OUTPUTS} - {
        ("anthropic", "image"),
        ("anthropic", "audio"),
    }
