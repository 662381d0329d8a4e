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
from tasks_lib.providers.google import Google
from tasks_lib.providers.protocol import Response
from tests.providers.test_openai import HEADERS, KEY
from tests.providers.test_openai_cases import drive

CHOICE = ModelChoice(model=Model("acme", "big"))
HELLO = [Message(role="user", text="Hello")]
OUTPUTS = {modality: Output.of(modality) for modality in (Modality.TEXT, Modality.IMAGE, Modality.AUDIO)} | {
    Modality.JSON: Output.of(Modality.JSON, {"enum": [1]})
}

NAMES = st.sampled_from(
    [
        "candidates",
        "content",
        "parts",
        "text",
        "thought",
        "inlineData",
        "mimeType",
        "data",
        "finishReason",
        "finishMessage",
        "promptFeedback",
        "blockReason",
        "usageMetadata",
        "promptTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "cachedContentTokenCount",
        "modelVersion",
        "responseId",
        "error",
        "code",
        "status",
        "message",
        "details",
        "reason",
        "violations",
        "quotaId",
        "quotaValue",
        "retryDelay",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["STOP", "MAX_TOKENS", "SAFETY", "OTHER", "image/png", "audio/L16;rate=0", "AAA=", "A", "²²²"]
    ),
    st.sampled_from(["34s", "-1s", "9e9s", "API_KEY_INVALID", "PerDay", "0", "", KEY, f"{KEY}!"]),
    st.text(max_size=5),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
PARTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "text": ANYTHING,
            "thought": ANYTHING,
            "inlineData": st.fixed_dictionaries({"mimeType": LEAVES, "data": LEAVES}) | ANYTHING,
        },
    ),
    max_size=3,
)
CANDIDATES = st.lists(
    st.fixed_dictionaries(
        {"content": st.fixed_dictionaries({"parts": PARTS}) | ANYTHING, "finishReason": ANYTHING}
    ),
    max_size=2,
)
ANSWERS = st.fixed_dictionaries(
    {"candidates": CANDIDATES},
    optional={
        "usageMetadata": ANYTHING,
        "error": ANYTHING,
        "promptFeedback": ANYTHING,
        "modelVersion": ANYTHING,
        "responseId": ANYTHING,
    },
)
BODIES = st.one_of(
    st.binary(max_size=200),
    ANYTHING.map(orjson.dumps),
    ANSWERS.map(orjson.dumps),
    st.builds(lambda error: orjson.dumps({"error": error}), ANYTHING),
    st.builds(lambda body, end: body[:end], ANSWERS.map(orjson.dumps), st.integers(0, 300)),
    st.integers(1, 1_100).map(lambda levels: b'{"error":{"details":' + b"[" * levels + b"]" * levels + b"}}"),
)


@settings(max_examples=600)
@given(
    st.sampled_from([200, 200, 200, 201, 307, 400, 401, 402, 403, 429, 500]),
    HEADERS,
    BODIES,
    st.sampled_from(sorted(OUTPUTS, key=str)),
)
def test_whatever_comes_is_a_reply_or_a_failure(status, headers, content, modality):
    """No bytes raise; waits are sensible, usages consistent, the key unseen; a reply can be judged."""
    account = Provider(name="acme", protocol="google", base_url="https://acme.test/v1beta")
    exchange = Google(account, Secret("ACME_API_KEY", KEY)).exchange(HELLO, CHOICE, OUTPUTS[modality])
    _, outcome = drive(exchange, Response(status=status, headers=headers, body=content))
    assert isinstance(outcome, Reply | Failure)
    assert isinstance(outcome, Failure) or status == 200
    if isinstance(outcome, Failure):
        assert KEY not in outcome.message
        assert len(outcome.message) < 700
        assert outcome.retry_after is None or 0 <= outcome.retry_after <= 3600
        assert not (outcome.maybe_billed and outcome.usage)
    else:
        assert all(isinstance(judge(output, outcome), Answer | Failure) for output in OUTPUTS.values())
    if outcome.usage is not None:
        assert 0 <= outcome.usage.cached_tokens <= outcome.usage.input_tokens <= 10**9
        assert 0 <= outcome.usage.reasoning_tokens <= outcome.usage.output_tokens <= 10**9


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "maxOutputTokens"])
def test_a_bound_of_the_answer_is_known_under_each_of_its_names(name):
    """What the request bounds is what money is set aside for."""
    choice = ModelChoice(model=Model("acme", "big"), parameters={name: 64})
    account = Provider(name="acme", protocol="google", base_url="https://acme.test/v1beta")
    request, _ = drive(
        Google(account, None).exchange(HELLO, choice, OUTPUTS[Modality.TEXT]),
        Response(status=500, headers={}),
    )
    assert choice.most_output_tokens == 64
    assert orjson.loads(request.body)["generationConfig"] == {"maxOutputTokens": 64}
