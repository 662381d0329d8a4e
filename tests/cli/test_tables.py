import csv
import io
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from tasks_lib.cli.cells import exact, json_text, readable
from tasks_lib.cli.forms import Form
from tasks_lib.cli.tables import MOST_SHOWN, Table, fitting, show_table, write_table
from tasks_lib.domain.mistake import Mistake

MOMENT = datetime(2026, 11, 22, 2, 3, 4, 567, tzinfo=timezone(timedelta(hours=1)))
COST = Decimal("0.012300000000")


def written(table: Table, form: Form) -> str:
    stream = io.StringIO()
    write_table(table, form=form, stream=stream)
    return stream.getvalue()


def table(*rows: tuple[object, ...], columns: tuple[str, ...] = ("group", "cost")) -> Table:
    return Table(columns=columns, rows=rows)


def test_csv_is_exact_and_null_is_empty() -> None:
    """CSV loses no digit, quotes what must be quoted, and has nothing for NULL."""
    text = written(table(('a,"b"', COST), (None, None), ("two\nlines", 1)), Form.CSV)
    assert text.startswith('group,cost\n"a,""b""",0.012300000000\n')
    assert list(csv.reader(io.StringIO(text)))[2:] == [["", ""], ["two\nlines", "1"]]


def test_json_is_exact_and_null_is_null() -> None:
    """JSON keeps decimals as text, NULL as null, numbers as numbers."""
    rows = json.loads(written(table(("a", COST), (None, 7)), Form.JSON))
    assert rows == [{"group": "a", "cost": "0.012300000000"}, {"group": None, "cost": 7}]


def test_json_of_nothing_is_an_empty_array() -> None:
    """A program that reads a table without rows reads JSON all the same."""
    assert json.loads(written(table(), Form.JSON)) == []


def test_columns_of_one_name_are_told_apart_in_json() -> None:
    """No column is lost because another has its name."""
    rows = json.loads(written(table((1, 2, 3), columns=("id", "id", "id_2")), Form.JSON))
    assert list(rows[0].values()) == [1, 2, 3]


def test_markdown_keeps_its_columns() -> None:
    """Neither a bar nor a line break in a value breaks a Markdown table."""
    text = written(table(("a|b\nc\\", COST)), Form.MARKDOWN)
    assert text == "| group | cost |\n| --- | ---: |\n| a\\|b<br>c\\\\ | 0.0123 |\n"


def test_a_table_is_for_reading() -> None:
    """Numbers stand to the right with as many decimals as they need together, and NULL is empty."""
    lines = written(table(("alpha", COST), (None, Decimal("2.5"))), Form.TABLE).splitlines()
    assert lines[0].split() == ["group", "cost"]
    assert lines[2].rstrip() == "alpha  0.0123"
    assert lines[3].rstrip() == "       2.5000"


def test_nothing_steers_the_terminal() -> None:
    """An escape sequence or markup in data is shown, not obeyed."""
    text = written(table(("\x1b[31mred[/] [bold]x", 1)), Form.TABLE)
    assert "\x1b" not in text
    assert "\\x1b[31mred[/] [bold]x" in text


def test_a_table_in_a_pipe_is_not_cut_to_a_terminal() -> None:
    """Where there is no terminal the columns are as wide as their values."""
    text = written(table(("x" * 100, 1), columns=("a" * 60, "b" * 60)), Form.TABLE)
    assert "x" * 100 in text
    assert "b" * 60 in text


def test_only_so_many_rows_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    """A table for a reader ends somewhere, and says so."""
    many = Table(columns=("n",), rows=((n,) for n in range(MOST_SHOWN + 1)))
    assert len(written(many, Form.TABLE).splitlines()) == MOST_SHOWN + 2
    assert "--format csv" in capsys.readouterr().err


def test_columns_give_way_until_they_fit() -> None:
    """The widest texts give way first, numbers never, and where it cannot be done it is not."""
    assert fitting([40, 8, 30], fixed=[False, True, False], room=60) == [24, 8, 24]
    assert fitting([5, 8], fixed=[False, True], room=60) == [5, 8]
    assert fitting([40, 8, 30], fixed=[False, True, False], room=30) is None


@pytest.mark.parametrize(
    ("value", "read", "kept"),
    [
        (None, "", ""),
        (True, "yes", "true"),
        (3, "3", "3"),
        (0.5, "0.5", "0.5"),
        (2.0, "2", "2.0"),
        (1234.5678, "1234.6", "1234.5678"),
        (3.7112e-05, "0.00003711", "3.7112e-05"),
        (1e-20, "1e-20", "1e-20"),
        (1 / 3, "0.3333", "0.3333333333333333"),
        (float("nan"), "nan", "nan"),
        (COST, "0.0123", "0.012300000000"),
        (Decimal(100), "100", "100"),
        (Decimal("1E-12"), "0.000000000001", "0.000000000001"),
        (MOMENT, "2026-11-22 01:03:04Z", "2026-11-22T02:03:04.000567+01:00"),
        (date(2026, 11, 22), "2026-11-22", "2026-11-22"),
        (b"\x01\xff", "01ff", "01ff"),
        ({"a": [COST, None]}, '{"a": ["0.012300000000", null]}', '{"a": ["0.012300000000", null]}'),
        ("Käse", "Käse", "Käse"),
    ],
)
def test_values(value: object, read: str, kept: str) -> None:
    """A value is rounded for a reader and whole for a program."""
    assert readable(value) == read
    assert exact(value) == kept


def test_json_says_what_it_can() -> None:
    """What JSON has no word for is null or text, and the line is JSON."""
    value = {"nan": float("nan"), "when": datetime(2026, 1, 2, tzinfo=UTC), "took": timedelta(seconds=1.5)}
    assert json.loads(json_text(value)) == {"nan": None, "when": "2026-01-02T00:00:00+00:00", "took": 1.5}


def test_the_suffix_says_the_form(tmp_path: Path) -> None:
    """A file is written in the form that its name asks for."""
    show_table(table(("a", 1)), file=tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text()) == [{"group": "a", "cost": 1}]
    show_table(table(("a", 1)), form=Form.CSV, file=tmp_path / "t.odd")
    assert (tmp_path / "t.odd").read_text() == "group,cost\na,1\n"


def test_a_suffix_that_says_nothing_is_refused(tmp_path: Path) -> None:
    """The form of a file is not guessed."""
    with pytest.raises(Mistake, match=r"--format"):
        show_table(table(), file=tmp_path / "t.odd")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A folder that is not there is a mistake with the path in it."""
    with pytest.raises(Mistake, match=r"nowhere.*No such file"):
        show_table(table(), file=tmp_path / "nowhere" / "t.csv")
