"""The Messages API by hand: what goes out, what is taken, and turns that pause."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Finish, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.anthropic import Anthropic
from tasks_lib.providers.protocol import Response
from tasks_lib.providers.rates import Rate, rates_of
from tests.providers.test_openai import HEADERS, LEAVES
from tests.providers.test_openai_cases import drive

KEY = "sk-secret-key"
ACCOUNT = Provider(name="acme", protocol="anthropic", base_url="https://acme.test/v1")
CHOICE = ModelChoice(model=Model("acme", "big"))
HELLO = [Message(role="user", text="Hello")]
TEXT = Output.of(Modality.TEXT)
NAMES = st.sampled_from(
    [
        "type",
        "content",
        "text",
        "stop_reason",
        "stop_details",
        "usage",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "error",
        "message",
        "details",
        "error_code",
        "request_id",
        "model",
        "id",
        "name",
        "input",
    ]
)
ANYTHING = st.recursive(
    st.one_of(LEAVES, st.sampled_from(["refusal", "pause_turn", "tool_use", "answer", "text", "message"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
ANSWERS = st.fixed_dictionaries(
    {
        "content": st.lists(
            st.fixed_dictionaries({"type": ANYTHING}, optional={"text": ANYTHING, "input": ANYTHING}),
            max_size=3,
        )
    },
    optional={"usage": ANYTHING, "stop_reason": ANYTHING, "model": ANYTHING, "stop_details": ANYTHING},
)
BODIES = st.one_of(
    st.binary(max_size=200),
    ANYTHING.map(orjson.dumps),
    ANSWERS.map(orjson.dumps),
    st.builds(lambda body, end: body[:end], ANSWERS.map(orjson.dumps), st.integers(0, 300)),
    st.integers(1, 1_100).map(
        lambda levels: b'{"content":[{"type":' + b"[" * levels + b"]" * levels + b"}]}"
    ),
)


def anthropic(**provider):
    told = {"name": "acme", "protocol": "anthropic", "base_url": "https://acme.test/v1", **provider}
    return Anthropic(Provider(**told), Secret("ACME_API_KEY", KEY))


def body_of(protocol, output=TEXT, *, messages=HELLO, choice=CHOICE, carried=None):
    """What is asked of a model in one request."""
    return orjson.loads(next(protocol.exchange(messages, choice, output, carried=carried)).body)


def answered(text, *, reason="end_turn", usage=(10, 5)):
    """A response with one block of text."""
    return Response(
        status=200,
        headers={"request-id": f"req_{text}"},
        body=orjson.dumps(
            {
                "content": [{"type": "text", "text": text}],
                "stop_reason": reason,
                "model": "big-1",
                "usage": {"input_tokens": usage[0], "output_tokens": usage[1]},
            }
        ),
    )


def test_the_request_goes_where_the_provider_is():
    """One POST to the base URL's path, with the key and the version in headers, as JSON."""
    exchange = anthropic(base_url="https://acme.test/v1/").exchange(HELLO, CHOICE, TEXT)
    request, _ = drive(exchange, Response(status=500, headers={}))
    assert (request.method, request.url) == ("POST", "https://acme.test/v1/messages")
    assert request.headers["x-api-key"] == KEY
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers


def test_without_a_key_none_is_sent():
    """A gateway of our own is sent no key, and its strange bodies are shown all the same."""
    exchange = Anthropic(ACCOUNT, None).exchange(HELLO, CHOICE, TEXT)
    request, outcome = drive(exchange, Response(status=500, headers={}, body=b"sk-nothing"))
    assert "x-api-key" not in request.headers
    assert outcome.message == "500 sk-nothing"


@pytest.mark.parametrize("value", ["sk-secret\n", "sk-secret\r\nx: y", "sk-sécret", "\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(value):
    """The error names the variable; the transport's own would show the key."""
    with pytest.raises(ValueError, match="ACME_API_KEY") as raised:
        Anthropic(ACCOUNT, Secret("ACME_API_KEY", value))
    assert value not in str(raised.value)


@settings(max_examples=600)
@given(st.sampled_from([200, 200, 200, 201, 307, 400, 401, 403, 429, 500, 529]), HEADERS, BODIES)
def test_whatever_comes_is_a_reply_or_a_failure(status, headers, content):
    """No bytes raise; waits are sensible, usages consistent, the key unseen."""
    exchange = anthropic(structured_output="tool").exchange(
        HELLO, CHOICE, Output.of(Modality.JSON, {"type": "object"})
    )
    outcome = None
    next(exchange)
    for _ in range(5):  # a turn may pause again and again
        try:
            exchange.send(Response(status=status, headers=headers, body=content))
        except StopIteration as end:
            outcome = end.value
            break
    assert isinstance(outcome, Reply | Failure)
    assert isinstance(outcome, Failure) or status == 200
    if isinstance(outcome, Failure):
        assert KEY not in outcome.message
        assert len(outcome.message) < 700
        assert outcome.retry_after is None or 0 <= outcome.retry_after <= 3600
        assert not (outcome.maybe_billed and outcome.usage)
    if outcome.usage is not None:
        usage = outcome.usage
        assert 0 <= usage.cached_tokens + usage.cache_write_tokens <= usage.input_tokens <= 5 * 10**9
        assert 0 <= usage.output_tokens <= 5 * 10**9


@pytest.mark.parametrize(
    ("role", "name", "mime_type", "content", "reason"),
    [
        (
            "user",
            "a.zip",
            "application/zip",
            b"PK",
            "a.zip is application/zip, and Anthropic takes PNG, JPEG, GIF and WebP images, PDFs and text",
        ),
        (
            "user",
            "a.mp3",
            "audio/mpeg",
            b"ID3",
            "a.mp3 is audio/mpeg, and Anthropic takes PNG, JPEG, GIF and WebP images, PDFs and text",
        ),
        (
            "user",
            "a.tiff",
            "image/tiff",
            b"II*",
            "a.tiff is image/tiff, and Anthropic takes PNG, JPEG, GIF and WebP images, PDFs and text",
        ),
        (
            "user",
            "a.txt",
            "text/plain",
            b"\xff\xfe",
            "a.txt: a text/plain file must be UTF-8 for Anthropic to read it",
        ),
        (
            "system",
            "a.png",
            "image/png",
            b"PNG",
            "a.png: files go with the user's message, and not with the system prompt",
        ),
    ],
)
def test_a_file_that_the_api_cannot_take_is_refused_before_a_request_goes_out(
    role, name, mime_type, content, reason
):
    """The exchange ends with a failure that no further try would cure, and yields no request."""
    file = Attachment(name=name, mime_type=mime_type, content=content)
    messages = [Message(role=role, text="Look", files=(file,)), *HELLO]
    with pytest.raises(StopIteration) as end:
        next(anthropic().exchange(messages, CHOICE, TEXT))
    assert end.value.value == Failure(kind=FailureKind.REJECTED, message=reason)


def test_a_turn_that_pauses_goes_on_where_it_stopped():
    """The answer so far is sent back as it came; texts and tokens of all turns add up."""
    protocol = anthropic(idempotency_header="Idempotency-Key")
    exchange = protocol.exchange(HELLO, CHOICE, TEXT, idempotency_key="k-1")
    assert next(exchange).headers["idempotency-key"] == "k-1"
    second = exchange.send(answered("One, ", reason="pause_turn"))
    assert "idempotency-key" not in second.headers
    assert orjson.loads(second.body)["messages"] == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "One, "}]},
    ]
    with pytest.raises(StopIteration) as end:
        exchange.send(answered("two.", usage=(30, 7)))
    assert end.value.value == Reply(
        text="One, two.",
        usage=Usage(input_tokens=40, output_tokens=12),
        model="big-1",
        http_status=200,
        request_id="req_two.",
    )


def test_a_failure_after_a_pause_tells_what_was_spent_before_it():
    """What the first turn used is billed, whatever becomes of the second."""
    exchange = anthropic().exchange(HELLO, CHOICE, TEXT)
    next(exchange)
    exchange.send(answered("One", reason="pause_turn"))
    with pytest.raises(StopIteration) as end:
        exchange.send(Response(status=529, headers={}))
    assert end.value.value.kind is FailureKind.SERVER_ERROR
    assert end.value.value.usage == Usage(input_tokens=10, output_tokens=5)
    assert not end.value.value.maybe_billed


def test_a_turn_that_cannot_be_sent_back_is_a_broken_reply():
    """What can be read is not always what can be written: 254 levels are the most."""
    exchange = anthropic().exchange(HELLO, CHOICE, TEXT)
    next(exchange)
    deep = b"[" * 400 + b"]" * 400
    body = b'{"content":[%b],"stop_reason":"pause_turn","usage":{"input_tokens":9,"output_tokens":1}}' % deep
    with pytest.raises(StopIteration) as end:
        exchange.send(Response(status=200, headers={}, body=body))
    assert end.value.value.kind is FailureKind.BROKEN_REPLY
    assert end.value.value.usage == Usage(input_tokens=9, output_tokens=1)


def test_a_turn_that_pauses_for_ever_is_ended():
    """After five requests what was said is taken as the answer."""
    exchange = anthropic().exchange(HELLO, CHOICE, TEXT)
    next(exchange)
    for _ in range(4):
        exchange.send(answered(".", reason="pause_turn"))
    with pytest.raises(StopIteration) as end:
        exchange.send(answered(".", reason="pause_turn"))
    assert end.value.value.text == "....."
    assert end.value.value.finish is Finish.STOP
    assert end.value.value.usage == Usage(input_tokens=50, output_tokens=25)


def test_each_output_is_asked_for_in_its_own_form():
    """A protocol that serves two tasks in turn mixes up neither, nor two models of one."""
    protocol = anthropic()
    one = Output.of(Modality.JSON, {"type": "integer"})
    outputs = [one, Output.of(Modality.JSON), TEXT]
    asked = [body_of(protocol, output) for output in outputs * 2]
    assert asked[:3] == asked[3:]
    assert [("output_config" in body, "system" in body) for body in asked[:3]] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    small = ModelChoice(model=Model("acme", 'sm"all'), parameters={"max_tokens": 5, "stop_sequences": ["}"]})
    assert body_of(protocol, choice=small) == {
        "model": 'sm"all',
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 5,
        "stop_sequences": ["}"],
    }


def test_choices_that_come_and_go_are_never_mixed_up():
    """A thousand choices, each gone when the next is made, are each asked for by their own name."""
    protocol = anthropic()
    for number in range(1_000):
        choice = ModelChoice(model=Model("acme", f"m-{number}"))
        assert body_of(protocol, choice=choice)["model"] == f"m-{number}"


def test_csv_and_pdf_are_asked_for_as_everywhere():
    """Columns become a schema, a document Markdown in words."""
    columns = (CsvColumn(name="a", type=ColumnType.INTEGER),)
    table = body_of(anthropic(), Output.of(Modality.CSV, columns=columns))
    form = table["output_config"]["format"]
    assert form["type"] == "json_schema"
    assert form["schema"]["properties"]["rows"]["items"]["properties"]["a"]["type"] == "integer"
    assert form["schema"]["properties"]["rows"]["items"]["additionalProperties"] is False
    assert "Markdown" in body_of(anthropic(), Output.of(Modality.PDF))["system"]


def test_what_is_carried_is_the_user_and_nothing_else():
    """The API has a field for whom misuse may be traced to, and none for labels."""
    carried = Carried(user="u-1", metadata={"team": "blue"})
    assert body_of(anthropic(), carried=carried)["metadata"] == {"user_id": "u-1"}
    assert "metadata" not in body_of(anthropic(), carried=Carried(metadata={"team": "blue"}))


def test_asking_changes_nothing_that_was_given():
    """Messages and parameters of a plan are the same after the exchange as before."""
    choice = ModelChoice(model=Model("acme", "big"), parameters={"max_tokens": 5, "output_config": {"a": 1}})
    messages = [Message(role="system", text="Be brief."), *HELLO]
    output = Output.of(Modality.JSON, {"type": "integer"})
    asked = [body_of(anthropic(), output, messages=messages, choice=choice) for _ in range(2)]
    assert asked[0] == asked[1]
    assert choice.parameters == {"max_tokens": 5, "output_config": {"a": 1}}
    assert [message.text for message in messages] == ["Be brief.", "Hello"]


def test_the_limits_that_anthropic_tells_are_understood():
    """Requests, input and output tokens apart; a reset is a moment of RFC 3339, with or without an offset."""
    rates = rates_of(
        {
            "date": "Sun, 22 Nov 2026 12:00:00 GMT",
            "anthropic-ratelimit-requests-limit": "4000",
            "anthropic-ratelimit-requests-remaining": "3999",
            "anthropic-ratelimit-requests-reset": "2026-11-22T12:00:01Z",
            "anthropic-ratelimit-input-tokens-limit": "2000000",
            "anthropic-ratelimit-input-tokens-remaining": "1999000",
            "anthropic-ratelimit-input-tokens-reset": "2026-11-22T13:00:02+01:00",
            "anthropic-ratelimit-output-tokens-limit": "400000",
            "anthropic-ratelimit-output-tokens-remaining": "0",
            "anthropic-ratelimit-output-tokens-reset": "2026-11-22T12:00:30.5Z",
        }
    )
    assert rates is not None
    assert rates.requests == Rate(
        limit=4000, remaining=3999, reset=2.0
    )  # a second more: dates are whole ones
    assert rates.input_tokens == Rate(limit=2_000_000, remaining=1_999_000, reset=3.0)
    assert rates.output_tokens == Rate(limit=400_000, remaining=0, reset=31.5)
    assert rates.tokens is None
