"""Whether a reply is an answer."""

import pickle

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.csv_columns import CsvColumn
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Finish, Media, Modality, Output, Reply
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


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("# Title\n\nText.", "# Title\n\nText."),
        ("```markdown\n# Title\n```\n", "# Title\n"),
        ("```md\n# Title\n```", "# Title\n"),
        ("```python\nx = 1\n```", "```python\nx = 1\n```"),
    ],
)
def test_a_document_is_its_markdown(text, document):
    """R19: of modality pdf the answer is Markdown, without a fence that only says that it is."""
    assert judge(Output.of(Modality.PDF), Reply(text=text)) == Answer(value=document)


@pytest.mark.parametrize("text", ["", " \n", "```markdown\n\n```"])
def test_an_empty_document_is_no_answer(text):
    """R19: there must be something to print."""
    assert kind_of(judge(Output.of(Modality.PDF), Reply(text=text))) is FailureKind.INVALID_OUTPUT


@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.AUDIO, Modality.PDF])
def test_a_picture_or_recording_is_its_bytes(modality):
    """R19: the answer is what was made, and a document may be, too; words beside it are no value."""
    media = Media(content=b"\x89PNG", mime_type="image/png")
    assert judge(Output.of(modality), Reply(text="Here you are", media=media)) == Answer(
        value=None, media=media
    )


@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.AUDIO])
@pytest.mark.parametrize("media", [None, Media(content=b"")])
def test_no_bytes_are_no_picture_and_no_recording(modality, media):
    """R19: a model that only talks is told so, with what it said; one that was cut is out of tokens."""
    output = Output.of(modality)
    verdict = judge(output, Reply(text="I could\nnot.", media=media))
    assert kind_of(verdict) is FailureKind.INVALID_OUTPUT
    assert verdict.message.endswith("came, but words: I could not.")
    assert kind_of(judge(output, Reply(text="", media=media, finish=Finish.LENGTH))) is FailureKind.LENGTH


@pytest.mark.parametrize("modality", Modality)
def test_a_refusal_is_one_in_every_modality(modality):
    """R19: whatever was asked for, a model that declines has declined."""
    assert (
        kind_of(judge(Output.of(modality), Reply(text="No.", finish=Finish.REFUSED))) is FailureKind.REFUSED
    )


@pytest.mark.parametrize(
    "output",
    [
        MOOD,
        TEXT,
        Output.of(Modality.JSON, {"type": "integer"}, coerce=False),
        Output.of(Modality.CSV, columns=[CsvColumn(name="a", nullable=True)], min_rows=1, max_rows=3),
        Output.of(Modality.IMAGE, file_type="png"),
    ],
)
def test_an_output_goes_to_another_process_whole(output):
    """What is sent to a worker judges there as it did here."""
    sent = pickle.loads(pickle.dumps(output))  # noqa: S301  # our own, of this line
    assert sent == output
    reply = Reply(text='{"rows": [{"a": null}]}')
    assert judge(sent, reply) == judge(output, reply)


@pytest.mark.parametrize(
    ("modality", "wrong"),
    [
        (Modality.CSV, {"schema": {}}),
        (Modality.PDF, {"schema": {}}),
        (Modality.JSON, {"columns": [CsvColumn(name="a")]}),
        (Modality.TEXT, {"min_rows": 1}),
        (Modality.JSON, {"max_rows": 1}),
        (Modality.CSV, {"columns": [CsvColumn(name="a"), CsvColumn(name="a")]}),
        (Modality.CSV, {"min_rows": 3, "max_rows": 2}),
        (Modality.CSV, {"file_type": "png"}),
        (Modality.IMAGE, {"file_type": "mp3"}),
        (Modality.AUDIO, {"file_type": "jpeg"}),
    ],
)
def test_what_does_not_go_together_is_no_output(modality, wrong):
    """Columns are for CSV, schemas for JSON, file types for pictures and recordings."""
    with pytest.raises(ValueError, match=r"has no|one name|at most"):
        Output.of(modality, **wrong)


def test_choices_within_choices_are_not_explained_without_end():
    """A value deep in a schema that chooses among itself is judged at once, and told without the place."""
    inner = {"$ref": "#/$defs/n"}
    choices = [
        {"type": "integer"},
        {"type": "array", "items": inner},
        {"type": "array", "minItems": 9, "items": inner},
    ]
    output = Output.of(Modality.JSON, {**inner, "$defs": {"n": {"anyOf": choices}}})
    assert judge(output, Reply(text="[" * 200 + "1" + "]" * 200)).value is not None
    verdict = judge(output, Reply(text="[" * 200 + '"x"' + "]" * 200))
    assert kind_of(verdict) is FailureKind.INVALID_OUTPUT
    assert verdict.message == "the answer does not meet the schema"
    assert "at $[0]" in judge(Output.of(Modality.JSON, {"items": choices[0]}), Reply(text='["x"]')).message


@pytest.mark.parametrize(("items", "is_read"), [(500, True), (100_000, False)])
def test_an_answer_is_not_read_anew_without_end(items, is_read):
    """R20: hundreds of numbers in quotes are read as numbers; a hundred thousand are an invalid answer."""
    output = Output.of(Modality.JSON, {"type": "array", "items": {"type": "integer"}})
    verdict = judge(output, Reply(text=orjson.dumps(["3"] * items).decode()))
    assert isinstance(verdict, Answer) is is_read
