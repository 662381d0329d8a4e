"""Each file in cases/openai is an exchange: what is asked, what comes back, what it means."""

from pathlib import Path

import orjson
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Finish, Modality, Output, Reply
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider, Secret
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.domain.usage import Usage
from tasks_lib.providers.openai import OpenAI
from tasks_lib.providers.protocol import Response

KEY = Secret("ACME_API_KEY", "sk-secret-key")
CASES = sorted((Path(__file__).parent / "cases" / "openai").glob("*.json"))
NO_ANSWER = Response(status=500, headers={})


def drive(exchange, response):
    """The request that an exchange makes, and what it says when this response comes."""
    request = next(exchange)
    with pytest.raises(StopIteration) as end:
        exchange.send(response)
    return request, end.value.value


def begun(*, ask, provider):
    """The exchange that a case describes."""
    protocol = OpenAI(
        Provider(name="acme", protocol="openai", base_url="https://acme.test/v1/", **provider), KEY
    )
    messages = [Message(role=role, text=text) for role, text in ask.get("messages", [["user", "Hello"]])]
    choice = ModelChoice(model=Model("acme", "big"), parameters=ask.get("parameters", {}))
    output = Output.of(Modality(ask.get("modality", "text")), ask.get("schema"))
    return protocol.exchange(messages, choice, output)


def response_of(told):
    content = told["text"].encode() if "text" in told else orjson.dumps(told["json"])
    headers = {name.lower(): value for name, value in told.get("headers", {}).items()}
    return Response(status=told["status"], headers=headers, body=content)


def outcome_of(expected):
    """The Reply or Failure that a case expects; what it does not name is as when nothing is known."""
    (sort, fields), *_ = expected.items()
    if "usage" in fields:
        fields["usage"] = Usage(**fields["usage"])
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
    assert len(CASES) >= 40
    assert all(orjson.loads(path.read_bytes())["about"].endswith(".") for path in CASES)


def test_the_request_goes_where_the_provider_is():
    """One POST to the base URL's path, with the key, as JSON."""
    request, _ = drive(begun(ask={}, provider={}), NO_ANSWER)
    assert (request.method, request.url) == ("POST", "https://acme.test/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-secret-key"
    assert request.headers["content-type"] == "application/json"


def test_without_a_key_nothing_is_authorized():
    """A local server is sent no authorization, and its strange bodies are shown all the same."""
    protocol = OpenAI(Provider(name="local", protocol="openai", base_url="http://localhost:1/v1"), None)
    exchange = protocol.exchange(
        [Message(role="user", text="Hello")], ModelChoice(model=Model("local", "m")), Output.of(Modality.TEXT)
    )
    request, outcome = drive(exchange, Response(status=500, headers={}, body=b"Bearer of news"))
    assert "authorization" not in request.headers
    assert outcome.message == "500 Bearer of news"
