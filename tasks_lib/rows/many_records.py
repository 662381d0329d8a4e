"""The files of a folder, a glob or a prefix as one source, each opened when its turn comes.

A row's values are those of its own file, whatever types the column has in others: else a file that comes
later could turn the `1` of every earlier row into `1.0`, and all of them would be asked, and paid for, again.
Only outputs, which need one type a column, have the type that all files have together.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

from tasks_lib.domain.job import Source
from tasks_lib.rows.csv_dialect import CsvDialect
from tasks_lib.rows.errors import SHOWN, SourceError
from tasks_lib.rows.file_chunk import FileChunk, JoinedChunk
from tasks_lib.rows.found_files import FoundFiles
from tasks_lib.rows.names import partition_of
from tasks_lib.rows.records import Chunk, Records, Unchanged, refuse_alike
from tasks_lib.rows.remembered import CsvFiles, JsonlFiles, remembered
from tasks_lib.rows.values import is_binary

_PROVEN_AT_ONCE: Final = 16_384  # rows


class NoRecords:
    """A folder, a glob or a prefix that nothing is in (yet): no rows, and no columns either."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.schema = pa.schema([])

    def prove(self, *, limit: int | None) -> int:  # noqa: ARG002
        """There are none."""
        return 0

    def chunks(self, *, size: int, columns: Sequence[str] | None) -> Iterator[Chunk]:  # noqa: ARG002
        """There are none."""
        return iter(())

    def places(self, numbers: Iterable[int]) -> Mapping[int, str]:  # noqa: ARG002
        """There are none."""
        return {}


class ManyRecords:
    """The rows of several files of one format."""

    def __init__(
        self,
        files: FoundFiles,
        source: Source,
        *,
        format: str,  # noqa: A002  the user's word
        description: str,
    ) -> None:
        """Look at each file once; there is at least one.

        Raises:
            SourceError: files cannot be read, or do not have the same columns; several are told at once.
        """
        self.description = description
        self._files = files
        self._file_column = source.file_column
        self._rows = array("q", bytes(8 * len(files.names)))
        self._remembered = remembered(source, format=format)
        self._look()
        self._own = self._remembered.schema(files.names, self._again)
        self._partitions = [name for name in partition_of(files.names[0]) if name not in self._own.names]
        more = [*self._partitions, *([source.file_column] if source.file_column is not None else [])]
        self.schema = pa.schema([*self._own, *(pa.field(name, pa.string()) for name in more)])

    @property
    def version(self) -> str:
        """What names all its files as they were when they were listed."""
        return self._files.version

    @property
    def dialect(self) -> CsvDialect | None:
        """That of CSV files, if all have the same."""
        return self._remembered.dialect if isinstance(self._remembered, CsvFiles) else None

    def prove(self, *, limit: int | None) -> int:
        """The number of rows, after each file was proven; faults of several files are told at once."""
        left = limit
        with self._gathered() as told:
            for at in range(len(self._files.names)):
                with told(at):
                    self._rows[at] = self._prove(at, limit=None if left is None else max(left, 0))
                    left = None if left is None else left - self._rows[at]
        return sum(self._rows)

    def chunks(self, *, size: int, columns: Sequence[str] | None) -> Iterator[Chunk]:
        """The rows; see `Records.chunks`. Those of small files come together."""
        own = None if columns is None else [name for name in columns if name in self._own.names]
        joins = not any(is_binary(field.type) for field in self._own if own is None or field.name in own)
        waiting: list[Chunk] = []
        rows = 0
        for at in range(len(self._files.names)):
            for chunk in self._chunks_of(at, size=size, own=own):
                if waiting and (rows + chunk.size > size or not joins):
                    yield JoinedChunk.of(waiting)
                    waiting, rows = [], 0
                waiting.append(chunk)
                rows += chunk.size
        if waiting:
            yield JoinedChunk.of(waiting)

    def places(self, numbers: Iterable[int]) -> Mapping[int, str]:
        """The file of each of these rows, and its line or number there."""
        wanted = sorted(set(numbers))
        places: dict[int, str] = {}
        first = 1
        for at, rows in enumerate(self._rows):
            here = [number - first + 1 for number in wanted if first <= number < first + rows]
            if here:
                found = self._opened(at).places(here)
                name = self._files.names[at]
                places |= {first + number - 1: f"{name} {place}" for number, place in found.items()}
            first += rows
        return places

    def _look(self) -> None:
        names: list[str] = []
        spelt: list[str] = []
        may_lack = isinstance(self._remembered, JsonlFiles)
        with self._gathered() as told:
            for at, (path, unchanged) in enumerate(self._again()):
                with told(at):
                    here = self._remembered.look(path, unchanged)
                    refuse_alike(str(path), here)
                    if at == 0:
                        names, spelt = here, list(partition_of(self._files.names[0]))
                    elif not may_lack and set(here) != set(names):
                        raise SourceError(f"{path}: {_differing(here, names, self._files.names[0])}")
                    elif set(partition_of(self._files.names[at])) != set(spelt):
                        raise SourceError(
                            f"{path}: its folders do not spell the partition {'/'.join(spelt) or '(none)'}, "
                            f"as those of {self._files.names[0]} do"
                        )

    def _prove(self, at: int, *, limit: int | None) -> int:
        records = self._opened(at)
        rows = records.prove(limit=limit)
        self._remembered.proven(at, records)
        if not records.schema.equals(self._own) and not isinstance(self._remembered, CsvFiles):
            read = 0
            for chunk in self._chunks_of(at, size=_PROVEN_AT_ONCE, own=None):
                if limit is not None and read >= limit:
                    break
                chunk.batch()  # whose columns must fit the types that they have together
                read += chunk.size
        return rows

    def _chunks_of(self, at: int, *, size: int, own: Sequence[str] | None) -> Iterator[FileChunk]:
        name = self._files.names[at]
        spelt = partition_of(name)
        partition = {column: spelt[column] for column in self._partitions}
        with self._named(at):
            for chunk in self._opened(at).chunks(size=size, columns=own):
                yield FileChunk(
                    chunk=chunk,
                    name=name,
                    schema=self._own if own is None else pa.schema([self._own.field(one) for one in own]),
                    partition=partition,
                    file_column=self._file_column,
                )

    def _opened(self, at: int) -> Records:
        path = self._files.path(at)
        with self._named(at):
            return self._remembered.opened(at, path, self._unchanged(at, path))

    def _again(self) -> Iterator[tuple[Path, Unchanged]]:
        for at in range(len(self._files.names)):
            path = self._files.path(at)
            yield path, self._unchanged(at, path)

    def _unchanged(self, at: int, path: Path) -> Unchanged:
        return Unchanged(path, since=(self._files.sizes[at], self._files.changed[at]))

    @contextmanager
    def _named(self, at: int) -> Iterator[None]:
        """Call a file in an error what its user calls it, if it is only a copy that is read."""
        try:
            yield
        except SourceError as error:
            if not self._files.copies:
                raise
            told = str(error).replace(str(self._files.path(at)), self._files.shown(at))
            raise SourceError(told) from None

    @contextmanager
    def _gathered(self) -> Iterator[Callable[[int], AbstractContextManager[None]]]:
        """Faults of files, told together at the end, each in a line of its own."""
        faults: list[str] = []
        count = 0

        @contextmanager
        def told(at: int) -> Iterator[None]:
            nonlocal count
            try:
                with self._named(at):
                    yield
            except SourceError as error:
                count += 1
                if len(faults) < SHOWN:
                    faults.append(str(error))

        yield told
        if count > len(faults):
            faults.append(f"and {count - len(faults):,} more files of {self.description}")
        if faults:
            raise SourceError("\n".join(faults))


def _differing(here: Sequence[str], first: Sequence[str], name: str) -> str:
    """How the columns of a file differ from the first file's."""
    lacks = [repr(column) for column in first if column not in here]
    has = [repr(column) for column in here if column not in first]
    told = " and ".join(
        [
            *([f"lacks the column{'s' * (len(lacks) > 1)} {', '.join(lacks[:SHOWN])}"] if lacks else []),
            *([f"has {', '.join(has[:SHOWN])} besides"] if has else []),
        ]
    )
    return (
        f"{told}, unlike {name}; give all files the same columns, or read them with source.query "
        "(DuckDB's read_csv and read_parquet have union_by_name)"
    )
