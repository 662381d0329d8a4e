"""Columns of bytes as files of their rows."""

import hashlib
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks_lib.domain.job import Source
from tasks_lib.domain.row import Row
from tasks_lib.rows import OpenSource, SourceError, open_source, open_table
from tasks_lib.rows.files import is_file

BYTES = [b"one", None, b"\xff" * 1000]


def read(opened: OpenSource, *columns: str, size: int = 2048) -> list[Row]:
    """All rows, once the source is checked."""
    opened.check(needed=(), files=columns, limit=None)
    return [row for rows in opened.rows(size=size, columns=columns) for row in rows]


def told(content: bytes, **more: str) -> dict[str, object]:
    """What stands in the place of bytes."""
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), **more}


@pytest.mark.parametrize(
    "of",
    [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())],
    ids=str,
)
def test_bytes(tmp_path: Path, of: pa.DataType) -> None:
    """R15: bytes of any Arrow type come beside the row, and their digest in it."""
    table = pa.table({"id": [1, 2, 3], "file": pa.array(BYTES, pa.binary()).cast(of)})
    for opened in (open_table(table, key="id"), _parquet(tmp_path, table, key="id")):
        with opened:
            rows = read(opened, "file")
        assert [row.blobs for row in rows] == [{"file": b"one"}, {}, {"file": b"\xff" * 1000}]
        assert [row.values["file"] for row in rows] == [told(b"one"), None, told(b"\xff" * 1000)]


def test_named_bytes(tmp_path: Path) -> None:
    """A struct of bytes and a name is a file, and a path where it has no bytes."""
    files = [{"path": "a/x.png", "bytes": b"one"}, None, {"path": "y.png", "bytes": None}]
    table = pa.table({"file": pa.array(files, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))})
    with _parquet(tmp_path, table) as opened:
        rows = read(opened, "file")
    assert [row.values["file"] for row in rows] == [told(b"one", filename="a/x.png"), None, "y.png"]
    assert [row.blobs for row in rows] == [{"file": b"one"}, {}, {}]


def test_what_is_no_file() -> None:
    """Lists of bytes, structs with two of them or with another name for it, and UUIDs are no files."""
    for of in (
        pa.list_(pa.binary()),
        pa.struct([("a", pa.binary())]),
        pa.struct([("bytes", pa.binary()), ("content", pa.binary())]),
        pa.struct([("bytes", pa.list_(pa.binary()))]),
        pa.string(),
        pa.uuid(),
    ):
        assert not is_file(of)
    table = pa.table({"id": [1], "file": pa.array([[b"x"]], pa.list_(pa.binary()))})
    with open_table(table, key="id") as opened, pytest.raises(SourceError, match="'file' is binary"):
        read(opened, "file")


def test_the_key_of_a_row_with_bytes(tmp_path: Path) -> None:
    """Without a key column the bytes are part of what names a row, as they were before they were files."""
    table = pa.table({"id": [1, 1, 1], "file": [b"a", b"b", b"a"]})
    with _parquet(tmp_path, table) as opened:
        first, second, third = (row.key for row in read(opened, "file"))
        assert (first != second, third) == (True, f"{first}-2")
        assert [row.key for rows in opened.rows(columns=("id",)) for row in rows] == [first, second, third]


def test_a_query_and_a_data_frame() -> None:
    """DuckDB's BLOBs and pandas' bytes are the same."""
    with open_source(Source(query="select 1 as id, 'one'::blob as file", key="id")) as opened:
        assert [row.blobs for row in read(opened, "file")] == [{"file": b"one"}]
    frame = pd.DataFrame({"id": [1], "file": [b"one"]})
    with open_table(frame, key="id") as opened:
        assert [row.blobs for row in read(opened, "file")] == [{"file": b"one"}]
    assert duckdb.sql("select octet_length('one'::blob)").fetchone() == (3,)


def test_rows_with_large_files_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    """16 MB of files are in memory at once, however many rows are asked for; small ones come together."""
    large = pa.table({"id": range(10), "file": [bytes(4_000_000)] * 10})
    small = pa.table({"id": range(1000), "file": [b"x"] * 1000})
    for table, most in ((large, 4), (small, 1000)):
        for opened in (open_table(table, key="id"), _parquet(tmp_path, table, key="id")):
            with opened:
                assert max(len(rows) for rows in opened.rows(size=2500, columns=("id", "file"))) == most
                assert max(len(rows) for rows in opened.rows(size=2500, columns=("id",))) >= most
    with open_source(Source(query="from range(40) r(id) select id, 'x'::blob as file", key="id")) as opened:
        assert max(len(rows) for rows in opened.rows(size=2500, columns=("id", "file"))) == 16


def _parquet(folder: Path, table: pa.Table, *, key: str | None = None) -> OpenSource:
    path = folder / "rows.parquet"
    pq.write_table(table, path, use_dictionary=False)
    return open_source(Source(path=path, key=key))
