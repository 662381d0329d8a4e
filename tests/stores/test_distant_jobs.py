"""Whole jobs from a store into a store."""

from pathlib import Path

import pytest

from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.tally import Outcome
from tests.job.one_job import OneJob

JOB = """\
task: task.yaml
source: {{path: "{url}/inbox/*.csv", key: id}}
ledger: ledger.duckdb
output: "{url}/out.csv"
limits: {{in_flight: 1}}
"""


def asked_now(one: OneJob, **overrides: object) -> list[str]:
    before = len(one.asked)
    assert one.run(**overrides).outcome is Outcome.COMPLETED
    return sorted(text.removeprefix("Say ") for _, text in one.asked[before:])


def test_a_prefix_that_grows(tmp_path, s3):
    """Only rows of new and changed objects are asked; an output that would be the same is left alone."""
    one = OneJob(tmp_path, rows="")
    one.path.write_text(JOB.format(url=s3.url))
    s3.files.pipe_file(f"{s3.bucket}/inbox/b.csv", b"id,text\n1,one\n2,two\n")
    assert asked_now(one) == ["one", "two"]
    first = s3.files.info(f"{s3.bucket}/out.csv")
    assert asked_now(one) == []
    assert s3.files.info(f"{s3.bucket}/out.csv") == first
    s3.files.pipe_file(f"{s3.bucket}/inbox/a.csv", b"id,text\n3,three\n")
    s3.files.pipe_file(f"{s3.bucket}/inbox/b.csv", b"id,text\n1,one\n2,deux\n")
    assert asked_now(one) == ["deux", "three"]
    lines = s3.files.cat(f"{s3.bucket}/out.csv").decode().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["3", "three"], ["1", "one"], ["2", "deux"]]
    assert one.sql("select count(*) from task_runs where not is_error") == [(4,)]


def test_places_that_flags_name(tmp_path, s3):
    """A source and an output can be named by flags, and an address stays one."""
    one = OneJob(tmp_path, rows="")
    s3.files.pipe_file(f"{s3.bucket}/x.csv", b"id,text\n1,one\n")
    assert asked_now(one, input=f"{s3.url}/x.csv", output=f"{s3.url}/y.jsonl") == ["one"]
    assert s3.files.exists(f"{s3.bucket}/y.jsonl")
    ((told,),) = one.sql("select input from batches")
    assert told == f"{s3.url}/x.csv"


def test_a_signature_is_nowhere(tmp_path, s3):
    """The query of a presigned address is neither in the ledger nor in what is told."""
    one = OneJob(tmp_path, rows="")
    s3.files.pipe_file(f"{s3.bucket}/x.csv", b"id,text\n1,one\n")
    url = s3.files.sign(f"{s3.bucket}/x.csv")
    secret = url.rpartition("ignature=")[2].partition("&")[0]
    summary = one.run(input=url)
    assert summary.completed == 1
    assert secret not in repr(summary)
    for path in tmp_path.iterdir():
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


def test_the_example_of_the_docs(tmp_path, monkeypatch, s3):
    """The job in docs/sources.md runs as it stands, with a profile and a region."""
    text = Path("docs/sources.md").read_text().partition("<!-- tested -->\n```yaml\n")[2].partition("```")[0]
    one = OneJob(tmp_path, rows="")
    one.path.write_text(text)
    config = one.write("aws.ini", "[profile analytics]\naws_access_key_id = i\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))  # botocore reads its own variables, and nothing else
    s3.files.mkdir("reviews")
    s3.files.pipe_file("reviews/inbox/today.csv", b"id,text\n1,one\n")
    assert asked_now(one) == ["one"]
    assert s3.files.exists("reviews/answers/reviews.parquet")


@pytest.mark.parametrize(
    ("source", "output", "told"),
    [
        ("ftp://host/rows.csv", "out.csv", "source.path is no address such as"),
        ("https://ada:pw@host/rows.csv", "out.csv", "a user name or a password"),
        ("http://example.com/rows.csv", "out.csv", "is read over http"),
        ("s3://bucket/in", "s3://bucket/in/out.csv", "among the source's files"),
        ("s3://bucket/*.csv", "s3://bucket/out.csv", "among the source's files"),
        ("s3://bucket/in", "https://host/out.csv", "nothing can be written to"),
        ("s3://bucket/in", "s3://bucket/out.duckdb", "only be written to on this machine"),
    ],
)
def test_places_that_do_not_do(tmp_path, source, output, told):
    """What cannot be read or written is told before anything is asked, and where."""
    one = OneJob(tmp_path, rows="")
    with pytest.raises(Mistake, match=told) as error:
        one.run(input=source, output=output)
    assert "pw" not in str(error.value)
