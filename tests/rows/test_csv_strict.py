"""A CSV file means one thing, or it is refused with the line at fault."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.domain.job import Source
from tasks_lib.rows import SourceError, open_source
from tasks_lib.rows.csv_dialect import CsvDialect, CsvHeader, read_dialect
from tasks_lib.rows.csv_records import CsvRecords
from tasks_lib.rows.csv_strict import checked_structure, lines_of_rows


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("csv") / "rows.csv"


def cells(path, **source):
    """The rows that a run would see."""
    with open_source(Source(path=path, **source)) as opened:
        opened.check(needed=(), limit=None)
        return [tuple(row.values.values()) for rows in opened.rows() for row in rows]


def read(path, **source):
    """The same without keys, whose database takes longer to open than a small file to read."""
    records = CsvRecords.open(Source(path=path, **source), path)
    batches = [chunk.batch().to_pydict() for chunk in records.chunks(size=10, columns=None)]
    return [row for batch in batches for row in zip(*batch.values(), strict=True)]


def refusal(path, content, **source):
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        cells(path, **source)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


DAMAGED = {
    "a row too short": (b"a,b\n1,2\n3\n5,6\n", "the header has 2 fields, but not line 3 (1 field)"),
    "a row too long": (b"a,b\n1,2\n3,4,5\n", "but not line 3 (3 fields)"),
    "rows of every width": (
        b"a,b\n" + b"1\n1,2,3\n" * 4,
        "3 (3 fields), line 4 (1 field), line 5 (3 fields), line 6 (1 field) and 3 more; quote a field that",
    ),
    "the line after quoted line feeds": (b'a,b\n1,"x\n\ny"\n3\n', "but not line 5 (1 field)"),
    "a blank line in the middle": (b"a,b\n1,2\n\n3,4\n", "line 3: a blank line, and text after it"),
    "a blank line with a carriage return": (b"a,b\r\n1,2\r\n\r\n3,4\r\n", "line 3: a blank line"),
    "a blank line in a single column": (b"a\nx\n\ny\n", "line 3: a blank line"),
    "a blank line after the header": (b"a,b\n\n1,2\n", "line 2: a blank line"),
    "two tables": (
        b"a,b\n1,2\n\nc,d,e\n1,2,3\n",
        "line 3: a blank line, and text after it; does a second table",
    ),
    "two tables without a gap": (b"a,b\n1,2\nc,d,e\n1,2,3\n", "line 3 (3 fields), line 4 (3 fields)"),
    "two files in one": (b"a,b\n1,2\na,b\n3,4\n", "line 3: the header again"),
    "two files with CR LF in one": (b"a,b\r\n1,2\r\na,b\r\n3,4\r\n", "line 3: the header again"),
    "a quote that is never closed": (
        b'a,b\n1,2\n3,"4\n5,6\n',
        "line 3: a quote opens a field in this record",
    ),
    "a quote that another one closes": (
        b'a,b\n1,"2\n3,4\n5,"6"\n',
        "or a quote before this one is missing (the record begins on line 2)",
    ),
    "a quote inside a bare field": (
        b'a,b\n1,5" pipe\n',
        "line 2: a quote inside a field that does not begin",
    ),
    "a quote after a space": (b'a,b\n1, "2"\n', "line 2: a quote inside a field that does not begin"),
    "a quote escaped by a backslash": (b'a,b\n1,"2\\"3"\n', "line 2: text after the quote that closes"),
    "a NUL byte": (b"a,b\n1,2\n3,\x004\n", "line 3: a NUL byte"),
    "a NUL byte in the header": (b"a,b\x00\n1,2\n", "line 1 holds NUL bytes"),
    "old Mac line ends": (b"a,b\r1,2\r3,4\r", "line 1: lines end in a lone carriage return"),
    "a lone carriage return": (b"a,b\n1,2\n3,\r4\n", "line 3: lines end in a lone carriage return"),
    "a lone carriage return at the end": (b"a,b\n1,2\r", "line 2: lines end in a lone carriage return"),
    "nothing": (b"", "the file is empty"),
    "nothing but a mark": (b"\xef\xbb\xbf", "line 1 is blank"),
    "a blank first line": (b"\na,b\n1,2\n", "line 1 is blank"),
    "the header alone": (b"a,b\n", "there are no rows"),
    "the header alone and no line end": (b"a,b", "there are no rows"),
    "the header and blank lines": (b"a,b\n\n\n", "there are no rows"),
    "one name for two columns": (b"a,b,a\n1,2,3\n", "column 3 and an earlier one are both called 'a'"),
    "names that differ in case": (
        b"Id,id\n1,2\n",
        "column 2 and an earlier one differ only in case ('Id', 'id')",
    ),
    "a column without a name": (b",a\n0,1\n", "line 1: column 1 of 2 has no name"),
    "a header with an open quote": (b'"a,b\n1,2\n', "line 1: the header's quotes are not balanced"),
    "Latin-1": (
        "a,b\n1,2\n3,é\n".encode("latin-1"),
        "line 3: not utf-8 text; set source.encoding to what it is",
    ),
    "UTF-16": (
        "a,b\n1,2\n".encode("utf-16"),
        "line 1: not utf-8 text; it looks like UTF-16: set source.encoding",
    ),
    "a character cut off at the end": ("a,b\n1,é".encode()[:-1], "line 2: not utf-8 text"),
}


@pytest.mark.parametrize(("content", "told"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_told(path, content, told):
    """Each sort of damage is refused before the first row, with its line and a remedy."""
    assert told in refusal(path, content)


SOUND = {
    "no line end at the end": (b"a,b\n1,2", [("1", "2")]),
    "blank lines at the end": (b"a,b\n1,2\n\n\r\n\n", [("1", "2")]),
    "a byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n", [("1", "2")]),
    "CR LF": (b"a,b\r\n1,2\r\n", [("1", "2")]),
    "line ends of both sorts": (b"a,b\r\n1,2\n3,4\r\n", [("1", "2"), ("3", "4")]),
    "NULL and empty": (b'a,b\n,""\n', [(None, "")]),
    "what other readers take for NULL": (b"a,b\nNULL,NA\nnan,None\n", [("NULL", "NA"), ("nan", "None")]),
    "what other readers take for something else": (
        b"a,b\n007,1e3\ntrue,01/02/03\n",
        [("007", "1e3"), ("true", "01/02/03")],
    ),
    "spaces": (b"a,b\n 1 ,  \n", [(" 1 ", "  ")]),
    "quotes and line ends inside quotes": (b'a,b\n"x\r\n""y""\n",","\n', [('x\r\n"y"\n', ",")]),
    "nothing but doubled quotes": (b'a,b\n"""",""""""\n', [('"', '""')]),
    "a carriage return inside quotes": (b'a,b\n"x\r",2\n', [("x\r", "2")]),
    "one column": (b'a\nx\n""\n', [("x",), ("",)]),
    "one column whose value is its name": (b"a\na\n", [("a",)]),
    "a header over two lines": (b'"a\nb",c\n1,2\n', [("1", "2")]),
    "beyond ASCII": ("名,ü\n🦉,é\n".encode(), [("🦉", "é")]),
}


@pytest.mark.parametrize(("content", "rows"), SOUND.values(), ids=SOUND.keys())
def test_sound_files_are_read(path, content, rows):
    """What is no damage is read as it is written: every value is text, and nothing at all is NULL."""
    path.write_bytes(content)
    assert cells(path) == rows


TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from(",;\"'\n\r\t| aé🦉"), st.characters(codec="utf-8", exclude_characters="\0")
    ),
    max_size=8,
)


@settings(deadline=None)
@given(
    width=st.integers(2, 4),
    data=st.data(),
    ends=st.sampled_from([("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
)
def test_what_csv_writes_is_read(path, width, data, ends, delimiter):
    """Whatever Python's csv module writes is read back cell by cell."""
    rows = data.draw(st.lists(st.tuples(*[TEXT] * width), min_size=1, max_size=5))
    with path.open("w", newline="", encoding="utf-8") as file:
        # with LF the module leaves a CR bare unless it quotes everything, and cannot read that back either
        writer = csv.writer(file, lineterminator=ends[0], quoting=ends[1], delimiter=delimiter)
        writer.writerow([f"column {at}" for at in range(width)])
        writer.writerows(rows)
    assert [tuple(cell or "" for cell in row) for row in read(path, delimiter=delimiter)] == rows


@settings(max_examples=400, deadline=None)
@given(body=st.text(alphabet='a,"\n\r', max_size=24))
def test_no_reading_is_invented(path, body):
    """Of any text at all: what is not refused is read as Python's csv module, strict, reads it."""
    path.write_bytes(b"a,b\n" + body.encode())
    try:
        rows = read(path, delimiter=",")
    except SourceError:
        return
    expected = list(csv.reader(io.StringIO(body, newline=""), strict=True))
    while expected and not expected[-1]:
        expected.pop()  # blank lines at the end
    assert [[cell or "" for cell in row] for row in rows] == expected


@settings(deadline=None)
@given(body=st.text(alphabet='ab,"\n\r\0', max_size=40), size=st.integers(1, 7))
def test_blocks_make_no_difference(body, size):
    """Where the blocks are cut changes neither what is refused nor what is found."""
    text = b"a,b\n" + body.encode()
    blocks = [text[at : at + size] for at in range(0, len(text), size)]
    assert found(blocks) == found([text])


def found(blocks):
    dialect = CsvDialect(delimiter=",", quote='"', encoding="utf-8")
    header = CsvHeader(names=("a", "b"), record=b"a,b", size=4)
    try:
        return checked_structure(Path("rows.csv"), blocks, dialect=dialect, header=header)
    except SourceError:
        return None  # of several faults, blocks decide which one is told


STRUCTURAL = [
    text for text, told in DAMAGED.values() if told[:7] in {"line 2:", "line 3:"} and "utf" not in told
]


@pytest.mark.parametrize("content", STRUCTURAL)
def test_blocks_make_no_difference_to_words(content):
    """A single fault is told with the same line and words however the blocks are cut."""
    header = content[: content.index(b"\n")].removesuffix(b"\r")
    whole = refused([content], header)
    for size in (1, 2, 3, 5):
        assert refused([content[at : at + size] for at in range(0, len(content), size)], header) == whole


def refused(blocks, header):
    dialect = CsvDialect(delimiter=",", quote='"', encoding="utf-8")
    names = tuple(header.decode().split(","))
    with pytest.raises(SourceError) as caught:
        checked_structure(
            Path("rows.csv"), blocks, dialect=dialect, header=CsvHeader(names=names, record=header, size=0)
        )
    return str(caught.value)


def test_lines_of_rows():
    """A row's line is the physical one on which it begins, however its fields are broken."""
    text = b'a,b\n1,"x\n\ny"\n2,3\r\n"\n",4'
    dialect = CsvDialect(delimiter=",", quote='"', encoding="utf-8")
    header = CsvHeader(names=("a", "b"), record=b"a,b", size=4)
    for size in (1, 3, 100):
        blocks = (text[at : at + size] for at in range(0, len(text), size))
        found = lines_of_rows(Path("rows.csv"), blocks, dialect=dialect, header=header, rows=[3, 1, 2])
        assert found == {1: 2, 2: 5, 3: 6}


def test_a_field_of_megabytes(path):
    """A field may be larger than any block that is read at a time."""
    large = "x" * 5_000_000 + '"\n'
    path.write_text('a,b\n1,"' + large.replace('"', '""') + '"\n3,4\n')
    assert cells(path) == [("1", large), ("3", "4")]


def test_fault_far_into_the_file(path):
    """The line of a fault is counted over all the blocks before it."""
    path.write_bytes(b"a,b\n" + b'"1\n2",3\n' * 200_000 + b"x\n")
    assert "line 400002 (1 field)" in refusal(path, path.read_bytes())


@pytest.mark.parametrize(
    "encoding", ["latin-1", "windows-1252", "utf-16", "utf-16-le", "utf-8-sig", "shift_jis"]
)
def test_other_encodings(path, encoding):
    """A file in another encoding is read when it says so."""
    word = "名" if encoding == "shift_jis" else "é"
    path.write_bytes(f'a,b\n1,"{word}\n{word}"\n'.encode(encoding))
    assert cells(path, encoding=encoding) == [("1", f"{word}\n{word}")]


def test_compressed(tmp_path):
    """A compressed file is read through."""
    gzip = pytest.importorskip("gzip")
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert cells(path) == [("1", "2")]
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)[:-200])
    assert "cannot be read" in refusal(path, path.read_bytes())


def test_no_quotes_at_all(path):
    """With an empty quote a quote is a character like any other."""
    path.write_bytes(b'a\tb\n5" pipe\t"x\n')
    assert cells(path, quote="") == [('5" pipe', '"x')]


FOUND = {
    b"a,b\n1,2\n": ",",
    b"a;b\n1,5;2,5\n": ";",
    b"a\tb\nx, y\tz, w\n": "\t",
    b"a|b\n1|2\n": "|",
    b"a\nx\n": ",",
    b'"a;b",c\n1,2\n': ",",
    b"a,b\n1;2,3\n": ",",
    b"a,b;c\n1,2\n": ",",
}


@pytest.mark.parametrize(("content", "delimiter"), FOUND.items())
def test_delimiter_is_found(path, content, delimiter):
    """The delimiter is the one under which the first rows have the header's width."""
    path.write_bytes(content)
    dialect, _ = read_dialect(Source(path=path), path)
    assert dialect.delimiter == delimiter


@pytest.mark.parametrize("content", [b"a,b;c\n1,2;3\n", b"a,b;c\n1\n"])
def test_delimiter_in_doubt(path, content):
    """Where two delimiters would do, or none of several, the user is asked."""
    assert "separated by comma and semicolon; set source.delimiter" in refusal(path, content)


def test_delimiter_of_tsv(tmp_path):
    """A .tsv is separated by tabs, whatever else is in it."""
    path = tmp_path / "rows.tsv"
    path.write_bytes(b"a,b\n1,2\n")
    with open_source(Source(path=path)) as opened:
        assert opened.columns == ("a,b",)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"delimiter": "::"}, "source.delimiter: '::' is not one ASCII character"),
        ({"delimiter": '"'}, "source.delimiter and source.quote are both"),
        ({"encoding": "utf-99"}, "source.encoding: 'utf-99' is no encoding"),
        ({"encoding": "hex"}, "source.encoding: 'hex' is no encoding"),
    ],
)
def test_dialect_that_is_none(path, source, told):
    """A dialect that cannot be is refused."""
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(SourceError, match=told):
        open_source(Source(path=path, **source))


def test_dialect_is_shown(path):
    """What was found can be shown to the user."""
    path.write_bytes(b"a;b\n1;2\n")
    with open_source(Source(path=path)) as opened:
        assert str(opened.dialect) == 'delimiter semicolon, quote ", encoding utf-8'


def test_changed_while_it_was_read(path):
    """A file that is still being written is no file to pay for."""
    path.write_bytes(b"a,b\n1,2\n")
    with open_source(Source(path=path)) as opened:
        opened.check(needed=(), limit=None)
        path.write_bytes(b"a,b\n1,2\n3,4\n")
        with pytest.raises(SourceError, match="has changed since it was opened"):
            list(opened.rows())
