"""Parquet files, in their own types."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from tasks_lib.rows.errors import SourceError
from tasks_lib.rows.records import (
    ArrowChunk,
    Unchanged,
    arrow_chunks,
    bare,
    prove_valid,
    rows_by_number,
    within_memory,
)
from tasks_lib.rows.text_stream import cannot_read
from tasks_lib.rows.values import is_binary

_PAGES = 1 << 20  # bytes read at a time of each column, so that a row group is never whole in memory


class ParquetRecords:
    """An open Parquet file."""

    def __init__(self, path: Path, *, unchanged: Unchanged | None = None) -> None:
        """Read its footer; the file is `unchanged` since now, unless that says since when.

        Raises:
            SourceError: the file is missing, cut short or not Parquet.
        """
        self.description = str(path)
        self._path = path
        try:
            self._unchanged = unchanged or Unchanged(path)
            with closing(self._open()) as file:
                self.schema = bare(file.schema_arrow)
                self._rows = file.metadata.num_rows
                self._sizes = _sizes(file.metadata)
        except (OSError, UnicodeError, pa.ArrowException) as error:
            raise self._fault(error) from error

    def prove(self, *, limit: int | None) -> int:
        """The number of rows, after all (or the first `limit`) were decoded and checksums compared."""
        read = 0
        for chunk in self.chunks(size=16_384, columns=None):
            prove_valid(chunk.batch(), where=self.description)
            read += chunk.size
            if limit is not None and read >= limit:
                break
        return self._rows

    def chunks(self, *, size: int, columns: Sequence[str] | None) -> Iterator[ArrowChunk]:
        """The rows; see `Records.chunks`."""
        self._unchanged.prove()
        names = set(self.schema.names if columns is None else columns)
        files = sum(
            self._sizes.get(field.name, 0)
            for field in self.schema
            if field.name in names and is_binary(field.type)
        )
        size = within_memory(size, bytes_a_row=files / max(1, self._rows))
        yield from arrow_chunks(self._batches(size, columns), size=size)
        self._unchanged.prove()

    def places(self, numbers: Iterable[int]) -> Mapping[int, str]:
        """Rows have no lines here."""
        return rows_by_number(numbers)

    def _open(self) -> parquet.ParquetFile:
        return parquet.ParquetFile(
            self._path,
            buffer_size=_PAGES,
            pre_buffer=False,  # which would keep whatever was read: a gigabyte of a gigabyte
            page_checksum_verification=True,
        )

    def _batches(self, size: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        wanted = None if columns is None else list(columns) or self.schema.names[:1]
        try:
            with closing(self._open()) as file:
                for batch in file.iter_batches(batch_size=size, columns=wanted, use_threads=False):
                    # a path such as "a.b" can name a column or part of one: what was read is chosen by name
                    names = self.schema.names if wanted is None else wanted
                    yield pa.RecordBatch.from_arrays([batch.column(name) for name in names], names=names)
        except (OSError, UnicodeError, pa.ArrowException) as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> SourceError:
        if isinstance(error, FileNotFoundError | PermissionError) or self._path.is_dir():
            return SourceError(cannot_read(self._path, error))
        if self._path.stat().st_size == 0:
            return SourceError(f"{self._path}: the file is empty")
        reason = str(error).splitlines()[0]
        return SourceError(
            f"{self._path}: not a whole Parquet file ({reason}); was it cut short in writing or copying?"
        )


def _sizes(metadata: parquet.FileMetaData) -> Mapping[str, int]:
    """Bytes of each column before it was packed."""
    sizes: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            column = metadata.row_group(group).column(at)
            path = column.path_in_schema
            for name in {path, path.partition(".")[0]}:  # a part of a struct, or a name with a dot in it
                sizes[name] = sizes.get(name, 0) + column.total_uncompressed_size
    return sizes
