"""Files and processors from a job's file to what the provider receives and the ledger keeps."""

import hashlib
from pathlib import Path

import anyio
import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks_lib.configs import ConfigError
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.mistake import Mistake
from tasks_lib.inputs.processors import Context
from tasks_lib.job.library import answers, enrich
from tasks_lib.job.preflight import preflight
from tasks_lib.job.tally import Outcome
from tests.inputs.one_batch import OneBatch
from tests.inputs.pieces import pdf, png, word
from tests.inputs.web import Web
from tests.job.pretend import ENVIRONMENT, completion
from tests.llmserver import running_server

IMAGES = "file_input_mode: image\n"


def test_a_path_beside_the_source(tmp_path: Path) -> None:
    """R15: a column of paths gives each row its file, and the model sees the picture."""
    batch = OneBatch(tmp_path, job="files: photo\n", task=IMAGES)
    batch.write("rows.csv", "id,photo\n1,a.png\n2,deep/b.png\n")
    batch.write("a.png", png(1))
    batch.write("deep/b.png", png(2))
    assert batch.run().completed == 2
    assert sorted(batch.sent) == sorted([[("image/png", png(1))], [("image/png", png(2))]])
    assert sorted(batch.prompts) == ["What is 1?", "What is 2?"]


def test_what_the_ledger_keeps(tmp_path: Path) -> None:
    """R27: of each file that was sent the ledger has name, type, size, digest and where it was."""
    batch = OneBatch(
        tmp_path, job="files: [photo, more]\nallow_urls: [example.com]\n", task="file_input_mode: any\n"
    )
    url = "https://example.com/p/two.pdf"
    batch.pages[f"{url}?sig=secret"] = lambda: httpx.Response(200, content=pdf("x"))
    batch.write("rows.csv", f"id,photo,more\n1,a.png,{url}?sig=secret\n")
    batch.write("a.png", png())
    assert batch.run().completed == 1
    found = batch.sql("select direction, name, mime_type, size, sha256, uri from files order by name")
    assert found == [
        ("in", "a.png", "image/png", len(png()), hashlib.sha256(png()).hexdigest(), "a.png"),
        ("in", "two.pdf", "application/pdf", len(pdf("x")), hashlib.sha256(pdf("x")).hexdigest(), url),
    ]
    assert [mime for mime, _ in batch.sent[0]] == ["image/png", "application/pdf"]


def test_a_row_without_its_file(tmp_path: Path) -> None:
    """R16: a row whose image is missing fails without a call; the others are asked."""
    batch = OneBatch(tmp_path, job="files: photo\n", task="image_required: true\n")
    batch.write("rows.csv", "id,photo\n1,\n2,none.png\n3,/etc/passwd\n4,a.txt\n5,a.png\n6,empty.png\n")
    batch.write("a.png", png())
    batch.write("a.txt", "no picture")
    batch.write("empty.png", b"")
    found = preflight(batch.setup())
    assert (found.rows, found.to_run, found.rows_without_file) == (6, 6, 3)
    summary = batch.run()
    assert (summary.completed, summary.failed, len(batch.bodies)) == (1, 5, 1)
    errors = dict(batch.sql("select row_key, error from task_runs where status = 'failed'"))
    kinds = {
        kind for (kind,) in batch.sql("select distinct error_kind from task_runs where status = 'failed'")
    }
    assert kinds == {"bad_row"}
    assert "the row has no file in photo" in errors["1"]
    assert "'none.png' is not there" in errors["2"]
    assert "outside the folders" in errors["3"]
    assert "is text/plain, and the task takes an image" in errors["4"]
    assert "'empty.png' is empty" in errors["6"]


def test_a_file_that_need_not_be_there(tmp_path: Path) -> None:
    """R22: with file_required: false a row without a file is asked without one."""
    batch = OneBatch(tmp_path, job="files: photo\n", task=IMAGES + "file_required: false\n")
    batch.write("rows.csv", "id,photo\n1,\n")
    assert batch.run().completed == 1
    assert batch.sent == [[]]


def test_another_content_is_another_question(tmp_path: Path) -> None:
    """A picture that was painted over is asked again; one that was renamed or left alone is not."""
    batch = OneBatch(tmp_path, job="files: photo\n", task=IMAGES)
    batch.write("rows.csv", "id,photo\n1,a.png\n2,b.png\n")
    batch.write("a.png", png(1))
    batch.write("b.png", png(2))
    assert batch.run().completed == 2
    assert batch.run().skipped == 2
    batch.write("b.png", png(3))
    batch.write("c.png", png(1))
    batch.write("rows.csv", "id,photo\n1,c.png\n2,b.png\n")
    summary = batch.run()
    assert (summary.skipped, summary.completed, batch.sent[2:]) == (1, 1, [[("image/png", png(3))]])


def test_folders_that_the_job_allows(tmp_path: Path) -> None:
    """file_folders widens where paths may lead, and nothing else does."""
    (tmp_path / "job").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(png())
    batch = OneBatch(tmp_path / "job", job="files: photo\n", task=IMAGES)
    batch.write("rows.csv", "id,photo\n1,../photos/a.png\n2,a.png\n")
    assert batch.run().failed == 2
    batch = OneBatch(tmp_path / "job", job="files: photo\nfile_folders: [../photos]\n", task=IMAGES)
    assert batch.run().completed == 2


def test_bytes_of_a_parquet_file(tmp_path: Path) -> None:
    """R15: a column of bytes is sent as the file that it is, and the row is known by its digest."""
    batch = OneBatch(tmp_path, job="files: photo\n", task=IMAGES, source="rows.parquet")
    table = pa.table({"id": [1, 2, 3], "photo": pa.array([png(1), png(2), None], pa.binary())})
    pq.write_table(table, tmp_path / "rows.parquet")
    summary = batch.run()
    assert (summary.completed, summary.failed) == (2, 1)
    assert sorted(batch.sent) == sorted([[("image/png", png(1))], [("image/png", png(2))]])
    assert batch.sql("select distinct uri from files") == [("column:photo",)]
    assert batch.run().skipped == 2


def test_structs_as_datasets_have_them(tmp_path: Path) -> None:
    """R15: {bytes, path} is a file with its name; without a key column the row's content names it."""
    batch = OneBatch(tmp_path, job="files: photo\n", task=IMAGES, source="rows.parquet")
    batch.path.write_text(batch.path.read_text().replace(", key: id", ""))
    batch.write("on-disk.png", png(3))
    of = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    photos = [{"bytes": png(1), "path": "x/one.png"}, {"bytes": None, "path": "on-disk.png"}]
    pq.write_table(pa.table({"id": [1, 1], "photo": pa.array(photos, of)}), tmp_path / "rows.parquet")
    assert batch.run().completed == 2
    assert sorted(batch.sql("select name, uri from files")) == [
        ("on-disk.png", "on-disk.png"),
        ("one.png", "column:photo"),
    ]


def test_bytes_are_in_no_prompt(tmp_path: Path) -> None:
    """A placeholder cannot show bytes, even of a column that names files."""
    batch = OneBatch(tmp_path, job="files: photo\ninputs: {id: photo}\n", task=IMAGES, source="rows.parquet")
    pq.write_table(pa.table({"id": [1], "photo": [png()]}), tmp_path / "rows.parquet")
    with pytest.raises(Mistake, match="'photo' is binary"):
        batch.run()


def test_a_pdf_under_a_money_limit(tmp_path: Path) -> None:
    """A file counts in a call's worst case: where the money does not hold it, no call is made."""
    batch = OneBatch(tmp_path, job="files: scan\n", task="file_input_mode: pdf\n")
    batch.write("rows.csv", "id,scan\n1,a.pdf\n")
    batch.write("a.pdf", pdf("one", "two"))
    # two pages of at most 13,000 tokens at $0.25 a million are $0.0065
    assert batch.run(max_cost=0.006).outcome is Outcome.STOPPED
    assert batch.bodies == []
    assert batch.run(max_cost=0.007).completed == 1


def test_urls_over_real_networks(tmp_path: Path, web: Web) -> None:
    """2.2: url_fetcher makes Markdown of the page that a URL names; what cannot be had has its fallback."""
    task = (
        "input_processors:\n"
        '- {param_name: page, input_processor: url_fetcher, config: {fallback_text: "none"}}\n'
    )
    job = f"allow_urls: ['{web.host}']\nallow_private_addresses: true\n"
    batch = OneBatch(tmp_path, job=job, task=task)
    batch.write("task.yaml", (tmp_path / "task.yaml").read_text().replace("{{id}}", "{{page}}"))
    good = web.has("/a", b"<title>T</title><h1>Hello</h1><script>x</script>")
    batch.write("rows.csv", f"id,page\n1,{good}\n2,{web.url('/gone')}\n3,http://127.0.0.1:1/\n")
    with running_server() as server:
        summary = batch.run(base_url=server.base_url())
        assert server.stats()["billed"] == 2
    assert (summary.completed, summary.failed) == (2, 1)
    assert web.asked.count("/a") == 1
    rows = batch.sql(
        "select row_key, run_data->'submitted'->>'page', run_data->>'page_processed',"
        " input_processor_timing > 0, error from task_runs order by row_key"
    )
    assert rows[0] == ("1", good, "T\n\n# Hello", True, None)
    assert rows[1][2] == "none"
    assert "is not among the hosts that allow_urls names" in rows[2][4]


def test_url_fetcher_in_the_prompt(tmp_path: Path) -> None:
    """R38: the prompt has what the processor made, the ledger what was submitted and how long it took."""
    batch = OneBatch(
        tmp_path,
        job='allow_urls: ["*"]\n',
        task="system_prompt: You read {{id}}.\n"
        "input_processors:\n- {param_name: id, input_processor: url_fetcher, config: {max_characters: 9}}\n",
    )
    batch.write("rows.csv", "id\nhttps://a.test/x\nhttps://b.test/\nhttps://c.test/\n")
    html = {"content-type": "text/html"}
    batch.pages["https://a.test/x"] = lambda: httpx.Response(
        200, content=b"<h1>Ann</h1><p>and more", headers=html
    )
    batch.pages["https://b.test/"] = lambda: httpx.Response(200, content=pdf("a paper on rows"))
    batch.pages["https://c.test/"] = lambda: httpx.Response(200, content=png())
    assert preflight(batch.setup()).hosts == ("a.test", "b.test", "c.test")
    summary = batch.run()
    assert (summary.completed, summary.failed) == (2, 1)
    assert sorted(batch.prompts) == ["What is # Ann\n\nan?", "What is a paper o?"]
    assert {body["messages"][0]["content"] for body in batch.bodies} == {
        "You read # Ann\n\nan.",
        "You read a paper o.",
    }
    ((submitted, timing),) = batch.sql(
        "select run_data->'submitted'->>'id', input_processor_timing from task_runs"
        " where row_key like '%a.test/x'"
    )
    assert submitted == "https://a.test/x"
    assert 0 < timing < 60
    ((error,),) = batch.sql("select error from task_runs where status = 'failed'")
    assert error.startswith("url_fetcher of id: it is image/png, of which no text is read")


def test_documents(tmp_path: Path) -> None:
    """2.2: document_content_extractor reads PDFs, Word, HTML and text, by path or from a column of bytes."""
    step = "input_processors: [{param_name: doc, input_processor: document_content_extractor}]\n"
    batch = OneBatch(tmp_path, task=step, source="rows.parquet")
    batch.write("task.yaml", (tmp_path / "task.yaml").read_text().replace("{{id}}", "{{doc}}"))
    batch.write("a.pdf", pdf("of a pdf"))
    batch.write("b.docx", word("of Word"))
    batch.write("c.html", "<p>of a page")
    batch.write("d.md", "# of text")
    names = ["a.pdf", "b.docx", "c.html", "d.md", "none.md", "../e.md"]
    pq.write_table(pa.table({"id": range(6), "doc": names}), tmp_path / "rows.parquet")
    summary = batch.run()
    assert (summary.completed, summary.failed) == (4, 2)
    assert sorted(batch.prompts) == [
        "What is # of text?",
        "What is of Word\n\nleft | right?",
        "What is of a page?",
        "What is of a pdf?",
    ]
    assert batch.sql("select count(*) from files") == [(0,)]
    batch.write("a.pdf", pdf("of another"))
    assert (batch.run().skipped, batch.prompts[4:]) == (3, ["What is of another?"])
    blobs = pa.array([pdf("of bytes")], pa.binary())
    pq.write_table(pa.table({"id": [9], "doc": blobs}), tmp_path / "rows.parquet")
    assert batch.run().completed == 1
    assert batch.prompts[-1] == "What is of bytes?"
    ((submitted,),) = batch.sql(
        "select run_data->'submitted'->'doc'->>'size' from task_runs where row_key = '9'"
    )
    assert submitted == str(len(pdf("of bytes")))


def test_another_config_is_another_revision(tmp_path: Path) -> None:
    """What processors do to an input can change its answer, so it is part of the fingerprint."""
    fingerprints = []
    for config in ("", ", config: {max_characters: 5}"):
        step = (
            f"input_processors: [{{param_name: id, input_processor: document_content_extractor{config}}}]\n"
        )
        batch = OneBatch(tmp_path, task=step)
        batch.write("rows.csv", "id\na.txt\n")
        fingerprints.append(batch.setup().job.task.revisions[0].fingerprint)
    fingerprints.append(OneBatch(tmp_path).setup().job.task.revisions[0].fingerprint)
    assert len(set(fingerprints)) == 3


def test_a_file_that_changes_while_the_batch_is_run(tmp_path: Path) -> None:
    """A file that is another when it is read than when its row was known by it fails the row."""
    batch = OneBatch(tmp_path, job="files: photo\nlimits: {in_flight: 1}\n", task=IMAGES)
    names = [f"{at}.png" for at in range(8)]
    batch.write("rows.csv", "id,photo\n" + "".join(f"{name},{name}\n" for name in names))
    for at, name in enumerate(names):
        batch.write(name, png(at))
    setup = batch.setup()

    async def answer(request: httpx.Request) -> httpx.Response:
        del request
        for name in names:
            batch.write(name, png(99))
        return completion("seen")

    from tasks_lib.job.batch import run_batch  # noqa: PLC0415 - beside its use

    summary = anyio.run(lambda: run_batch(setup, transport=httpx.MockTransport(answer)))
    assert summary.completed + summary.failed == 8
    assert summary.failed >= 5, "a few are read ahead of the first call"
    ((error,),) = batch.sql("select error from task_runs where row_key = '7.png'")
    assert "was changed while the batch was run" in error


def test_workers(tmp_path: Path) -> None:
    """Files go with their rows to the processes that make the calls."""
    job = "files: photo\nworkers: 2\n"
    batch = OneBatch(tmp_path, job=job, task=IMAGES, source="rows.parquet")
    photos = pa.array([png(at) for at in range(20)], pa.binary())
    pq.write_table(pa.table({"id": range(20), "photo": photos}), tmp_path / "rows.parquet")
    with running_server() as server:
        assert batch.run(base_url=server.base_url()).completed == 20
        assert server.stats()["billed"] == 20
    assert batch.sql("select count(distinct sha256) from files") == [(20,)]


async def shout(value: JsonValue, *, config: object, context: Context) -> JsonValue:
    """A processor of a test's own."""
    assert isinstance(value, str)
    if value == "break":
        raise KeyError(value)
    return f"{value.upper()}{config} {context.param_name} {context.row_key}"


def test_processors_of_ones_own(tmp_path: Path) -> None:
    """A caller from Python brings processors; one that breaks fails its row and no other."""
    batch = OneBatch(
        tmp_path, task="input_processors: [{param_name: id, input_processor: shout, config: {a: 1}}]\n"
    )
    with pytest.raises(ConfigError, match="there is no input processor 'shout'"):
        batch.setup()
    table = pd.DataFrame({"id": ["hi", "break"]})
    came = anyio.run(
        lambda: enrich(
            table,
            tmp_path / "task.yaml",
            key="id",
            processors={"shout": shout},
            environment=ENVIRONMENT,
            transport=httpx.MockTransport(batch._answer),
        )
    )
    assert batch.prompts == ["What is HI{'a': 1} id hi?"]
    assert list(came["rowmill_status"]) == ["completed", "failed"]
    assert "shout of id: KeyError" in came["rowmill_error"][1]


def test_files_of_a_data_frame(tmp_path: Path) -> None:
    """R15: bytes in a DataFrame are files, and come back as they are beside the answers."""
    batch = OneBatch(tmp_path, task=IMAGES)
    table = pd.DataFrame({"id": [1, 2], "photo": [png(1), png(2)]})
    came = anyio.run(
        lambda: enrich(
            table,
            tmp_path / "task.yaml",
            files="photo",
            environment=ENVIRONMENT,
            transport=httpx.MockTransport(batch._answer),
        )
    )
    assert sorted(batch.sent) == sorted([[("image/png", png(1))], [("image/png", png(2))]])
    assert list(came["photo"]) == [png(1), png(2)]
    assert list(came["response"]) == ["seen", "seen"]


def test_files_of_rows_as_they_come(tmp_path: Path) -> None:
    """R15: rows from anywhere have their files in them."""
    batch = OneBatch(tmp_path, task=IMAGES)

    async def run() -> list[str]:
        async with answers(
            [{"id": 1, "photo": png(1)}, {"id": 2, "photo": {"filename": "x.png", "content": png(2)}}],
            tmp_path / "task.yaml",
            files=["photo"],
            environment=ENVIRONMENT,
            transport=httpx.MockTransport(batch._answer),
        ) as stream:
            return [answer.status async for answer in stream]

    assert anyio.run(run) == ["completed", "completed"]
    assert sorted(batch.sent) == sorted([[("image/png", png(1))], [("image/png", png(2))]])
    with pytest.raises(Mistake, match=r"takes an image .* with each row"):
        anyio.run(lambda: enrich(pd.DataFrame({"id": [1]}), tmp_path / "task.yaml", environment=ENVIRONMENT))
