"""Revisions by weight, by name and compared, over a server that counts what it is asked."""

import asyncio
import csv
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import duckdb
import pytest

from bench.project import FIRST_ID, make_project
from tasks_lib.configs import Environment
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job import answers, enrich
from tasks_lib.job.batch import run_batch
from tasks_lib.job.export import export_rows
from tasks_lib.job.preflight import preflight, preflight_and_sample
from tasks_lib.job.sample import Sampling
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary, Tally
from tasks_lib.rows import open_source
from tests.job.pretend import ENVIRONMENT, Pretend
from tests.llmserver import Server, running_server

SCHEMA = """\
task: bench
output:
  schema:
    type: object
    properties: {row_id: {type: string}, sentiment: {enum: [positive, negative]}, score: {type: number}}
    required: [row_id, sentiment, score]
revisions:
"""
VERSION = """\
  - tag: {tag}
    weight: {weight}
    user_prompt: "{tag}; row_id: {{{{id}}}} {{{{review}}}}"
    model: bench:gpt-5-mini
    parameters: {{max_tokens: 64}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as started:
        yield started


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def task_of(**weights: float) -> str:
    return SCHEMA + "".join(VERSION.format(tag=tag, weight=weight) for tag, weight in weights.items())


def project(folder: Path, server: Server, *, rows: int, task: str, latency: int = 0) -> Path:
    server.reset()
    job = make_project(
        folder, base_url=server.base_url(lat=latency), rows=rows, in_flight=16, output="out.csv"
    )
    (folder / "task.yaml").write_text(task)
    return job


def setup_of(job: Path, **overrides: object) -> Setup:
    return load_setup(job, environment=Environment.from_os(), overrides=overrides)


def asked(ledger: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(ledger), read_only=True) as connection:
        return connection.execute(query).fetchall()


def arms(ledger: Path) -> dict[object, object]:
    """The revision of each row; a row that has two fails."""
    found = asked(ledger, "select row_key, revision_tag from task_runs where status = 'completed'")
    assert len(dict(found)) == len(found)
    return dict(found)


def reordered(path: Path, *, more: int = 0) -> None:
    """The rows in another order, with so many new ones among them."""
    head, *rows = list(csv.reader(path.read_text().splitlines()))
    rows += [[str(FIRST_ID + len(rows) + number), "new", "x"] for number in range(more)]
    random.Random(3).shuffle(rows)  # noqa: S311  nothing is kept secret here
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


@pytest.mark.anyio
async def test_a_run_that_is_stopped_shuffled_and_grown_keeps_every_arm(
    tmp_path: Path, server: Server
) -> None:
    """R18: stopped in the middle, run again shuffled and then with more rows: each key keeps its arm."""
    job = project(tmp_path / "a", server, rows=400, task=task_of(a=0.7, b=0.2, c=0.1), latency=20)
    stop, tally = Stop(), Tally()

    async def stopped() -> Summary:
        async with anyio.create_task_group() as beside:
            beside.start_soon(call_stop, stop, tally)
            return await run_batch(setup_of(job), stop=stop, tally=tally)

    first = await stopped()
    assert 0 < first.completed < 400
    ledger = tmp_path / "a" / "ledger.duckdb"
    before = arms(ledger)
    reordered(tmp_path / "a" / "rows.csv")
    second = await run_batch(setup_of(job))
    assert (second.completed, second.skipped) == (400 - first.completed, first.completed)
    between = arms(ledger)
    reordered(tmp_path / "a" / "rows.csv", more=100)
    third = await run_batch(setup_of(job))
    assert (third.completed, third.skipped, server.stats()["billed"]) == (100, 400, 500)
    after = arms(ledger)
    assert before.items() <= between.items() <= after.items()
    whole = project(tmp_path / "b", server, rows=500, task=task_of(a=0.7, b=0.2, c=0.1))
    await run_batch(setup_of(whole))
    assert arms(tmp_path / "b" / "ledger.duckdb") == after
    assert set(after.values()) == {"a", "b", "c"}


async def call_stop(stop: Stop, tally: Tally) -> None:
    while tally.durable_completed < 100:  # noqa: ASYNC110  a tally has no event
        await anyio.sleep(0.005)
    stop.call(Why.INTERRUPTED, "enough")


@pytest.mark.anyio
async def test_a_tag_pins_every_row_and_the_ledger_says_so(tmp_path: Path, server: Server) -> None:
    """R07: with revision_tag all rows go through that revision, and the ledger keeps how it was chosen."""
    job = project(tmp_path, server, rows=20, task=task_of(a=1, b=0))
    summary = await run_batch(setup_of(job, revision_tag="b"))
    assert summary.completed == 20
    runs = "select distinct revision_tag, revision_chosen_by from task_runs"
    assert asked(tmp_path / "ledger.duckdb", runs) == [("b", "tag")]
    shares = asked(
        tmp_path / "ledger.duckdb",
        "select revision_tag, configured_share, observed_share from revision_traffic order by all",
    )
    assert shares == [("a", 0.0, 0.0), ("b", 1.0, 1.0)]


@pytest.mark.anyio
async def test_rows_name_their_revisions_by_id(tmp_path: Path, server: Server) -> None:
    """R06: a column of ids pins row by row; an empty one goes by weight; what is none fails uncalled."""
    job = project(tmp_path, server, rows=0, task=task_of(a=1, b=0))
    task = setup_of(job).job.task
    one, other = (task.revision_id(revision) for revision in task.revisions)
    named = [other, one.replace("-", "").upper(), "", "v2", "01a200f8-27db-779d-ba76-98d22db7d89b"]
    lines = [f"{FIRST_ID + number},acme,text,{name}" for number, name in enumerate(named)]
    (tmp_path / "rows.csv").write_text("\n".join(["id,customer,review,version", *lines, ""]))
    setup = setup_of(job, revision_id="{{version}}")
    found = preflight(setup)
    first, second = found.warnings[:2]
    assert first.startswith("1 row will fail, first row 4: revision_id 'v2' is not a UUID; a tag is named by")
    assert second.startswith("1 row will fail, first row 5: the task has no revision with the id 01a200f8-")
    assert [(one.tag, one.share) for one in found.revisions] == [("a", None), ("b", None)]
    summary = await run_batch(setup)
    assert (summary.completed, summary.failed, summary.failures) == (3, 2, {"bad_row": 2})
    assert server.stats()["billed"] == 3
    runs = asked(
        tmp_path / "ledger.duckdb",
        "select row_number, task_revision_id::varchar, revision_tag, revision_chosen_by from task_runs "
        "order by row_number",
    )
    nobody = "00000000-0000-0000-0000-000000000000"
    assert runs == [
        (1, other, "b", "id"),
        (2, one, "a", "id"),
        (3, one, "a", "weight"),
        (4, nobody, "v2", "id"),
        (5, nobody, "01a200f8-27db-779d-ba76-98d22db7d89b", "id"),
    ]
    again = await run_batch(setup)
    assert (again.skipped, again.failed, again.calls) == (3, 2, 0)


@pytest.mark.anyio
async def test_compared_revisions_are_run_with_the_same_rows(tmp_path: Path, server: Server) -> None:
    """R28: --compare runs every row with each revision; counts add up, the output has a line for each."""
    job = project(tmp_path, server, rows=30, task=task_of(a=0.5, b=0.5))
    first = await run_batch(setup_of(job, revision_tag="a"))
    assert first.completed == 30
    setup = setup_of(job, compare="a,b")
    found = preflight(setup)
    assert (found.rows, found.runs, found.answered, found.to_run) == (30, 60, 30, 30)
    assert [(one.tag, one.share) for one in found.revisions] == [("a", 0.5), ("b", 0.5)]
    summary = await run_batch(setup)
    assert summary.outcome is Outcome.COMPLETED
    assert (summary.rows, summary.source_rows, summary.completed, summary.skipped) == (60, 30, 30, 30)
    assert server.stats()["billed"] == 60  # nothing was paid twice
    told = summary.as_json()
    assert (told["rows"], told["source_rows"], told["compared"]) == (60, 30, ["a", "b"])
    with (tmp_path / "out.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["id"], line["rowmill_revision_tag"]) for line in lines] == [
        (str(FIRST_ID + number), tag) for number in range(30) for tag in ("a", "b")
    ]
    assert {line["row_id"] == line["id"] for line in lines} == {True}
    task = setup.job.task
    assert {line["rowmill_revision_id"] for line in lines} == set(map(task.revision_id, task.revisions))
    assert len({line["rowmill_task_run_id"] for line in lines}) == 60
    assert (await run_batch(setup)).calls == 0
    assert export_rows(setup) == 60
    how = asked(
        tmp_path / "ledger.duckdb",
        "select revision_chosen_by, count(*) from task_runs group by all order by all",
    )
    assert how == [("compare", 30), ("tag", 30)]


@pytest.mark.anyio
async def test_workers_and_failures_keep_the_counts_of_a_comparison(tmp_path: Path, server: Server) -> None:
    """R28: over several processes and with a limit of rows, the runs of a comparison add up as well."""
    job = project(tmp_path, server, rows=50, task=task_of(a=0.5, b=0.5, c=0))
    summary = await run_batch(setup_of(job, compare="all", workers=2), options=Options(limit=40))
    assert (summary.rows, summary.completed, summary.source_rows) == (120, 120, 40)
    pairs = asked(
        tmp_path / "ledger.duckdb", "select row_key, count(distinct revision_tag) from task_runs group by 1"
    )
    assert Counter(number for _, number in pairs) == {3: 40}


@pytest.mark.anyio
async def test_a_sample_of_a_comparison_asks_all_its_revisions(tmp_path: Path, server: Server) -> None:
    """R28: plan --sample draws rows, asks each with every revision, and counts runs."""
    job = project(tmp_path, server, rows=50, task=task_of(a=0.5, b=0.5))
    setup = setup_of(job, compare="all")
    found, rows = preflight_and_sample(setup, options=Options(), sample=10)
    assert (found.to_run, len(rows)) == (100, 10)
    sampling = Sampling(setup, rows, options=Options())
    assert sampling.beforehand().rows == 20
    summary = await sampling.run(Tally(), Stop())
    assert (summary.rows, summary.completed, len(sampling.asked)) == (20, 20, 20)
    found, rows = preflight_and_sample(setup, options=Options(), sample=10)
    assert (found.answered, found.to_run, len(rows)) == (20, 80, 10)


@pytest.mark.anyio
async def test_accuracy_is_told_for_each_revision(tmp_path: Path, server: Server) -> None:
    """R28: where right answers are known, a comparison says how often each revision is right."""
    job = project(tmp_path, server, rows=10, task=task_of(a=0.5, b=0.5))
    job.write_text(job.read_text() + "expected: {row_id: id}\n")
    summary = await run_batch(setup_of(job, compare="b,a"))
    assert [(one.field, one.revision, one.compared, one.right) for one in summary.accuracy] == [
        ("row_id", "b", 10, 10),
        ("row_id", "a", 10, 10),
    ]
    told = {"compared": 10, "right": 10}
    assert summary.as_json()["accuracy"] == {"row_id (b)": told, "row_id (a)": told}


def test_python_compares_and_pins_too(tmp_path: Path) -> None:
    """R28: `enrich` and `answers` take revision_tag and compare; a line, and an answer, for each revision."""
    import pyarrow as pa  # noqa: PLC0415  heavy, and for this test alone

    path = tmp_path / "task.yaml"
    path.write_text(
        "task: t\noutput: text\nrevisions:\n"
        + "".join(
            f"  - {{tag: {tag}, user_prompt: '{tag} {{{{text}}}}', model: 'openai:m'}}\n" for tag in "ab"
        )
    )
    table = pa.table({"text": ["one", "two"]})
    pretend = Pretend()

    async def compared() -> pa.Table:
        return await enrich(
            table, path, compare=["all"], environment=ENVIRONMENT, transport=pretend.transport
        )

    found = asyncio.run(compared())
    assert found.column("text").to_pylist() == ["one", "one", "two", "two"]
    assert found.column("rowmill_revision_tag").to_pylist() == ["a", "b", "a", "b"]

    async def streamed(compare: Sequence[str] = (), revision_tag: str | None = None) -> list[tuple[str, str]]:
        async with answers(
            table.to_pylist(),
            path,
            compare=compare,
            revision_tag=revision_tag,
            environment=ENVIRONMENT,
            transport=pretend.transport,
        ) as stream:
            return [(str(answer.row["text"]), answer.revision_tag) async for answer in stream]

    assert sorted(asyncio.run(streamed(compare=["b", "a"]))) == [
        ("one", "a"), ("one", "b"), ("two", "a"), ("two", "b"),
    ]  # fmt: skip
    assert sorted(asyncio.run(streamed(revision_tag="b"))) == [("one", "b"), ("two", "b")]


def test_an_output_of_one_revision_has_no_columns_about_it(tmp_path: Path, server: Server) -> None:
    """A task with a single revision has the columns it always had."""
    job = project(tmp_path, server, rows=1, task=task_of(a=1))
    setup = setup_of(job)
    with open_source(setup.job.source) as source:
        assert "id" in source.columns
    assert not {name for name in preflight(setup).output_columns if "revision" in name}
