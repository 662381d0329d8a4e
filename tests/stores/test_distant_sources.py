"""Rows from object stores and web servers."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from tempfile import gettempdir
from threading import Thread
from urllib.error import URLError
from urllib.request import Request

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks_lib.domain.job import Source
from tasks_lib.domain.place import Address, Storage
from tasks_lib.rows import SourceError, open_source
from tasks_lib.rows.copies import folder_of_copies
from tasks_lib.rows.distant_files import _copied, _meant
from tasks_lib.rows.found_files import FoundFiles
from tasks_lib.rows.store import Store
from tasks_lib.rows.web_file import _Onward


def source(url: str, **told: object) -> Source:
    return Source(path=Address.parse(url), **told)  # type: ignore[arg-type]


def values_of(told: Source) -> list[object]:
    with open_source(told) as opened:
        opened.check(needed=(), limit=None)
        return [row.values for some in opened.rows() for row in some]


def texts_of(url: str, **told: object) -> list[str]:
    return [values["text"] for values in values_of(source(url, **told))]


def refused(told: Source) -> str:
    with pytest.raises(SourceError) as error:
        values_of(told)
    return str(error.value)


def put(s3, **texts: str) -> None:
    for name, text in texts.items():
        s3.files.pipe_file(f"{s3.bucket}/{name.replace('__', '/').replace('_', '.')}", text.encode())


def parquet(**columns: object) -> bytes:
    sink = BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_objects_prefixes_and_globs(s3):
    """An address is an object, all below a prefix, or what a glob means."""
    put(s3, in__a_csv="text\na\n", in__b_csv="text\nb\n", in__deep__c_csv="text\nc\n", inn_csv="text\nno\n")
    put(s3, in___temporary__d_csv="text\nno\n")
    s3.files.touch(f"{s3.bucket}/in/deep/")
    assert texts_of(f"{s3.url}/in/a.csv") == ["a"]
    assert texts_of(f"{s3.url}/in") == ["a", "b", "c"]
    assert texts_of(f"{s3.url}/in/") == ["a", "b", "c"]
    assert texts_of(f"{s3.url}/in/*.csv") == ["a", "b"]
    assert texts_of(f"{s3.url}/**/[bc].csv") == ["b", "c"]
    with open_source(source(f"{s3.url}/none/")) as opened:
        assert opened.is_empty


def test_partitions_and_file_names(s3):
    """Partitions of a store are columns, as a file's name is where it is asked for."""
    for month in (10, 11):
        s3.files.pipe_file(f"{s3.bucket}/d/month={month}/part.parquet", parquet(text=[f"t{month}"]))
    assert values_of(source(f"{s3.url}/d", file_column="file")) == [
        {"text": "t10", "month": "10", "file": "month=10/part.parquet"},
        {"text": "t11", "month": "11", "file": "month=11/part.parquet"},
    ]


def test_compressed_objects(s3):
    """A copy is read as its object's name says."""
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "gzip") as stream:
        stream.write(b"id\ttext\n1\ta,b\n")
    s3.files.pipe_file(f"{s3.bucket}/../x/rows.tsv.gz", packed.getvalue().to_pybytes())
    assert texts_of(f"{s3.url}/../x/rows.tsv.gz") == ["a,b"]


def test_faults_are_told_by_address_and_line(s3):
    """What does not fit is told with the object's address, not with that of a copy."""
    put(s3, in__a_csv="id,text\n1,a\n", in__b_csv="id,text\n1,b,c\n")
    told = refused(source(f"{s3.url}/in"))
    assert told.startswith(f"{s3.url}/in/b.csv: the header has 2 fields, but not line 2 (3 fields)")
    assert gettempdir() not in told


def test_what_cannot_be_reached(s3):
    """A bucket or object that is not there, and credentials that do not do, are told with the address."""
    assert f"{s3.url}/none.csv: means no file" in refused(source(f"{s3.url}/none.csv", empty="refused"))
    assert "s3://no-such-bucket/in: is not there" in refused(source("s3://no-such-bucket/in"))
    told = refused(source(f"{s3.url}/in", storage=Storage(profile="nobody")))
    assert "The config profile (nobody) could not be found" in told


def test_the_version_of_a_prefix(s3):
    """Versions are the store's own: the same until an object changes."""

    def version() -> str | None:
        with open_source(source(f"{s3.url}/in")) as opened:
            return opened.version

    put(s3, in__a_csv="text\na\n")
    first = version()
    assert first is not None
    assert version() == first
    put(s3, in__a_csv="text\nb\n")
    assert version() != first


class Restless(Store):
    """A store in which somebody writes an object anew whenever it was copied, so many times."""

    def __init__(self, s3, address: Address, *, times: int) -> None:
        super().__init__(address, Storage(), wrong=SourceError)
        self._s3 = s3
        self._times = times

    def fetch(self, keys: Sequence[str], paths: Sequence[Path]) -> None:
        super().fetch(keys, paths)
        if self._times:
            self._times -= 1
            put(self._s3, in__a_csv=f"text\n{'x' * self._times}\n")


@contextmanager
def copied(s3, *, times: int) -> Iterator[FoundFiles]:
    put(s3, in__a_csv="text\nfirst\n", in__b_csv="text\nb\n")
    address = Address.parse(f"{s3.url}/in")
    store = Restless(s3, address, times=times)
    with folder_of_copies() as folder:
        files = FoundFiles(root=folder, names=["a.csv", "b.csv"], above=f"{s3.url}/in/", copies=True)
        _copied(store, address, _meant(store, address)[1], files)
        yield files


def test_an_object_that_changes_while_it_is_copied(s3):
    """It is copied again, so that what is read is one version, whole."""
    with copied(s3, times=2) as files:
        assert files.path(0).read_text() == "text\n\n"


def test_an_object_that_changes_all_the_time(s3):
    """It is told, and nothing is read."""
    with pytest.raises(SourceError, match=r"in/a\.csv changed each time it was copied"), copied(s3, times=9):
        raise AssertionError


def test_google_cloud_storage(gs):
    """What holds for S3 holds for gs://."""
    gs.files.pipe_file("bucket/in/a.csv", b"text\na\n")
    gs.files.pipe_file("bucket/in/y=1/b.csv", b"text\nb\n")
    anonymous = Storage(access="anonymous")
    assert texts_of("gs://bucket/in/*.csv", storage=anonymous) == ["a"]
    assert texts_of("gs://bucket/in/**/b.csv", storage=anonymous) == ["b"]
    assert "gs://bucket/gone.csv: means no file" in refused(
        source("gs://bucket/gone.csv", storage=anonymous, empty="refused")
    )


def leftovers() -> set[Path]:
    return set(Path(gettempdir()).glob("rowmill-copies-*"))


def test_copies_go_with_the_source(s3):
    """Nothing is left of copies when the source is closed."""
    put(s3, a_csv="text\na\n")
    before = leftovers()
    with open_source(source(f"{s3.url}/a.csv")):
        assert len(leftovers() - before) == 2
    assert not leftovers() - before


def test_copies_of_a_killed_process():
    """Who makes the next copies removes those of a process that was killed, not of one that lives."""
    program = """
from tasks_lib.rows.copies import folder_of_copies
with folder_of_copies() as folder:
    (folder / "copy").write_text("text")
    print(folder, flush=True)
    input()
"""
    with ExitStack() as resources:
        processes = []
        for _ in range(2):
            process = subprocess.Popen(
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            processes.append(resources.enter_context(process))
        folders = [Path(process.stdout.readline().strip()) for process in processes]
        processes[0].kill()
        processes[0].wait()
        assert (folders[0] / "copy").exists()
        with folder_of_copies() as ours:
            assert not folders[0].exists()
            assert (folders[1] / "copy").exists()
            assert ours.stat().st_mode & 0o777 == 0o700
        processes[1].communicate("\n")
    assert not folders[1].exists()


class Pages(BaseHTTPRequestHandler):
    """A few pages, one of them never whole."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/moved.csv":
            self.send_response(302)
            self.send_header("Location", "/rows.csv?signature=secret")
            self.end_headers()
            return
        body = b"text\na\n" if path in {"/rows.csv", "/cut.csv"} else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body) + (path == "/cut.csv")))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody wants to know."""


@pytest.fixture
def pages() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_of_a_web_server(pages):
    """It is read from where the server sends us on to, and shown without its query."""
    assert texts_of(f"{pages}/rows.csv?signature=secret") == ["a"]
    assert texts_of(f"{pages}/moved.csv") == ["a"]
    with open_source(source(f"{pages}/rows.csv?signature=secret")) as opened:
        assert opened.description == f"{pages}/rows.csv?…"


@pytest.mark.parametrize(
    ("path", "told"),
    [("gone.csv", "the server says 404 Not Found"), ("cut.csv", "7 bytes of 8 arrived")],
)
def test_a_file_that_a_web_server_does_not_give(pages, path, told):
    """What is missing or cut short is an error, which has no query in it."""
    message = refused(source(f"{pages}/{path}?signature=secret"))
    assert message.startswith(f"{pages}/{path}?…: ")
    assert told in message
    assert "secret" not in message


def test_plain_http():
    """Rows are not read over http but from this very machine; nor does a server get us there from https."""
    assert "is read over http" in refused(source("http://example.com/rows.csv"))
    with pytest.raises(URLError, match="on to http"):
        _Onward().redirect_request(
            Request("https://example.com/a"), BytesIO(), 302, "", None, "http://example.com/b"
        )


def test_a_presigned_address(s3):
    """A presigned address needs no credentials, and its signature is shown nowhere."""
    put(s3, a_csv="text\na\n", b_csv="text\n\n\nb\n")
    url = s3.files.sign(f"{s3.bucket}/a.csv")
    assert "ignature=" in url
    assert texts_of(url) == ["a"]
    bad = source(s3.files.sign(f"{s3.bucket}/b.csv"))
    message = refused(bad)
    assert "b.csv?…: line 2: a blank line" in message
    assert not {"ignature", "an-id"} & {part for part in ("ignature", "an-id") if part in message + repr(bad)}


@pytest.mark.parametrize("url", ["s3://", "ftp://host/x", "https://ada:pw@host/x.csv", "s3://k:s@bucket/x"])
def test_what_is_no_address(url):
    """An address that is none, or that holds a password, is refused without being repeated."""
    with pytest.raises(ValueError, match=r"is no address|user name or a password") as told:
        Address.parse(url)
    assert "pw" not in str(told.value)
