"""Outputs are there whole or not at all, and read back as what was written."""

import datetime as dt
import signal
import subprocess
import sys
from contextlib import suppress
from decimal import Decimal
from uuid import UUID

import duckdb
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.domain.job import Destination, Source
from tasks_lib.rows import OutputError, check_output, open_output, open_source

FORMATS = ("csv", "jsonl", "parquet", "duckdb")
JSON = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None]))
BATCH = pa.record_batch(
    {
        "id": [1, 2],
        "text": ['a "b", c\nd', ""],
        "none": pa.array([None, "x"]),
        "flag": [True, None],
        "number": [0.1, None],
        "cost": pa.array([Decimal("0.000000123"), None], pa.decimal128(24, 12)),
        "when": pa.array([0, None], pa.timestamp("us", "UTC")),
        "day": pa.array([dt.date(2026, 11, 22), None]),
        "list": [["x", None], None],
        "struct": [{"x": 1}, None],
        "json": JSON,
        "kind": pa.array(["k", None]).dictionary_encode(),
        "raw": pa.array([b"\xff", None]),
        "uuid": pa.array([UUID(int=1).bytes, None], pa.uuid()),
        "span": pa.array([pa.MonthDayNano([1, 0, 0]), None]),
    }
)


def destination(folder, of):
    suffix = {"duckdb": "duckdb"}.get(of, of)
    return Destination(path=folder / f"out.{suffix}", format=of, table="results" if of == "duckdb" else None)


def write(to, *batches):
    with open_output(to, schema=batches[0].schema) as output:
        for batch in batches:
            output.write(batch)


def read(to):
    """The rows of an output as dicts."""
    if to.format == "parquet":
        return pq.read_table(to.path).to_pylist()
    if to.format == "jsonl":
        return [orjson.loads(line) for line in to.path.read_bytes().splitlines()]
    if to.format == "duckdb":
        with duckdb.connect(str(to.path), read_only=True) as connection:
            return connection.table("results").to_arrow_table().to_pylist()
    with open_source(Source(path=to.path, format="csv", delimiter=",")) as opened:
        opened.check(needed=(), limit=None)
        return [dict(row.values) for rows in opened.rows() for row in rows]


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_csv(tmp_path):
    """A CSV tells NULL from empty text, quotes where it must, and has nested values as JSON."""
    to = destination(tmp_path, "csv")
    write(to, BATCH)
    assert to.path.read_text() == (
        "id,text,none,flag,number,cost,when,day,list,struct,json,kind,raw,uuid,span\n"
        '1,"a ""b"", c\nd",,true,0.1,0.000000123000,1970-01-01T00:00:00Z,2026-11-22,'
        '"[""x"",null]","{""x"":1}","{""a"":1}",k,/w==,00000000-0000-0000-0000-000000000001,P1M0DT0S\n'
        '2,"",x,,,,,,,,,,,,\n'
    )


def test_jsonl(tmp_path):
    """A JSONL has every column in every line, JSON columns as the values that they spell."""
    to = destination(tmp_path, "jsonl")
    write(to, BATCH)
    first, second = read(to)
    assert first["json"] == {"a": 1}
    assert first["list"] == ["x", None]
    assert first["cost"] == "0.000000123000"
    assert list(second) == BATCH.schema.names
    assert second["none"] == "x"
    assert second["json"] is None


def test_parquet(tmp_path):
    """A Parquet keeps every type that Parquet has, the others as text."""
    to = destination(tmp_path, "parquet")
    write(to, BATCH, BATCH)
    kept = [name for name in BATCH.schema.names if name != "span"]
    assert pq.read_table(to.path).select(kept).equals(pa.Table.from_batches([BATCH, BATCH]).select(kept))
    assert pq.read_table(to.path)["span"].to_pylist() == ["P1M0DT0S", None] * 2
    assert pq.ParquetFile(to.path).num_row_groups == 1


def test_duckdb(tmp_path):
    """A DuckDB table has the columns in DuckDB's types, and replaces one of that name, no other."""
    to = destination(tmp_path, "duckdb")
    with duckdb.connect(str(to.path)) as connection:
        connection.execute("create table results as select 'old' as x; create table other as select 1 as y")
    write(to, BATCH, BATCH)
    with duckdb.connect(str(to.path), read_only=True) as connection:
        types = dict(
            zip(connection.table("results").columns, map(str, connection.table("results").types), strict=True)
        )
        assert connection.execute("select y from other").fetchall() == [(1,)]
        assert (
            connection.execute("select id, text, cost, json->>'a' from results").fetchall()
            == [
                (1, 'a "b", c\nd', Decimal("0.000000123"), "1"),
                (2, "", None, None),
            ]
            * 2
        )
    assert types["json"] == "JSON"
    assert types["list"] == "VARCHAR[]"
    assert types["when"] == "TIMESTAMP WITH TIME ZONE"
    assert types["cost"] == "DECIMAL(24,12)"


def test_names_of_tables_are_quoted(tmp_path):
    """A table's name is a name, whatever it holds but quotes, and may be that of a schema's table."""
    batch = pa.record_batch({'a "b"; --': [1]})
    path = tmp_path / "out.duckdb"
    write(Destination(path=path, format="duckdb", table="x'; drop table y; --"), batch)
    write(Destination(path=path, format="duckdb", table="main.z"), batch)
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("show tables").fetchall() == [("x'; drop table y; --",), ("z",)]
    with pytest.raises(OutputError, match="may not hold a double quote"):
        check_output(Destination(path=path, format="duckdb", table='x"y'))


@pytest.mark.parametrize("of", FORMATS)
def test_a_table_of_types_that_few_know(tmp_path, of):
    """A type that a format does not have becomes text instead of an error."""
    batch = pa.record_batch(
        {
            "wide": pa.array([Decimal(2**200)], pa.decimal256(76, 0)),
            "half": pa.array([0.5], pa.float16()),
            "empty": pa.array([{}], pa.struct([])),
            "run": pa.RunEndEncodedArray.from_arrays([1], [7]),
            "union": pa.UnionArray.from_dense(
                pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]
            ),
            "null": pa.nulls(1),
        }
    )
    to = destination(tmp_path, of)
    write(to, batch)
    (row,) = read(to)
    assert str(row["wide"]) == str(2**200)
    assert str(row["half"]) == "0.5"
    assert str(row["empty"]) == "{}"
    assert str(row["run"]) == "7"
    assert str(row["union"]) == "1"
    assert row["null"] is None


@settings(max_examples=50, deadline=None)  # each opens a database
@given(
    rows=st.lists(
        st.tuples(
            *[st.none() | st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)]
            * 2
        ),
        min_size=1,
        max_size=6,
    )
)
def test_csv_comes_back(tmp_path_factory, rows):
    """Text written as CSV is read back cell by cell, NULL as NULL and empty as empty."""
    to = destination(tmp_path_factory.getbasetemp(), "csv")
    first, second = zip(*rows, strict=True)
    write(to, pa.record_batch({"a": pa.array(first, pa.string()), "b,": pa.array(second, pa.string())}))
    assert read(to) == [{"a": a, "b,": b} for a, b in rows]


def test_csv_of_a_single_column(tmp_path):
    """A NULL alone in its line is written as empty text: a blank line would be no row."""
    to = destination(tmp_path, "csv")
    write(to, pa.record_batch({"a": pa.array([None, "x", ""])}))
    assert [row["a"] for row in read(to)] == ["", "x", ""]


def test_csv_for_pandas(tmp_path):
    """Another reader sees the same rows."""
    to = destination(tmp_path, "csv")
    write(to, BATCH)
    frame = pd.read_csv(to.path)
    assert frame["text"].tolist()[0] == 'a "b", c\nd'
    assert frame["number"].tolist()[0] == 0.1


def test_many_batches_in_order(tmp_path):
    """Batches of any size come out as one sequence, in Parquet and DuckDB in groups of a good size."""
    batches = [pa.record_batch({"n": range(start, start + 1000)}) for start in range(0, 100_000, 1000)]
    for of in FORMATS:
        to = destination(tmp_path, of)
        write(to, *batches)
        assert [int(row["n"]) for row in read(to)] == list(range(100_000))
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 2


@pytest.mark.parametrize("of", FORMATS)
def test_an_output_without_rows(tmp_path, of):
    """An output to which nothing was written has its columns and no rows."""
    to = destination(tmp_path, of)
    with open_output(to, schema=BATCH.schema):
        pass
    assert to.path.exists()
    if of == "csv":
        assert to.path.read_text().count("\n") == 1
    else:
        assert read(to) == []


@pytest.mark.parametrize("of", FORMATS)
def test_an_error_leaves_what_was_there(tmp_path, of):
    """Whatever ends the writing, the old rows are untouched and nothing is left beside them."""
    to = destination(tmp_path, of)
    with suppress(KeyboardInterrupt), open_output(to, schema=BATCH.schema) as output:
        output.write(BATCH)
        raise KeyboardInterrupt
    assert left_in(tmp_path) == []
    write(to, pa.record_batch({"id": [7]}))
    before = read(to)
    with suppress(ZeroDivisionError), open_output(to, schema=BATCH.schema) as output:
        output.write(BATCH)
        raise ZeroDivisionError
    assert read(to) == before
    assert left_in(tmp_path) == [to.path.name]


KILLED = """
import os, signal, sys
from pathlib import Path
import pyarrow as pa
from tasks_lib.domain.job import Destination
from tasks_lib.rows import open_output
to = Destination(path=Path(sys.argv[1]), format=sys.argv[2], table="results")
batch = pa.record_batch({"n": range(50_000)})
with open_output(to, schema=batch.schema) as output:
    for _ in range(3):
        output.write(batch)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("of", ["csv", "parquet", "duckdb"])
def test_killed_while_writing(tmp_path, of):
    """A kill -9 leaves the old rows and at most one file of a known name, which the next run takes over."""
    to = destination(tmp_path, of)
    write(to, pa.record_batch({"n": [7]}))
    before = read(to)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(to.path), of], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert set(left_in(tmp_path)) <= {to.path.name, f".{to.path.name}.rowmill-part", f"{to.path.name}.wal"}
    assert read(to) == before
    write(to, pa.record_batch({"n": [8]}))
    assert [int(row["n"]) for row in read(to)] == [8]
    assert left_in(tmp_path) == [to.path.name]


@pytest.mark.parametrize("of", ["csv", "jsonl", "parquet"])
def test_two_writers(tmp_path, of):
    """A second run that would write the same file is refused, and the first one ends well."""
    to = destination(tmp_path, of)
    batch = pa.record_batch({"n": [1]})
    with open_output(to, schema=batch.schema) as output:
        output.write(batch)
        with (
            pytest.raises(OutputError, match="another run is writing this file"),
            open_output(to, schema=batch.schema),
        ):
            pass
        with pytest.raises(OutputError, match="another run is writing this file"):
            check_output(to)
    assert [int(row["n"]) for row in read(to)] == [1]


def test_database_in_use(tmp_path):
    """A database that another process has open is told before anything is spent."""
    to = destination(tmp_path, "duckdb")
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(to.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(OutputError, match="another process has this database open; close it"):
            check_output(to)
        other.communicate()
    check_output(to)


FULL = """
import resource, signal, sys
from pathlib import Path
import pyarrow as pa
from tasks_lib.domain.job import Destination
from tasks_lib.rows import OutputError, open_output
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # what a full disk is to a program
to = Destination(path=Path(sys.argv[1]), format=sys.argv[2])
batch = pa.record_batch({"n": range(50_000), "t": [str(hash(str(n))) for n in range(50_000)]})
try:
    with open_output(to, schema=batch.schema) as output:
        for _ in range(3):
            output.write(batch)
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("of", ["csv", "parquet"])
def test_a_disk_that_fills(tmp_path, of):
    """When there is no room, the message says so, the old file is untouched, and the part is removed."""
    to = destination(tmp_path, of)
    write(to, pa.record_batch({"n": [7]}))
    before = read(to)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, str(to.path), of],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(f"{to.path}: cannot be written: ")
    assert "File too large" in done.stdout
    assert "export again: the answers are in the ledger" in done.stdout
    assert done.stderr == ""
    assert read(to) == before
    assert left_in(tmp_path) == [to.path.name]


@pytest.mark.parametrize("of", FORMATS)
def test_places_that_cannot_be_written(tmp_path, of):
    """A path that is no file, or leads through one, is told by the check and by the writing."""
    (tmp_path / f"out.{of}").mkdir()
    (tmp_path / "file").touch()
    for path, told in (
        (tmp_path / f"out.{of}", "is not a file"),
        (tmp_path / "file" / f"out.{of}", "cannot be written: .*; change output.path"),
    ):
        to = Destination(path=path, format=of, table="results")
        with pytest.raises(OutputError, match=told):
            check_output(to)
        with pytest.raises(OutputError, match=told), open_output(to, schema=BATCH.schema):
            pass


@pytest.mark.parametrize("of", FORMATS)
def test_a_folder_that_is_not_there(tmp_path, of):
    """A folder that is missing is made."""
    to = destination(tmp_path / "a" / "b", of)
    write(to, pa.record_batch({"n": [1]}))
    assert [int(row["n"]) for row in read(to)] == [1]


def test_a_folder_that_may_not_be_written(tmp_path):
    """A folder without the right to write is told; tried as somebody who is not root."""
    script = """
import os, sys
from pathlib import Path
from tasks_lib.domain.job import Destination
from tasks_lib.rows import OutputError, check_output
if os.getuid() == 0:
    os.setuid(65534)
try:
    check_output(Destination(path=Path(sys.argv[1]), format="csv"))
except OutputError as error:
    print(error)
"""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    for above in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        above.chmod(0o755)
    path = folder / "out.csv"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"{path}: the folder {folder} may not be written by this user")


@pytest.mark.parametrize("of", FORMATS)
def test_a_check_leaves_nothing(tmp_path, of):
    """The check leaves neither a file nor a change of one."""
    to = destination(tmp_path, of)
    check_output(to)
    assert left_in(tmp_path) == []
    write(to, BATCH)
    before = read(to)
    check_output(to)
    assert read(to) == before
    assert left_in(tmp_path) == [to.path.name]


def test_destinations_that_are_none(tmp_path):
    """An unknown format, a table without a name and a file that is no database are told."""
    unknown = Destination(path=tmp_path / "out.xlsx", format="xlsx")
    with pytest.raises(OutputError, match="'xlsx' is none of csv, parquet, jsonl, duckdb"):
        check_output(unknown)
    with pytest.raises(OutputError, match="'xlsx' is none of"), open_output(unknown, schema=BATCH.schema):
        pass
    nameless = Destination(path=tmp_path / "out.duckdb", format="duckdb")
    with pytest.raises(OutputError, match=r"name it in output\.table"):
        check_output(nameless)
    (tmp_path / "out.duckdb").write_text("no database " * 1000)
    with pytest.raises(OutputError, match="cannot be opened as a DuckDB database"):
        check_output(destination(tmp_path, "duckdb"))


def test_a_link_stays_a_link(tmp_path):
    """An output that is a link to a file is written where it leads."""
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "rows.csv"
    real.write_text("old\n")
    (tmp_path / "out.csv").symlink_to(real)
    write(destination(tmp_path, "csv"), pa.record_batch({"n": [1]}))
    assert (tmp_path / "out.csv").is_symlink()
    assert real.read_text() == "n\n1\n"
