"""Each file in cases/anthropic is an exchange: what is asked, what comes back, what it means."""

from pathlib import Path

import orjson
import pytest

from tasks_lib.domain.files import Attachment
from tasks_lib.domain.labels import Carried
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.plan import Message
from tasks_lib.domain.provider import Provider
from tasks_lib.domain.task import Model, ModelChoice
from tasks_lib.providers.anthropic import Anthropic
from tests.providers.test_openai_cases import KEY, drive, outcome_of, response_of

CASES = sorted((Path(__file__).parent / "cases" / "anthropic").glob("*.json"))


def begun(*, ask, provider):
    """The exchange that a case describes; its files go with the last message."""
    protocol = Anthropic(
        Provider(name="acme", protocol="anthropic", base_url="https://acme.test/v1/", **provider), KEY
    )
    files = tuple(
        Attachment(name=name, mime_type=mime_type, content=text.encode())
        for name, mime_type, text in ask.get("files", ())
    )
    *before, (role, text) = ask.get("messages", [["user", "Hello"]])
    messages = [Message(role=role, text=text) for role, text in before]
    messages.append(Message(role=role, text=text, files=files))
    choice = ModelChoice(model=Model("acme", "big"), parameters=ask.get("parameters", {}))
    output = Output.of(Modality(ask.get("modality", "text")), ask.get("schema"))
    carried = Carried(user=ask["user"]) if "user" in ask else None
    return protocol.exchange(messages, choice, output, carried=carried)


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
    assert len(CASES) >= 60
    assert all(orjson.loads(path.read_bytes())["about"].endswith(".") for path in CASES)
