r"""The structural pass over a CSV file: every record has the header's width, or the file is refused.

Neither reader at hand is strict enough to be trusted with money. Of a damaged file pyarrow takes a quote
that is never closed as a field that runs to the end, reads `"a"b` as `ab`, and lets NUL bytes and blank lines
pass; DuckDB catches the first two, not `a"b`, NUL bytes and blank lines. So the bytes are checked first,
hundreds of megabytes a second with numpy, and what passes means the same to every reader:

- a quote stands around a whole field and is doubled inside it, nowhere else;
- lines end in LF or CR LF; a CR that stands alone outside quotes does not occur;
- no NUL bytes, no blank lines but at the end, no second header, no record of another width.

Bytes of UTF-8 can be compared one by one because no character beyond ASCII holds an ASCII byte.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from tasks_lib.rows.csv_dialect import LONE_CR, CsvDialect, CsvHeader
from tasks_lib.rows.errors import SHOWN, SourceError, listed

_LF, _CR = 10, 13
_Bytes = NDArray[np.uint8]
_Flags = NDArray[np.bool_]
_Places = NDArray[np.intp]

_NUL_BYTE = "a NUL byte; if the file is UTF-16, set source.encoding: utf-16"
_STRAY_QUOTE = (
    "a quote inside a field that does not begin with one; quote the whole field and double the quotes in it, "
    'or set source.quote: "" if quotes mean nothing in this file'
)
_AFTER_CLOSING_QUOTE = (
    "text after the quote that closes a field; a quote inside a quoted field is written twice, "
    "or a quote before this one is missing"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvStructure:
    """What a structural pass found."""

    rows: int  # without the header
    longest: int  # bytes of the longest record, its line end included


def checked_structure(
    path: Path, blocks: Iterable[bytes], *, dialect: CsvDialect, header: CsvHeader
) -> CsvStructure:
    """The structure of a text that keeps to its dialect; `blocks` are UTF-8, header first, without a BOM.

    Raises:
        SourceError: it does not; with line numbers and the remedy.
    """
    scan = _Scan(path, dialect=dialect, header=header)
    for block in blocks:
        scan.read(block)
    return scan.end()


def lines_of_rows(
    path: Path, blocks: Iterable[bytes], *, dialect: CsvDialect, header: CsvHeader, rows: Iterable[int]
) -> dict[int, int]:
    """The physical line on which each of these rows (from 1) begins."""
    scan = _Scan(path, dialect=dialect, header=header, wanted=rows)
    for block in blocks:
        scan.read(block)
        if not scan.wanted:
            break
    else:
        scan.end()
    return scan.lines


class _Scan:
    """One pass, and what it must remember from block to block."""

    def __init__(
        self, path: Path, *, dialect: CsvDialect, header: CsvHeader, wanted: Iterable[int] = ()
    ) -> None:
        self._path = path
        self._width = len(header.names)
        self._header = header.record
        self._delimiter = ord(dialect.delimiter)
        self._quote = ord(dialect.quote) if dialect.quote else None
        self._may_precede_opening = _any_of(_LF, self._delimiter, self._quote)
        self._may_follow_closing = _any_of(_LF, _CR, self._delimiter, self._quote)

        # where the last block ended
        self._line = 1  # physical line of the next byte
        self._inside = False  # of quotes
        self._last = _LF  # the last byte; a file begins as a line does
        self._last_closed = False  # it closed a quoted field, or is half of a doubled quote
        self._last_returned = False  # it was a CR outside quotes

        # the record that had not ended there
        self._record_line = 1  # on which it began
        self._record_size = 0
        self._record_head = b""  # its bytes, as long as it may turn out to be the header again
        self._delimiters = 0

        # what was found
        self._records = 0  # ended, the header included
        self._longest = 0
        self._blank_line: int | None = None  # the first blank line that nothing has followed yet
        self._misfits: list[str] = []
        self._misfit_count = 0
        self.wanted = sorted(set(wanted), reverse=True)
        self.lines: dict[int, int] = {}

    def read(self, block: bytes) -> None:
        if b"\0" in block:
            self._fail(self._line + block.count(b"\n", 0, block.index(b"\0")), _NUL_BYTE)
        data = np.frombuffer(block, dtype=np.uint8)
        lines = np.flatnonzero(data == _LF)
        ends = lines
        delimiters = np.flatnonzero(data == self._delimiter)
        inside: _Flags | None = None
        if self._quote is not None and (self._inside or self._last_closed or self._quote in block):
            inside = self._inside_quotes(block, data, self._quote)
            ends = ends[~inside[ends]]
            delimiters = delimiters[~inside[delimiters]]
        self._check_returns(block, data, inside)
        self._read_records(block, data, ends, delimiters)
        if len(ends):  # the record that has not ended began after the last of them
            self._record_line = self._line + int(np.searchsorted(lines, ends[-1])) + 1
        self._line += len(lines)
        self._last = block[-1]

    def end(self) -> CsvStructure:
        """What was found, now that everything is read.

        Raises:
            SourceError: a quote is open, a CR stands alone, or records have another width than the header.
        """
        if self._inside:
            self._fail(self._record_line, "a quote opens a field in this record and is never closed")
        if self._last_returned:
            self._fail(self._line, LONE_CR)
        if self._record_size:  # the last line end is missing, as it may be
            line_end = np.array([_LF], dtype=np.uint8)
            self._read_records(b"\n", line_end, np.array([0]), np.array([], dtype=np.intp))
        self._raise_misfits()
        return CsvStructure(rows=self._records - 1, longest=self._longest)

    def _inside_quotes(self, block: bytes, data: _Bytes, quote: int) -> _Flags:
        """For each byte, whether quotes are open after it; the halves of a doubled quote close and open."""
        quotes = data == quote
        inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)).view(np.bool_)  # bool takes twice as long
        if self._inside:
            inside = ~inside
        if self._last_closed and not self._may_follow_closing[data[0]]:
            self._fail_at_quote(block, 0, _AFTER_CLOSING_QUOTE)
        at = np.flatnonzero(quotes)
        opens = inside[at]
        opening = at[opens]
        closing = at[~opens]
        before = np.where(opening > 0, data[opening - 1], self._last)
        stray = opening[~self._may_precede_opening[before]]
        followed = closing[closing + 1 < len(data)]
        broken = followed[~self._may_follow_closing[data[followed + 1]]]
        if len(broken) and not (len(stray) and stray[0] < broken[0]):
            self._fail_at_quote(block, int(broken[0]), _AFTER_CLOSING_QUOTE)
        if len(stray):
            self._fail_at_quote(block, int(stray[0]), _STRAY_QUOTE)
        self._inside = bool(inside[-1])
        self._last_closed = bool(quotes[-1]) and not self._inside
        return inside

    def _check_returns(self, block: bytes, data: _Bytes, inside: _Flags | None) -> None:
        """Outside quotes every CR is followed by LF."""
        if self._last_returned and data[0] != _LF:
            self._fail(self._line, LONE_CR)
        self._last_returned = False
        if _CR not in block:
            return
        returns = data == _CR
        if inside is not None:
            returns &= ~inside
        self._last_returned = bool(returns[-1])
        alone = np.flatnonzero(returns[:-1] & (data[1:] != _LF))
        if len(alone):
            self._fail(self._line + block.count(b"\n", 0, int(alone[0])), LONE_CR)

    def _read_records(self, block: bytes, data: _Bytes, ends: _Places, delimiters: _Places) -> None:
        """Count what ends in this block, and remember the record that does not."""
        if not len(ends):
            self._remember(block, delimiters=len(delimiters))
            return
        delimiters_before = np.searchsorted(delimiters, ends)
        fields = np.diff(delimiters_before, prepend=0) + 1
        fields[0] += self._delimiters
        starts = np.concatenate(([-self._record_size], ends[:-1] + 1))
        returns = np.where(ends > 0, data[ends - 1], self._last) == _CR
        sizes = ends - starts - returns  # without LF and CR LF
        count = self._count_without_blank_lines(block, starts, sizes)
        self._find_header_again(block, starts[:count], sizes[:count])
        for at in np.flatnonzero(fields[:count] != self._width):
            self._misfit_count += 1
            if len(self._misfits) < SHOWN:
                line = self._line_of(block, int(starts[at]))
                self._misfits.append(f"line {line} ({_fields(int(fields[at]))})")
        while self.wanted and self.wanted[-1] < self._records + count:
            row = self.wanted.pop()
            self.lines[row] = self._line_of(block, int(starts[row - self._records]))
        self._records += count
        self._longest = max(self._longest, int((ends - starts).max()) + 1)
        following = int(ends[-1]) + 1
        self._record_size = 0
        self._record_head = b""
        self._delimiters = 0
        self._remember(block[following:], delimiters=len(delimiters) - int(delimiters_before[-1]))

    def _remember(self, part: bytes, *, delimiters: int) -> None:
        """Part of a record whose end is still to come."""
        if self._record_size + len(part) <= len(self._header) + 1:  # with a CR it may be one longer
            self._record_head += part
        self._record_size += len(part)
        self._delimiters += delimiters

    def _count_without_blank_lines(self, block: bytes, starts: _Places, sizes: _Places) -> int:
        """How many records come before the blank lines at the end; others are a fault."""
        filled = np.flatnonzero(sizes > 0)
        blank = np.flatnonzero(sizes <= 0)
        if len(blank) and self._blank_line is None:
            self._blank_line = self._line_of(block, int(starts[blank[0]]))
            follows = len(filled) > 0 and filled[-1] > blank[0]
        else:
            follows = self._blank_line is not None and len(filled) > 0
        if self._blank_line is not None and follows:
            self._fail(
                self._blank_line,
                "a blank line, and text after it; does a second table begin there? "
                'Remove the line (an empty cell alone on its line is written "")',
            )
        return len(filled)

    def _find_header_again(self, block: bytes, starts: _Places, sizes: _Places) -> None:
        """Files put one after the other repeat the header; of a single column it may be a value."""
        if self._width == 1:
            return
        for at in np.flatnonzero(sizes == len(self._header)):
            start, size = int(starts[at]), int(sizes[at])
            text = block[start : start + size] if start >= 0 else (self._record_head + block)[:size]
            if text == self._header and self._records + at > 0:
                self._fail(
                    self._line_of(block, start),
                    "the header again; were two files put together? Remove the line",
                )

    def _line_of(self, block: bytes, start: int) -> int:
        """The line of the record that begins at this byte of the block, or began before it."""
        return self._record_line if start <= 0 else self._line + block.count(b"\n", 0, start)

    def _fail_at_quote(self, block: bytes, at: int, what: str) -> NoReturn:
        """Name the line, and the line on which the record began if that is another one."""
        data = np.frombuffer(block[:at], dtype=np.uint8)
        inside = np.bitwise_xor.accumulate(data == self._quote) ^ self._inside
        ends = np.flatnonzero((data == _LF) & ~inside)
        begun = self._line_of(block, int(ends[-1]) + 1 if len(ends) else 0)
        line = self._line + block.count(b"\n", 0, at)
        self._fail(line, what if begun == line else f"{what} (the record begins on line {begun})")

    def _fail(self, line: int, what: str) -> NoReturn:
        self._raise_misfits()  # they stand before it in the file, and may be its cause
        raise SourceError(f"{self._path}: line {line}: {what}")

    def _raise_misfits(self) -> None:
        if not self._misfits:
            return
        raise SourceError(
            f"{self._path}: the header has {_fields(self._width)}, but not "
            f"{listed(self._misfits, total=self._misfit_count)}; quote a field that holds the delimiter, "
            "set source.delimiter, or mend these lines"
        )


def _any_of(*codes: int | None) -> _Flags:
    """A table that says of each byte whether it is one of these."""
    table = np.zeros(256, dtype=np.bool_)
    table[[code for code in codes if code is not None]] = True
    return table


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"
