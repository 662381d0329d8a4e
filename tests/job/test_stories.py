"""The demo whose answers are PDF, with the model of this machine."""

from pathlib import Path

import duckdb
import pytest
from pypdf import PdfReader

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.local_model
@pytest.mark.anyio
async def test_stories_become_pages(tmp_path: Path) -> None:
    """R19: without key and network each row has a PDF with a story, whose text can be taken out."""
    ledger, output = tmp_path / "l.duckdb", tmp_path / "stories.csv"
    setup = load_setup(
        ROOT / "configs" / "jobs" / "stories.yaml",
        environment=Environment.from_os(),
        overrides={"ledger": str(ledger), "output": str(output)},
    )
    summary = await run_batch(setup, options=Options(limit=2))
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 2)
    with duckdb.connect(str(ledger), read_only=True) as connection:
        found = connection.execute("select reference, uri, mime_type from produced_files").fetchall()
    assert {reference for reference, *_ in found} == {"s1", "s2"}
    for _, uri, mime_type in found:
        reader = PdfReader(tmp_path / uri)
        assert mime_type == "application/pdf"
        assert reader.metadata is not None
        assert reader.metadata.title == "stories"
        said = " ".join(page.extract_text() for page in reader.pages)
        assert len(said.split()) > 30
    assert output.read_text().count("application/pdf") == 2


@pytest.mark.local_model
@pytest.mark.anyio
async def test_stories_get_titles(tmp_path: Path) -> None:
    """R19: without key and network each row has a line of text."""
    ledger = tmp_path / "l.duckdb"
    setup = load_setup(
        ROOT / "configs" / "jobs" / "titles.yaml",
        environment=Environment.from_os(),
        overrides={"ledger": str(ledger), "output": str(tmp_path / "titles.csv")},
    )
    summary = await run_batch(setup, options=Options(limit=2))
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 2)
    with duckdb.connect(str(ledger), read_only=True) as connection:
        titles = connection.execute("select response from results_titles").fetchall()
    assert len(titles) == 2
    assert all(title.strip() and "\n" not in title for (title,) in titles)
