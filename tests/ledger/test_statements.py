"""The SQL files, and how names and texts come into SQL."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib import ledger
from tasks_lib.ledger.migrations import migrate, our_migrations
from tasks_lib.ledger.statements import Statement, literal, quoted, statements

FOLDERS = [folder.name for folder in (Path(ledger.__file__).parent / "sql").iterdir()]
FILES = [pytest.param(one, id=f"{folder}/{one.name}") for folder in FOLDERS for one in statements(folder)]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@given(TEXTS.filter(bool))
def test_any_name_can_be_an_identifier(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """A quoted name is that name and nothing else."""
    found = connection.execute(f"select 1 as {quoted(name)}").description
    assert [column[0] for column in found] == [name]


@given(TEXTS)
def test_any_text_can_be_a_literal(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """A literal is that text and nothing else."""
    assert connection.execute(f"select {literal(text)}").fetchone() == (text,)


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_no_name_at_all(name: str) -> None:
    """What no identifier can be is refused."""
    with pytest.raises(ValueError, match="cannot be the name"):
        quoted(name)


def test_no_text_for_a_statement() -> None:
    """NUL ends a statement for DuckDB's parser, and is refused."""
    with pytest.raises(ValueError, match="cannot stand in a statement"):
        literal("a\0b")


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_prose(file: Statement) -> None:
    """A file begins with what it answers or does, is lower case, and has no long line or tab."""
    first, *rest = file.text.splitlines()
    assert re.fullmatch(r"-- [A-Z].*[.?;]|-- [A-Z].*:", first)
    code = "\n".join(line.partition("--")[0] for line in rest)
    without_texts = re.sub(r"'[^']*'", "", code)
    assert without_texts == without_texts.lower()
    assert "\t" not in file.text
    assert all(len(line) <= 120 for line in file.text.splitlines())


def test_views_and_reports_run_in_any_duckdb() -> None:
    """The views can be made, and the reports run, with nothing but DuckDB and the tables."""
    with duckdb.connect() as connection:
        migrate(connection, our_migrations(), path=Path("ledger.duckdb"))
        for view in statements("views"):
            connection.execute(view.text)
        connection.execute("set variable since = '2026-11-01'")
        for report in statements("reports"):
            assert connection.execute(report.text).fetchall() == []
