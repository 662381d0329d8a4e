"""The answers of a task as columns."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.run import TaskRun
from tasks_lib.domain.task import Task
from tasks_lib.ledger import Ledger
from tasks_lib.ledger.results_view import column_type, results_view, view_name
from tests.ledger.builders import NOON, answered, begin, job, plan, refused, revision, run, task


def properties(**fields: JsonValue) -> Mapping[str, JsonValue]:
    return {"type": "object", "properties": fields}


def run_of(asked: Task, value: JsonValue, *, key: str = "1") -> TaskRun:
    """A run of a task that answered with a value."""
    return run(plan(key=key, number=int(key), asked=asked.revisions[0]), answered(value))


def columns(ledger: Ledger, view: str) -> dict[str, str]:
    described = ledger.sql(f'describe "{view}"').to_pylist()
    return {row["column_name"]: row["column_type"] for row in described}


def test_fields_have_their_types(ledger: Ledger) -> None:
    """Each field of the answer is a column of the schema's type, beside the row's key and inputs."""
    schema = properties(
        sentiment={"enum": ["positive", "negative"]},
        score={"type": "number"},
        stars={"type": "integer"},
        sure={"type": "boolean"},
        topics={"type": "array", "items": {"type": "string"}},
        place={"type": "object", "properties": {"city": {"type": "string"}}},
    )
    value = {
        "sentiment": "positive",
        "score": 0.5,
        "stars": 4,
        "sure": True,
        "topics": ["price", "taste"],
        "place": {"city": "Wien"},
    }
    asked = task(schema=schema)
    ledger.add([run_of(asked, value, key="7")], batch_id=begin(ledger, job(asked)))
    kinds = columns(ledger, "results_sentiment")
    assert {name: kinds[name] for name in value} == {
        "sentiment": "VARCHAR",
        "score": "DOUBLE",
        "stars": "BIGINT",
        "sure": "BOOLEAN",
        "topics": "VARCHAR[]",
        "place": "JSON",
    }
    (row,) = ledger.sql("from results_sentiment").to_pylist()
    assert {name: row[name] for name in value} == {**value, "place": '{"city":"Wien"}'}
    assert (row["row_key"], row["row_number"], row["text"], row["model"]) == (
        "7",
        7,
        "good",
        "openai:gpt-5-mini",
    )


def test_one_row_for_each_question(ledger: Ledger) -> None:
    """A question that was asked again shows its latest answer; failures show nothing."""
    task_runs = [
        run(plan(key="1"), answered({"sentiment": "negative"}), at=NOON + timedelta(minutes=1)),
        run(plan(key="1"), answered({"sentiment": "positive"}), at=NOON + timedelta(minutes=2)),
        run(plan(key="1"), refused(), at=NOON + timedelta(minutes=3)),
        run(plan(key="2"), refused()),
    ]
    ledger.add(task_runs, batch_id=begin(ledger))
    assert ledger.sql("select row_key, sentiment from results_sentiment").to_pylist() == [
        {"row_key": "1", "sentiment": "positive"}
    ]


def test_answers_that_do_not_fit(ledger: Ledger) -> None:
    """An answer under an earlier schema has NULL where it does not fit today's, and no query fails."""
    asked = task(schema=properties(stars={"type": "integer"}))
    values: list[Any] = [{"stars": "many"}, {"stars": 2**62}, {"stars": None}, {}, [1], {"stars": 3.0}]
    batch = begin(ledger, job(asked))
    ledger.add([run_of(asked, value, key=str(n)) for n, value in enumerate(values)], batch_id=batch)
    found = ledger.sql("select stars from results_sentiment order by row_key").to_pylist()
    assert [row["stars"] for row in found] == [None, 2**62, None, None, None, 3]


def test_a_changed_schema_changes_the_view(ledger: Ledger) -> None:
    """The view has the fields of the batch that began last."""
    begin(ledger, job(task(schema=properties(a={"type": "string"}))))
    begin(ledger, job(task(schema=properties(b={"type": "integer"}))))
    kinds = columns(ledger, "results_sentiment")
    assert "a" not in kinds
    assert kinds["b"] == "BIGINT"


def test_answers_that_are_text(ledger: Ledger) -> None:
    """A task that answers with text has it in the column `response`."""
    asked = task("summary", schema=None, modality=Modality.TEXT)
    ledger.add([run_of(asked, 'so "it" is')], batch_id=begin(ledger, job(asked)))
    assert ledger.sql("select response from results_summary").to_pylist() == [{"response": 'so "it" is'}]


def test_answers_without_fields(ledger: Ledger) -> None:
    """JSON answers of which no field is known are there as JSON."""
    asked = task("free", schema=None)
    ledger.add([run_of(asked, {"a": 1})], batch_id=begin(ledger, job(asked)))
    assert ledger.sql("select response from results_free").to_pylist() == [{"response": '{"a":1}'}]


def csv_task(*declared: CsvColumn) -> Task:
    """A task that answers with CSV."""
    output = Output.of(Modality.CSV, columns=declared)
    return Task(name="people", output=output, revisions=(revision(output=output),))


def test_csv_is_a_row_for_each_row(ledger: Ledger) -> None:
    """R19: each row of a CSV answer is one of the view: typed columns beside the key and inputs."""
    kinds = ("string", "integer", "number", "boolean", "date", "datetime")
    asked = csv_task(*(CsvColumn(name=kind, type=ColumnType(kind), nullable=True) for kind in kinds))
    value: list[JsonValue] = [
        {
            "string": "a",
            "integer": 3,
            "number": 0.5,
            "boolean": True,
            "date": "2026-01-02",
            "datetime": "2026-01-02T03:04:05+00:00",
        },
        dict.fromkeys(kinds),
    ]
    batch = begin(ledger, job(asked))
    ledger.add([run_of(asked, value, key="7"), run_of(asked, [], key="8")], batch_id=batch)
    found = columns(ledger, "results_people")
    assert [found[kind] for kind in kinds] == [
        "VARCHAR",
        "BIGINT",
        "DOUBLE",
        "BOOLEAN",
        "DATE",
        "TIMESTAMP WITH TIME ZONE",
    ]
    first, second = ledger.sql("from results_people order by answer_row").to_pylist()
    assert [row["row_key"] for row in (first, second)] == ["7", "7"]
    assert [row["answer_row"] for row in (first, second)] == [1, 2]
    assert first["text"] == "good"
    assert [first[kind] for kind in kinds] == [
        "a",
        3,
        0.5,
        True,
        date(2026, 1, 2),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    ]
    assert [second[kind] for kind in kinds] == [None] * 6


def test_csv_without_declared_columns_is_a_row_of_json(ledger: Ledger) -> None:
    """R19: whose columns nobody knows has each row as JSON."""
    asked = csv_task()
    ledger.add([run_of(asked, [{"a": "1"}, {"a": "2"}])], batch_id=begin(ledger, job(asked)))
    found = ledger.sql("select response from results_people order by answer_row").to_pylist()
    assert [row["response"] for row in found] == ['{"a":"1"}', '{"a":"2"}']


def test_what_is_no_list_is_no_rows(ledger: Ledger) -> None:
    """An answer from before the task asked for CSV ends no query."""
    asked = csv_task(CsvColumn(name="a"))
    values: list[JsonValue] = [{"a": "1"}, "a", 3, [1, {"a": "x"}]]
    batch = begin(ledger, job(asked))
    ledger.add([run_of(asked, value, key=str(n)) for n, value in enumerate(values)], batch_id=batch)
    found = ledger.sql("select row_key, a from results_people order by answer_row").to_pylist()
    assert found == [{"row_key": "3", "a": None}, {"row_key": "3", "a": "x"}]


def test_a_csv_column_may_have_a_figures_name(ledger: Ledger) -> None:
    """The answer's columns keep their names, and the number of the row gives way."""
    asked = csv_task(CsvColumn(name="Answer_Row"), CsvColumn(name="cost"))
    ledger.add([run_of(asked, [{"Answer_Row": "x", "cost": "y"}])], batch_id=begin(ledger, job(asked)))
    (row,) = ledger.sql("from results_people").to_pylist()
    assert (row["Answer_Row"], row["run_answer_row"], row["cost"]) == ("x", 1, "y")


@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.AUDIO, Modality.PDF])
def test_files_have_name_type_size_and_address(ledger: Ledger, modality: Modality) -> None:
    """R19: of an answer that is a file the view has what finds it and what tells whether it is whole."""
    asked = task("files", schema=None, modality=modality)
    value: dict[str, JsonValue] = {
        "file_name": "r1.png",
        "content_type": "image/png",
        "size_bytes": 67,
        "sha256": "ab" * 32,
        "download_url": "ledger.files/r1.png",
    }
    ledger.add([run_of(asked, value)], batch_id=begin(ledger, job(asked)))
    assert columns(ledger, "results_files")["size_bytes"] == "BIGINT"
    (row,) = ledger.sql("from results_files").to_pylist()
    assert {name: row[name] for name in value} == value


def test_names_that_collide(ledger: Ledger) -> None:
    """The answer's fields keep their names; inputs and figures of that name give way, in upper case, too."""
    schema = properties(
        text={"type": "string"}, Text={"type": "string"}, model={"type": "string"}, COST={"type": "string"}
    )
    begin(ledger, job(task(schema=schema)))
    kinds = columns(ledger, "results_sentiment")
    assert {"text", "response_Text", "input_text", "model", "run_model", "COST", "run_cost"} <= set(kinds)
    assert kinds["run_cost"] == "DECIMAL(24,12)"


ODD = [
    'a"b',
    "a'b",
    "a/b",
    "a~b",
    "$",
    "a.b",
    "0",
    " ",
    "select",
    "é\n",
    '"; drop table task_runs; --',
    "x" * 300,
]


def test_any_field_can_be_a_column(ledger: Ledger) -> None:
    """A field of any name is a column of that name with the field's value."""
    value = {name: f"value of {number}" for number, name in enumerate(ODD)}
    asked = task(schema=properties(**{name: {"type": "string"} for name in ODD}))
    ledger.add([run_of(asked, value)], batch_id=begin(ledger, job(asked)))
    (row,) = ledger.sql("from results_sentiment").to_pylist()
    assert {name: row[name] for name in ODD} == value


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_field_that_cannot_be_a_column(name: str) -> None:
    """A field without a possible name is left out."""
    made = results_view(
        task(schema=properties(kept={"type": "string"}, **{name: {"type": "string"}})), name="v"
    )
    assert "kept" in made
    assert made.count("r.response") == 1


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("sentiment", "results_sentiment"),
        ("My Task: v2!", "results_my_task_v2"),
        ('x"; drop table task_runs; --', "results_x_drop_table_task_runs"),
        ("a" * 100, "results_" + "a" * 48),
    ],
)
def test_what_a_view_is_called(ledger: Ledger, name: str, view: str) -> None:
    """A view is called after its task, in plain letters."""
    begin(ledger, job(task(name)))
    assert view_name(task(name)) == view
    assert columns(ledger, view)


def test_a_task_without_a_plain_letter(ledger: Ledger) -> None:
    """A task whose name has no plain letter is called after its id."""
    asked = task("感情")
    begin(ledger, job(asked))
    assert columns(ledger, f"results_{asked.id[:8]}")


def test_tasks_whose_views_would_be_one(ledger: Ledger) -> None:
    """Of two tasks that differ in case alone, the second has its id in the view's name, every time."""
    lower, upper = task("sentiment"), task("Sentiment", schema=properties(mood={"type": "string"}))
    for asked in (lower, upper, lower, upper):
        begin(ledger, job(asked))
    assert "sentiment" in columns(ledger, "results_sentiment")
    assert "mood" in columns(ledger, f"results_sentiment_{upper.id[:8]}")


def test_a_task_with_several_inputs(ledger: Ledger) -> None:
    """Inputs that are no text are shown as JSON writes them."""
    version = revision(prompt="{{text}} of {{customer name}}")
    asked = task(revisions=[version])
    one = plan(asked=version)
    object.__setattr__(one, "submitted", {"text": {"a": [1]}, "customer name": None})
    ledger.add([run(one)], batch_id=begin(ledger, job(asked)))
    assert ledger.sql('select text, "customer name" from results_sentiment').to_pylist() == [
        {"text": '{"a":[1]}', "customer name": None}
    ]


ROOT: Mapping[str, JsonValue] = {
    "$defs": {
        "mood": {"enum": ["good", "bad"]},
        "again": {"$ref": "#/$defs/again"},
        "a/b": {"type": "integer"},
    }
}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "varchar"),
        ({"type": ["string", "null"]}, "varchar"),
        ({"type": ["string", "integer"]}, "json"),
        ({"type": ["integer", "number"]}, "double"),
        ({"enum": ["a", None]}, "varchar"),
        ({"enum": ["a", 1]}, "json"),
        ({"enum": [True, False]}, "boolean"),
        ({"enum": [None]}, "json"),
        ({"const": 3}, "bigint"),
        ({"const": 2.5}, "double"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "varchar"),
        ({"oneOf": [{"type": "string"}, {"type": "object"}]}, "json"),
        ({"$ref": "#/$defs/mood"}, "varchar"),
        ({"$ref": "#/$defs/a~1b"}, "bigint"),
        ({"$ref": "#/$defs/nowhere"}, "json"),
        ({"$ref": "#/$defs/again"}, "json"),
        ({"$ref": "https://example.org/schema"}, "json"),
        ({"type": "array"}, "json"),
        ({"type": "array", "items": {"type": "number"}}, "double[]"),
        ({"type": "array", "items": {"type": "object"}}, "json"),
        ({}, "json"),
        (True, "json"),
    ],
)
def test_the_type_of_a_field(schema: JsonValue, kind: str) -> None:
    """A column has a type where the schema leaves only one, and is JSON otherwise."""
    assert column_type(schema, ROOT) == kind
