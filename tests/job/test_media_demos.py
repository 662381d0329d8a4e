"""The demos whose answers are pictures and recordings, without a key and without a network."""

import wave
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest
from PIL import Image

from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.batch import run_batch
from tasks_lib.job.checks import check_before_rows
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def demo(name: str, folder: Path, **overrides: object) -> Setup:
    """A demo's job, with ledger and output in a folder of the test's."""
    return load_setup(
        ROOT / "configs" / "jobs" / f"{name}.yaml",
        environment=Environment.from_os(),
        overrides={"ledger": str(folder / "l.duckdb"), "output": str(folder / "out.csv"), **overrides},
    )


def files_of(folder: Path) -> list[tuple[str, Path, str, int]]:
    """Reference, path, MIME type and size of each file, in the references' order."""
    with duckdb.connect(str(folder / "l.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select reference, uri, mime_type, size from produced_files order by reference"
        ).fetchall()
    return [(reference, folder / uri, mime_type, size) for reference, uri, mime_type, size in found]


async def run(setup: Setup, *, rows: int) -> Summary:
    summary = await run_batch(setup, options=Options(limit=rows))
    assert (summary.outcome, summary.completed, summary.cost) == (Outcome.COMPLETED, rows, Decimal(0))
    return summary


@pytest.mark.anyio
@pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="needs the extra `speech`")
async def test_r19_biographies_are_read_out(tmp_path: Path) -> None:
    """R19: each row has a WAV that decodes, longer for a longer text, at no cost and without any model."""
    await run(demo("readings", tmp_path), rows=3)
    found = files_of(tmp_path)
    assert [reference for reference, *_ in found] == ["b001", "b002", "b003"]
    seconds = []
    for _, path, mime_type, size in found:
        assert (mime_type, path.stat().st_size) == ("audio/wav", size)
        with wave.open(str(path)) as recording:
            seconds.append(recording.getnframes() / recording.getframerate())
    assert seconds[0] > seconds[2] > 2
    assert (tmp_path / "out.csv").read_text().count("audio/wav") == 3


@pytest.mark.anyio
@pytest.mark.local_model
async def test_r19_biographies_become_pictures(tmp_path: Path) -> None:
    """R19: each row has a PNG that decodes, drawn from what a small model told, at no cost."""
    summary = await run(demo("pictures", tmp_path), rows=2)
    assert summary.output_tokens > 100
    found = files_of(tmp_path)
    assert [reference for reference, *_ in found] == ["b004", "b012"]
    for _, path, mime_type, size in found:
        assert (mime_type, path.stat().st_size) == ("image/png", size)
        with Image.open(path) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("PNG", (512, 512))


def test_a_voice_is_no_model_for_pictures(tmp_path: Path) -> None:
    """What a local model cannot do is told before anything is opened, the ledger included."""
    with pytest.raises(Mistake, match="only speaks"):
        check_before_rows(demo("pictures", tmp_path, model="local:espeak"))
    assert not list(tmp_path.iterdir())
