"""Pictures and speech: what is asked on which endpoint, and what is made of what comes back."""

from base64 import b64encode
from email import message_from_bytes
from email.policy import HTTP

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Finish, Media, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.openai import OpenAI
from tasks_lib.providers.protocol import Pause, Request, Response

KEY = "sk-secret-key"
PNG = b"\x89PNG\r\n\x1a\n and so on"
IN_BASE64 = b64encode(PNG).decode()
IMAGE, AUDIO = Output.of(Modality.IMAGE), Output.of(Modality.AUDIO)
ASKED = [Message(role="system", text="In oil."), Message(role="user", text="A lighthouse")]


def exchange(output, *, name="big", messages=ASKED, carried=None, parameters=None, **provider):
    account = Provider(name="acme", protocol="openai", base_url="https://acme.test/v1/", **provider)
    protocol = OpenAI(account, Secret("ACME_API_KEY", KEY))
    choice = ModelChoice(model=Model("acme", name), parameters=parameters or {})
    return protocol.exchange(messages, choice, output, carried=carried)


def body_of(begun):
    return orjson.loads(next(begun).body)


def answered(value, *, status=200, **headers):
    content = value if isinstance(value, bytes) else orjson.dumps(value)
    return Response(
        status=status, headers={name.replace("_", "-"): text for name, text in headers.items()}, body=content
    )


def end_of(begun, response):
    with pytest.raises(StopIteration) as end:
        begun.send(response)
    return end.value.value


def said(begun, response):
    """What an exchange of one request says when this comes back."""
    next(begun)
    return end_of(begun, response)


def test_r19_a_picture_is_asked_for_where_pictures_are_made():
    """R19: modality image goes to /images/generations: the prompts as one, parameters by their own names."""
    begun = exchange(IMAGE, parameters={"size": "1024x1024", "quality": "low", "max_tokens": 6000})
    request = next(begun)
    assert (request.method, request.url) == ("POST", "https://acme.test/v1/images/generations")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert orjson.loads(request.body) == {
        "model": "big",
        "prompt": "In oil.\n\nA lighthouse",
        "size": "1024x1024",
        "quality": "low",
    }


def test_a_picture_comes_with_its_tokens():
    """Base64 becomes bytes; input and output tokens are usage, and the prompt as it was revised is kept."""
    body = {
        "data": [{"b64_json": IN_BASE64, "revised_prompt": "A red lighthouse"}],
        "output_format": "png",
        "usage": {"input_tokens": 12, "output_tokens": 272, "total_tokens": 284},
    }
    assert said(exchange(IMAGE), answered(body, x_request_id="req_1")) == Reply(
        text="A red lighthouse",
        media=Media(content=PNG, mime_type="image/png"),
        usage=Usage(input_tokens=12, output_tokens=272),
        http_status=200,
        request_id="req_1",
    )


def test_a_picture_in_a_data_uri_is_a_picture():
    """Whether an API puts the whole address in front or not."""
    for field in ("b64_json", "url"):
        body = {"data": [{field: f"data:image/webp;base64,{IN_BASE64}"}]}
        assert said(exchange(IMAGE), answered(body)).media == Media(content=PNG, mime_type="image/webp")


@pytest.mark.parametrize(
    ("name", "provider", "file_type", "expected"),
    [
        ("gpt-image-1", {}, None, {}),
        ("gpt-image-1", {}, "jpeg", {"output_format": "jpeg"}),
        ("dall-e-3", {}, None, {"response_format": "b64_json"}),
        ("dall-e-3", {}, "png", {"response_format": "b64_json"}),
        (
            "FLUX.2-pro",
            {"image_response_format": "base64"},
            "png",
            {"response_format": "base64", "output_format": "png"},
        ),
    ],
)
def test_r19_the_file_type_is_asked_for_as_each_api_wants_it(name, provider, file_type, expected):
    """R19: PNG or JPEG by output_format; DALL-E knows none, and Together says base64 in words of its own."""
    output = Output.of(Modality.IMAGE, file_type=file_type)
    body = body_of(exchange(output, name=name, **provider))
    assert {key: body.get(key) for key in ("response_format", "output_format") if key in body} == expected


def test_a_type_that_a_model_cannot_make_is_refused_before_it_is_paid():
    """DALL-E makes PNG only: no request goes out for a JPEG."""
    with pytest.raises(StopIteration) as end:
        next(exchange(Output.of(Modality.IMAGE, file_type="jpeg"), name="dall-e-3"))
    assert end.value.value.kind is FailureKind.REJECTED
    assert "PNG only" in end.value.value.message


def test_a_task_knows_its_api_better():
    """What parameters say of the format is sent as it stands."""
    output = Output.of(Modality.IMAGE, file_type="png")
    body = body_of(exchange(output, parameters={"output_format": "webp", "model": "deployment-7"}))
    assert (body["output_format"], body["model"]) == ("webp", "deployment-7")


def redirected(begun, location):
    return begun.send(answered(b"", status=302, location=location))


TOLD = {"data": [{"url": "https://cdn.test/a.png"}], "model": "flux", "id": "x"}


def test_a_picture_that_is_told_by_its_address_is_fetched():
    """A second request of the same exchange, over redirects, and never with our key."""
    begun = exchange(IMAGE)
    next(begun)
    first = begun.send(answered(TOLD))
    assert (first.method, first.url) == ("GET", "https://cdn.test/a.png")
    assert KEY not in repr(first.headers)
    assert first.headers["user-agent"]
    second = redirected(begun, "/b.png")
    assert second.url == "https://cdn.test/b.png"
    reply = end_of(begun, answered(PNG, content_type="image/png"))
    assert reply.media == Media(content=PNG, mime_type="image/png")
    assert (reply.model, reply.http_status) == ("flux", 200)


@pytest.mark.parametrize(
    "address",
    [
        "http://cdn.test/a.png",
        "https://127.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://10.0.0.1/a.png",
        "https://localhost/a.png",
        "https://metadata.google.internal/a.png",
        "https://user:password@cdn.test/a.png",
        "https://cdn.test:port/a.png",
        "file:///etc/passwd",
        "ftp://cdn.test/a.png",
        "//cdn.test/a.png",
        "https://",
        "https://[/",
        "https://cdn.test/a b\n",
        "x",
    ],
)
def test_other_addresses_are_not_fetched(address):
    """Only https, only by name, without a password; nor where a redirect leads there."""
    begun = exchange(IMAGE)
    outcome = said(begun, answered({"data": [{"url": address}]}))
    assert (outcome.kind, outcome.maybe_billed) == (FailureKind.BROKEN_REPLY, True)
    if "://" in address and address != "https://":  # which, as a redirect, leads back
        begun = exchange(IMAGE)
        next(begun)
        begun.send(answered(TOLD))
        with pytest.raises(StopIteration) as end:
            redirected(begun, address)
        assert end.value.value.kind is FailureKind.BROKEN_REPLY


def test_a_picture_is_asked_for_again_before_another_is_paid():
    """A server's error is waited out three times; what is then told knows that the picture was billed."""
    begun = exchange(IMAGE)
    next(begun)
    begun.send(answered({**TOLD, "usage": {"input_tokens": 1, "output_tokens": 2}}))
    for _ in range(2):
        assert begun.send(answered(b"", status=503)) == Pause(seconds=1.0)
        assert isinstance(next(begun), Request)
    outcome = end_of(begun, answered(b"", status=503))
    assert (outcome.kind, outcome.usage) == (
        FailureKind.BROKEN_REPLY,
        Usage(input_tokens=1, output_tokens=2),
    )


def test_redirects_have_an_end():
    """After three of them the picture counts as lost."""
    begun = exchange(IMAGE)
    next(begun)
    begun.send(answered(TOLD))
    for number in range(3):
        redirected(begun, f"/{number}")
    assert end_of(begun, answered(b"", status=302, location="/4")).kind is FailureKind.BROKEN_REPLY


@pytest.mark.parametrize(
    ("code", "sort"),
    [("moderation_blocked", "image_generation_user_error"), ("content_policy_violation", "invalid")],
)
def test_a_picture_that_a_moderator_stops_is_refused(code, sort):
    """A 400 that is about the content is a refusal, which another model may not share."""
    body = {"error": {"message": "Rejected by the safety system.", "type": sort, "code": code}}
    outcome = said(exchange(IMAGE), answered(body, status=400))
    assert (outcome.kind, outcome.http_status) == (FailureKind.REFUSED, 400)


def test_a_picture_that_is_kept_back_is_refused():
    """At xAI such an answer is a 200 without the picture."""
    outcome = said(exchange(IMAGE), answered({"data": [{"respect_moderation": False, "url": ""}]}))
    assert outcome.finish is Finish.REFUSED


@pytest.mark.parametrize("output", [IMAGE, AUDIO])
def test_errors_are_those_of_chat(output):
    """The same bodies mean the same on these endpoints, and the key is blotted out."""
    error = {"error": {"message": f"Bad key {KEY}", "code": "invalid_api_key"}}
    outcome = said(exchange(output), answered(error, status=401))
    assert outcome.kind is FailureKind.UNAUTHORIZED
    assert KEY not in outcome.message
    outcome = said(exchange(output), answered({"error": {}}, status=429, retry_after="7"))
    assert (outcome.kind, outcome.retry_after) == (FailureKind.RATE_LIMITED, 7.0)


def file(name="a.png", sort="image/png", content=PNG):
    return Attachment(name=name, mime_type=sort, content=content)


def form(request):
    """The fields and files of a form."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parsed = message_from_bytes(head + request.body, policy=HTTP)
    return [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_content())
        for part in parsed.iter_parts()
    ]


@pytest.mark.parametrize(("count", "field"), [(1, "image"), (2, "image[]")])
def test_r15_pictures_that_come_with_a_row_are_changed(count, field):
    """R15: a row's pictures go as a form to /images/edits, under names of ours."""
    hostile = file(name='a"\r\nX: y.png')
    messages = [Message(role="user", text="Add a dog", files=(hostile,) * count)]
    request = next(exchange(IMAGE, messages=messages, parameters={"n": 1}))
    assert request.url == "https://acme.test/v1/images/edits"
    fields = form(request)
    assert [(name, content.strip()) for name, filename, content in fields if filename is None] == [
        ("model", "big"),
        ("prompt", "Add a dog"),
        ("n", "1"),
    ]
    assert fields[3:] == [(field, f"{number}.png", PNG) for number in range(1, count + 1)]


@pytest.mark.parametrize("output", [IMAGE, AUDIO])
def test_a_file_that_no_picture_or_speech_is_made_of_is_refused(output):
    """Without a request; the message names the file."""
    messages = [Message(role="user", text="x", files=(file("a.pdf", "application/pdf"),))]
    with pytest.raises(StopIteration) as end:
        next(exchange(output, messages=messages))
    assert end.value.value.kind is FailureKind.REJECTED


def test_r19_speech_is_asked_for_where_speech_is_made():
    """R19: modality audio goes to /audio/speech: what to say, how to say it, in which voice and form."""
    begun = exchange(
        Output.of(Modality.AUDIO, file_type="wav"), parameters={"voice": "coral", "max_tokens": 9}
    )
    request = next(begun)
    assert request.url == "https://acme.test/v1/audio/speech"
    assert orjson.loads(request.body) == {
        "model": "big",
        "input": "A lighthouse",
        "instructions": "In oil.",
        "voice": "coral",
        "response_format": "wav",
    }
    reply = end_of(begun, answered(b"RIFF....", content_type="audio/wav", x_request_id="req_2"))
    assert reply == Reply(
        text="",
        media=Media(content=b"RIFF....", mime_type="audio/wav"),
        http_status=200,
        request_id="req_2",
    )


def test_speech_needs_no_voice_of_ours():
    """Without a voice and a file type: alloy, in whatever form the model makes."""
    body = body_of(exchange(AUDIO, messages=[Message(role="user", text="Hello")]))
    assert body == {"model": "big", "input": "Hello", "voice": "alloy"}


@pytest.mark.parametrize(
    ("content", "sort"),
    [(b"", "audio/mpeg"), (b"<html>", "text/html"), (b'{"error":{"message":"x"}}', "application/json")],
)
def test_what_is_no_recording_is_none(content, sort):
    """An empty body, a page or JSON is a failure, and one that may have been billed."""
    outcome = said(exchange(AUDIO), answered(content, content_type=sort))
    assert isinstance(outcome, Failure)
    assert outcome.maybe_billed


def test_a_model_that_speaks_in_chat_is_asked_there():
    """With `audio` among the parameters: modalities are filled in; words and recording come back."""
    output = Output.of(Modality.AUDIO, file_type="wav")
    begun = exchange(output, parameters={"audio": {"voice": "ash"}, "max_tokens": 99})
    request = next(begun)
    assert request.url == "https://acme.test/v1/chat/completions"
    body = orjson.loads(request.body)
    assert (body["modalities"], body["audio"]) == (["text", "audio"], {"voice": "ash", "format": "wav"})
    assert body["max_tokens"] == 99
    message = {"content": None, "audio": {"id": "a", "data": b64encode(b"RIFF").decode(), "transcript": "Hm"}}
    usage = {"prompt_tokens": 5, "completion_tokens": 50}
    told = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    reply = end_of(begun, answered(told))
    assert (reply.text, reply.media) == ("Hm", Media(content=b"RIFF"))
    assert reply.usage == Usage(input_tokens=5, output_tokens=50)


def test_a_model_that_draws_in_chat_is_asked_there():
    """With `modalities` among the parameters, as OpenRouter has it: the picture stands beside the content."""
    begun = exchange(IMAGE, parameters={"modalities": ["image", "text"]})
    request = next(begun)
    assert request.url == "https://acme.test/v1/chat/completions"
    images = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IN_BASE64}"}}]
    told = {"choices": [{"message": {"content": "Here.", "images": images}, "finish_reason": "stop"}]}
    assert end_of(begun, answered(told)).media == Media(content=PNG, mime_type="image/png")


@pytest.mark.parametrize(
    ("carries", "expected"),
    [
        ((), {}),
        (("user",), {"user": "u-1"}),
        (("safety_identifier", "user"), {"safety_identifier": "u-1"}),
        (("metadata",), {"metadata": {"batch": "b"}}),
        (("metadata", "store"), {"metadata": {"batch": "b"}, "store": True}),
    ],
)
def test_labels_go_only_where_there_is_a_field_for_them(carries, expected):
    """What is carried is told in the fields that the provider has, and to others nothing."""
    carried = Carried(user="u-1", metadata={"batch": "b"})
    text = Output.of(Modality.TEXT)
    body = body_of(exchange(text, carried=carried, carries=frozenset(carries)))
    assert {key: value for key, value in body.items() if key not in ("model", "messages")} == expected
    assert "batch" not in body_of(exchange(text, carries=frozenset(carries)))


def test_parameters_win_over_labels():
    """No field is sent twice; who says store: false has no metadata told."""
    carried = Carried(user="u-1", metadata={"batch": "b"})
    has = frozenset({"user", "metadata", "store"})
    text = Output.of(Modality.TEXT)
    begun = exchange(text, carried=carried, carries=has, parameters={"store": False, "user": "mine"})
    raw = next(begun).body
    assert raw.count(b'"user":') == 1
    assert orjson.loads(raw)["user"] == "mine"
    assert "metadata" not in orjson.loads(raw)
    stored = body_of(exchange(text, carried=carried, carries=has, parameters={"store": True}))
    assert (stored["metadata"], stored["store"]) == ({"batch": "b"}, True)


def test_of_a_picture_only_the_user_is_told():
    """The images endpoint has a field for the user, and none for metadata."""
    carried = Carried(user="u-1", metadata={"batch": "b"})
    body = body_of(exchange(IMAGE, carried=carried, carries=frozenset({"safety_identifier", "metadata"})))
    assert body == {"model": "big", "prompt": "In oil.\n\nA lighthouse", "user": "u-1"}


PDF = file("b.pdf", "application/pdf", b"%PDF-1.7")
TEXT = Output.of(Modality.TEXT)


def test_r15_files_go_as_the_parts_that_chat_has_for_them():
    """R15: pictures and PDFs as data URIs, recordings in Base64 with their form, text as text."""
    files = (
        file(),
        PDF,
        file("c.mp3", "audio/mpeg", b"ID3"),
        file("d.csv", "text/csv", "\ufeffa,b\n1,é".encode()),
    )
    messages = [Message(role="user", text="What is this?", files=files)]
    (message,) = body_of(exchange(TEXT, messages=messages, parameters={"detail": "low"}))["messages"]
    assert message["content"] == [
        {"type": "text", "text": "What is this?"},
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{IN_BASE64}", "detail": "low"},
        },
        {
            "type": "file",
            "file": {"filename": "b.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjc="},
        },
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        {"type": "text", "text": "d.csv:\n\na,b\n1,é"},
    ]


def test_the_detail_is_said_of_pictures_only():
    """It is no field of the request, and without a word of it none is sent."""
    messages = [Message(role="user", text="?", files=(file(),))]
    body = body_of(exchange(TEXT, messages=messages, parameters={"detail": "high"}))
    assert "detail" not in body
    (message,) = body_of(exchange(TEXT, messages=messages))["messages"]
    assert "detail" not in message["content"][1]["image_url"]


@pytest.mark.parametrize(
    ("sort", "content"), [("image/tiff", b"II"), ("application/zip", b"PK"), ("text/plain", b"\xff\xfe\x00")]
)
def test_a_file_that_chat_does_not_take_is_refused(sort, content):
    """Before a request goes out, and by its name."""
    messages = [Message(role="user", text="?", files=(file("strange", sort, content),))]
    with pytest.raises(StopIteration) as end:
        next(exchange(TEXT, messages=messages))
    outcome = end.value.value
    assert (outcome.kind, outcome.maybe_billed) == (FailureKind.REJECTED, False)
    assert "strange" in outcome.message


def test_what_is_told_of_the_form_stands_beside_files():
    """A schema in words goes into the system prompt; the user's parts stay as they are."""
    messages = [Message(role="user", text="?", files=(PDF,))]
    output = Output.of(Modality.JSON, {"type": "object"})
    body = body_of(exchange(output, messages=messages, structured_output="prompt"))
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert isinstance(body["messages"][1]["content"], list)


NAMES = [
    "data",
    "b64_json",
    "url",
    "usage",
    "error",
    "input_tokens",
    "output_tokens",
    "model",
    "revised_prompt",
    "output_format",
    "choices",
    "message",
    "audio",
    "images",
    "image_url",
    "transcript",
    "content",
]
LEAVES = ["", "x", IN_BASE64, "data:,x", "https://c.test/", None, True, 3, -1]
ANYTHING = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=15,
)


@given(
    st.sampled_from([IMAGE, AUDIO]),
    st.sampled_from([{}, {"modalities": []}]),
    ANYTHING.map(orjson.dumps) | st.binary(max_size=20),
    st.sampled_from(["application/json", "audio/wav", ""]),
)
def test_whatever_comes_is_a_reply_a_failure_or_an_address(output, parameters, content, sort):
    """No body makes these endpoints raise."""
    begun = exchange(output, parameters=parameters)
    next(begun)
    outcome = None
    try:
        assert begun.send(answered(content, content_type=sort)).url == "https://c.test/"
    except StopIteration as end:
        outcome = end.value
    assert outcome is None or isinstance(outcome, Reply | Failure)
