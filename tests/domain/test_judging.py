"""Whether a reply is an answer."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Finish, Modality, Output, Reply
from tasks_lib.domain.usage import Usage
from tests.domain.pieces import TEXT

ANY_JSON = Output.of(Modality.JSON)
MOOD = Output.of(
    Modality.JSON,
    {
        "type": "object",
        "properties": {
            "mood": {"enum": ["good", "bad"]},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["mood"],
        "additionalProperties": False,
    },
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def kind_of(verdict):
    assert isinstance(verdict, Failure), verdict
    return verdict.kind


@given(VALUES, st.sampled_from(["{}", "```json\n{}\n```", "\n ```\n{}```  ", "  {}\n"]))
def test_any_json_value_is_an_answer_with_or_without_a_fence(value, frame):
    """What a model says as JSON comes back as it was said, whether or not it is fenced."""
    text = frame.replace("{}", orjson.dumps(value).decode())
    assert judge(ANY_JSON, Reply(text=text)) == Answer(value=orjson.loads(orjson.dumps(value)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "```",
        "```\n```",
        "``` {} ```",
        '{"mood": "good"',
        '{"mood": "good"} indeed',
        "1e999",
        "NaN",
    ],
)
def test_what_is_not_json_is_told_so(text):
    """Prose, half an object or nothing is an invalid output, with the text kept."""
    verdict = judge(ANY_JSON, Reply(text=text))
    assert kind_of(verdict) is FailureKind.INVALID_OUTPUT
    assert verdict.message.startswith("the answer is not JSON (")
    assert verdict.text == text


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"mood": "so-so"}', "at $.mood:"),
        ('{"mood": "good", "notes": ["a", 2.5]}', "at $.notes[1]:"),
        ("{}", "at $:"),
        ("[]", "at $:"),
        ('{"mood": "good", "x": 1}', "at $:"),
    ],
)
def test_what_breaks_the_schema_is_told_with_its_place(text, place):
    """The message says where the first violation is, in words short enough to send back."""
    verdict = judge(MOOD, Reply(text=text))
    assert kind_of(verdict) is FailureKind.INVALID_OUTPUT
    assert verdict.message.startswith(f"the answer does not meet the schema {place} ")
    assert len(verdict.message) < 400


def test_an_answer_that_meets_the_schema_is_its_value():
    """No failure, no warning, the value as parsed."""
    assert judge(MOOD, Reply(text='{"mood": "good"}')) == Answer(value={"mood": "good"})


@pytest.mark.parametrize("output", [TEXT, ANY_JSON, MOOD])
@pytest.mark.parametrize("text", ["", "I would rather not.", '{"mood": "good"}'])
def test_a_refusal_is_never_an_answer(output, text):
    """Refused is refused, even if the text would be valid."""
    verdict = judge(output, Reply(text=text, finish=Finish.REFUSED))
    assert kind_of(verdict) is FailureKind.REFUSED
    assert verdict.message == (text or "the model declined")


@pytest.mark.parametrize("text", ["", "[1, 2", '{"mood": "good"}'])
def test_json_that_was_cut_is_never_an_answer(text):
    """At the token limit even JSON that happens to be whole is not what the model wanted to say."""
    assert kind_of(judge(MOOD, Reply(text=text, finish=Finish.LENGTH))) is FailureKind.LENGTH


def test_text_is_an_answer_as_it_is():
    """Text is kept to the letter, and told to have been cut where it was."""
    assert judge(TEXT, Reply(text=" ```hi``` ")) == Answer(value=" ```hi``` ")
    assert judge(TEXT, Reply(text="hi", finish=Finish.LENGTH)) == Answer(
        value="hi", warnings=("cut at the token limit",)
    )


def test_no_text_at_all_is_asked_again_unless_it_was_cut():
    """An empty answer may come better; one whose tokens all went into thinking would cost the same again."""
    assert kind_of(judge(TEXT, Reply(text=" \n"))) is FailureKind.INVALID_OUTPUT
    assert kind_of(judge(TEXT, Reply(text="", finish=Finish.LENGTH))) is FailureKind.LENGTH


def test_a_failure_keeps_what_the_reply_knew():
    """Usage, model, status and request id survive, and a long text is cut to a readable length."""
    usage = Usage(input_tokens=3, output_tokens=4)
    reply = Reply(text="x" * 9_000, usage=usage, model="m-1", http_status=200, request_id="r-1")
    verdict = judge(ANY_JSON, reply)
    assert isinstance(verdict, Failure)
    assert (verdict.usage, verdict.model, verdict.http_status, verdict.request_id) == (
        usage,
        "m-1",
        200,
        "r-1",
    )
    assert verdict.text == "x" * 1_999 + "…"


@pytest.mark.parametrize("levels", [254, 255, 900, 1_024, 5_000])
@pytest.mark.parametrize("schema", [None, {"enum": [1]}, {"uniqueItems": True}, {"items": {"$ref": "#"}}])
def test_a_model_that_runs_away_in_brackets_is_only_an_invalid_answer(levels, schema):
    """What is nested too deep to be checked or stored is judged like any other nonsense, and never raises."""
    text = "[" * levels + "]" * levels
    verdict = judge(Output.of(Modality.JSON, schema), Reply(text=text))
    if isinstance(verdict, Answer):
        assert levels == 254
        assert orjson.dumps(verdict.value) == text.encode()
    else:
        assert verdict.kind is FailureKind.INVALID_OUTPUT


def test_many_brackets_side_by_side_are_no_depth():
    """A long list of small objects is an answer."""
    assert judge(ANY_JSON, Reply(text="[" + ",".join(["{}"] * 500) + "]")) == Answer(value=[{}] * 500)


@given(st.sampled_from(list(Finish)), st.text() | st.text(alphabet='[]{}"\\`,:1e\n', max_size=40))
def test_judging_never_raises(finish, text):
    """Whatever a model says, it is an answer or a failure."""
    for output in (TEXT, ANY_JSON, MOOD):
        assert isinstance(judge(output, Reply(text=text, finish=finish)), Answer | Failure)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"properties": []},
        {"pattern": "("},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.invalid/schema"},
        {"$ref": "file:///etc/hostname"},
        {"$schema": "https://example.invalid/meta"},
        {"const": {1, 2}},
    ],
)
def test_what_is_no_schema_is_refused_before_any_call(schema):
    """A schema that cannot be compiled, or would have to be fetched, is a ValueError that says so."""
    with pytest.raises(ValueError, match="not a JSON Schema: "):
        Output.of(Modality.JSON, schema)


def test_a_schema_opens_no_files(tmp_path):
    """A reference to a file on this machine is refused, though the file is a schema."""
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    with pytest.raises(ValueError, match="disabled"):
        Output.of(Modality.JSON, {"$ref": (tmp_path / "schema.json").as_uri()})


def test_a_text_has_no_schema():
    """A schema for text would check nothing."""
    with pytest.raises(ValueError, match="no schema"):
        Output.of(Modality.TEXT, {"type": "string"})


def test_a_pattern_that_never_ends_is_given_up():
    """A regular expression that backtracks without end makes an invalid answer, and no endless loop."""
    output = Output.of(Modality.JSON, {"pattern": r"^(a|a)*\1$"})
    assert kind_of(judge(output, Reply(text=f'"{"a" * 40}!"'))) is FailureKind.INVALID_OUTPUT
