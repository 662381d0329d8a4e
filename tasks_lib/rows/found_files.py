"""The files of a folder or a glob, listed once: their names and what each was like at that moment."""

import os
import stat
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeAlias

from tasks_lib.domain.globs import ANY_DEPTH, fixed_part, is_meant, may_hold
from tasks_lib.rows.errors import SHOWN, SourceError, listed
from tasks_lib.rows.names import format_of, suffix_of
from tasks_lib.rows.text_stream import cannot_read

_EVERYTHING: Final = (ANY_DEPTH,)

_Named: TypeAlias = tuple[
    str, int, int, object
]  # name, size, nanoseconds of the last change, what else tells


@dataclass(slots=True, kw_only=True)
class FoundFiles:
    """Files in the order of their names; some 200 bytes of memory each."""

    root: Path  # that the names begin at, or where copies are
    names: list[str] = field(default_factory=list[str])  # with `/` between folders
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    changed: "array[int]" = field(default_factory=lambda: array("q"))  # nanoseconds, as of the file's mtime
    above: str  # what a message puts before a name
    after: str = ""  # and after it
    copies: bool = False  # whether they are elsewhere; what is read is then a copy, named by its number
    version: str = ""  # 64 hexadecimal digits that name all of them as they were when they were listed

    def shown(self, at: int) -> str:
        """What a message calls a file."""
        return f"{self.above}{self.names[at]}{self.after}"

    def path(self, at: int) -> Path:
        """Where a file is, or its copy."""
        name = self.names[at]
        return self.root / (f"{at:06}{suffix_of(name)}" if self.copies else name)


def version_of_file(path: Path) -> str | None:
    """64 hexadecimal digits that name a file as it is now; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    told = str(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    return sha256(repr(told).encode("utf-8", "surrogateescape")).hexdigest()


def file_alone(path: Path, *, format: str | None) -> tuple[FoundFiles, str | None]:  # noqa: A002  the user's word
    """One file, whose name is its own.

    Raises:
        SourceError: it is not there, or its name does not tell the format.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise SourceError(cannot_read(path, error)) from error
    format = format or format_of_names(path, [path.name])  # noqa: A001  as above
    return _found(path.parent, [(path.name, state.st_size, state.st_mtime_ns, None)]), format


def files_of_folder(folder: Path, *, format: str | None) -> tuple[FoundFiles, str | None]:  # noqa: A002  the user's word
    """All files below a folder that have the format by their names, and that format.

    Without a format it is found: all files whose names tell one must tell the same.

    Raises:
        SourceError: they tell several, or the folder cannot be read.
    """
    named = [one for one in _below(folder, _EVERYTHING) if format_of(one[0]) is not None]
    if format is None:
        format = one_format(folder, [one[0] for one in named])  # noqa: A001  as above
    return _found(folder, [one for one in named if format_of(one[0]) == format]), format


def files_of_glob(glob: Path, *, format: str | None) -> tuple[FoundFiles, str | None]:  # noqa: A002  the user's word
    """All files that a glob means, whatever their names if the format is told, and that format.

    Raises:
        SourceError: a name tells no format, or names tell several; or a folder is missing or cannot be read.
    """
    root = fixed_part(glob)
    if not Path(root).is_dir():
        raise SourceError(
            f"{glob}: there is no folder {root}; source.path is relative to the job file that names it"
        )
    named = list(_below(Path(root), glob.relative_to(root).parts))
    if format is None:
        format = format_of_names(glob, [one[0] for one in named])  # noqa: A001  as above
    return _found(Path(root), named), format


def format_of_names(where: object, names: Sequence[str]) -> str | None:
    """The one format that all these names tell; None if there are no names.

    Raises:
        SourceError: they do not.
    """
    untold = [name for name in names if format_of(name) is None]
    if untold:
        raise SourceError(
            f"{where}: the suffix of {listed(untold, total=len(untold))} does not tell the format; "
            "set source.format: csv, parquet or jsonl, or narrow the glob"
        )
    return one_format(where, names)


def one_format(where: object, names: Sequence[str]) -> str | None:
    """The one format that these names tell, each of which tells one; None if there are no names.

    Raises:
        SourceError: they tell several.
    """
    by_format: dict[str, list[str]] = {}
    for name in names:
        by_format.setdefault(format_of(name) or "", []).append(name)
    if len(by_format) > 1:
        told = "; ".join(
            f"{found}: {listed(some[:SHOWN], total=len(some))}" for found, some in sorted(by_format.items())
        )
        raise SourceError(
            f"{where}: holds files of several formats ({told}); set source.format to say which are meant"
        )
    return next(iter(by_format), None)


def _found(root: Path, named: list[_Named]) -> FoundFiles:
    named.sort(key=lambda one: one[0].split("/"))
    found = FoundFiles(root=root, above=f"{root}/")
    digest = sha256()
    for name, size, changed, other in named:
        found.names.append(name)
        found.sizes.append(size)
        found.changed.append(changed)
        digest.update(repr((name, size, changed, other)).encode())
    found.version = digest.hexdigest()
    return found


def _below(folder: Path, pattern: Sequence[str], within: tuple[str, ...] = ()) -> Iterator[_Named]:
    """Each file below a folder that a pattern means; links to folders may go round, and are not followed."""
    try:
        with os.scandir(folder) as entries:
            here = list(entries)
    except OSError as error:
        raise SourceError(f"{folder}: the folder cannot be read: {error.strerror or error}") from error
    for entry in here:
        parts = (*within, entry.name)
        if entry.is_dir(follow_symlinks=False):
            if may_hold(parts, pattern):
                yield from _below(Path(entry.path), pattern, parts)
        elif is_meant(parts, pattern):
            try:
                state = entry.stat()
            except FileNotFoundError:
                continue  # it has gone since, or is a link that leads nowhere
            if stat.S_ISREG(state.st_mode):
                yield "/".join(parts), state.st_size, state.st_mtime_ns, (state.st_ctime_ns, state.st_ino)
