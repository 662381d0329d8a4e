"""The protocol by property: it takes whatever a server sends."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.providers.openai import OpenAI
from tasks_lib.providers.openai_strict import fits_strict_mode
from tasks_lib.providers.protocol import Response
from tests.providers.test_openai_cases import drive

KEY = "sk-secret-key"
CHOICE = ModelChoice(model=Model("acme", "big"))
HELLO = [Message(role="user", text="Hello")]
TEXT, JSON = Output.of(Modality.TEXT), Output.of(Modality.JSON, {"enum": [1]})

NAMES = st.sampled_from(
    [
        "choices",
        "message",
        "content",
        "refusal",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "prompt_tokens_details",
        "error",
        "code",
        "type",
        "metadata",
        "reasons",
        "detail",
        "model",
        "id",
        "text",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["stop", "length", "error", "429", "²²²", "0", "", "insufficient_quota", KEY, f"{KEY}!"]),
    st.text(max_size=5),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
ANSWERS = st.fixed_dictionaries(
    {
        "choices": st.lists(
            st.fixed_dictionaries({"message": ANYTHING, "finish_reason": ANYTHING}), max_size=2
        )
    },
    optional={"usage": ANYTHING, "error": ANYTHING, "model": ANYTHING, "id": ANYTHING},
)
BODIES = st.one_of(
    st.binary(max_size=200),
    ANYTHING.map(orjson.dumps),
    ANSWERS.map(orjson.dumps),
    st.builds(lambda body, end: body[:end], ANSWERS.map(orjson.dumps), st.integers(0, 300)),
    st.integers(1, 1_100).map(lambda levels: b'{"error":{"message":' + b"[" * levels + b"]" * levels + b"}}"),
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date", "x-request-id", "location"]),
    st.one_of(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
        st.sampled_from(["Sun, 22 Nov 2026 12:00:00 GMT", "1", "0", "-1", "nan", "1e400", "00:00:00"]),
    ),
)


def asked(output=TEXT, **provider):
    account = Provider(name="acme", protocol="openai", base_url="https://acme.test/v1", **provider)
    return OpenAI(account, Secret("ACME_API_KEY", KEY)).exchange(HELLO, CHOICE, output)


@settings(max_examples=600)
@given(st.sampled_from([200, 200, 200, 201, 307, 400, 401, 402, 403, 429, 500]), HEADERS, BODIES)
def test_whatever_comes_is_a_reply_or_a_failure(status, headers, content):
    """No bytes raise; waits are sensible, usages consistent, the key unseen; a reply can be judged."""
    _, outcome = drive(asked(), Response(status=status, headers=headers, body=content))
    assert isinstance(outcome, Reply | Failure)
    assert isinstance(outcome, Failure) or status == 200
    if isinstance(outcome, Failure):
        assert KEY not in outcome.message
        assert len(outcome.message) < 700
        assert outcome.retry_after is None or 0 <= outcome.retry_after <= 3600
        assert not (outcome.maybe_billed and outcome.usage)
    else:
        assert all(isinstance(judge(output, outcome), Answer | Failure) for output in (TEXT, JSON))
    if outcome.usage is not None:
        assert 0 <= outcome.usage.cached_tokens <= outcome.usage.input_tokens <= 10**9
        assert 0 <= outcome.usage.reasoning_tokens <= outcome.usage.output_tokens <= 10**9


def object_of(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


STRING = {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        object_of(),
        object_of(a=STRING, b={"type": ["integer", "null"]}),
        object_of(a={"type": "string", "enum": ["x"], "description": "d", "title": "t"}),
        object_of(a={"type": "array", "items": object_of(b=STRING), "minItems": 1}),
        object_of(a={"anyOf": [STRING, {"type": "null"}]}),
        {**object_of(a={"$ref": "#/$defs/x"}), "$defs": {"x": object_of(b=STRING)}},
        {**object_of(a={"$ref": "#/definitions/x"}), "definitions": {"x": STRING}, "$schema": "s"},
        object_of(a={"type": "string", "format": "date-time"}, b={"type": "string", "pattern": "^a+$"}),
    ],
)
def test_strict_mode_takes_closed_objects_of_typed_parts(schema):
    """Every object closed, every property required, every part with a type, only known keywords."""
    assert fits_strict_mode(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        STRING,
        {"type": "array", "items": STRING},
        {**object_of(a=STRING), "anyOf": [STRING]},
        {**object_of(a=STRING), "additionalProperties": True},
        {"type": "object", "properties": {"a": STRING}, "required": ["a"]},
        {**object_of(a=STRING, b=STRING), "required": ["a"]},
        object_of(a={}),
        object_of(a=True),
        object_of(a={"enum": ["x", "y"]}),
        object_of(a={"const": 1}),
        object_of(a={"type": ["object", "null"]}),
        object_of(a={"properties": {"b": STRING}}),
        object_of(a={"type": "array", "items": {"type": "object"}}),
        object_of(a={"type": "array", "items": True}),
        object_of(a={"anyOf": [STRING, {}]}),
        object_of(a={"oneOf": [STRING]}),
        object_of(a={"type": "string", "minLength": 1}),
        object_of(a={"type": "string", "default": "x"}),
        object_of(a={"type": "string", "format": "uri"}),
        object_of(a={"type": "string", "pattern": "(?=a)"}),
        object_of(a={"type": "array", "items": STRING, "uniqueItems": True}),
        {**object_of(a=STRING), "$defs": {"x": {"type": "object"}}},
        {**object_of(a=STRING), "patternProperties": {"^b": STRING}},
        {**object_of(a={"$ref": "#/$defs/x", "description": "d"}), "$defs": {"x": STRING}},
    ],
)
def test_strict_mode_is_not_asked_for_what_it_refuses(schema):
    """One part that it does not take, and the schema is sent as a wish."""
    assert not fits_strict_mode(schema)


@pytest.mark.parametrize("value", ["sk-secret\n", "sk-secret\r\nx: y", "sk-sécret", "\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(value):
    """The error names the variable; the transport's own would show the key."""
    account = Provider(name="acme", protocol="openai", base_url="https://acme.test/v1")
    with pytest.raises(ValueError, match="ACME_API_KEY") as raised:
        OpenAI(account, Secret("ACME_API_KEY", value))
    assert value not in str(raised.value)


def body_of(protocol, output, *, messages=HELLO, choice=CHOICE):
    """What is asked of a model in one request."""
    return orjson.loads(next(protocol.exchange(messages, choice, output)).body)


def test_each_output_is_asked_for_in_its_own_form():
    """A protocol that serves two tasks in turn mixes up neither, nor two models of one."""
    protocol = OpenAI(Provider(name="acme", protocol="openai", base_url="https://acme.test/v1"), None)
    outputs = [Output.of(Modality.JSON, object_of(a=STRING)), Output.of(Modality.JSON, {}), TEXT]
    forms = [body_of(protocol, output).get("response_format") for output in outputs * 2]
    assert forms[:3] == forms[3:]
    assert [form and form["json_schema"]["schema"] for form in forms[:3]] == [object_of(a=STRING), {}, None]
    small = ModelChoice(model=Model("acme", 'sm"all'), parameters={"max_tokens": 5, "stop": ["}"]})
    assert body_of(protocol, TEXT, choice=small) == {
        "model": 'sm"all',
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 5,
        "stop": ["}"],
    }
    assert body_of(protocol, TEXT)["model"] == CHOICE.model.name


def test_choices_that_come_and_go_are_never_mixed_up():
    """A thousand choices, each gone when the next is made, are each asked for by their own name."""
    protocol = OpenAI(Provider(name="acme", protocol="openai", base_url="https://acme.test/v1"), None)
    for number in range(1_000):
        choice = ModelChoice(model=Model("acme", f"m-{number}"))
        assert body_of(protocol, TEXT, choice=choice)["model"] == f"m-{number}"


def test_an_idempotency_key_goes_into_the_header_that_the_provider_has_for_it():
    """With a header's name and a key, the request carries it; the next request's is its own, or none."""
    account = Provider(
        name="acme", protocol="openai", base_url="https://acme.test/v1", idempotency_header="Idempotency-Key"
    )
    protocol = OpenAI(account, None)

    def header(idempotency_key):
        request = next(protocol.exchange(HELLO, CHOICE, TEXT, idempotency_key=idempotency_key))
        return request.headers.get("idempotency-key")

    assert [header("k-1"), header("k-2"), header(None)] == ["k-1", "k-2", None]


def test_an_idempotency_key_is_kept_from_who_knows_none():
    """A provider without such a header is sent none."""
    protocol = OpenAI(Provider(name="acme", protocol="openai", base_url="https://acme.test/v1"), None)
    request = next(protocol.exchange(HELLO, CHOICE, TEXT, idempotency_key="k-1"))
    assert "k-1" not in request.headers.values()


def test_asking_changes_nothing_that_was_given():
    """Messages and parameters of a plan are the same after the exchange as before."""
    choice = ModelChoice(model=Model("acme", "big"), parameters={"max_tokens": 5})
    messages = [Message(role="system", text="Be brief."), *HELLO]
    account = Provider(
        name="acme",
        protocol="openai",
        base_url="https://acme.test/v1",
        structured_output="prompt",
        max_tokens_field="max_completion_tokens",
    )
    protocol = OpenAI(account, None)
    asked = [body_of(protocol, JSON, messages=messages, choice=choice) for _ in range(2)]
    assert asked[0] == asked[1]
    assert asked[0]["messages"][0]["content"].startswith("Be brief.\n\nAnswer with one JSON value")
    assert choice.parameters == {"max_tokens": 5}
    assert [message.text for message in messages] == ["Be brief.", "Hello"]
