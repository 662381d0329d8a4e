"""Schemas for APIs that know only a part of JSON Schema."""

from typing import Any

import jsonschema_rs
import pytest

from tasks_lib.providers.schema_subset import Subset, convert

_PLAIN = Subset(
    keywords=frozenset(
        ["type", "properties", "required", "items", "enum", "anyOf", "description", "format", "minItems"]
    )
)
_CLOSED = Subset(
    keywords=_PLAIN.keywords | {"$ref", "const", "additionalProperties"},
    formats=frozenset(["date"]),
    least_items=frozenset([0, 1]),
    enum_of=(str, int, float, bool, type(None)),
    closed_objects=True,
    typed=True,
    recursive=False,
    most_optional=2,
    most_unions=1,
)


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def test_what_an_api_knows_is_told_as_it_stands() -> None:
    """A schema of the subset's own keywords comes out as it went in, and nothing is lost."""
    schema = _object(name={"type": "string", "description": "in full"}, tags={"type": "array", "items": {}})
    converted = convert(schema, _PLAIN)
    assert converted.schema == schema
    assert converted.lost == ()


def test_a_bound_without_a_word_is_said_in_the_description() -> None:
    """What the API has no keyword for is named with its place, and said where a model reads it."""
    converted = convert(
        _object(score={"type": "integer", "description": "of ten", "minimum": 1, "maximum": 10}), _PLAIN
    )
    assert converted.lost == ("minimum of $.score", "maximum of $.score")
    assert converted.schema == _object(
        score={"type": "integer", "description": "of ten (minimum: 1, maximum: 10)"}
    )


@pytest.mark.parametrize(
    ("part", "told", "lost"),
    [
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}, ()),
        (
            {"type": "string", "format": "iban"},
            {"type": "string", "description": 'format: "iban"'},
            ("format of $.it",),
        ),
        ({"type": "array", "items": {"type": "null"}, "minItems": 1}, None, ()),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": 2},
            {"type": "array", "items": {"type": "null"}, "description": "minItems: 2"},
            ("minItems of $.it",),
        ),
        ({"enum": ["a", "b"]}, {"enum": ["a", "b"], "type": "string"}, ()),
        ({"enum": ["a", None]}, {"enum": ["a", None], "type": ["string", "null"]}, ()),
        ({"const": True}, {"const": True, "type": "boolean"}, ()),
        ({"type": "string", "title": "It", "default": "x"}, {"type": "string"}, ()),
        ({"type": "object", "enum": [{}], "additionalProperties": False}, None, ("enum of $.it",)),
        (
            {"oneOf": [{"type": "string"}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            ("oneOf of $.it, which is told as anyOf",),
        ),
        (
            {"allOf": [{"type": "string"}], "description": "x"},
            {"type": "string", "description": "x"},
            (),
        ),
    ],
)
def test_a_part_is_told_as_far_as_it_can_be(part: object, told: object, lost: tuple[str, ...]) -> None:
    """Formats, bounds and values beyond the subset are lost; types that it wants are added."""
    converted = convert(_object(it=part), _CLOSED)
    assert converted.schema is not None
    assert converted.lost == lost
    properties = converted.schema["properties"]
    assert isinstance(properties, dict)
    if told is not None:
        assert properties["it"] == told


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (_object(it={"type": "object"}), "$.it has properties of any name"),
        (
            _object(it={"type": "object", "additionalProperties": {"type": "string"}}),
            "$.it has properties of any name",
        ),
        (
            {"type": "object", "properties": {}, "required": ["a"], "additionalProperties": False},
            "$ requires properties that it does not describe",
        ),
        (_object(it={}), "$.it may be anything"),
        (_object(it=True), "$.it may be anything"),
        (_object(it={"$ref": "#"}), "$.it refers to what it is part of"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": _object(b={"$ref": "#/$defs/b"}), "b": _object(a={"$ref": "#/$defs/a"})},
            },
            "$.b.a refers to what it is part of",
        ),
        (_object(it={"$ref": "#/$defs/none"}), "$.it refers to #/$defs/none, which is not in it"),
        (_object(it={"$ref": "other.json"}), "$.it refers to other.json, which is not in it"),
        (
            {"allOf": [_object(a={"type": "null"}), _object(b={"type": "null"})]},
            "$ must meet several schemas at once (allOf)",
        ),
        (
            {"type": "object", "properties": {name: {"type": "null"} for name in "abc"}},
            "it has 3 properties that may be left out, and 2 may be told",
        ),
        (
            _object(a={"type": ["string", "null"]}, b={"anyOf": [{"type": "null"}]}),
            "it has 2 parts of several types, and 1 may be told",
        ),
    ],
)
def test_a_structure_without_words_is_not_half_told(schema: dict[str, Any], reason: str) -> None:
    """Where closing objects or leaving out structure would forbid right answers, nothing is told."""
    converted = convert(schema, _CLOSED)
    assert converted.schema is None
    assert converted.lost == (f"all of it: {reason}",)


def test_objects_are_closed_where_they_must_be() -> None:
    """An object that says nothing of further properties is closed in silence; one that allows them, aloud."""
    silent = convert(_object(a={"type": "null"}), _CLOSED)
    assert silent.schema == {**_object(a={"type": "null"}), "additionalProperties": False}
    assert silent.lost == ()
    open_to_more = convert({**_object(a={"type": "null"}), "additionalProperties": True}, _CLOSED)
    assert open_to_more.schema == silent.schema
    assert open_to_more.lost == ("that $ may have further properties",)


def test_references_are_kept_where_they_are_known_and_followed_where_not() -> None:
    """The definitions that are referred to are converted, too, wherever they stand."""
    definition = {"type": "string", "minLength": 2}
    schema = {**_object(a={"$ref": "#/$defs/x"}, b={"$ref": "#/$defs/x"}), "$defs": {"x": definition}}
    kept = convert(schema, _CLOSED)
    assert kept.schema is not None
    assert kept.schema["$defs"] == {"x": {"type": "string", "description": "minLength: 2"}}
    assert kept.schema["properties"] == {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/x"}}
    followed = convert(schema, _PLAIN)
    told = {"type": "string", "description": "minLength: 2"}
    assert followed.schema == _object(a=told, b=told)


def test_a_tree_is_told_where_references_may_turn_back() -> None:
    """A definition that refers to itself is kept once."""
    node = _object(children={"type": "array", "items": {"$ref": "#/$defs/node"}})
    schema: dict[str, Any] = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    subset = Subset(keywords=_PLAIN.keywords | {"$ref"})
    assert convert(schema, subset).schema == schema
    assert convert(schema, _PLAIN).schema is None


def test_a_depth_that_an_api_does_not_take_is_not_told() -> None:
    """Levels are counted by objects and arrays within one another."""
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(3):
        schema = _object(a=schema)
    assert convert(schema, Subset(keywords=_PLAIN.keywords, most_levels=4)).schema == schema
    assert convert(schema, Subset(keywords=_PLAIN.keywords, most_levels=3)).schema is None


@pytest.mark.parametrize("subset", [_PLAIN, _CLOSED], ids=["plain", "closed"])
def test_what_is_told_is_a_schema_that_takes_a_right_answer(subset: Subset) -> None:
    """A converted schema is a JSON Schema itself, and a good answer to the whole one still fits it."""
    whole = _object(
        score={"type": "integer", "minimum": 1},
        kind={"enum": ["a", "b"]},
        when={"type": "string", "format": "date-time"},
        tags={"type": "array", "items": {"type": "string", "pattern": "^x"}, "maxItems": 3, "minItems": 2},
        either={"oneOf": [{"type": "string"}, {"type": "integer"}]},
    )
    answer = {"score": 3, "kind": "a", "when": "2026-11-22T00:00:00Z", "tags": ["x", "xy"], "either": 4}
    converted = convert(whole, subset)
    assert converted.schema is not None
    assert jsonschema_rs.validator_for(whole).is_valid(answer)
    assert jsonschema_rs.validator_for(dict(converted.schema)).is_valid(answer)
