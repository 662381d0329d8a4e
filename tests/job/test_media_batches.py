"""Whole batches whose answers are pictures or recordings, against the loopback server."""

import wave
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from PIL import Image

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.tally import Outcome
from tests.llmserver import Server, running_server

pytestmark = pytest.mark.anyio
ROWS = 30


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with running_server() as started:
        yield started


@pytest.fixture
def server(running: Server) -> Server:
    running.config(clear=1)
    running.reset()
    return running


def job(folder: Path, server: Server, *, output: str, **overrides: object) -> Setup:
    """A job of thirty rows at the server, whose prices are a dollar a million tokens."""
    (folder / "rows.csv").write_text("id,what\n" + "".join(f"r{n},thing {n}\n" for n in range(ROWS)))
    (folder / "providers.yaml").write_text(f"pretend: {{base_url: '{server.base_url(e500=0.1, det=1)}'}}\n")
    (folder / "prices.yaml").write_text("pretend:painter: {input: 1, output: 1}\n")
    (folder / "task.yaml").write_text(
        f"task: media\noutput: {output}\nmodel: pretend:painter\n"
        "user_prompt: 'row_id: {{id}}. Show {{what}}.'\n"
    )
    (folder / "job.yaml").write_text(
        "job: media\ntask: task.yaml\nsource: {path: rows.csv, key: id}\nledger: l.duckdb\n"
        "limits: {in_flight: 8}\n"
    )
    return load_setup(folder / "job.yaml", environment=Environment.from_os(), overrides=overrides)


def found(folder: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "l.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(("file_type", "workers"), [("png", 1), ("jpeg", 1), ("png", 2)])
async def test_r19_every_row_has_its_own_picture(tmp_path, server, file_type, workers):
    """R19: one file a row that decodes, through errors and with workers; each is billed once."""
    setup = job(tmp_path, server, output=f"{{modality: image, file_type: {file_type}}}", workers=workers)
    summary = await run_batch(setup)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, ROWS)
    stats = server.stats()
    assert stats["billed"] == ROWS < stats["recv"]
    files = found(tmp_path, "select row_key, uri, mime_type, sha256 from produced_files")
    assert len({row for row, *_ in files}) == len({sha for *_, sha in files}) == ROWS
    for _, uri, mime_type, _ in files:
        assert mime_type == f"image/{file_type}"
        with Image.open(tmp_path / str(uri)) as picture:
            assert picture.size == (16, 16)
    ((tokens, cost),) = found(tmp_path, "select sum(input_tokens + output_tokens), sum(cost) from attempts")
    assert tokens == stats["tok_in"] + stats["tok_out"]
    assert cost * 1_000_000 == tokens
    again = await run_batch(job(tmp_path, server, output=f"{{modality: image, file_type: {file_type}}}"))
    assert (again.skipped, again.calls) == (ROWS, 0)


async def test_r19_every_row_has_its_own_recording(tmp_path, server):
    """R19: one WAV a row that decodes; what a call without tokens costs is unknown, and not nothing."""
    summary = await run_batch(job(tmp_path, server, output="{modality: audio, file_type: wav}"))
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, ROWS)
    files = found(tmp_path, "select row_key, uri from produced_files")
    assert len({row for row, _ in files}) == ROWS
    for _, uri in files:
        with wave.open(str(tmp_path / str(uri))) as recording:
            assert recording.getnframes() == 2_000
    answered = "select count(*), count(cost) from attempts where failure_kind is null"
    assert found(tmp_path, answered) == [(ROWS, 0)]
