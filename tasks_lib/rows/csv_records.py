"""CSV files: proven by the structural pass, then read by pyarrow; every value is text, an empty one NULL."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
from pyarrow import csv

from tasks_lib.domain.job import Source
from tasks_lib.rows.csv_dialect import CsvDialect, CsvHeader, read_dialect
from tasks_lib.rows.csv_strict import CsvStructure, checked_structure, lines_of_rows
from tasks_lib.rows.errors import SourceError
from tasks_lib.rows.records import ArrowChunk, Unchanged, arrow_chunks
from tasks_lib.rows.text_stream import BLOCK, cannot_read, open_utf8, utf8_blocks

_LONGEST_RECORD = 1 << 30  # bytes; the reader's blocks must hold a record and are counted in 31 bits


class CsvRecords:
    """An open CSV file."""

    def __init__(
        self,
        path: Path,
        *,
        dialect: CsvDialect,
        header: CsvHeader,
        unchanged: Unchanged,
        structure: CsvStructure | None = None,
    ) -> None:
        """A file of which so much is known; with its structure it needs no proof."""
        self.dialect = dialect
        self.header = header
        self.description = str(path)
        self.schema = pa.schema([pa.field(name, pa.string()) for name in header.names])
        self._path = path
        self._unchanged = unchanged
        self._structure = structure

    @classmethod
    def open(cls, source: Source, path: Path, *, unchanged: Unchanged | None = None) -> "CsvRecords":
        """The file, once its dialect and header are known; `unchanged` since now, unless it says since when.

        Raises:
            SourceError: they cannot be.
        """
        try:
            unchanged = unchanged or Unchanged(path)
        except OSError as error:
            raise SourceError(cannot_read(path, error)) from error
        dialect, header = read_dialect(source, path)
        return cls(path, dialect=dialect, header=header, unchanged=unchanged)

    def prove(self, *, limit: int | None) -> int:  # noqa: ARG002  any fault is worth telling
        """The number of rows, after the structural pass over the whole file."""
        return self.structure.rows

    def chunks(self, *, size: int, columns: Sequence[str] | None) -> Iterator[ArrowChunk]:
        """The rows; see `Records.chunks`."""
        structure = self.structure
        self._unchanged.prove()
        read = 0
        for chunk in arrow_chunks(self._batches(structure, columns), size=size):
            read += chunk.size
            yield chunk
        self._unchanged.prove()
        if read != structure.rows:  # the two readers disagree: rather no rows than wrong ones
            raise SourceError(f"{self._path}: {structure.rows:,} rows were counted and {read:,} read")

    def places(self, numbers: Iterable[int]) -> Mapping[int, str]:
        """The lines on which these rows begin."""
        lines = lines_of_rows(
            self._path, self._blocks(), dialect=self.dialect, header=self.header, rows=numbers
        )
        return {number: f"line {line:,}" for number, line in lines.items()}

    @property
    def structure(self) -> CsvStructure:
        """What the structural pass has found, or finds now.

        Raises:
            SourceError: the file does not keep to its dialect.
        """
        if self._structure is None:
            found = checked_structure(self._path, self._blocks(), dialect=self.dialect, header=self.header)
            if found.longest > _LONGEST_RECORD:
                raise SourceError(f"{self._path}: a row is {found.longest:,} bytes long; is a quote missing?")
            self._unchanged.prove()
            self._structure = found
        return self._structure

    def _blocks(self) -> Iterator[bytes]:
        return utf8_blocks(self._path, encoding=self.dialect.encoding)

    def _batches(self, structure: CsvStructure, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        if structure.rows == 0:
            return
        names = list(self.header.names)
        reading = csv.ReadOptions(
            column_names=names,
            block_size=max(BLOCK, structure.longest + 2),
            use_threads=False,
        )
        parsing = csv.ParseOptions(
            delimiter=self.dialect.delimiter,
            quote_char=self.dialect.quote or False,
            double_quote=True,
            escape_char=False,
            newlines_in_values=bool(self.dialect.quote),
            ignore_empty_lines=True,  # there are none but at the end
        )
        converting = csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            include_columns=None if columns is None else list(columns) or names[:1],
        )
        try:
            with open_utf8(self._path, encoding=self.dialect.encoding) as stream:
                _skip(stream, self.header.size)
                with closing(csv.open_csv(cast("IO[bytes]", stream), reading, parsing, converting)) as reader:
                    yield from reader
        except (OSError, UnicodeError, pa.ArrowException) as error:
            raise SourceError(cannot_read(self._path, error)) from error


def _skip(stream: pa.NativeFile, size: int) -> None:
    while size > 0:
        size -= len(stream.read(size)) or size
