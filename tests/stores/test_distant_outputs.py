"""Outputs in object stores: there whole, or not at all."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks_lib.domain.job import Destination
from tasks_lib.domain.place import Address, Storage
from tasks_lib.rows import OutputError, check_output, open_output, version_of_output

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])


def to(url: str, *, form: str = "csv", **storage: str) -> Destination:
    return Destination(path=Address.parse(url), format=form, storage=Storage(**storage))


def write(destination: Destination, *texts: str) -> None:
    check_output(destination)
    with open_output(destination, schema=SCHEMA) as output:
        output.write(pa.record_batch([list(range(len(texts))), list(texts)], schema=SCHEMA))


def uploads(s3) -> list[str]:
    """Keys of uploads that have not ended."""
    found = s3.files.call_s3("list_multipart_uploads", Bucket=s3.bucket)
    return [one["Key"] for one in found.get("Uploads") or ()]


def test_every_format(s3):
    """What is in the object is what would be in a file."""
    write(to(f"{s3.url}/out.csv"), "a", "b,c")
    write(to(f"{s3.url}/out.jsonl", form="jsonl"), "a")
    write(to(f"{s3.url}/deep/out.parquet", form="parquet"), "a")
    assert s3.files.cat(f"{s3.bucket}/out.csv") == b'id,text\n0,a\n1,"b,c"\n'
    assert s3.files.cat(f"{s3.bucket}/out.jsonl") == b'{"id":0,"text":"a"}\n'
    with s3.files.open(f"{s3.bucket}/deep/out.parquet") as file:
        assert pq.read_table(file).to_pylist() == [{"id": 0, "text": "a"}]
    assert uploads(s3) == []


def test_an_output_that_is_given_up(s3):
    """Whatever ends the writing, what was there before is untouched."""
    write(to(f"{s3.url}/out.csv"), "before")
    before = version_of_output(to(f"{s3.url}/out.csv"))

    class OutOfOrderError(Exception):
        pass

    with (  # noqa: PT012  a block that fails late is the point
        pytest.raises(OutOfOrderError),
        open_output(to(f"{s3.url}/out.csv"), schema=SCHEMA) as output,
    ):
        output.write(pa.record_batch([[1], ["x" * 1_000]], schema=SCHEMA))
        raise OutOfOrderError
    assert before is not None
    assert version_of_output(to(f"{s3.url}/out.csv")) == before
    assert version_of_output(to(f"{s3.url}/none.csv")) is None


def test_the_check_leaves_nothing(s3):
    """That the object can be written is proven without anybody seeing one; forgotten uploads of it go."""
    s3.files.call_s3("create_multipart_upload", Bucket=s3.bucket, Key="out.csv")  # in 2010, as moto has it
    s3.files.call_s3("create_multipart_upload", Bucket=s3.bucket, Key="out.csv.other")
    check_output(to(f"{s3.url}/out.csv"))
    assert s3.files.find(s3.bucket) == []
    assert uploads(s3) == ["out.csv.other"]


def test_what_cannot_be_written(s3):
    """A bucket that is not there, the web and a database are refused before anything is spent."""
    with pytest.raises(OutputError, match=r"s3://no-such-bucket/out\.csv: is not there"):
        check_output(to("s3://no-such-bucket/out.csv"))
    with pytest.raises(OutputError, match="address of the web"):
        check_output(to("https://example.com/out.csv"))
    with pytest.raises(OutputError, match="only csv, parquet and jsonl"):
        check_output(to(f"{s3.url}/out.duckdb", form="duckdb"))


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # gcsfs's, to aiohttp
def test_google_cloud_storage(gs):
    """gs:// is written as s3:// is, in one piece or in several."""
    destination = to("gs://bucket/out/o.csv", access="anonymous")
    write(destination, "a")
    assert gs.files.cat("bucket/out/o.csv") == b"id,text\n0,a\n"
    first = version_of_output(destination)
    write(destination, "x" * (9 << 20))
    assert gs.files.info("bucket/out/o.csv")["size"] > 9 << 20
    assert version_of_output(destination) != first


@contextmanager
def stuck_after(endpoint: str, *, sent: int) -> Iterator[tuple[str, Event]]:
    """A way to the server that takes nothing more after so many bytes, and tells when it is so far."""
    parts = urlsplit(endpoint)
    stuck, over, taken = Event(), Event(), [0]
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[Thread] = []

    def carry(source: socket.socket, target: socket.socket, *, is_sent: bool) -> None:
        with source, target:
            with suppress(OSError):
                while data := source.recv(1 << 16):
                    taken[0] += len(data) * is_sent
                    if taken[0] > sent:
                        stuck.set()
                        over.wait()
                        break
                    target.sendall(data)
            for side in (source, target):  # whose other halves are another thread's
                with suppress(OSError):  # one that was killed is not there to be told; the other is
                    side.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                inner = listening.accept()[0]
                outer = socket.create_connection((parts.hostname, parts.port))
                for one, other, is_sent in ((inner, outer, True), (outer, inner, False)):
                    threads.append(
                        Thread(target=carry, args=(one.dup(), other.dup()), kwargs={"is_sent": is_sent})
                    )
                    threads[-1].start()
                inner.close()
                outer.close()

    accepting = Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", stuck
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()
        for thread in threads:
            thread.join()


WRITER = """
import os, sys
import pyarrow as pa
from tasks_lib.domain.job import Destination
from tasks_lib.domain.place import Address, Storage
from tasks_lib.rows import open_output
schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
destination = Destination(
    path=Address.parse(sys.argv[1]), format="csv", storage=Storage(endpoint_url=sys.argv[2])
)
with open_output(destination, schema=schema) as output:
    output.write(pa.record_batch([[0], ["x" * (24 << 20)]], schema=schema))
"""


def test_a_kill_in_the_middle_of_an_object(s3):
    """A process that is killed while it sends leaves what was there, and the next run writes the whole."""
    destination = to(f"{s3.url}/out.csv")
    write(destination, "before")
    with stuck_after(s3.endpoint, sent=10 << 20) as (endpoint, stuck):
        process = subprocess.Popen([sys.executable, "-c", WRITER, f"{s3.url}/out.csv", endpoint])
        assert stuck.wait(120)
        process.kill()
        process.wait()
    assert s3.files.cat(f"{s3.bucket}/out.csv") == b"id,text\n0,before\n"
    assert s3.files.find(s3.bucket) == [f"{s3.bucket}/out.csv"]
    assert uploads(s3) == ["out.csv"]
    write(destination, "y" * (24 << 20))
    assert s3.files.info(f"{s3.bucket}/out.csv")["size"] == (24 << 20) + len("id,text\n0,\n")
    assert uploads(s3) == []
