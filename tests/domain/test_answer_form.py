"""How the form of an answer is asked for."""

import orjson
import pytest

from tasks_lib.domain.answer_form import form_in_words, schema_asked
from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.output import Modality, Output

PEOPLE = Output.of(
    Modality.CSV,
    columns=[
        CsvColumn(name="name, first", description="as in the text"),
        CsvColumn(name="born", type=ColumnType.DATE, nullable=True),
    ],
    min_rows=1,
    max_rows=9,
)


def test_csv_with_columns_is_asked_for_as_rows_under_a_schema():
    """Where a schema can be sent, it is that of closed objects in an array of the wanted length."""
    assert schema_asked(PEOPLE) == {
        "type": "object",
        "properties": {
            "rows": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name, first": {"type": "string", "description": "as in the text"},
                        "born": {"type": ["string", "null"], "format": "date"},
                    },
                    "required": ["name, first", "born"],
                    "additionalProperties": False,
                },
                "minItems": 1,
                "maxItems": 9,
            }
        },
        "required": ["rows"],
        "additionalProperties": False,
    }


def test_csv_in_words_names_header_types_and_bounds():
    """A model that takes no schema is told the header as it must stand, each column, and how many rows."""
    told = form_in_words(PEOPLE)
    assert told is not None
    assert told.splitlines()[2:] == [
        'The header is: "name, first",born',
        "name, first: text (as in the text)",
        "born: a date as YYYY-MM-DD, or empty",
        "Fewest rows: 1",
        "Most rows: 9",
    ]


def test_json_in_words_holds_its_schema():
    """A schema goes into the words as it stands, and its absence leaves a plain request for JSON."""
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    told = form_in_words(Output.of(Modality.JSON, schema))
    assert told is not None
    assert told.endswith(orjson.dumps(schema).decode())
    assert form_in_words(Output.of(Modality.JSON)) == "Answer with one JSON value and nothing else."


@pytest.mark.parametrize(
    ("modality", "told"),
    [(Modality.TEXT, None), (Modality.IMAGE, None), (Modality.AUDIO, None), (Modality.PDF, "Markdown")],
)
def test_of_other_modalities_only_a_document_needs_a_word(modality, told):
    """Text, pictures and recordings are what the prompt says; a document is Markdown. None has a schema."""
    words = form_in_words(Output.of(modality))
    assert (words is None) if told is None else (words is not None and told in words)
    assert schema_asked(Output.of(modality)) is None


def test_csv_without_columns_is_asked_for_in_words():
    """Nothing is known that a schema could hold a model to."""
    assert schema_asked(Output.of(Modality.CSV)) is None
    assert "header" in str(form_in_words(Output.of(Modality.CSV)))
