"""Reports as HTML and CSV."""

import csv
from datetime import UTC, datetime
from decimal import Decimal

from flows.pages import Table, page, write_csv


def test_a_page_shows_data_and_never_runs_it():
    """What comes from rows is text on the page: names of columns, cells and titles alike."""
    evil = "<script>alert('x')</script>"
    html = page(evil, [Table(name=evil, columns=[evil], first=[[evil], ['"&']], rows=2)])
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;") == 5  # twice the title
    assert "&quot;&amp;" in html


def test_a_page_stands_by_itself():
    """A page loads nothing from anywhere."""
    html = page("Costs", [Table(name="costs", columns=["a"], first=[[1]], rows=1)])
    assert "http" not in html
    assert "src=" not in html


def test_a_page_says_what_it_leaves_out():
    """A long report is cut on the page, which says so; an empty one is told as nothing."""
    html = page("x", [Table(name="long", columns=["a"], first=[[1], [2]], rows=3000)])
    assert "The first 2 of 3,000 rows" in html
    assert "Nothing." in page("x", [Table(name="none", columns=["a"], first=[], rows=0)])


def test_a_csv_keeps_every_digit(tmp_path):
    """Money is written as it is stored, nothing as an empty field, and text with commas and quotes whole."""
    rows = [[Decimal("0.000000012300"), None, 'a,"b"\nc', datetime(2026, 11, 22, tzinfo=UTC)]]
    assert write_csv(tmp_path / "x.csv", ["cost", "none", "text", "at"], rows) == 1
    with (tmp_path / "x.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["cost", "none", "text", "at"],
            ["0.000000012300", "", 'a,"b"\nc', "2026-11-22 00:00:00+00:00"],
        ]
