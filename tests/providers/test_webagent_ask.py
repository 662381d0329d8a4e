"""What a browser agent's run is begun with, and what is wrong with that before it is begun."""

import pytest

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.output import Modality, Output
from tasks_lib.providers.webagent_ask import CLOUD, cautions, problems
from tests.providers.webagent_rig import DONE, SCHEMA, STARTED, Driven, a_plan, cloud, row, said, self_hosted

TEXT = Output.of(Modality.TEXT)
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


def body_of(plan, protocol=None):
    """What the run of a plan is begun with."""
    return Driven(protocol or self_hosted(), plan, [said(STARTED), said(row(**DONE))]).body


def test_only_what_is_overridden():
    """W03: what nobody says, or says as null, is not sent, so that the task keeps its own."""
    assert body_of(a_plan(" ", parameters={"model": None, "provider": None})) == {
        "wait_for_completion": False
    }


def test_the_prompt():
    """W04: the prompt is the row's rendered message, below the system prompt if there is one."""
    assert body_of(a_plan("Find it."))["prompt"] == "Find it."
    assert body_of(a_plan("Find it.", system="You are quick."))["prompt"] == "You are quick.\n\nFind it."


@pytest.mark.parametrize("text", ["", "  ", "ab", " a b"[:3]])
def test_a_prompt_that_is_too_short(text):
    """W04: a row whose prompt has fewer than three characters is not sent: the task's own would be run."""
    failure = Driven(self_hosted(), a_plan(text, asked="{{text}}"), []).failure
    assert failure.kind is FailureKind.BAD_ROW
    assert failure.message.endswith("and Webagent takes 3 at least")


def test_what_parameters_say():
    """W05, W06, W09, W10, W12: model, provider, webhook, format and replay go as the parameters say."""
    told = {
        "model": "claude-4",
        "provider": "anthropic",
        "webhook_url": "https://example.com/done",
        "response_format": "json",
        "use_cached_workflow": False,
    }
    assert body_of(a_plan("Find it.", parameters=told)) == {
        "prompt": "Find it.",
        "wait_for_completion": False,
        **told,
    }


def test_the_schema_of_rows():
    """W11: the columns of CSV are asked for as a schema, which the answer is read by."""
    output = Output.of(Modality.CSV, columns=(CsvColumn(name="price", type=ColumnType.NUMBER),))
    schema = body_of(a_plan(output=output))["json_schema"]
    assert list(schema["properties"]) == ["rows"]


def test_parameters_that_are_right():
    """W03, W05, W06, W07, W09, W10, W12: every field that may be overridden, null included."""
    told = {
        "model": "o3",
        "provider": "together",
        "wait_for_completion": True,
        "webhook_url": "http://localhost:9/done",
        "response_format": "text",
        "use_cached_workflow": True,
        "marker": True,
    }
    assert problems(told, TEXT) == []
    assert problems(dict.fromkeys(told), TEXT) == []
    own = {"auth_context_id": "c", "initial_url": "https://a.example", "session_timeout": 900}
    assert problems({**own, "provider": "openrouter"}, TEXT, edition=CLOUD) == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("model", 3, "must be a text"),
        ("model", " ", "must be a text"),
        ("provider", "ollama", "must be one of openai, deepseek, anthropic, google, groq, mistral, together"),
        ("wait_for_completion", "no", "must be true or false"),
        ("webhook_url", "example.com", "must be an address such as https://example.com/done"),
        ("webhook_url", "http://[", "must be an address such as https://example.com/done"),
        ("response_format", "xml", "must be one of text, json"),
        ("use_cached_workflow", 1, "must be true or false"),
        ("marker", "yes", "must be true or false"),
        ("initial_url", "https://a", "is known to the edition cloud only, not to self_hosted"),
        ("session_timeout", 60, "is known to the edition cloud only, not to self_hosted"),
        ("use_cached_workfow", True, "is unknown to Webagent. Did you mean use_cached_workflow?"),
        (
            "json_schema",
            {},
            ": the schema is what `output` says, and nothing else",
        ),
        ("prompt", "Hi", ": the prompt is what `user_prompt` says, and nothing else"),
    ],
)
def test_parameters_that_are_wrong(name, value, told):
    """W04, W06, W07, W09, W10, W11, W12: each is told with its name, before anything is sent."""
    space = "" if told.startswith(":") else " "
    assert problems({name: value}, TEXT) == [f"parameters.{name}{space}{told}"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("use_cached_workflow", True, "is known to the edition self_hosted only, not to cloud"),
        ("marker", True, "is known to the edition self_hosted only, not to cloud"),
        ("session_timeout", True, "must be a whole number of seconds above 0"),
        ("session_timeout", 0, "must be a whole number of seconds above 0"),
    ],
)
def test_parameters_that_are_wrong_in_the_cloud(name, value, told):
    """W12: each edition has fields of its own."""
    assert problems({name: value}, TEXT, edition=CLOUD) == [f"parameters.{name} {told}"]


def test_an_unknown_parameter():
    """W03: one that is like none of them is told with all of them."""
    [told] = problems({"zzz": 1}, TEXT)
    assert told.startswith("parameters.zzz is unknown to Webagent. It knows model, provider, webhook_url")


def test_parameters_of_language_models():
    """A job whose model line alone was changed keeps them; they are not sent, and that can be told."""
    told = {"temperature": 0, "max_tokens": 64, "provider": "groq"}
    assert problems(told, TEXT) == []
    assert cautions(told, TEXT) == ["Webagent has no parameters temperature, max_tokens: they are not sent"]
    assert cautions({"provider": "groq"}, TEXT) == []
    assert "temperature" not in body_of(a_plan(parameters=told))


def test_a_replay_and_a_schema():
    """W12: a replay does not know of the schema, which is told before the first call."""
    [told] = cautions({"use_cached_workflow": True}, Output.of(Modality.JSON, SCHEMA))
    assert told == "a cached workflow answers with a page's text, whatever output.schema says"
    assert cautions({"use_cached_workflow": True}, TEXT) == []


def test_a_schema_that_is_none():
    """W11: the server reads a schema by Draft 7, which says no to some that a newer draft allows."""
    newer = {"type": "object", "properties": {"a": {"type": "array", "additionalItems": 5}}}
    [told] = problems({}, Output.of(Modality.JSON, {"$schema": DRAFT_2020, **newer}))
    assert told.startswith("output.schema is no JSON Schema of Draft 7 at ")
    assert "additionalItems" in told
    assert problems({}, Output.of(Modality.JSON, SCHEMA)) == []


def test_the_cloud_gets_no_marker():
    """A marker is for a list of runs, which the cloud does not have."""
    plan = a_plan(marker=True)
    driven = Driven(cloud(), plan, [said({"id": "r", "status": "success", "result": "x"})])
    assert driven.reply.text == "x"
