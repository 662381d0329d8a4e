"""Output formats: names and types that become a JSON Schema."""

import pytest

from tasks_lib.domain.failure import Failure
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Modality, Output, Reply
from tasks_lib.domain.output_format import FormatProblem, format_problems, schema_of_format
from tasks_lib.providers.openai_strict import fits_strict_mode

REVIEW = {
    "mood": {"type": "str", "options": ["good", "bad"], "description": "of the text"},
    "score": "int",
    "share": "float",
    "is_new": "bool",
    "tags": "list",
    "years": {"type": "array", "item_type": "integer"},
    "people": {
        "type": "list",
        "item_type": "object",
        "nested_structure": {
            "name": "string",
            "home": {"type": "object", "nested_structure": {"town": "str"}},
        },
    },
}


def nested(levels):
    """A format of so many levels."""
    return {"a": "str" if levels == 1 else {"type": "object", "nested_structure": nested(levels - 1)}}


def test_a_format_becomes_a_closed_schema():
    """R20: an output format means closed objects, every field required, of the types it names."""
    people = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "home": {
                "type": "object",
                "properties": {"town": {"type": "string"}},
                "required": ["town"],
                "additionalProperties": False,
            },
        },
        "required": ["name", "home"],
        "additionalProperties": False,
    }
    assert schema_of_format(REVIEW) == {
        "type": "object",
        "properties": {
            "mood": {"type": "string", "enum": ["good", "bad"], "description": "of the text"},
            "score": {"type": "integer"},
            "share": {"type": "number"},
            "is_new": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "years": {"type": "array", "items": {"type": "integer"}},
            "people": {"type": "array", "items": people},
        },
        "required": list(REVIEW),
        "additionalProperties": False,
    }


def test_a_format_fits_strict_mode():
    """R20: a provider with a strict mode can hold a model to it."""
    assert fits_strict_mode(schema_of_format(REVIEW))


def test_an_answer_is_judged_by_its_format():
    """R20: an answer that matches is taken, one that does not is an invalid output with its place."""
    output = Output.of(Modality.JSON, schema_of_format({"mood": REVIEW["mood"], "score": "int"}))
    assert judge(output, Reply(text='{"mood": "good", "score": 3}')) == Answer(
        value={"mood": "good", "score": 3}
    )
    verdict = judge(output, Reply(text='{"mood": "so-so", "score": 3}'))
    assert isinstance(verdict, Failure)
    assert "at $.mood" in verdict.message


def test_options_of_a_list_are_those_of_its_items():
    """A list with options holds any number of them."""
    schema = schema_of_format({"tags": {"type": "list", "options": ["a", "b"]}})
    assert schema["properties"] == {
        "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}
    }


def test_an_object_without_a_structure_is_open():
    """What nothing is said of may hold anything."""
    assert schema_of_format({"more": "object"})["properties"] == {"more": {"type": "object"}}


@pytest.mark.parametrize(
    ("output_format", "path", "message"),
    [
        ({}, (), "must have at least one field"),
        ({"a b": "str"}, ("a b",), "must be named with"),
        ({"": "str"}, ("",), "must be named with"),
        ({"a" * 65: "str"}, ("a" * 65,), "must be named with"),
        ({"ä": "str"}, ("ä",), "must be named with"),
        ({"a": "text"}, ("a",), "must be one of str, string, int"),
        ({"a": None}, ("a",), "must be a type, or a mapping"),
        ({"a": ["str"]}, ("a",), "must be a type, or a mapping"),
        ({"a": {}}, ("a",), "has no type"),
        ({"a": {"type": "text"}}, ("a", "type"), "must be one of"),
        ({"a": {"type": 3}}, ("a", "type"), "must be one of"),
        ({"a": {"type": "str", "requird": True}}, ("a", "requird"), "is no key of a field"),
        ({"a": {"type": "str", "description": 3}}, ("a", "description"), "must be text"),
        ({"a": {"type": "str", "item_type": "str"}}, ("a", "item_type"), "is for lists alone"),
        ({"a": {"type": "list", "item_type": "text"}}, ("a", "item_type"), "must be one of"),
        ({"a": {"type": "list", "item_type": "list"}}, ("a", "item_type"), "cannot be a list"),
        (
            {"a": {"type": "str", "nested_structure": {"b": "str"}}},
            ("a", "nested_structure"),
            "is for objects",
        ),
        (
            {"a": {"type": "list", "item_type": "str", "nested_structure": {"b": "str"}}},
            ("a", "nested_structure"),
            "is for objects",
        ),
        ({"a": {"type": "object", "nested_structure": {}}}, ("a", "nested_structure"), "at least one"),
        ({"a": {"type": "object", "nested_structure": "b"}}, ("a", "nested_structure"), "must be a mapping"),
        (
            {"a": {"type": "object", "nested_structure": {"b": 1}}},
            ("a", "nested_structure", "b"),
            "must be a",
        ),
        ({"a": {"type": "object", "options": [1]}}, ("a", "options"), "are for texts"),
        ({"a": {"type": "str", "options": []}}, ("a", "options"), "at least one value"),
        ({"a": {"type": "str", "options": ["x", 1]}}, ("a", "options", 1), "is not of type string"),
        ({"a": {"type": "int", "options": [True]}}, ("a", "options", 0), "is not of type integer"),
        ({"a": {"type": "str", "options": ["x", "x"]}}, ("a", "options", 1), "stands there twice"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(output_format, path, message):
    """R20: each mistake in a format names its place, and no schema is made of it."""
    (problem,) = format_problems(output_format)
    assert isinstance(problem, FormatProblem)
    assert problem.path == path
    assert message in problem.message
    with pytest.raises(ValueError, match=r"must|has|is|are|cannot|stands"):
        schema_of_format(output_format)


def test_depth_is_bounded():
    """Ten levels of objects are taken, and an eleventh is refused."""
    assert list(format_problems(nested(10))) == []
    (problem,) = format_problems(nested(11))
    assert problem.message == "is more than 10 levels deep"
