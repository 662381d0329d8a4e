"""Answers in CSV."""

import csv
import io

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.csv_text import csv_text
from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.judging import judge
from tasks_lib.domain.output import Answer, Finish, Modality, Output, Reply

FREE = Output.of(Modality.CSV)
COLUMNS = [
    CsvColumn(name="name"),
    CsvColumn(name="age", type=ColumnType.INTEGER),
    CsvColumn(name="share", type=ColumnType.NUMBER, nullable=True),
    CsvColumn(name="alive", type=ColumnType.BOOLEAN),
    CsvColumn(name="born", type=ColumnType.DATE, nullable=True),
    CsvColumn(name="seen", type=ColumnType.DATETIME, nullable=True),
    CsvColumn(name="note", nullable=True),
]
PEOPLE = Output.of(Modality.CSV, columns=COLUMNS)
TEXT = """\
name,age,share,alive,born,seen,note
"Lovelace, Ada",36,0.5,false,1815-12-10,2026-01-02T03:04:05Z,"said ""hm\"""
Bob, 7 ,,TRUE,,2026-01-02 03:04,
"""
ROWS = [
    {
        "name": "Lovelace, Ada",
        "age": 36,
        "share": 0.5,
        "alive": False,
        "born": "1815-12-10",
        "seen": "2026-01-02T03:04:05+00:00",
        "note": 'said "hm"',
    },
    {
        "name": "Bob",
        "age": 7,
        "share": None,
        "alive": True,
        "born": None,
        "seen": "2026-01-02T03:04:00+00:00",
        "note": None,
    },
]


def of(*columns, **bounds):
    """An output with these columns."""
    return Output.of(Modality.CSV, columns=columns, **bounds)


def why(output, text):
    """What is told of an answer that is none."""
    verdict = judge(output, Reply(text=text))
    assert isinstance(verdict, Failure), verdict
    assert verdict.kind is FailureKind.INVALID_OUTPUT
    assert len(verdict.message) < 400
    return verdict.message


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```csv\n{TEXT}```",
        f"\ufeff{TEXT}",
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\nBob", "\n\nBob"),
        orjson.dumps({"rows": ROWS}).decode(),
        orjson.dumps(ROWS).decode(),
    ],
    ids=["plain", "fenced", "mark", "crlf", "blank line", "object", "list"],
)
def test_csv_becomes_typed_rows(text):
    """R19: CSV text, or the rows as JSON, becomes a list of objects of the declared types."""
    assert judge(PEOPLE, Reply(text=text)) == Answer(value=ROWS)


def test_columns_may_come_in_another_order():
    """The header says which is which, and the rows have the declared order."""
    output = of(CsvColumn(name="a"), CsvColumn(name="b", type=ColumnType.INTEGER))
    (row,) = judge(output, Reply(text="b,a\n1,x\n")).value
    assert list(row.items()) == [("a", "x"), ("b", 1)]
    (row,) = judge(output, Reply(text='{"rows": [{"b": 1, "a": "x"}]}')).value
    assert list(row.items()) == [("a", "x"), ("b", 1)]


def test_without_declared_columns_all_cells_are_text():
    """R19: any header of unique names will do."""
    assert judge(FREE, Reply(text='a,b\n1,"x\ny"\n,\n')) == Answer(
        value=[{"a": "1", "b": "x\ny"}, {"a": "", "b": ""}]
    )


@pytest.mark.parametrize(
    ("output", "text", "told"),
    [
        (FREE, "", "the answer is empty"),
        (FREE, "```csv\n\n```", "the answer is empty"),
        (FREE, "a,a\n1,2", "two columns of the header have one name"),
        (FREE, "a,\n1,2", "a column of the header has no name"),
        (FREE, "a,b\n1,2,3", "row 1 has 3 fields, and the header 2"),
        (FREE, "a,b\n1,2\n3", "row 2 has 1 fields, and the header 2"),
        (FREE, 'a,b\n1,"2"x', "the answer is not CSV"),
        (FREE, 'a,b\n1,"2', "the answer is not CSV"),
        (FREE, "a\n" + "x" * 200_000, "the answer is not CSV"),
        (of(CsvColumn(name="a"), CsvColumn(name="b,c")), "a,b\n1,2", 'the header must be a,"b,c"'),
        (of(CsvColumn(name="a")), "a,b\n1,2", "the header must be a"),
        (of(CsvColumn(name="a")), "Here you are:\na\n1", "the header must be a"),
        (of(CsvColumn(name="a", type=ColumnType.INTEGER)), "a\n1\n1.5", "row 2: a must be a whole number"),
        (
            of(CsvColumn(name="a", type=ColumnType.INTEGER)),
            "a\n9223372036854775808",
            "a whole number of 64 bits",
        ),
        (of(CsvColumn(name="a", type=ColumnType.INTEGER)), 'a\n""', "must be a whole number"),
        (
            of(CsvColumn(name="a", type=ColumnType.NUMBER)),
            'a\n"1,5"',
            "row 1: a must be a number, and is '1,5'",
        ),
        (of(CsvColumn(name="a", type=ColumnType.NUMBER)), "a\n1e999", "must be a number"),
        (of(CsvColumn(name="a", type=ColumnType.NUMBER)), "a\nnan", "must be a number"),
        (of(CsvColumn(name="a", type=ColumnType.BOOLEAN)), "a\nyes", "must be true or false"),
        (of(CsvColumn(name="a", type=ColumnType.DATE)), "a\n2026-02-30", "must be a date"),
        (of(CsvColumn(name="a", type=ColumnType.DATE)), "a\n20260228", "must be a date"),
        (of(CsvColumn(name="a", type=ColumnType.DATETIME)), "a\n2026-02-28", "must be a time"),
        (of(CsvColumn(name="a", type=ColumnType.DATE)), "a\n" + "x" * 900, "x…'"),
        (of(CsvColumn(name="a"), min_rows=1), "a\n", "0 rows, and at least 1 are wanted"),
        (Output.of(Modality.CSV, max_rows=1), "a\n1\n2", "2 rows, and at most 1 are wanted"),
        (of(CsvColumn(name="a"), max_rows=1), '[{"a": "1"}, {"a": "2"}]', "at $.rows:"),
        (of(CsvColumn(name="a")), '{"rows": [{"b": "x"}]}', "at $.rows[0]:"),
        (of(CsvColumn(name="a")), '{"rows": [', "the answer is not JSON"),
        (of(CsvColumn(name="a", type=ColumnType.DATE)), '[{"a": "soon"}]', "row 1: a must be a date"),
    ],
)
def test_what_is_not_the_csv_that_was_asked_for_is_told(output, text, told):
    """R20: header, width, quotes, types and number of rows are checked, and told in few words."""
    assert told in why(output, text)


def test_rows_as_json_are_read_like_any_json():
    """A number in quotes is read as one, with a warning."""
    output = of(CsvColumn(name="a", type=ColumnType.INTEGER))
    verdict = judge(output, Reply(text='{"rows": [{"a": "3"}]}'))
    assert verdict == Answer(value=[{"a": 3}], warnings=('$.rows[0].a: "3" read as 3',))


def test_csv_that_was_cut_is_no_answer():
    """At the token limit nobody knows how many rows are missing."""
    verdict = judge(PEOPLE, Reply(text=TEXT, finish=Finish.LENGTH))
    assert isinstance(verdict, Failure)
    assert verdict.kind is FailureKind.LENGTH


def test_a_header_alone_has_no_rows():
    """Nothing found is an answer, where no bound says otherwise."""
    assert judge(PEOPLE, Reply(text=TEXT.splitlines()[0])) == Answer(value=[])


def test_the_file_is_as_rfc_4180_has_it():
    """Lines end in CR LF; what holds a comma, quote, break or outer space is quoted; null is empty."""
    columns = [CsvColumn(name="a,b"), CsvColumn(name="c", nullable=True)]
    rows = [
        {"a,b": 'say "x"', "c": None},
        {"a,b": " y\n", "c": ""},
        {"a,b": "z", "c": True},
        {"a,b": 1.5, "c": 3},
    ]
    assert csv_text(rows, columns) == ('"a,b",c\r\n"say ""x""",\r\n" y\n",""\r\nz,true\r\n1.5,3\r\n')
    assert csv_text([], columns) == '"a,b",c\r\n'
    assert csv_text([{"x": "1"}]) == "x\r\n1\r\n"
    assert csv_text([]) == ""


@given(st.lists(st.fixed_dictionaries({"a": st.text(), "b": st.none() | st.integers(-(2**63), 2**63 - 1)})))
def test_what_is_written_reads_back(rows):
    """The file's rows are the answer's, to our reader and to the standard one."""
    rows = [{**row, "a": row["a"].replace("\0", "")} for row in rows]
    columns = [CsvColumn(name="a"), CsvColumn(name="b", type=ColumnType.INTEGER, nullable=True)]
    text = csv_text(rows, columns)
    records = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert records[1:] == [[row["a"], "" if row["b"] is None else str(row["b"])] for row in rows]
    assert judge(of(*columns), Reply(text=text)) == Answer(value=rows)


@given(st.text() | st.text(alphabet='ab,"\n\r 1{}[]:'))
def test_judging_csv_never_raises(text):
    """Whatever a model says, it is rows or a failure."""
    for output in (FREE, PEOPLE, of(CsvColumn(name="a", type=ColumnType.NUMBER))):
        assert isinstance(judge(output, Reply(text=text)), Answer | Failure)
