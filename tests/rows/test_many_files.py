"""Rows of many files: folders, globs and partitions, read as one source."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks_lib.domain.job import Source
from tasks_lib.rows import Checked, SourceError, open_source


def write(folder: Path, **files: str) -> Path:
    """Files whose names have `__` for each folder, and `_csv` or `_jsonl` at the end."""
    for name, text in files.items():
        *folders, last = name.split("__")
        path = folder.joinpath(*folders, ".".join(last.rsplit("_", 1)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def rows_of(source: Source, *, size: int = 2_048):
    with open_source(source) as opened:
        opened.check(needed=(), limit=None)
        return [row for rows in opened.rows(size=size) for row in rows]


def texts_of(source: Source) -> list[object]:
    return [row.values["text"] for row in rows_of(source)]


def refused(source: Source) -> str:
    with pytest.raises(SourceError) as told:
        rows_of(source)
    return str(told.value)


def parquet(path: Path, **columns: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_a_folder_is_all_its_files_in_the_order_of_their_names(tmp_path):
    """Files of all depths are read, one after the other; hidden ones, and those of Spark's sort, are not."""
    write(tmp_path, b_csv="id,text\n3,c\n", a_csv="id,text\n1,a\n2,b\n", sub__c_csv="id,text\n4,d\n")
    write(tmp_path, readme_txt="no rows", sub___temporary__x_csv="id,text\n9,x\n")
    (tmp_path / ".hidden.csv").write_text("id,text\n8,h\n")
    (tmp_path / "_SUCCESS").write_text("")
    with open_source(Source(path=tmp_path, key="id")) as opened:
        assert opened.check(needed=("text",), limit=None) == Checked(rows=4, source_rows=4)
        rows = [row for some in opened.rows(size=3) for row in some]
    assert [(row.number, row.key, row.values["text"]) for row in rows] == [
        (1, "1", "a"), (2, "2", "b"), (3, "3", "c"), (4, "4", "d"),
    ]  # fmt: skip


def test_small_files_come_together(tmp_path):
    """Many files of one row each do not make many stretches, and a stretch is never longer than asked."""
    write(tmp_path, **{f"f{at:03}_csv": f"text\nt{at}\n" for at in range(50)})
    with open_source(Source(path=tmp_path)) as opened:
        opened.check(needed=(), limit=None)
        assert [len(rows) for rows in opened.rows(size=20)] == [20, 20, 10]
        assert [len(rows) for rows in opened.rows(size=20, limit=33)] == [20, 13]
        assert [batch.num_rows for _, batch in opened.tables(size=40)] == [40, 10]


@pytest.mark.parametrize(
    ("glob", "meant"),
    [
        ("*.csv", ["a"]),
        ("**/*.csv", ["a", "b", "c"]),
        ("in/*/*.csv", ["c"]),
        ("in/**", ["b", "c"]),
        ("in/[ab].csv", ["b"]),
        ("?.csv", ["a"]),
        ("in/_*/*.csv", ["hidden"]),
    ],
)
def test_globs(tmp_path, glob, meant):
    """A glob means what it means to a shell; `**` is folders of any depth, none among them."""
    write(tmp_path, a_csv="text\na\n", in__b_csv="text\nb\n", in__deep__c_csv="text\nc\n")
    write(tmp_path, in___old__h_csv="text\nhidden\n")
    assert texts_of(Source(path=tmp_path / glob)) == meant


def test_a_file_whose_name_looks_like_a_glob(tmp_path):
    """A file that is there is that file, whatever its name."""
    (tmp_path / "a[1].csv").write_text("text\nit\n")
    (tmp_path / "a1.csv").write_text("text\nother\n")
    assert texts_of(Source(path=tmp_path / "a[1].csv")) == ["it"]


def test_partitions_are_columns(tmp_path):
    """What folders spell of a partition is a column of text, after the file's own; `/` and NULL too."""
    parquet(tmp_path / "year=2026/town=A%2FB/p.parquet", text=["a"])
    parquet(tmp_path / "year=2027/town=__HIVE_DEFAULT_PARTITION__/p.parquet", text=["b"])
    with open_source(Source(path=tmp_path)) as opened:
        opened.check(needed=("year", "town"), limit=None)
        assert opened.columns == ("text", "year", "town")
        rows = [row.values for some in opened.rows() for row in some]
        assert rows == [
            {"text": "a", "year": "2026", "town": "A/B"},
            {"text": "b", "year": "2027", "town": None},
        ]
        assert [batch.to_pylist() for _, batch in opened.tables()] == [rows]


def test_a_partition_that_is_a_column_of_the_file_too(tmp_path):
    """A file's own column stands before what its folder says."""
    parquet(tmp_path / "year=2026/p.parquet", text=["a"], year=[2025])
    assert rows_of(Source(path=tmp_path))[0].values == {"text": "a", "year": 2025}


def test_files_that_are_not_partitioned_alike(tmp_path):
    """A file outside the partitions is told by its name."""
    write(tmp_path, **{"day=1__a_csv": "text\na\n", "z_csv": "text\nb\n"})
    told = refused(Source(path=tmp_path))
    assert "z.csv: its folders do not spell the partition day, as those of day=1/a.csv do" in told


def test_the_file_as_a_column(tmp_path):
    """A column can tell each row's file, from the folder on; the row's name does not hang on it."""
    write(tmp_path, a_csv="text\nx\n", sub__b_csv="text\ny\n")
    with open_source(Source(path=tmp_path, file_column="source_file")) as opened:
        opened.check(needed=("source_file",), limit=None)
        told = [row for some in opened.rows() for row in some]
        tables = [batch.column("source_file").to_pylist() for _, batch in opened.tables()]
    assert [row.values["source_file"] for row in told] == ["a.csv", "sub/b.csv"]
    assert tables == [["a.csv", "sub/b.csv"]]
    assert [row.key for row in told] == [row.key for row in rows_of(Source(path=tmp_path))]
    one = Source(path=tmp_path / "a.csv", file_column="source_file")
    assert [row.values for row in rows_of(one)] == [{"text": "x", "source_file": "a.csv"}]
    assert "are both called 'text'" in refused(Source(path=tmp_path, file_column="text"))


def test_each_csv_has_its_own_dialect(tmp_path):
    """Delimiters, line ends and the order of columns may differ from file to file."""
    write(tmp_path, a_csv="id,text\n1,a\n", b_csv="text;id\r\nb, c;2\r\n")
    values = [row.values for row in rows_of(Source(path=tmp_path, key="id"))]
    assert values == [{"id": "1", "text": "a"}, {"id": "2", "text": "b, c"}]


def test_every_fault_has_its_file_and_line(tmp_path):
    """What does not fit is told for several files at once, each with its line."""
    write(tmp_path, a_csv="id,text\n1,a\n2\n", b_csv="id,text\n1,b\n", c_csv='id,text\n1,"c\n')
    told = refused(Source(path=tmp_path)).splitlines()
    assert len(told) == 2
    assert told[0].startswith(f"{tmp_path / 'a.csv'}: the header has 2 fields, but not line 3 (1 field)")
    assert told[1].startswith(f"{tmp_path / 'c.csv'}: line 2: a quote opens a field")


def test_keys_are_unique_over_all_files(tmp_path):
    """A key that two files have is told with both lines; one that is missing with its own."""
    write(tmp_path, a_csv="id,text\n1,a\n2,b\n", b_csv="id,text\n3,c\n2,d\n")
    assert "'2' on a.csv line 3, b.csv line 3" in refused(Source(path=tmp_path, key="id"))
    write(tmp_path, b_csv="id,text\n3,c\n,d\n")
    assert "the key 'id' is empty on b.csv line 3" in refused(Source(path=tmp_path, key="id"))


def test_columns_must_agree(tmp_path):
    """A file with other columns is told with them."""
    write(tmp_path, a_csv="id,text\n1,a\n", b_csv="id,txet,more\n2,b,\n")
    told = refused(Source(path=tmp_path))
    assert (
        f"{tmp_path / 'b.csv'}: lacks the column 'text' and has 'txet', 'more' besides, unlike a.csv" in told
    )


def test_fields_of_jsonl_are_those_of_all_files(tmp_path):
    """A field that only some files have is NULL in others; a type holds the values of all files."""
    write(tmp_path, a_jsonl='{"id": 1, "n": 1}\n', b_jsonl='{"id": 2, "n": 0.5, "more": "m"}\n')
    with open_source(Source(path=tmp_path, key="id")) as opened:
        opened.check(needed=("more",), limit=None)
        (table,) = [batch for _, batch in opened.tables()]
    assert table.to_pylist() == [{"id": 1, "n": 1.0, "more": None}, {"id": 2, "n": 0.5, "more": "m"}]


def test_a_large_integer_among_floats_of_another_file(tmp_path):
    """A value that the common type would not hold exactly makes the column JSON."""
    write(tmp_path, a_jsonl=f'{{"n": {2**53 + 1}}}\n', b_jsonl='{"n": 0.5}\n')
    with open_source(Source(path=tmp_path)) as opened:
        opened.check(needed=(), limit=None)
        (table,) = [batch for _, batch in opened.tables()]
    assert table.column("n").to_pylist() == [str(2**53 + 1), "0.5"]


def test_types_of_parquet_go_together(tmp_path):
    """Widths, floats and NULLs go together in an output; a row's own values are those of its file."""
    parquet(tmp_path / "a.parquet", n=pa.array([1], pa.int32()), t=pa.array(["x"]).dictionary_encode())
    parquet(tmp_path / "b.parquet", n=pa.array([0.5]), t=pa.array([None], pa.null()))
    with open_source(Source(path=tmp_path)) as opened:
        opened.check(needed=(), limit=None)
        values = [row.values for some in opened.rows() for row in some]
        (table,) = [batch for _, batch in opened.tables()]
    assert [repr(value["n"]) for value in values] == ["1", "0.5"]
    assert table.to_pylist() == [{"n": 1.0, "t": "x"}, {"n": 0.5, "t": None}]


def test_types_of_parquet_that_do_not_go_together(tmp_path):
    """File and column are told, of types and of values."""
    parquet(tmp_path / "a.parquet", n=[1])
    parquet(tmp_path / "b.parquet", n=["one"])
    told = refused(Source(path=tmp_path))
    assert "b.parquet: column 'n' is string, and in earlier files (such as a.parquet) int64" in told
    parquet(tmp_path / "b.parquet", n=[0.5])
    parquet(tmp_path / "a.parquet", n=[2**53 + 1])
    assert "a.parquet: column 'n' is int64, and with the other files' double, which does not hold" in refused(
        Source(path=tmp_path)
    )


def test_several_formats(tmp_path):
    """A folder of several formats asks which is meant, and a glob must tell one."""
    write(tmp_path, a_csv="text\na\n", b_jsonl='{"text": "b"}\n', c_log="no")
    assert "several formats (csv: a.csv; jsonl: b.jsonl)" in refused(Source(path=tmp_path))
    assert texts_of(Source(path=tmp_path, format="jsonl")) == ["b"]
    assert "the suffix of c.log does not tell the format" in refused(Source(path=tmp_path / "*"))


def test_nothing_there(tmp_path):
    """A folder without a file, or with none but headers, has no rows; unless that is refused."""
    with open_source(Source(path=tmp_path)) as opened:
        assert opened.is_empty
        assert opened.check(needed=("text",), limit=None) == Checked(rows=0, source_rows=0)
        assert list(opened.rows(columns=("text",))) == []
    assert "means no file" in refused(Source(path=tmp_path / "*.csv", empty="refused"))
    write(tmp_path, a_csv="id,text\n")
    with open_source(Source(path=tmp_path)) as opened:
        assert opened.check(needed=("text",), limit=None) == Checked(rows=0, source_rows=0)
    assert "there are no rows" in refused(Source(path=tmp_path, empty="refused"))
    assert "there is no folder" in refused(Source(path=tmp_path / "gone" / "*.csv"))


def test_files_that_come_and_change_meanwhile(tmp_path):
    """A file that comes after the check is left for the next run; one that changes, or goes, is an error."""
    write(tmp_path, a_csv="text\na\n", b_csv="text\nb\n")
    with open_source(Source(path=tmp_path)) as opened:
        opened.check(needed=(), limit=None)
        write(tmp_path, c_csv="text\nc\n")
        assert [row.values["text"] for some in opened.rows() for row in some] == ["a", "b"]
        write(tmp_path, b_csv="text\nbb\n")
        with pytest.raises(SourceError, match=r"b\.csv: has changed since it was opened"):
            list(opened.rows())
        (tmp_path / "b.csv").unlink()
        with pytest.raises(SourceError, match=r"b\.csv: has gone since it was opened"):
            list(opened.rows())


def test_links_that_go_round(tmp_path):
    """A link to a folder is not followed, one to a file is, and one to nothing is nothing."""
    write(tmp_path, in__a_csv="text\na\n", other__b_csv="text\nb\n")
    (tmp_path / "in/round").symlink_to(tmp_path / "in")
    (tmp_path / "in/b.csv").symlink_to(tmp_path / "other/b.csv")
    (tmp_path / "in/c.csv").symlink_to(tmp_path / "gone.csv")
    assert texts_of(Source(path=tmp_path / "in")) == ["a", "b"]


def test_the_version_of_a_folder(tmp_path):
    """Any change to any file makes another version, and nothing else does."""
    write(tmp_path, a_csv="text\na\n", b_csv="text\nb\n")

    def version() -> str | None:
        with open_source(Source(path=tmp_path)) as opened:
            return opened.version

    first = version()
    assert first is not None
    assert version() == first
    state = (tmp_path / "a.csv").stat()
    os.utime(tmp_path / "a.csv", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert version() != first


def test_files_of_bytes_stay_apart(tmp_path):
    """Rows that hold files come as few at a time as memory allows, though they are of several files."""
    for name in ("a", "b"):
        parquet(tmp_path / f"{name}.parquet", picture=[b"x" * 10])
    with open_source(Source(path=tmp_path)) as opened:
        opened.check(needed=(), files=("picture",), limit=None)
        rows = list(opened.rows(columns=("picture",)))
    assert [row.blobs["picture"] for some in rows for row in some] == [b"x" * 10] * 2
    assert [len(some) for some in rows] == [1, 1]
