"""Keys: of a column, where each must be its own, or of a row's content."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.domain.fingerprint import content_hash
from tasks_lib.domain.job import Source
from tasks_lib.rows import SourceError, open_source, open_table
from tasks_lib.rows.scratch import open_scratch
from tasks_lib.rows.seen import Seen


@pytest.fixture
def csv(tmp_path):
    return tmp_path / "rows.csv"


def keys(opened, **asked):
    return [row.key for rows in opened.rows(**asked) for row in rows]


def refusal(source, *, limit=None):
    with open_source(source) as opened, pytest.raises(SourceError) as caught:
        opened.check(needed=(), limit=limit)
    return str(caught.value)


def test_duplicate_keys_of_a_file(csv):
    """Keys that several rows have are told with the physical lines of the rows."""
    csv.write_text('id,text\na,"x\ny"\nb,1\na,2\na,3\nb,4\nc,5\na,6\n')
    assert refusal(Source(path=csv, key="id")) == (
        f"{csv}: the key 'id' is not a row's own: 'a' on line 2, line 5, line 6; 'b' on line 4, line 7 "
        "(4 rows repeat an earlier key); name a column that differs in every row as source.key, "
        "or leave it out and each row's content is its key"
    )
    with open_source(Source(path=csv, key="id")) as opened:
        assert opened.check(needed=(), limit=2).rows == 2  # the first two are different


def test_duplicate_keys_of_other_sources(tmp_path):
    """JSONL has lines, anything else rows; keys are compared as the text that they are."""
    jsonl = tmp_path / "rows.jsonl"
    jsonl.write_text('\n{"id": 1}\n\n{"id": "1"}\n')
    assert "not a row's own: '1' on line 2, line 4 (1 row repeats" in refusal(Source(path=jsonl, key="id"))
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": [1.5, 2.0, 1.5]}), parquet)
    assert "'1.5' on row 1, row 3" in refusal(Source(path=parquet, key="id"))


def test_keys_that_are_missing(csv):
    """A row without a key is told with its line, and an empty key is none."""
    csv.write_text('id,text\na,1\n,2\n"",3\nb,4\n')
    told = refusal(Source(path=csv, key="id"))
    assert f"{csv}: the key 'id' is empty on line 3, line 4; give each row one" in told
    with (
        open_source(Source(path=csv, key="id")) as opened,
        pytest.raises(SourceError, match="row 2 has no 'id'"),
    ):
        list(opened.rows())  # without the check too


def test_key_column_that_is_missing(csv):
    """A key column that is not there is told, with the one that was likely meant."""
    csv.write_text("Id,text\na,1\n")
    assert "there is no column 'id'; did you mean 'Id'? (columns: Id, text)" in refusal(
        Source(path=csv, key="id")
    )


def test_keys_of_every_type():
    """A key is the text that a template would make of the value."""
    table = pa.table({"id": pa.array([True, False]), "n": [1, 2], "f": [1.0, 0.5], "l": [[1], [2]]})
    for name, expected in {
        "id": ["true", "false"],
        "n": ["1", "2"],
        "f": ["1.0", "0.5"],
        "l": ["[1]", "[2]"],
    }.items():
        with open_table(table, key=name) as opened:
            opened.check(needed=(), limit=None)
            assert keys(opened) == expected


def test_content_is_the_key(csv):
    """Without a key column a row's key is the hash of all its columns, in any order, whatever is shown."""
    csv.write_text("a,b\n1,\n2,x\n")
    with open_source(Source(path=csv)) as opened:
        expected = [content_hash({"a": "1", "b": None}), content_hash({"b": "x", "a": "2"})]
        assert keys(opened) == keys(opened, columns=("a",)) == keys(opened, size=1) == expected
    csv.write_text("b,a\nx,2\n,1\n")
    with open_source(Source(path=csv)) as opened:
        assert keys(opened) == expected[::-1]


def test_new_fields_leave_old_keys(tmp_path):
    """A JSONL file that has grown by a row with a new field gives its old rows their old keys."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n')
    with open_source(Source(path=path)) as opened:
        before = keys(opened)
    path.write_text('{"a": 1}\n{"a": 2, "b": 3}\n')
    with open_source(Source(path=path)) as opened:
        assert keys(opened)[:1] == before


@settings(max_examples=30, deadline=None)  # each opens a database
@given(
    values=st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
    size=st.integers(1, 5),
    limit=st.integers(1, 12),
)
def test_identical_rows_are_numbered(values, size, limit):
    """The second and third of identical rows are -2 and -3, in order, however they are cut and limited."""
    seen: Counter[str] = Counter()
    expected = []
    for value in values:
        seen[value] += 1
        ending = f"-{seen[value]}" if seen[value] > 1 else ""
        expected.append(content_hash({"x": value}) + ending)
    with open_table(pa.table({"x": values}), key=None) as opened:
        assert keys(opened, size=size, limit=limit) == expected[:limit]
        assert keys(opened, size=size) == expected


def test_what_json_does_not_tell_apart_is_identical():
    """Rows whose values are the same to JSON are the same rows: NaN is NULL."""
    with open_table(pa.table({"x": [None, float("nan")]}), key=None) as opened:
        first, second = keys(opened)
    assert second == f"{first}-2"


def test_a_million_like_rows_on_little_memory():
    """Keys and contents are compared on disk when they do not fit the memory that they may take."""
    with open_scratch(memory="40MB", threads=1) as scratch:
        seen = Seen.of_keys(scratch)
        for start in range(0, 1_000_000, 50_000):
            seen.add([str(number % 600_000) for number in range(start, start + 50_000)])
        found = seen.duplicates(at_most=2)
        assert found.total == 400_000
        assert found.first == ((1, 600_001), (2, 600_002))
        repeats = list(seen.repeats())
        assert len(repeats) == 400_000
        assert repeats[0] == (600_001, 2)
        assert repeats[-1] == (1_000_000, 2)
