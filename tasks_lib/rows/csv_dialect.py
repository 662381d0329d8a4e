"""How a CSV file is written: its delimiter, and the header that names its columns."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks_lib.domain.job import Source
from tasks_lib.rows.errors import SourceError
from tasks_lib.rows.text_stream import checked_encoding, utf8_blocks

_CANDIDATES = (",", ";", "\t", "|")
_SAMPLE = 1 << 16  # bytes that the delimiter is sought in
_LONGEST_HEADER = 1 << 20  # bytes
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvDialect:
    """What separates fields, what quotes them (empty: nothing does), and the encoding of the text."""

    delimiter: str
    quote: str
    encoding: str

    def __str__(self) -> str:
        delimiter = _NAMES.get(self.delimiter, repr(self.delimiter))
        return f"delimiter {delimiter}, quote {self.quote or 'none'}, encoding {self.encoding}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvHeader:
    """The first record of a CSV file."""

    names: tuple[str, ...]
    record: bytes  # as UTF-8, without its line end
    size: int  # bytes until the first row, in UTF-8


def read_dialect(source: Source, path: Path) -> tuple[CsvDialect, CsvHeader]:
    """The file's dialect, as configured or found in its first 64 KB, and its header.

    Whether the whole file keeps to it, `csv_strict` says.

    Raises:
        SourceError: the file is empty or unreadable, no one delimiter fits, or a column has no name.
    """
    encoding = checked_encoding(source.encoding)
    quote = _one_character(source.quote, what="quote") if source.quote else ""
    given = source.delimiter or ("\t" if ".tsv" in path.suffixes else None)
    delimiter = _one_character(given, what="delimiter") if given else None
    if delimiter is not None and delimiter == quote:
        raise SourceError(f"source.delimiter and source.quote are both {quote!r}; they must differ")
    head, whole = _head(path, utf8_blocks(path, encoding=source.encoding, block=_SAMPLE), quote)
    mark = codecs.BOM_UTF8 if head.startswith(codecs.BOM_UTF8) else b""
    end = _end_of_record(head, quote)
    if end is None:
        end = len(head)
    record = head[len(mark) : end].removesuffix(b"\r")
    if not record.strip():
        raise SourceError(f"{path}: line 1 is blank; the first line must name the columns")
    if delimiter is None:
        sample = head[len(mark) : _SAMPLE]
        delimiter = _found(path, sample, quote, complete=whole and len(head) <= _SAMPLE)
    names = _names(path, record, delimiter, quote)
    size = min(end + 1, len(head))
    dialect = CsvDialect(delimiter=delimiter, quote=quote, encoding=encoding)
    return dialect, CsvHeader(names=names, record=record, size=size)


def _one_character(text: str, *, what: str) -> str:
    if len(text) == 1 and text.isascii() and text not in "\r\n\0":
        return text
    raise SourceError(f"source.{what}: {text!r} is not one ASCII character")


def _head(path: Path, blocks: Iterable[bytes], quote: str) -> tuple[bytes, bool]:
    """The beginning of the text that holds at least the first record, and whether that is all there is."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= _SAMPLE and _end_of_record(head, quote) is not None:
            return head, False
        if len(head) > _LONGEST_HEADER:
            raise SourceError(
                f"{path}: the first line does not end within {_LONGEST_HEADER >> 20} MB; "
                "is it a CSV file, and are the quotes of its header balanced?"
            )
    if not head:
        raise SourceError(f"{path}: the file is empty")
    return head, True


def _end_of_record(text: bytes, quote: str) -> int | None:
    """Where the first line end outside quotes is."""
    mark = quote.encode()
    end = text.find(b"\n")
    while end >= 0:
        if not mark or text.count(mark, 0, end) % 2 == 0:
            return end
        end = text.find(b"\n", end + 1)
    return None


def _found(path: Path, sample: bytes, quote: str, *, complete: bool) -> str:
    """The one delimiter under which the sample's rows have the width of its header."""
    text = sample.decode(errors="ignore")  # the sample may end inside a character
    widths = {mark: list(_widths(text, mark, quote, complete=complete)) for mark in _CANDIDATES}
    present = [candidate for candidate, found in widths.items() if found and found[0] > 1]
    if not present:
        return ","  # one column: any delimiter says the same
    fitting = [candidate for candidate in present if len(set(widths[candidate])) == 1]
    if len(fitting) == 1:
        return fitting[0]
    if len(present) == 1:
        return present[0]  # the strict pass says which rows do not fit it
    names = " and ".join(_NAMES[candidate] for candidate in fitting or present)
    raise SourceError(f"{path}: the fields could be separated by {names}; set source.delimiter to say which")


def _widths(text: str, delimiter: str, quote: str, *, complete: bool) -> Iterator[int]:
    """The number of fields of each whole record of the sample."""
    last: int | None = None
    try:
        for fields in _records(text, delimiter, quote):
            if last:
                yield last
            last = len(fields)
    except csv.Error:
        return  # the sample ends inside quotes, or these quotes do not suit this delimiter
    if last and (complete or text.endswith("\n")):
        yield last


def _records(text: str, delimiter: str, quote: str) -> Iterator[list[str]]:
    lines = io.StringIO(text, newline="")
    if not quote:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True)


def _names(path: Path, record: bytes, delimiter: str, quote: str) -> tuple[str, ...]:
    if b"\0" in record:
        raise SourceError(f"{path}: line 1 holds NUL bytes; is it UTF-16? then set source.encoding: utf-16")
    try:
        records = list(_records(record.decode(), delimiter, quote))
    except csv.Error as error:
        raise SourceError(f"{path}: line 1: the header's quotes are not balanced ({error})") from error
    if len(records) != 1:
        raise SourceError(f"{path}: line 1: {LONE_CR}")
    names = tuple(records[0])
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise SourceError(
                f"{path}: line 1: column {position} of {len(names)} has no name; name it in the header "
                "(pandas writes such a column for its index: to_csv(index=False))"
            )
    return names


LONE_CR = "lines end in a lone carriage return; write the file with line feeds (or CR LF)"
