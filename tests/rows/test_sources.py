"""Rows from every sort of source: what is read, and what is refused before anything is spent."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks_lib.domain.job import Source
from tasks_lib.domain.row import Row
from tasks_lib.rows import Checked, SourceError, open_source, open_table


def rows_of(opened, **asked):
    return [row for rows in opened.rows(**asked) for row in rows]


def values_of(opened, **asked):
    return [row.values for row in rows_of(opened, **asked)]


def check(opened, *, needed=(), limit=None):
    return opened.check(needed=needed, limit=limit)


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "text": ["a", None, ""]}), path, row_group_size=2)
    return path


@pytest.fixture
def jsonl(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1, "text": "a"}\n\n{"id": 2, "more": [1, {"x": null}]}\r\n{"text": "", "id": 3}')
    return path


def test_rows_of_parquet(parquet):
    """A Parquet file's values keep their types, NULL is not empty, and rows are numbered from 1."""
    with open_source(Source(path=parquet, key="id")) as opened:
        assert check(opened, needed=("text",)) == Checked(rows=3, source_rows=3)
        assert rows_of(opened, size=2) == [
            Row(number=1, key="1", values={"id": 1, "text": "a"}),
            Row(number=2, key="2", values={"id": 2, "text": None}),
            Row(number=3, key="3", values={"id": 3, "text": ""}),
        ]


def test_rows_of_jsonl(jsonl):
    """The columns of a JSONL file are all the fields there are; a row without one has NULL there."""
    with open_source(Source(path=jsonl, key="id")) as opened:
        check(opened, needed=("text", "more"))
        assert opened.columns == ("id", "text", "more")
        assert values_of(opened) == [
            {"id": 1, "text": "a", "more": None},
            {"id": 2, "text": None, "more": [1, {"x": None}]},
            {"id": 3, "text": "", "more": None},
        ]


def test_rows_of_query(parquet):
    """A query's answer is a source; its relative paths begin in the folder that is given."""
    query = (
        "set threads = 1; select id + 1 as id, {'t': text} as nested from 'rows.parquet' order by id -- so"
    )
    with open_source(Source(query=query, key="id"), folder=parquet.parent) as opened:
        assert check(opened).rows == 3
        assert opened.description == "the query"
        assert values_of(opened)[:2] == [{"id": 2, "nested": {"t": "a"}}, {"id": 3, "nested": {"t": None}}]


def test_query_runs_once():
    """What was checked is what is read, even of a query that gives other rows each time."""
    with open_source(Source(query="select random() as x from range(100)")) as opened:
        check(opened)
        assert rows_of(opened) == rows_of(opened, size=7)


def test_order_of_a_large_query():
    """The rows of a query come in its order, on all cores."""
    query = "select range as x from range(150_000)"
    with open_source(Source(query=query, key="x")) as opened:
        numbers = [row.values["x"] for row in rows_of(opened, columns=("x",))]
    assert numbers == list(range(150_000))


def test_types_of_query():
    """DuckDB's own types are said in JSON, and JSON is what it spells."""
    query = """
        select '{"a": [1]}'::json as j, uuid '00000000-0000-0000-0000-000000000001' as u, 5::hugeint as h,
               interval 90 minute as i, '10:00:00+02'::timetz as tz, '101'::bit as b,
               'x'::enum('x', 'y') as e, map {'k': 1} as m, [1, null]::int[2] as a, 1.50::decimal(5, 2) as d
    """
    with open_source(Source(query=query)) as opened:
        assert values_of(opened) == [
            {
                "j": {"a": [1]}, "u": "00000000-0000-0000-0000-000000000001", "h": 5, "i": "01:30:00",
                "tz": "10:00:00+02", "b": "101", "e": "x", "m": {"k": 1}, "a": [1, None], "d": "1.50",
            }
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select nothing", 'source.query: Binder Error: Referenced column "nothing"'),
        ("selec 1", "source.query: Parser Error"),
        ("", "must be one that gives rows"),
        ("create table t (i int)", "must be one that gives rows"),
        ("copy (select 1) to '/nowhere/x.csv'; select 1", "copy may not come before the query"),
        ("select 1 as a, 2 as A", "column 2 and an earlier one differ only in case ('a', 'A')"),
        ("from 'nowhere.parquet'", "source.query: IO Error: No files found"),
    ],
)
def test_query_that_is_none(query, told):
    """A query that cannot be answered is refused in DuckDB's words."""
    with pytest.raises(SourceError) as caught:
        open_source(Source(query=query))
    assert told in str(caught.value)


def test_query_that_fails_on_the_way():
    """A query that fails in its midst fails before the first row is given."""
    with (
        open_source(Source(query="select cast(x as int) as x from (values ('1'), ('y')) as t(x)")) as opened,
        pytest.raises(SourceError, match=r"source\.query: Conversion Error"),
    ):
        check(opened)


def test_rows_of_a_data_frame():
    """A DataFrame is a source; NaN is NULL and a named index is a column."""
    frame = pd.DataFrame(
        {"x": [1.5, float("nan")], "s": ["a", None], 3: [True, False]}, index=pd.Index([7, 8], name="id")
    )
    with open_table(frame, key="id") as opened:
        check(opened)
        assert rows_of(opened) == [
            Row(number=1, key="7", values={"id": 7, "x": 1.5, "s": "a", "3": True}),
            Row(number=2, key="8", values={"id": 8, "x": None, "s": None, "3": False}),
        ]


def test_rows_of_an_arrow_reader():
    """A reader of record batches is a source too, and can be read more than once."""
    table = pa.table({"x": [1, 2, 3]})
    with open_table(table.to_reader(max_chunksize=2), key=None) as opened:
        check(opened)
        assert values_of(opened) == values_of(opened) == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_a_data_frame_that_mixes_types():
    """A column that holds numbers and words is told."""
    with pytest.raises(SourceError, match="column mixes types"):
        open_table(pd.DataFrame({"x": [1, "a"]}), key=None)


def test_tables_are_the_rows(parquet, jsonl, tmp_path):
    """Beside the rows `tables` gives the source's columns, aligned and in its types, whatever is shown."""
    csv = tmp_path / "rows.csv"
    csv.write_text('id,text\n1,\n2,""\n3,c\n')
    sources = [Source(path=path, key="id") for path in (parquet, jsonl, csv)]
    sources.append(Source(query="select range as id from range(3)", key="id"))
    for source in sources:
        with open_source(source) as opened:
            pairs = [(rows.rows(), batch) for rows, batch in opened.tables(size=2, columns=())]
            assert [row.values for rows, _ in pairs for row in rows] == [{}, {}, {}]
            assert [row.key for rows, _ in pairs for row in rows] == [
                str(key) for _, batch in pairs for key in batch["id"].to_pylist()
            ]
            assert all(batch.schema.equals(opened.schema, check_metadata=True) for _, batch in pairs)
            assert [len(rows) for rows, _ in pairs] == [batch.num_rows for _, batch in pairs] == [2, 1]


def test_limit(parquet, jsonl):
    """With a limit only the first rows are counted, keyed and read."""
    for path in (parquet, jsonl):
        with open_source(Source(path=path)) as opened:
            assert check(opened, limit=2) == Checked(rows=2, source_rows=3)
            assert check(opened, limit=9) == Checked(rows=3, source_rows=3)
            assert [row.number for row in rows_of(opened, limit=2, size=1)] == [1, 2]
            assert len(rows_of(opened, limit=9)) == 3
            assert rows_of(opened, limit=0) == []


def test_needed_columns(parquet):
    """A column that is not there is told, with the one that was likely meant."""
    with open_source(Source(path=parquet)) as opened, pytest.raises(SourceError) as caught:
        check(opened, needed=("id", "Text "))
    assert str(caught.value).endswith("there is no column 'Text '; did you mean 'text'? (columns: id, text)")


def test_shown_columns(parquet):
    """Only the columns that are asked for are put into the rows."""
    for key in ("id", None):
        with open_source(Source(path=parquet, key=key)) as opened:
            assert values_of(opened, columns=("text",))[0] == {"text": "a"}
            with pytest.raises(SourceError, match="there is no column 'texts'"):
                rows_of(opened, columns=("texts",))


def test_binary_columns(tmp_path):
    """Bytes cannot be prompted with: needed they are refused, else kept and part of the key."""
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"id": [1, 1], "raw": pa.array([b"\xff", b"\xfe"]), "deep": [{"r": b"x"}] * 2}), path
    )
    with open_source(Source(path=path)) as opened:
        check(opened, needed=("id",))
        assert values_of(opened) == [{"id": 1}, {"id": 1}]
        assert len({row.key for row in rows_of(opened)}) == 2
        assert opened.schema.names == ["id", "raw", "deep"]
        for name in ("raw", "deep"):
            with pytest.raises(SourceError, match=f"column '{name}' is binary"):
                check(opened, needed=(name,))
        with pytest.raises(SourceError, match="column 'deep' is binary"):
            rows_of(opened, columns=("deep",))
    with (
        open_source(Source(path=path, key="raw")) as opened,
        pytest.raises(SourceError, match="'raw' is binary"),
    ):
        check(opened)


def test_broken_parquet(parquet):
    """A Parquet file that is cut short, changed, empty or none at all is refused before the first row."""
    whole = parquet.read_bytes()
    broken = {
        b"": "the file is empty",
        whole[:-20]: "not a whole Parquet file",
        whole[:200]: "not a whole Parquet file",
        b"id,text\n1,a\n": "not a whole Parquet file",
    }
    for content, told in broken.items():
        parquet.write_bytes(content)
        with pytest.raises(SourceError, match=told):
            open_source(Source(path=parquet))


def test_damaged_pages_of_parquet(tmp_path):
    """Where a Parquet file has checksums, a bit that flipped in it is found before the first row."""
    path = tmp_path / "rows.parquet"
    table = pa.table({"text": [f"text {at}" for at in range(1000)]})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[content.index(b"text 500")] ^= 1
    path.write_bytes(content)
    with (
        open_source(Source(path=path)) as opened,
        pytest.raises(SourceError, match="not a whole Parquet file"),
    ):
        check(opened)


def test_a_column_name_that_is_no_text(tmp_path):
    """A flipped bit in a column's name is told like any other damage."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"text", b"tex\xf4"))
    with pytest.raises(SourceError, match="not a whole Parquet file"):
        open_source(Source(path=path))


def test_text_that_is_none(tmp_path):
    """Bytes that a file calls text and that are no UTF-8 are told before the first row."""
    path = tmp_path / "rows.parquet"
    offsets, data = pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")
    table = pa.table({"text": pa.StringArray.from_buffers(1, offsets, data)})
    pq.write_table(table, path)
    for opened in (open_source(Source(path=path)), open_table(table, key=None)):
        with opened, pytest.raises(SourceError, match=r"values that are not of their type .*UTF8"):
            check(opened)


def test_no_rows(tmp_path):
    """A source without rows is no source."""
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), parquet)
    jsonl = tmp_path / "rows.jsonl"
    jsonl.write_text("\n\n")
    for source in (Source(path=parquet), Source(path=jsonl), Source(query="select 1 as x where false")):
        with open_source(source) as opened, pytest.raises(SourceError, match="there are no rows"):
            check(opened)


def test_files_that_are_none(tmp_path):
    """A file that is missing or of no known format is told."""
    for suffix in ("csv", "parquet", "jsonl"):
        missing = tmp_path / f"missing.{suffix}"
        with pytest.raises(SourceError, match="there is no such file"):
            open_source(Source(path=missing))
    with pytest.raises(SourceError, match=r"set source\.format: csv, parquet or jsonl"):
        open_source(Source(path=tmp_path / "rows.txt"))
    with pytest.raises(SourceError, match="'excel' is none of csv, parquet, jsonl"):
        open_source(Source(path=tmp_path / "rows.txt", format="excel"))
    with pytest.raises(SourceError, match="neither a path nor a query"):
        open_source(Source())


def test_format_that_is_said(tmp_path):
    """The format that is said wins over the suffix."""
    path = tmp_path / "rows.txt"
    path.write_text("a,b\n1,2\n")
    with open_source(Source(path=path, format="csv")) as opened:
        assert opened.columns == ("a", "b")


def test_lines_of_jsonl_that_are_no_objects(tmp_path):
    """Every line of a JSONL file that is no object is told by its number."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n[1]\n\n3\n"x"\nnull\ntrue\n{"a": \n{"a": NaN}\n')
    with pytest.raises(SourceError) as caught:
        open_source(Source(path=path))
    assert str(caught.value) == (
        f"{path}: each line must be a JSON object, but not line 2 (an array), line 4 (a number), "
        "line 5 (a string), line 6 (null), line 7 (a boolean) and 2 more"
    )
    path.write_bytes('{"a": "é"}\n'.encode("latin-1"))
    with pytest.raises(SourceError, match="line 1: not utf-8 text"):
        open_source(Source(path=path))
    with open_source(Source(path=path, encoding="latin-1")) as opened:
        assert values_of(opened) == [{"a": "é"}]


def test_types_of_jsonl(tmp_path):
    """Columns of one type have it in the output, others are JSON; the rows are as written."""
    lines = [
        {
            "i": 1,
            "f": 1,
            "t": "x",
            "b": True,
            "l": [1],
            "o": {"a": 1},
            "m": 1,
            "n": None,
            "big": 2**53 + 1,
            "e": {},
        },
        {
            "i": 2**63 - 1,
            "f": 2.5,
            "t": None,
            "b": None,
            "l": [2.5],
            "o": {"b": "y"},
            "m": "x",
            "big": 0.5,
            "e": {},
        },
    ]
    path = tmp_path / "rows.jsonl"
    # the two lines stand in groups of their own, as in a long file
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in [lines[0]] * 4096 + [lines[1]]))
    with open_source(Source(path=path)) as opened:
        text, number = pa.string(), pa.float64()
        assert {field.name: field.type for field in opened.schema} == {
            "i": pa.int64(), "f": number, "t": text, "b": pa.bool_(), "l": pa.list_(number), "n": text,
            "o": pa.struct([("a", pa.int64()), ("b", text)]),
            "m": pa.json_(text), "big": pa.json_(text), "e": pa.json_(text),
        }  # fmt: skip
        *_, (rows, batch) = opened.tables(size=4096)
        assert rows.rows()[0].values == {**lines[1], "n": None}
        assert batch.to_pylist() == [
            {
                "i": 2**63 - 1, "f": 2.5, "t": None, "b": None, "l": [2.5], "n": None,
                "o": {"a": None, "b": "y"}, "m": '"x"', "big": "0.5", "e": "{}",
            }
        ]  # fmt: skip


def test_integers_beyond_64_bits(tmp_path):
    """An integer that no JSON reader keeps exactly stays exact, as text."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"x": 123456789012345678901234567890, "y": 18446744073709551615}\n')
    table = pa.table({"x": pa.array([Decimal(123456789012345678901234567890)], pa.decimal128(38, 0))})
    with open_source(Source(path=path)) as opened, open_table(table, key=None) as other:
        check(opened)
        check(other)
        assert values_of(opened) == [{"x": "123456789012345678901234567890", "y": 2**64 - 1}]
        assert values_of(other) == [{"x": "123456789012345678901234567890"}]


DAY = dt.date(2026, 11, 22)
NOON = dt.datetime(2026, 11, 22, 12, 0, 0)  # noqa: DTZ001  a timestamp without a zone is what is tested
SAID = {
    "int8": (pa.array([-1, None], pa.int8()), [-1, None]),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
    "int64 beyond floats": (pa.array([2**53 + 1, None]), [2**53 + 1, None]),
    "float": (
        pa.array([0.1, float("nan"), float("inf"), -float("inf"), None]),
        [0.1, None, "Infinity", "-Infinity", None],
    ),
    "float32": (pa.array([0.1, 16777216.0], pa.float32()), [0.1, 16777216.0]),
    "float16": (pa.array([0.5], pa.float16()), [0.5]),
    "decimal": (
        pa.array([Decimal("12.50"), Decimal("0.0000001"), None], pa.decimal128(20, 7)),
        ["12.5000000", "0.0000001", None],
    ),
    "whole decimal": (pa.array([Decimal(7)], pa.decimal128(20, 0)), [7]),
    "date": (pa.array([DAY, None]), ["2026-11-22", None]),
    "date64": (pa.array([DAY], pa.date64()), ["2026-11-22"]),
    "time": (pa.array([dt.time(9, 30), dt.time(9, 30, 0, 500)]), ["09:30:00", "09:30:00.0005"]),
    "timestamp": (pa.array([NOON, None], pa.timestamp("us")), ["2026-11-22T12:00:00", None]),
    "timestamp ns": (pa.array([1], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"]),
    "timestamp with zone": (pa.array([NOON], pa.timestamp("s", "Europe/Paris")), ["2026-11-22T12:00:00Z"]),
    "duration": (pa.array([1500, -500, 60_000], pa.duration("ms")), ["PT1.5S", "PT-0.5S", "PT60S"]),
    "interval": (pa.array([pa.MonthDayNano([1, 2, 500])]), ["P1M2DT0.0000005S"]),
    "uuid": (pa.array([UUID(int=1).bytes, None], pa.uuid()), [str(UUID(int=1)), None]),
    "category": (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    "large text": (pa.array(["a"], pa.large_string()), ["a"]),
    "text view": (pa.array(["a", None], pa.string_view()), ["a", None]),
    "nothing": (pa.nulls(2), [None, None]),
    "run-end encoded": (pa.RunEndEncodedArray.from_arrays([2], ["a"]), ["a", "a"]),
    "list": (pa.array([[DAY, None], [], None]), [["2026-11-22", None], [], None]),
    "list of fixed size": (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), [[1, 2], None]),
    "list view": (pa.array([[1], None, [2, 3]], pa.list_view(pa.int8())), [[1], None, [2, 3]]),
    "struct": (
        pa.array([{"d": DAY, "x": [{"y": float("nan")}]}, None]),
        [{"d": "2026-11-22", "x": [{"y": None}]}, None],
    ),
    "struct of nothing": (pa.array([{}, None], pa.struct([])), [{}, None]),
    "map": (
        pa.array([[(1, DAY)], [], None], pa.map_(pa.int8(), pa.date32())),
        [{"1": "2026-11-22"}, {}, None],
    ),
    "json": (
        pa.array(['{"a": 12345678901234567890123}', "no json", None], pa.json_()),
        [{"a": "12345678901234567890123"}, "no json", None],
    ),
    "union": (
        pa.UnionArray.from_dense(
            pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["a"])]
        ),
        [1, "a"],
    ),
}


@pytest.mark.parametrize(("array", "said"), SAID.values(), ids=SAID.keys())
def test_what_json_cannot_say(array, said):
    """Every Arrow type has values that JSON can say, and a slice of a column is said as the whole is."""
    for start in range(len(said)):
        with open_table(pa.table({"x": array}).slice(start), key=None) as opened:
            assert [values["x"] for values in values_of(opened)] == said[start:]
            orjson.dumps(values_of(opened))


def test_first_rows_do_not_wait_for_the_rest(tmp_path):
    """Rows come as they are read: the first ones are there before a fault later on is met."""
    path = tmp_path / "rows.csv"
    path.write_text("id\n" + "".join(f"{at}\n" for at in range(300_000)))
    with open_source(Source(path=path, key="id")) as opened:
        first = next(opened.rows())
    assert [row.number for row in first] == list(range(1, len(first) + 1))


def test_paths_are_no_sql(tmp_path):
    """A path may hold whatever a path can."""
    folder = tmp_path / 'it\'s; drop "table" --'
    folder.mkdir()
    path: Path = folder / "rows.csv"
    path.write_text("a\n1\n")
    with open_source(Source(path=path)) as opened:
        check(opened)
        assert values_of(opened) == [{"a": "1"}]
    query = "from 'rows.csv'"
    with open_source(Source(query=query), folder=folder) as opened:
        assert values_of(opened) == [{"a": 1}]
