"""Tables as a page of HTML and as CSV, for whoever has neither the ledger nor Prefect."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Final

Cell = object
"""A value of the ledger: None, bool, int, float, Decimal, text, or something that str() tells."""

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .8rem; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.nothing { color: #888; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd; } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A report as far as somebody will read it; `rows` counts those that are not here too."""

    name: str
    columns: Sequence[str]
    first: Sequence[Sequence[Cell]]
    rows: int


def page(title: str, tables: Iterable[Table]) -> str:
    """A page that stands by itself: no script, no picture, nothing from elsewhere."""
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style></head>',
        f"<body><h1>{escape(title)}</h1>",
        *(part for table in tables for part in _section(table)),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    """Write all rows to a CSV file and give their number; None is an empty field."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow(["" if cell is None else shown(cell) for cell in row])
            count += 1
    return count


def shown(value: Cell) -> str | int | float | bool | None:
    """A cell as JSON, of which nothing is lost: money and times as text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _section(table: Table) -> Iterable[str]:
    yield f"<h2>{escape(table.name)}</h2>"
    if not table.rows:
        yield "<p>Nothing.</p>"
        return
    heads = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    yield f"<table><thead><tr>{heads}</tr></thead><tbody>"
    for row in table.first:
        yield "<tr>" + "".join(_cell(cell) for cell in row) + "</tr>"
    yield "</tbody></table>"
    if table.rows > len(table.first):
        yield f"<p>The first {len(table.first):,} of {table.rows:,} rows; the CSV file has them all.</p>"


def _cell(value: Cell) -> str:
    if value is None:
        return '<td class="nothing">&ndash;</td>'
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return f'<td class="number">{escape(str(shown(value)))}</td>'
    return f"<td>{escape(str(value))}</td>"
