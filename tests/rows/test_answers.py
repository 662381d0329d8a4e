"""The columns of an answer, and its values in them."""

import pyarrow as pa
import pytest

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.output import Modality, Output
from tasks_lib.rows import answer_columns
from tasks_lib.rows.answers import answer_array
from tasks_lib.rows.json_types import JSON

TEXT, WHOLE, NUMBER, TRUTH = pa.string(), pa.int64(), pa.float64(), pa.bool_()


def columns_of(schema):
    return [(column.field, column.type) for column in answer_columns(Output.of(Modality.JSON, schema))]


def test_answers_without_fields():
    """Text is one column of text; an answer that is no object with properties is one column of JSON."""
    (text,) = answer_columns(Output.of(Modality.TEXT))
    assert (text.field, text.type) == (None, TEXT)
    for schema in (
        None,
        {},
        {"type": "array", "items": {"type": "string"}},
        {"type": "object"},
        {"type": "string"},
    ):
        assert columns_of(schema) == [(None, JSON)]


def test_csv_is_a_list_of_its_rows():
    """R19: with declared columns a list of structs, dates as text; without, JSON."""
    output = Output.of(
        Modality.CSV,
        columns=[
            CsvColumn(name="a", nullable=True),
            CsvColumn(name="b", type=ColumnType.INTEGER),
            CsvColumn(name="c", type=ColumnType.DATE),
        ],
    )
    (column,) = answer_columns(output)
    assert (column.field, column.type) == (
        None,
        pa.list_(pa.struct([("a", TEXT), ("b", WHOLE), ("c", TEXT)])),
    )
    rows = [{"a": None, "b": 1, "c": "2026-01-02"}]
    array, misfits = answer_array([rows, [], None, {"a": 1}], column.type)
    assert (array.to_pylist(), misfits) == ([rows, [], None, None], [3])
    (column,) = answer_columns(Output.of(Modality.CSV))
    assert (column.field, column.type) == (None, JSON)


@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.AUDIO, Modality.PDF])
def test_a_file_is_what_finds_it(modality):
    """R19: of an answer that is a file there are name, type, size and address."""
    assert [(column.field, column.type) for column in answer_columns(Output.of(modality))] == [
        ("file_name", TEXT),
        ("content_type", TEXT),
        ("size_bytes", WHOLE),
        ("download_url", TEXT),
    ]


TYPES = {
    "string": ({"type": "string"}, TEXT),
    "string with a format": ({"type": "string", "format": "date"}, TEXT),
    "integer": ({"type": "integer", "minimum": 0}, WHOLE),
    "number": ({"type": "number"}, NUMBER),
    "boolean": ({"type": "boolean"}, TRUTH),
    "integer or number": ({"type": ["integer", "number", "null"]}, NUMBER),
    "or null": ({"type": ["string", "null"]}, TEXT),
    "any of, with null": ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, WHOLE),
    "one of, with null": (
        {"oneOf": [{"type": "array", "items": {"type": "number"}}, {"const": None}]},
        pa.list_(NUMBER),
    ),
    "all of one": ({"allOf": [{"$ref": "#/$defs/word"}]}, TEXT),
    "any of two": ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, JSON),
    "enum of strings": ({"enum": ["a", "b", None]}, TEXT),
    "enum of integers": ({"enum": [1, 2]}, WHOLE),
    "enum of numbers": ({"enum": [1, 2.5]}, NUMBER),
    "enum of all sorts": ({"enum": [1, "a"]}, JSON),
    "enum of arrays": ({"enum": [[1]]}, JSON),
    "constant": ({"const": True}, TRUTH),
    "strings": ({"type": "array", "items": {"type": "string"}}, pa.list_(TEXT)),
    "anything in an array": ({"type": "array"}, JSON),
    "tuple": ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}}, JSON),
    "object": (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"type": "integer"}}},
        },
        pa.struct([("a", TEXT), ("b", pa.list_(WHOLE))]),
    ),
    "objects": (
        {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "number"}}}},
        pa.list_(pa.struct([("a", NUMBER)])),
    ),
    "object with anything in it": (
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}},
        JSON,
    ),
    "object of any keys": ({"type": "object", "additionalProperties": {"type": "string"}}, JSON),
    "anything": (True, JSON),
    "nothing said": ({}, JSON),
    "reference": ({"$ref": "#/$defs/word"}, TEXT),
    "reference to a reference": ({"$ref": "#/$defs/wo~1rd"}, TEXT),
    "reference that goes round": ({"$ref": "#/$defs/tree"}, JSON),
}


@pytest.mark.parametrize(("schema", "of"), TYPES.values(), ids=TYPES.keys())
def test_type_of_a_field(schema, of):
    """What a property's schema says of its values is its column's type; what says no one thing is JSON."""
    tree = {"type": "object", "properties": {"leaves": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    document = {
        "type": "object",
        "properties": {"x": schema},
        "$defs": {"word": {"type": "string"}, "wo/rd": {"$ref": "#/$defs/word"}, "tree": tree},
    }
    assert columns_of(document) == [("x", of)]


def test_root_by_reference():
    """A schema may refer to its root, as generators of schemas do."""
    schema = {
        "$ref": "#/$defs/Review",
        "$defs": {"Review": {"type": "object", "properties": {"stars": {"type": "integer"}}}},
    }
    assert columns_of(schema) == [("stars", WHOLE)]


STRUCT = pa.struct([("a", WHOLE), ("b", TEXT)])
VALUES = {
    "plain": (WHOLE, [1, None, -(2**63)], [1, None, -(2**63)], []),
    "whole floats are integers to JSON Schema": (WHOLE, [1.0, 2], [1, 2], []),
    "a fraction is none": (WHOLE, [1.5, 2], [None, 2], [0]),
    "beyond 64 bits": (WHOLE, [1, 2**63, 1e300], [1, None, None], [1, 2]),
    "truth is no number": (NUMBER, [True, 1, 2.5], [None, 1.0, 2.5], [0]),
    "truth is no integer": (WHOLE, [True], [None], [0]),
    "numbers beyond the exact": (NUMBER, [2**60 + 1, 0.5], [float(2**60 + 1), 0.5], []),
    "words are no truth": (TRUTH, ["true", True], [None, True], [0]),
    "numbers are no text": (TEXT, [1, "a"], [None, "a"], [0]),
    "list": (pa.list_(WHOLE), [[1, 2.0], [], None], [[1, 2], [], None], []),
    "list with one that does not fit": (pa.list_(WHOLE), [[1], ["a"]], [[1], None], [1]),
    "no list": (pa.list_(WHOLE), ["ab"], [None], [0]),
    "struct": (
        STRUCT,
        [{"a": 1, "c": 2}, {"a": 1.0, "b": "x"}],
        [{"a": 1, "b": None}, {"a": 1, "b": "x"}],
        [],
    ),
    "no struct": (STRUCT, [{"a": "1"}, [1]], [None, None], [0, 1]),
    "json": (JSON, [{"é": [1]}, "x", None], ['{"é":[1]}', '"x"', None], []),
}


@pytest.mark.parametrize(("of", "values", "stored", "misfits"), VALUES.values(), ids=VALUES.keys())
def test_values_of_a_column(of, values, stored, misfits):
    """A value is stored exactly or, if it does not fit, left empty and told; it never becomes another one."""
    array, found = answer_array(values, of)
    assert (array.type, array.to_pylist(), found) == (of, stored, misfits)
