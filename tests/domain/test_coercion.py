"""Values of the wrong type that can only mean one value of the right type."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Modality, Output, Reply

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
SCHEMAS = [
    {"type": "integer"},
    {"type": "number"},
    {"type": "boolean"},
    {"type": "null"},
    {"type": "string"},
    {"type": "array", "items": {"type": "integer"}},
    {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}},
    {"enum": ["a", 1, None]},
    {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["3", "true", "[1]", "null"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner),
    max_leaves=5,
)


def judged(schema, value, *, coerce=True):
    """What comes of a JSON value under a schema."""
    return judge(Output.of(Modality.JSON, schema, coerce=coerce), Reply(text=orjson.dumps(value).decode()))


@pytest.mark.parametrize(
    ("schema", "value", "read"),
    [
        ({"type": "integer"}, "3", 3),
        ({"type": "integer"}, "-120", -120),
        ({"$schema": DRAFT_4, "type": "integer"}, 3.0, 3),
        ({"type": "number"}, "3", 3),
        ({"type": "number"}, "-0.25", -0.25),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "False", False),
        ({"type": "null"}, "null", None),
        ({"type": "string"}, 3, "3"),
        ({"type": "string"}, True, "true"),
        ({"type": "array"}, "[1, 2]", [1, 2]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, '{"a": "1"}', {"a": 1}),
        ({"enum": ["Good", "bad"]}, " good ", "Good"),
        ({"enum": [1, 2]}, "2", 2),
        ({"enum": ["1", "2"]}, 2, "2"),
        ({"const": "yes"}, "Yes", "yes"),
        ({"type": ["integer", "null"]}, "3", 3),
        ({"type": ["integer", "null"]}, "null", None),
        ({"type": ["integer", "number"]}, "3", 3),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "3", 3),
        ({"oneOf": [{"type": "integer"}, {"type": "boolean"}]}, "true", True),
        ({"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}}, ["3"], [3]),
    ],
)
def test_what_can_mean_one_thing_is_read_so(schema, value, read):
    """R20: the table of readings, each of which loses nothing and is told as a warning."""
    verdict = judged(schema, value)
    assert isinstance(verdict, Answer), verdict
    assert orjson.dumps(verdict.value) == orjson.dumps(read)
    assert verdict.warnings


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, "3.5"),
        ({"type": "integer"}, "03"),
        ({"type": "integer"}, " 3"),
        ({"type": "integer"}, "9" * 19),
        ({"type": "integer"}, "three"),
        ({"type": "integer"}, 3.5),
        ({"type": "integer"}, True),
        ({"type": "number"}, "1,000"),
        ({"type": "number"}, "0.1000000000000000000001"),
        ({"type": "number"}, "1e999"),
        ({"type": "number"}, "NaN"),
        ({"type": "boolean"}, 1),
        ({"type": "boolean"}, "yes"),
        ({"type": "null"}, ""),
        ({"type": "string"}, 1.5),
        ({"type": "string"}, None),
        ({"type": "array", "items": {"type": "integer"}}, 3),
        ({"type": "array"}, '{"a": 1}'),
        ({"type": "object"}, "{a: 1}"),
        ({"type": "array"}, "[" * 300 + "]" * 300),
        ({"enum": ["Good", "good"]}, "GOOD"),
        ({"enum": ["good"]}, "goodish"),
        ({"enum": [1.5]}, "1.5"),
        ({"type": ["integer", "boolean"], "enum": [1, True]}, "x"),
        ({"anyOf": [{"type": "integer"}, {"type": "array"}]}, "x"),
        ({"oneOf": [{"const": "A"}, {"const": "a"}]}, " a"),
        ({"type": "integer", "minimum": 5}, "3"),
        ({"required": ["a"], "properties": {"b": {"type": "integer"}}}, {"b": "3"}),
    ],
)
def test_what_could_mean_more_or_loses_something_is_not_read(schema, value):
    """R20: what is ambiguous, lossy or still invalid stays an invalid output."""
    assert isinstance(judged(schema, value), Failure)


def test_a_valid_answer_is_left_as_it_is():
    """Text where text is allowed is text, and 3.0 is an integer already: strict validation comes first."""
    assert judged({"type": ["string", "integer"]}, "3") == Answer(value="3")
    verdict = judged({"type": "integer"}, 3.0)
    assert isinstance(verdict, Answer)
    assert isinstance(verdict.value, float)


def test_coercion_can_be_switched_off():
    """R20: with coerce off, only what meets the schema as it is is an answer."""
    assert isinstance(judged({"type": "integer"}, "3", coerce=False), Failure)


def test_each_reading_is_told_with_its_place():
    """A warning says where and what; of very many the first ten, and how many more."""
    schema = {"properties": {"ages": {"type": "array", "items": {"type": "integer"}}}}
    verdict = judged(schema, {"ages": [1, "2", "3"]})
    assert isinstance(verdict, Answer)
    assert verdict.warnings == ('$.ages[1]: "2" read as 2', '$.ages[2]: "3" read as 3')
    verdict = judged(schema, {"ages": ["4"] * 25})
    assert isinstance(verdict, Answer)
    assert len(verdict.warnings) == 11
    assert verdict.warnings[-1] == "and 15 more such readings"


def test_the_failure_tells_what_was_wrong_before_any_reading():
    """What is sent back to the model is about its own answer."""
    verdict = judged({"type": "integer", "minimum": 5}, "3")
    assert isinstance(verdict, Failure)
    assert '"3" is not of type "integer"' in verdict.message


@given(st.sampled_from(SCHEMAS), VALUES)
def test_what_is_read_meets_the_schema(schema, value):
    """An answer is valid whichever way it was come by, and nothing is read without a word."""
    output = Output.of(Modality.JSON, schema)
    try:
        text = orjson.dumps(value).decode()
    except (TypeError, UnicodeEncodeError):
        return
    verdict = judge(output, Reply(text=text))
    if isinstance(verdict, Answer):
        assert output.validator.is_valid(verdict.value)
        assert bool(verdict.warnings) is (orjson.dumps(verdict.value) != orjson.dumps(orjson.loads(text)))
