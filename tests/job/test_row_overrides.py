"""What a job or its rows put in place of the task's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from tasks_lib.configs import ConfigError
from tasks_lib.domain.mistake import Mistake
from tests.job.one_job import OneJob
from tests.job.pretend import completion

ROWS = "id,text,model,provider,format,schema,prompt\n"
SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
QUOTED = '"' + orjson.dumps(SCHEMA).decode().replace('"', '""') + '"'


def revisions(job: OneJob) -> list[tuple[Any, ...]]:
    """Of each row: its revision's tag, how it was chosen, its model and its modality."""
    return job.sql(
        "select row_key, revision_tag, revision_chosen_by, models ->> '$[0].model', r.modality "
        "from task_runs join revisions r on r.id = task_revision_id order by row_number"
    )


def test_a_prompt_stands_in_place_of_the_tasks(tmp_path: Path) -> None:
    """W04: a template over the row's columns; what a value holds is not expanded again."""
    job = OneJob(
        tmp_path,
        rows="id,text,name\n1,one,{{text}}\n",
        job="override: {prompt: 'Tell {{name}} of {{text}}'}\n",
    )
    job.run()
    assert job.asked == [("first", "Tell {{text}} of one")]


def test_a_column_can_be_the_prompt(tmp_path: Path) -> None:
    """W04: each row brings its own; one that is shorter than 3 characters is a bad row, without a call."""
    job = OneJob(
        tmp_path,
        rows="id,text,name\n1,one,Count {{text}}\n2,two,Hi\n3,three,\n",
        job="override: {prompt: {column: name}}\n",
    )
    summary = job.run()
    assert job.asked == [("first", "Count {{text}}")]
    assert (summary.completed, summary.failures) == (1, {"bad_row": 2})


def test_another_prompt_is_another_revision(tmp_path: Path) -> None:
    """W04: an answer to the task's own prompt does not answer the job's."""
    job = OneJob(tmp_path, rows="id,text\n1,one\n")
    job.run()
    assert job.run(None, **{"override.prompt": "Whisper {{text}}"}).completed == 1
    assert job.run().skipped == 1
    assert job.sql("select count(distinct task_revision_id) from task_runs") == [(2,)]


def test_a_row_has_its_own_model(tmp_path: Path) -> None:
    """W05: a column of models; where it is empty the task's own is asked. Each is a revision of its own."""
    rows = ROWS + "1,one,openai:third,,,,\n2,two,,,,,\n3,three,groq:fourth,,,,\n4,four,openai:third,,,,\n"
    job = OneJob(tmp_path, rows=rows, job="override: {model: {column: model}}\n")
    job.key("GROQ_API_KEY")
    assert job.run().completed == 4
    assert [model for model, _ in job.asked] == ["third", "first", "fourth", "third"]
    assert [row[3] for row in revisions(job)] == [
        "openai:third",
        "openai:first",
        "groq:fourth",
        "openai:third",
    ]
    assert {row[1:3] for row in revisions(job)} == {("v1", "only")}
    job.asked.clear()
    assert job.run().skipped == 4  # each under its own revision
    assert job.asked == []


def test_a_batch_has_another_model(tmp_path: Path) -> None:
    """W05: for all rows; the fallbacks stay."""
    job = OneJob(tmp_path, rows="id,text\n1,one\n", job="override: {model: 'openai:third'}\n")
    job.models["third"] = lambda _: completion("")
    job.run()
    assert job.asked[0] == ("third", "Say one")


def test_a_provider_keeps_the_models_name(tmp_path: Path) -> None:
    """W06: for all rows, or for each."""
    rows = ROWS + "1,one,,groq,,,\n2,two,,,,,\n"
    job = OneJob(tmp_path, rows=rows, job="override: {provider: {column: provider}}\n")
    job.key("GROQ_API_KEY")
    job.run()
    assert [row[3] for row in revisions(job)] == ["groq:first", "openai:first"]
    assert job.asked == [("first", "Say one"), ("first", "Say two")]


def test_a_row_has_its_own_format_and_schema(tmp_path: Path) -> None:
    """W10, W11: text or json, and the schema that its answer must meet."""
    rows = ROWS + f"1,one,,,json,{QUOTED},\n2,two,,,text,,\n3,three,,,,,\n4,four,,,,{QUOTED},\n"
    overrides = "override: {response_format: {column: format}, json_schema: {column: schema}}\n"
    job = OneJob(tmp_path, rows=rows, job=overrides)
    job.models["first"] = lambda text: completion('{"n": 1}' if "one" in text else "no number")
    summary = job.run()
    answers = dict(job.sql("select row_key, response::varchar from task_runs"))
    assert answers == {"1": '{"n":1}', "2": '"no number"', "3": '"no number"', "4": None}
    assert (summary.completed, summary.failures) == (3, {"invalid_output": 1})
    assert [row[4] for row in revisions(job)] == ["json", "text", "text", "json"]


def test_rows_of_many_schemas_have_one_column_of_answers(tmp_path: Path) -> None:
    """W11: what no schema of all rows describes is written as the JSON that it is."""
    rows = ROWS + f"1,one,,,json,{QUOTED},\n2,two,,,,,\n"
    overrides = "override: {response_format: {column: format}, json_schema: {column: schema}}\n"
    job = OneJob(tmp_path, rows=rows, job=f"{overrides}output: out.jsonl\n")
    job.models["first"] = lambda text: completion('{"n": 1}' if "one" in text else "two it is")
    job.run()
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["response"] for line in lines] == [{"n": 1}, "two it is"]


@pytest.mark.parametrize("told", [SCHEMA, orjson.dumps(SCHEMA).decode(), "schema.json"])
def test_a_schema_is_a_mapping_its_text_or_a_file(tmp_path: Path, told: object) -> None:
    """W11: an object, a string of JSON, or a path; the answers' fields are then columns of the results."""
    job = OneJob(tmp_path, rows="id,text\n1,one\n")
    job.write("schema.json", orjson.dumps(SCHEMA).decode())
    override = orjson.dumps({"json_schema": told}).decode()
    job.write("job.yaml", f"{job.path.read_text()}override: {override}\n")
    job.models["first"] = lambda _: completion('{"n": 7}')
    assert job.run().completed == 1
    assert job.sql("select n from results_echo") == [(7,)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("gpt-5,,,,", "row 2: override: 'gpt-5' is not of the form provider:name"),
        ("grok:x,,,,", "row 2: override: unknown provider 'grok'. Did you mean 'groq'?"),
        ("groq:x,,,,", "row 2: override: GROQ_API_KEY is not set"),
        (",opnai,,,", "row 2: override: unknown provider 'opnai'. Did you mean 'openai'?"),
        (",,xml,,", "row 2: override: response_format is 'xml', which is neither text nor json"),
        (",,text,{},", "row 2: override: response_format is text, and a json_schema is given"),
        (",,,{,", "row 2: override: json_schema is not JSON"),
        (",,,[1],", "row 2: override: json_schema is not a JSON object"),
        (',,,"{""type"": 1}",', "row 2: override: json_schema is not a JSON Schema of Draft 7"),
        (',,,"{""$ref"": ""http://x.test/""}",', "row 2: override: json_schema points out of itself"),
    ],
)
def test_what_a_row_cannot_have_is_told_before_the_first_call(tmp_path: Path, row: str, message: str) -> None:
    """W05, W06, W10, W11: with the row's number, and nothing is asked."""
    job = OneJob(
        tmp_path,
        rows=ROWS + f"1,one,,,,,\n2,two,{row}\n",
        job="override: {model: {column: model}, provider: {column: provider}, "
        "response_format: {column: format}, json_schema: {column: schema}}\n",
    )
    with pytest.raises(Mistake) as error:
        job.run()
    assert message in str(error.value)
    assert job.asked == []


def test_a_price_that_is_unknown_is_told_with_its_row(tmp_path: Path) -> None:
    """W05: under a limit in dollars each model that a row asks for needs a price."""
    job = OneJob(
        tmp_path,
        rows=ROWS + "1,one,openai:nobody-knows,,,,\n",
        task="user_prompt: '{{text}}'\nmodel: openai:gpt-5-mini\nparameters: {max_tokens: 9}\n",
        job="override: {model: {column: model}}\n",
    )
    with pytest.raises(Mistake, match="row 1: override: the price of openai:nobody-knows is unknown"):
        job.run(max_cost=1)


def test_too_many_combinations_are_refused(tmp_path: Path) -> None:
    """A column that differs in every row belongs in the prompt."""
    many = "".join(f"{number},x,openai:m{number},,,,\n" for number in range(501))
    job = OneJob(tmp_path, rows=ROWS + many, job="override: {model: {column: model}}\n")
    with pytest.raises(Mistake, match="hold more than 500 different combinations"):
        job.run()


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With file, line and column of the override."""
    job = OneJob(tmp_path, rows=ROWS + "1,one,,,,,\n", job="override: {model: {column: modle}}\n")
    with pytest.raises(ConfigError, match=r"override.model names a column 'modle'.*Did you mean 'model'"):
        job.run()
