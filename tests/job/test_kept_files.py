"""Answers that are files, from the row to the folder, and back."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import duckdb
import httpx
import pandas as pd
import pytest
import uuid_utils
from pypdf import PdfReader

from bench.project import make_project
from tasks_lib.cli import main
from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.task import Model, ModelChoice, Revision, Task, fingerprint_of
from tasks_lib.domain.template import Template
from tasks_lib.job import answers, ask, enrich, fetch_task_run
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.tally import Outcome
from tasks_lib.ledger import open_ledger
from tests.job.pretend import ENVIRONMENT, Pretend, completion
from tests.llmserver import Server, running_server

ROOT = Path(__file__).resolve().parents[2]
PDF = "output: {modality: pdf}\n"
IMAGE = "output: {modality: image, file_type: png}\n"
AUDIO = "output: {modality: audio, file_type: wav}\n"
CSV = "output: {modality: csv, columns: {name: string, times: integer}}\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as started:
        yield started


def project(
    folder: Path, server: Server, *, output: str = PDF, rows: int = 40, prompt: str | None = None, **api: Any
) -> Path:
    """The path of a job whose answers are files."""
    server.reset()
    job = make_project(folder, base_url=server.base_url(lat=10, **api), rows=rows, in_flight=8)
    task = (folder / "task.yaml").read_text()
    task = task[: task.index("output:")] + output + task[task.index("revisions:") :]
    if "audio" in output:
        task = task.replace("{temperature: 0, max_tokens: 64}", "{voice: alloy}")
    if "image" in output:
        task = task.replace("{temperature: 0, max_tokens: 64}", "{size: 1024x1024}")
    if prompt is not None:
        task = task.replace("row_id: {{id}} {{review}}", prompt)
    (folder / "task.yaml").write_text(task)
    return job


def setup_of(job: Path, **overrides: object) -> Setup:
    return load_setup(job, environment=Environment.from_os(), overrides=overrides)


def on_disk(folder: Path) -> dict[str, str]:
    """Hash by URI of all that lies beside the ledger."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "ledger.files").rglob("*")
        if path.is_file()
    }


def known(folder: Path, query: str = "select row_key, uri, sha256, mime_type from produced_files") -> Any:
    with duckdb.connect(str(folder / "ledger.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("output", "mime_type", "workers"),
    [
        (PDF, "application/pdf", 1),
        (PDF, "application/pdf", 2),
        (CSV, "text/csv", 1),
        (IMAGE, "image/png", 2),
        (AUDIO, "audio/wav", 1),
    ],
)
def test_each_answer_is_a_file_that_the_ledger_knows(
    tmp_path: Path, server: Server, workers: int, output: str, mime_type: str
) -> None:
    """R19: a file for each row, by one process or two, nothing else there, and a second run adds none."""
    setup = setup_of(project(tmp_path, server, output=output), workers=workers)
    summary = anyio.run(run_batch, setup)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 40)
    assert summary.files == tmp_path / "ledger.files"
    found = known(tmp_path)
    assert len({row_key for row_key, *_ in found}) == 40
    assert {uri: sha256 for _, uri, sha256, _ in found} == on_disk(tmp_path)
    assert {mime for *_, mime in found} == {mime_type}
    again = anyio.run(run_batch, setup)
    assert (again.skipped, again.calls, len(on_disk(tmp_path))) == (40, 0, 40)


def test_what_is_no_picture_is_asked_for_again_and_leaves_nothing(tmp_path: Path, server: Server) -> None:
    """An answer that is none is paid for, told as such, and is nowhere in the folder."""
    job = project(tmp_path, server, output=IMAGE, e_badcontent=0.4, det=1)
    setup = setup_of(job, **{"retries.content": 8, "retries.wait_initial": 0.01})
    summary = anyio.run(run_batch, setup)
    assert summary.completed == 40 < summary.calls
    failed = known(
        tmp_path, "select distinct failure_kind, error from attempts where failure_kind is not null"
    )
    assert failed == [("invalid_output", "what came is no picture, but text")]
    assert {uri: sha256 for _, uri, sha256, _ in known(tmp_path)} == on_disk(tmp_path)
    assert len(on_disk(tmp_path)) == 40


def test_rows_that_ask_the_same_share_the_file(tmp_path: Path, server: Server) -> None:
    """One call, one file, and every row has it."""
    setup = setup_of(project(tmp_path, server, prompt="row_id: 7 {{review}}"))
    summary = anyio.run(run_batch, setup)
    assert summary.completed == 40
    found = known(tmp_path)
    assert len(found) == 40
    assert {uri for _, uri, *_ in found} == set(on_disk(tmp_path))
    assert len(on_disk(tmp_path)) == summary.calls < 40


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_that_takes_no_more_ends_the_batch(tmp_path: Path, server: Server, workers: int) -> None:
    """The batch stops and says why, what was paid is in the ledger, and the next run asks the rest again."""
    setup = setup_of(project(tmp_path, server), workers=workers)
    now = str(uuid_utils.uuid7())
    in_the_way = [tmp_path / "ledger.files" / f"{int(now[:6], 16) + later:06x}" for later in (0, 1)]
    in_the_way[0].parent.mkdir()
    for path in in_the_way:
        path.write_text("in the way")
    summary = anyio.run(run_batch, setup)
    assert (summary.outcome, summary.completed) == (Outcome.STOPPED, 0)
    assert "ledger.files cannot be written" in (summary.reason or "")
    paid = known(
        tmp_path, "select status, error, cost > 0, (select count(*) from attempts) from task_runs limit 1"
    )
    ((status, error, cost, attempts),) = paid
    assert (status, cost) == ("cancelled", True)
    assert "the answer came and could not be kept" in error
    assert 0 < attempts == server.stats()["billed"] <= 16
    for path in in_the_way:
        path.unlink()
    again = anyio.run(run_batch, setup)
    assert (again.completed, len(on_disk(tmp_path))) == (40, 40)


def test_a_folder_that_cannot_be_written_is_told_before_the_first_call(
    tmp_path: Path, server: Server
) -> None:
    """Nothing is spent on answers that nobody could keep."""
    setup = setup_of(project(tmp_path, server))
    (tmp_path / "ledger.files").write_text("in the way")
    with pytest.raises(Mistake, match=r"ledger\.files cannot be written"):
        anyio.run(run_batch, setup)
    assert server.stats()["billed"] == 0


def test_a_typesetter_that_is_missing_is_told_before_the_first_call(tmp_path: Path, server: Server) -> None:
    """With the command that installs it; a job whose answers are text needs none."""
    job = project(tmp_path, server)
    script = (
        "import sys; from importlib.machinery import PathFinder\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'typst': raise ModuleNotFoundError(name)\n"
        "import importlib.util as util; found = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'typst' else found(name, package)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "from tasks_lib.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, "plan", str(job)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, "pip install 'rowmill[files]'" in " ".join(done.stderr.split())) == (2, True)
    (tmp_path / "task.yaml").write_text((tmp_path / "task.yaml").read_text().replace("pdf", "text"))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def test_after_a_kill_folder_and_ledger_agree(tmp_path: Path, server: Server) -> None:
    """A kill -9 in the middle: the next run removes what the ledger never got, and all rows have one file."""
    job = project(tmp_path, server, rows=400)
    command = [sys.executable, "-m", "tasks_lib.cli", "run", str(job), "-q"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        while len(list((tmp_path / "ledger.files").rglob("*.pdf"))) < 20 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = len(on_disk(tmp_path))
    assert before < 400
    assert list((tmp_path / "ledger.files").glob(".writing-*"))
    summary = anyio.run(run_batch, setup_of(job))
    assert summary.completed + summary.skipped == 400
    found = known(tmp_path)
    assert {uri: sha256 for _, uri, sha256, _ in found} == on_disk(tmp_path)
    assert len(found) == 400


_FULL = """
import asyncio, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (2_200_000, 2_200_000))
from tasks_lib.job import run_job
from tests.job.pretend import Pretend, completion

def says(text):
    return completion("|a|\\n|-|\\n" + "|x|\\n" * (10_000 if "1000020" in text else 1))

summary = asyncio.run(run_job(Path(sys.argv[1]), transport=Pretend(says).transport))
print(summary.outcome.value, summary.reason)
"""


def test_a_full_disk_is_told(tmp_path: Path, server: Server) -> None:
    """What has no room ends the batch, half a file is nowhere, and the row is asked again by the next one."""
    job = project(tmp_path, server)
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(job)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.startswith("stopped no room left on the disk of"), done.stderr
    found = known(tmp_path)
    assert 0 < len(found) < 40
    assert {uri: sha256 for _, uri, sha256, _ in found} == on_disk(tmp_path)
    assert known(tmp_path, "select row_key, status from task_runs where is_error") == [
        ("1000020", "cancelled")
    ]
    assert anyio.run(run_batch, setup_of(job)).completed == 40 - len(found)


def files(job: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What `rowmill files` says and its exit code, in this process."""
    command = ["files", "--ledger", str(job.parent / "ledger.duckdb"), *map(str, arguments)]
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(command)
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(command, ended.value.code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize("by_job", [True, False])
def test_files_are_listed_checked_and_copied(tmp_path: Path, server: Server, by_job: bool) -> None:
    """In the rows' order, under names for people; one that was altered or is gone is told, with code 1."""
    job = project(tmp_path / "p", server, rows=3)
    anyio.run(run_batch, setup_of(job))
    which = ("--job", job) if by_job else ()
    done = files(job, *which, "--format", "json", "--check")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert [(one["row_key"], one["state"]) for one in listed] == [
        (str(1_000_000 + row), "whole") for row in range(3)
    ]
    to = tmp_path / "to"
    done = files(job, *which, "--to", to, "--name", "{{reporting_group}}/{{row_key}}")
    assert done.returncode == 0, done.stderr
    assert "3 of 3 files were copied to" in done.stderr
    assert sorted(path.name for path in to.iterdir()) == [
        f"customer-{row}_{1_000_000 + row}.pdf" for row in range(3)
    ]
    assert "1000001" in PdfReader(to / "customer-1_1000001.pdf").pages[0].extract_text()
    first, second = (Path(one["file"]) for one in listed[:2])
    first.unlink()
    second.write_bytes(second.read_bytes() + b"x")
    done = files(job, *which, "--check", "--format", "json")
    assert [one["state"] for one in json.loads(done.stdout)] == ["missing", "altered", "whole"]
    assert done.returncode == 1
    assert "1 of 3 files are whole" in done.stderr


def test_the_latest_answer_counts(tmp_path: Path, server: Server) -> None:
    """Rows that were asked again have their newest file, and a name that no field makes is refused."""
    job = project(tmp_path, server, rows=2)
    anyio.run(run_batch, setup_of(job))
    before = set(on_disk(tmp_path))
    (tmp_path / "task.yaml").write_text((tmp_path / "task.yaml").read_text().replace("classify", "judge"))
    anyio.run(run_batch, setup_of(job))
    latest = set(on_disk(tmp_path)) - before
    for which in ((), ("--job", job)):
        listed = json.loads(files(job, *which, "--format", "json").stdout)
        assert {str(Path(one["file"]).relative_to(tmp_path)) for one in listed} == latest
    refused = files(job, "--to", tmp_path / "to", "--name", "{{customer}}")
    assert (refused.returncode, "there is no {{customer}}" in refused.stderr) == (2, True)


def test_a_run_shows_its_file(tmp_path: Path, server: Server) -> None:
    """R27, R41: the whole record of a run has its file, with type, size, hash and where it is."""
    anyio.run(run_batch, setup_of(project(tmp_path, server, rows=1)))
    ((run, uri, sha256),) = known(tmp_path, "select task_run_id::varchar, uri, sha256 from produced_files")
    with open_ledger(tmp_path / "ledger.duckdb", read_only=True) as ledger:
        (file,) = ledger.show(run)["files"]
    assert (file["direction"], file["uri"], file["sha256"]) == ("out", uri, sha256)
    record = fetch_task_run(run, ledger=tmp_path / "ledger.duckdb")
    (told,) = record.files or ()
    size = (tmp_path / uri).stat().st_size
    assert (told.content_type, told.download_url, told.size_bytes) == ("application/pdf", uri, size)
    assert record.response == {
        "file_name": f"{run}.pdf",
        "content_type": "application/pdf",
        "size_bytes": size,
        "sha256": sha256,
        "download_url": uri,
    }


def letters() -> Task:
    """A task that asks for a letter as a PDF."""
    output = Output.of(Modality.PDF)
    models = (ModelChoice(model=Model.parse("openai:gpt-5-mini"), parameters={"max_tokens": 50}),)
    prompt = "Write to {{name}}"
    fingerprint = fingerprint_of(system_prompt=None, user_prompt=prompt, models=models, output=output)
    revision = Revision(tag="v1", user_prompt=Template.parse(prompt), models=models, fingerprint=fingerprint)
    return Task(name="letters", output=output, revisions=(revision,))


def says_hello(text: str) -> httpx.Response:
    return completion(f"# Hello\n\n{text}")


def test_one_row_without_a_ledger_has_its_bytes() -> None:
    """Nobody else has the file, so the answer holds it."""
    answer = asyncio.run(
        ask({"name": "Ada"}, letters(), environment=ENVIRONMENT, transport=Pretend(says_hello).transport)
    )
    assert answer.content is not None
    assert answer.content.startswith(b"%PDF-")
    assert (answer.status, answer.file) == ("completed", None)


def test_rows_with_a_ledger_have_their_files(tmp_path: Path) -> None:
    """The file is beside the ledger, now and when the row is answered from there."""

    async def run() -> list[Any]:
        async with answers(
            [{"name": "Ada"}],
            letters(),
            ledger=tmp_path / "l.duckdb",
            environment=ENVIRONMENT,
            transport=Pretend(says_hello).transport,
        ) as stream:
            return [answer async for answer in stream]

    ((first,), (second,)) = (asyncio.run(run()) for _ in range(2))
    assert first.file == second.file
    assert first.content is None
    assert "Write to Ada" in PdfReader(first.file).pages[0].extract_text()


def test_a_table_of_files_needs_a_ledger() -> None:
    """A column of files that are nowhere would be paid for in vain."""
    pretend = Pretend(says_hello)
    with pytest.raises(Mistake, match="kept beside a ledger"):
        asyncio.run(
            enrich(
                pd.DataFrame({"name": ["Ada"]}),
                letters(),
                environment=ENVIRONMENT,
                transport=pretend.transport,
            )
        )
    assert pretend.asked == []
