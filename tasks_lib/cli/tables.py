"""Tables, for a reader or for a program.

table     for a reader: as wide as the terminal; what is too wide for that is shown a record at a time
csv       streamed; NULL is an empty field
json      an array of objects, streamed; NULL is null, a DECIMAL is its exact text
markdown  to be pasted
"""

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from tasks_lib.cli.cells import exact, is_number, json_text, keeps_its_width, readable_column
from tasks_lib.cli.forms import Form
from tasks_lib.cli.words import drop, note, visible
from tasks_lib.domain.mistake import Mistake

MOST_SHOWN = 1_000  # rows of a table that somebody is to read
_WIDEST = 120  # characters of a text where no terminal sets a bound
_NARROWEST = 10  # characters to which a text may be squeezed on one
_GAP = 2  # spaces between columns


_FORM_OF = {".csv": Form.CSV, ".json": Form.JSON, ".md": Form.MARKDOWN, ".txt": Form.TABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns, and rows that are read once."""

    columns: tuple[str, ...]
    rows: Iterable[Sequence[object]]


def show_table(table: Table, *, form: Form | None = None, file: Path | None = None) -> None:
    """Write a table to a file, or to standard output; without a form a file's suffix says which.

    Raises:
        Mistake: the file cannot be written, or its suffix says nothing.
    """
    if file is not None:
        _to_file(table, form=form or _form_of(file), file=file)
        return
    try:
        write_table(table, form=form or Form.TABLE, stream=sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has read enough
        drop(sys.stdout)


def write_table(table: Table, *, form: Form, stream: TextIO) -> None:
    """Write a table in a form."""
    match form:
        case Form.CSV:
            _write_csv(table, stream)
        case Form.JSON:
            _write_json(table, stream)
        case Form.MARKDOWN:
            _write_markdown(table, stream)
        case Form.TABLE:
            _write_readable(table, stream)


def _to_file(table: Table, *, form: Form, file: Path) -> None:
    try:
        with file.open("w", encoding="utf-8", newline="") as stream:
            write_table(table, form=form, stream=stream)
    except OSError as error:
        raise Mistake(f"{file}: cannot be written ({error.strerror})") from error


def _form_of(file: Path) -> Form:
    form = _FORM_OF.get(file.suffix.lower())
    if form is None:
        raise Mistake(
            f"{file}: its suffix says no format. Use one of {', '.join(_FORM_OF)}, or add --format."
        )
    return form


def _write_csv(table: Table, stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([exact(value) for value in row])


def _write_json(table: Table, stream: TextIO) -> None:
    names = _told_apart(table.columns)
    before = "[\n"
    for row in table.rows:
        stream.write(before + json_text(dict(zip(names, row, strict=True))))
        before = ",\n"
    stream.write("[]\n" if before == "[\n" else "\n]\n")


def _told_apart(names: Iterable[str]) -> list[str]:
    """The names, with a number behind one that stood before: a JSON object holds a key once."""
    found: list[str] = []
    for name in names:
        number, told = 1, name
        while told in found:
            number += 1
            told = f"{name}_{number}"
        found.append(told)
    return found


def _write_markdown(table: Table, stream: TextIO) -> None:
    rows = [tuple(row) for row in table.rows]
    rules = ("---:" if right else "---" for right in _all(is_number, table.columns, rows))
    stream.write(_markdown_row(table.columns))
    stream.write(f"| {' | '.join(rules)} |\n")
    stream.writelines(_markdown_row(line) for line in _read(table.columns, rows))


def _markdown_row(cells: Iterable[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"


def _write_readable(table: Table, stream: TextIO) -> None:
    rest = iter(table.rows)
    rows = [tuple(row) for row in islice(rest, MOST_SHOWN)]
    names = [visible(name) for name in table.columns]
    lines = [[cell.replace("\n", "↵") for cell in line] for line in _read(table.columns, rows)]
    natural = [max(map(cell_len, cells)) for cells in zip(names, *lines, strict=True)]
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    room = console.width if console.is_terminal else None
    widths = fitting(natural, fixed=_all(keeps_its_width, table.columns, rows), room=room)
    # What rich writes itself ends the program when the reader has left; what it is asked for does not.
    with console.capture() as drawn:
        if widths is None:
            _print_records(console, names, lines)
        else:
            console.width = max(sum(widths) + _GAP * (len(widths) - 1), 1)
            _print_grid(console, names, lines, right=_all(is_number, table.columns, rows), widths=widths)
    stream.write(drawn.get())
    if not rows:
        note("no rows")
    if next(rest, None) is not None:
        note(f"These are the first {MOST_SHOWN:,} rows; --format csv gives all of them.")


def _read(names: Sequence[str], rows: Sequence[Sequence[object]]) -> list[tuple[str, ...]]:
    """The rows as somebody reads them."""
    columns = [readable_column([row[place] for row in rows]) for place in range(len(names))]
    return list(zip(*columns, strict=True))


def _all(
    kind: Callable[[object], bool], names: Sequence[str], rows: Sequence[Sequence[object]]
) -> list[bool]:
    """Which columns hold values of a kind and, NULL aside, no others."""
    found = []
    for place in range(len(names)):
        values = [row[place] for row in rows if row[place] is not None]
        found.append(bool(values) and all(map(kind, values)))
    return found


def fitting(natural: Sequence[int], *, fixed: Sequence[bool], room: int | None) -> list[int] | None:
    """The widths of columns that fit into so many characters; None if they cannot.

    Fixed columns keep theirs; of the others the widest give way first.
    """
    longest = room or _WIDEST
    widths = [width if keeps else min(width, longest) for width, keeps in zip(natural, fixed, strict=True)]
    if room is None:
        return widths
    over = sum(widths) + _GAP * (len(widths) - 1) - room
    while over > 0:
        supple = [place for place, keeps in enumerate(fixed) if not keeps and widths[place] > _NARROWEST]
        if not supple:
            return None
        widths[max(supple, key=lambda place: widths[place])] -= 1
        over -= 1
    return widths


def _print_grid(
    console: Console,
    names: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    right: Sequence[bool],
    widths: Sequence[int],
) -> None:
    grid = Grid(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
        border_style="dim",
    )
    for name, number, width in zip(names, right, widths, strict=True):
        grid.add_column(
            Text(name), justify="right" if number else "left", no_wrap=True, overflow="ellipsis", width=width
        )
    for line in lines:
        grid.add_row(*(Text(cell) for cell in line))
    console.print(grid)


def _print_records(console: Console, names: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """One field a line, a blank line between records."""
    for number, line in enumerate(lines):
        if number:
            console.print()
        grid = Grid.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, cell in zip(names, line, strict=True):
            grid.add_row(Text(name), Text(cell))
        console.print(grid)
