"""Each file in cases/google is an exchange: what is asked, what comes back, what it means."""

from base64 import b64decode
from pathlib import Path

import orjson
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Finish, Media, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.google import Google
from tasks_lib.providers.protocol import Response
from tests.providers.test_openai_cases import drive

KEY = Secret("ACME_API_KEY", "sk-secret-key")
CASES = sorted((Path(__file__).parent / "cases" / "google").glob("*.json"))
NO_ANSWER = Response(status=500, headers={})
HELLO = [Message(role="user", text="Hello")]


def attached(told):
    return Attachment(name=told["name"], mime_type=told["mime_type"], content=b64decode(told["base64"]))


def message_of(told):
    role, text, *files = told
    return Message(role=role, text=text, files=tuple(attached(file) for file in (files or [[]])[0]))


def asking(key=KEY, **provider):
    return Google(
        Provider(name="acme", protocol="google", base_url="https://acme.test/v1beta/", **provider), key
    )


def begun(*, ask, provider):
    """The exchange that a case describes."""
    messages = [message_of(told) for told in ask.get("messages", [["user", "Hello"]])]
    choice = ModelChoice(model=Model("acme", "big"), parameters=ask.get("parameters", {}))
    output = Output.of(Modality(ask.get("modality", "text")), ask.get("schema"))
    return asking(**provider).exchange(messages, choice, output)


def response_of(told):
    content = told["text"].encode() if "text" in told else orjson.dumps(told["json"])
    headers = {name.lower(): value for name, value in told.get("headers", {}).items()}
    return Response(status=told["status"], headers=headers, body=content)


def outcome_of(expected):
    """The Reply or Failure that a case expects; what it does not name is as when nothing is known."""
    (sort, fields), *_ = expected.items()
    if "usage" in fields:
        fields["usage"] = Usage(**fields["usage"])
    if "media" in fields:
        media = fields["media"]
        fields["media"] = Media(content=b64decode(media["base64"]), mime_type=media["mime_type"])
    if sort == "reply":
        return Reply(**{**fields, "finish": Finish(fields.get("finish", "stop"))})
    return Failure(**{**fields, "kind": FailureKind(fields["kind"])})


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path):
    """The request has what the case names and lacks what it forbids; the outcome is the case's, whole."""
    case = orjson.loads(path.read_bytes())
    exchange = begun(ask=case.get("ask", {}), provider=case.get("provider", {}))
    request, outcome = drive(exchange, response_of(case["response"]))
    body = orjson.loads(request.body)
    assert {name: body.get(name) for name in case.get("request", {})} == case.get("request", {})
    assert not set(case.get("request_lacks", ())) & set(body)
    assert outcome == outcome_of(case["expected"])
    assert "sk-secret-key" not in repr(outcome)


def test_there_are_cases_and_each_says_what_it_is_about():
    """No case is without its sentence."""
    assert len(CASES) >= 90
    assert all(orjson.loads(path.read_bytes())["about"].endswith(".") for path in CASES)


def test_the_request_goes_where_the_model_is():
    """One POST to the model's own path, as JSON, with the key in a header and nowhere else."""
    request, _ = drive(begun(ask={}, provider={}), NO_ANSWER)
    assert (request.method, request.url) == ("POST", "https://acme.test/v1beta/models/big:generateContent")
    assert request.headers["x-goog-api-key"] == "sk-secret-key"
    assert request.headers["content-type"] == "application/json"
    assert b"sk-secret-key" not in request.body


@pytest.mark.parametrize(
    ("name", "parameters", "path"),
    [
        ("gemini-2.5-flash", {}, "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", {}, "models/gemini-2.5-flash"),
        ("tunedModels/mine-1", {}, "tunedModels/mine-1"),
        ("cheap", {"model": "gemini-2.5-flash-lite"}, "models/gemini-2.5-flash-lite"),
        ("../../v1/x?key=y#z", {}, "models/..%2F..%2Fv1%2Fx%3Fkey%3Dy%23z"),
    ],
)
def test_a_model_s_name_is_one_step_of_the_path(name, parameters, path):
    """Folders that the API has are taken as such; anything else in a name cannot leave its place."""
    choice = ModelChoice(model=Model("acme", name), parameters=parameters)
    request, _ = drive(asking().exchange(HELLO, choice, Output.of(Modality.TEXT)), NO_ANSWER)
    assert request.url == f"https://acme.test/v1beta/{path}:generateContent"


def test_without_a_key_nothing_is_authorized():
    """A gateway that has the key itself is sent none, and its strange bodies are shown all the same."""
    exchange = asking(key=None).exchange(
        HELLO, ModelChoice(model=Model("acme", "m")), Output.of(Modality.TEXT)
    )
    request, outcome = drive(exchange, Response(status=500, headers={}, body=b"Bearer of news"))
    assert "x-goog-api-key" not in request.headers
    assert outcome.message == "500 Bearer of news"


def test_a_key_that_no_header_can_carry_is_refused_by_name():
    """The error says which variable, and not what it holds."""
    with pytest.raises(ValueError, match=r"^what BAD_KEY holds cannot be put into a header$"):
        asking(key=Secret("BAD_KEY", "line\nbreak"))


@pytest.mark.parametrize(
    ("mime_type", "modality", "message"),
    [
        ("application/zip", Modality.TEXT, "the file a.bin is application/zip, which Gemini does not take"),
        ("image/png", Modality.AUDIO, "speech is made from text, and files came with the message"),
    ],
)
def test_what_the_api_takes_from_nobody_is_never_sent(mime_type, modality, message):
    """No request goes out, and nothing is paid; the failure says what is the matter."""
    file = Attachment(name="a.bin", mime_type=mime_type, content=b"PK")
    exchange = asking().exchange(
        [Message(role="user", text="What is this?", files=(file,))],
        ModelChoice(model=Model("acme", "big")),
        Output.of(modality),
    )
    with pytest.raises(StopIteration) as end:
        next(exchange)
    assert end.value.value.kind is FailureKind.REJECTED
    assert end.value.value.message.startswith(message)


def test_metadata_is_carried_as_labels_where_the_provider_has_them():
    """Letters are made small and strange ones replaced, as labels want it; the task's own stay."""
    choice = ModelChoice(model=Model("acme", "big"), parameters={"labels": {"team": "red", "env": "test"}})
    metadata = {"Team": "Blue & Co", "7th": "x", "long-näme": "ß" * 70}
    exchange = asking(carries=frozenset({"labels"})).exchange(
        HELLO, choice, Output.of(Modality.TEXT), carried=Carried(user="u-1", metadata=metadata)
    )
    body = orjson.loads(drive(exchange, NO_ANSWER)[0].body)
    assert body["labels"] == {"team": "blue___co", "env": "test", "long-näme": "ß" * 63}
    assert "u-1" not in repr(body)


def test_nothing_is_carried_where_there_is_no_field_for_it():
    """User and metadata stay here: the request is the same with them."""
    choice, output = ModelChoice(model=Model("acme", "big")), Output.of(Modality.TEXT)
    carried = Carried(user="u-1", metadata={"team": "blue"})
    bare, _ = drive(asking().exchange(HELLO, choice, output), NO_ANSWER)
    full, _ = drive(asking().exchange(HELLO, choice, output, carried=carried), NO_ANSWER)
    assert full == bare


def test_a_request_is_named_where_the_provider_has_a_header_for_it():
    """A gateway that knows a request again is sent the row's key; others are not."""
    choice, output = ModelChoice(model=Model("acme", "big")), Output.of(Modality.TEXT)
    named = asking(idempotency_header="Idempotency-Key").exchange(HELLO, choice, output, idempotency_key="k1")
    plain = asking().exchange(HELLO, choice, output, idempotency_key="k1")
    assert drive(named, NO_ANSWER)[0].headers["idempotency-key"] == "k1"
    assert "k1" not in repr(drive(plain, NO_ANSWER)[0])


def test_each_choice_and_output_keeps_its_own_form():
    """What is remembered of one model or output is never sent for another."""
    protocol = asking()
    text, json = Output.of(Modality.TEXT), Output.of(Modality.JSON, {"type": "object"})
    bodies = []
    for number in range(600):  # more than are kept
        choice = ModelChoice(model=Model("acme", f"m{number}"), parameters={"seed": number})
        for output in (text, json, text):
            request, _ = drive(protocol.exchange(HELLO, choice, output), NO_ANSWER)
            config = orjson.loads(request.body)["generationConfig"]
            bodies.append(
                (number, f"/m{number}:" in request.url, config["seed"], "responseMimeType" in config)
            )
    assert bodies == [
        (number, True, number, is_json) for number in range(600) for is_json in (False, True, False)
    ]
