"""Each bad input gives one clear message and exit code 2, before any call."""

import subprocess
import sys
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import JOB, TASK, Project


def csv_of(project: Project, content: bytes) -> None:
    (project.folder / "data/reviews.csv").write_bytes(content)


def ragged(project: Project) -> None:
    csv_of(project, b"id,customer,review\n1,a,good\n2,b\n3,c,bad\n")


def two_tables(project: Project) -> None:
    csv_of(project, b"id,customer,review\n1,a,good\n\nname,price\nx,3\n")


def wrong_encoding(project: Project) -> None:
    csv_of(project, "id,customer,review\n1,a,schön\n".encode("latin-1"))


def empty(project: Project) -> None:
    csv_of(project, b"")


def header_only(project: Project) -> None:
    csv_of(project, b"id,customer,review\n")


def cut_parquet(project: Project) -> None:
    whole = project.folder / "data/reviews.parquet"
    pq.write_table(pa.table({"id": ["1"], "customer": ["a"], "review": ["good"]}), whole)
    whole.write_bytes(whole.read_bytes()[:-100])
    project.write("configs/jobs/reviews.yaml", JOB.replace("reviews.csv, key", "reviews.parquet, key"))


def no_such_column(project: Project) -> None:
    project.write("configs/tasks/sentiment.yaml", TASK.replace("{{review}}", "{{reviw}}"))


def misspelt_key(project: Project) -> None:
    project.write("configs/jobs/reviews.yaml", JOB.replace("limits:", "limit:"))


def no_key(project: Project) -> None:
    elsewhere = "https://provider.invalid/v1"  # a server on this machine needs no key
    project.write(
        "configs/providers.yaml",
        f"pretend: {{protocol: openai, base_url: '{elsewhere}', key: NO_SUCH_KEY}}\n",
    )


def long_group(project: Project) -> None:
    csv_of(project, b"id,customer,review\n1,a,good\n2," + b"x" * 65 + b",bad\n")


def output_folder_is_a_file(project: Project) -> None:
    project.write("data/out", "not a folder")


def two_keys(project: Project) -> None:
    csv_of(project, b"id,customer,review\n1,a,good\n2,b,bad\n1,c,fine\n")


def no_file(project: Project) -> None:
    (project.folder / "data/reviews.csv").unlink()


def no_provider(project: Project) -> None:
    project.write("configs/tasks/sentiment.yaml", TASK.replace("pretend:", "pretned:"))


def ledger_folder_is_a_file(project: Project) -> None:
    project.write("configs/jobs/reviews.yaml", JOB.replace("../../data/rowmill", "../../data/reviews.csv/l"))


def no_schema(project: Project) -> None:
    project.write("configs/tasks/sentiment.yaml", TASK.replace("type: object", "type: objct"))


CASES: list[tuple[Callable[[Project], None], list[str]]] = [
    (ragged, ["reviews.csv", "line 3"]),
    (two_tables, ["reviews.csv", "line 3"]),
    (wrong_encoding, ["reviews.csv", "line 2", "encoding"]),
    (empty, ["reviews.csv", "empty"]),
    (header_only, ["reviews.csv", "no rows"]),
    (cut_parquet, ["reviews.parquet"]),
    (no_such_column, ["reviw", "review"]),
    (misspelt_key, ["reviews.yaml:5", "limit", "limits"]),
    (no_key, ["NO_SUCH_KEY"]),
    (long_group, ["reporting_group", "64"]),
    (output_folder_is_a_file, ["data/out"]),
    (ledger_folder_is_a_file, ["data/reviews.csv", "folder cannot be made"]),
    (two_keys, ["'1'", "line"]),
    (no_file, ["reviews.csv"]),
    (no_provider, ["pretned", "pretend"]),
    (no_schema, ["sentiment.yaml", "objct"]),
]


@pytest.mark.parametrize(("spoil", "words"), CASES, ids=[spoil.__name__ for spoil, _ in CASES])
def test_bad_input(project: Project, spoil: Callable[[Project], None], words: list[str]) -> None:
    """What can be known beforehand is told in one message, with the place, and costs nothing."""
    spoil(project)
    done = project.here("run", project.job)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    said = done.err.removeprefix("reviews: checking data/reviews.csv\n")
    assert [word for word in words if word not in said] == []
    assert len(said.strip().splitlines()) <= 2, said
    assert project.server.stats()["recv"] == 0
    assert project.here("plan", project.job).code == 2


def test_a_ledger_s_folder_is_made(project: Project) -> None:
    """A ledger may be put into a folder that is not there yet, like the output."""
    project.write("configs/jobs/reviews.yaml", JOB.replace("../../data/rowmill", "../../new/one/rowmill"))
    assert project.here("run", project.job).code == 0
    assert (project.folder / "new" / "one" / "rowmill.duckdb").is_file()


def test_no_job_file(project: Project) -> None:
    """A job file that is not there is told by its path."""
    done = project.here("run", "configs/jobs/nothing.yaml")
    assert done.code == 2
    assert "configs/jobs/nothing.yaml" in done.err
    assert "no such file" in done.err


def test_a_ledger_that_is_in_use(project: Project) -> None:
    """A ledger that another process has open is told, by whom, and nothing is asked."""
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(project.ledger)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        for command in (["run", str(project.job)], ["status"], ["report", "failures"], ["sql", "select 1"]):
            done = project.here(*command)
            assert (done.code, done.out) == (2, ""), command
            assert "in use" in done.err
            assert str(other.pid) in done.err
        assert other.stdin is not None
        other.stdin.close()
    assert project.server.stats()["recv"] == 0
