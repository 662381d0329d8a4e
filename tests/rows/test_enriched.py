"""The enriched rows: names without clashes, results aligned with their rows."""

from decimal import Decimal

import orjson
import pyarrow as pa
import pytest

from tasks_lib.domain.output import Modality, Output
from tasks_lib.rows import Enrichment, output_names
from tasks_lib.rows.enriched import COST

METADATA = (
    "rowmill_status", "rowmill_error", "rowmill_cost", "rowmill_input_tokens", "rowmill_output_tokens",
    "rowmill_model", "rowmill_task_run_id",
)  # fmt: skip


RESULTS = pa.schema(
    {"response": pa.string(), "status": pa.string(), "error": pa.string(), "cost": COST}
    | {
        "input_tokens": pa.int64(),
        "output_tokens": pa.int64(),
        "model": pa.string(),
        "task_run_id": pa.string(),
    }
)


def results(*rows):
    return pa.Table.from_pylist(list(rows), schema=RESULTS)


def fields(*names):
    properties = {name: {"type": "string"} for name in names}
    return Output.of(Modality.JSON, {"type": "object", "properties": properties})


def test_names_without_clashes():
    """The source's columns come first, then the answer's fields, then what is known of the run."""
    names = output_names(["id", "text"], fields("label", "reason"))
    assert names.all == ("id", "text", "label", "reason", *METADATA)
    assert names.answers == {"label": "label", "reason": "reason"}
    assert output_names(["id"], Output.of(Modality.TEXT)).answers == {"response": "response"}


def test_a_field_with_a_column_name():
    """A field that is called like a column, in whatever case, becomes answer_<field>; the column stays."""
    names = output_names(["Label", "answer_label", "response"], fields("label", "LABEL", "rowmill_cost", " "))
    assert names.columns == ("Label", "answer_label", "response")
    assert names.answers == {
        "label": "answer_label_2",
        "LABEL": "answer_LABEL_3",
        "rowmill_cost": "answer_rowmill_cost",
        " ": "answer_ ",
    }
    assert output_names(["response"], Output.of(Modality.TEXT)).answers == {"response": "answer_response"}


def test_an_output_as_a_source():
    """A file that was enriched before can be again: nothing of it is overwritten."""
    once = output_names(["id"], fields("label")).all
    twice = output_names(once, fields("label"))
    assert twice.columns == once
    assert twice.answers == {"label": "answer_label"}
    assert tuple(twice.metadata.values()) == tuple(f"{name}_2" for name in METADATA)
    assert len({name.casefold() for name in twice.all}) == len(twice.all)


def test_rows_with_their_results():
    """Each row has its answer's fields in their types and what its run was, NULL where there is none."""
    source = pa.record_batch({"id": [1, 2, 3, 4], "when": pa.array([0, 1, 2, 3], pa.timestamp("s"))})
    schema = {
        "type": "object",
        "properties": {"score": {"type": "integer"}, "why": {"type": "string"}, "any": {}},
    }
    enrichment = Enrichment(source.schema, Output.of(Modality.JSON, schema))
    batch = enrichment.enriched(
        source,
        results(
            {
                "status": "completed",
                "response": '{"score": 3, "why": "é", "any": {"a": [1]}, "more": 1}',
                "cost": Decimal("0.000123456789"),
                "input_tokens": 10,
                "output_tokens": 2,
                "model": "openai:gpt-5-mini",
                "task_run_id": "r1",
            },
            {"status": "failed", "error": "the model declined"},
            {},
            {"status": "completed", "response": "[1]", "cost": Decimal("0.033333333333")},
        ),
    )
    assert batch.schema == enrichment.schema
    assert batch.schema.names == list(enrichment.names.all)
    assert batch.select(["id", "when"]) == source
    assert [tuple(row.values())[2:] for row in batch.to_pylist()] == [
        (3, "é", '{"a":[1]}', "completed", None, Decimal("0.000123456789"), 10, 2, "openai:gpt-5-mini", "r1"),
        (None, None, None, "failed", "the model declined", None, None, None, None, None),
        (None, None, None, None, None, None, None, None, None, None),
        (None, None, None, "completed", None, Decimal("0.033333333333"), None, None, None, None),
    ]


def test_answers_that_are_text():
    """A text answer is the text, and without a schema an answer is its JSON."""
    source = pa.record_batch({"id": [1]})
    for output, response, stored in (
        (Output.of(Modality.TEXT), '"a\\nb"', "a\nb"),
        (Output.of(Modality.TEXT), "no JSON", "no JSON"),
        (Output.of(Modality.JSON), '{"a": 1}', '{"a":1}'),
        (Output.of(Modality.JSON), "[]", "[]"),
    ):
        batch = Enrichment(source.schema, output).enriched(source, results({"response": response}))
        assert batch["response"].to_pylist() == [stored]


def test_a_text_that_is_no_json():
    """Among answers that are JSON, one that is none stays the text that it is."""
    source = pa.record_batch({"id": [1, 2, 3]})
    batch = Enrichment(source.schema, Output.of(Modality.TEXT)).enriched(
        source, results({"response": '"a"'}, {}, {"response": "no JSON"})
    )
    assert batch["response"].to_pylist() == ["a", None, "no JSON"]


def test_numbers_among_floats():
    """A number that is written without a fraction is that float, however large; true is none."""
    source = pa.record_batch({"id": [1, 2, 3, 4]})
    schema = {"type": "object", "properties": {"x": {"type": "number"}}}
    for told, stored in (
        ("1", 1.0),
        (str(2**53 + 1), float(2**53)),
        (str(2**64 - 1), 2.0**64),
        ("true", None),
    ):
        texts = (f'{{"x": {told}}}', '{"x": 0.5}', '{"x": null}', "{}")
        batch = Enrichment(source.schema, Output.of(Modality.JSON, schema)).enriched(
            source, results(*({"response": text} for text in texts))
        )
        assert batch["x"].to_pylist() == [stored, 0.5, None, None]


def test_a_value_that_does_not_fit():
    """An integer beyond 64 bits does not end the export: it is left empty, and the row's error says so."""
    source = pa.record_batch({"id": [1, 2]})
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "m": {"type": "integer"}}}
    batch = Enrichment(source.schema, Output.of(Modality.JSON, schema)).enriched(
        source,
        results(
            {"status": "completed", "response": orjson.dumps({"n": 2**63, "m": 2**63}).decode()},
            {"status": "completed", "response": '{"n": 1, "m": 2}'},
        ),
    )
    assert batch["n"].to_pylist() == [None, 1]
    assert batch["rowmill_status"].to_pylist() == ["completed", "completed"]
    assert batch["rowmill_error"].to_pylist() == [
        "; ".join(
            f"{name} is not int64 and left empty here; the ledger has the whole response" for name in "nm"
        ),
        None,
    ]


def test_results_that_are_not_aligned():
    """Results for another number of rows are a mistake of the program, and told."""
    source = pa.record_batch({"id": [1, 2]})
    with pytest.raises(ValueError, match="1 results for 2 rows"):
        Enrichment(source.schema, Output.of(Modality.TEXT)).enriched(source, results({}))
