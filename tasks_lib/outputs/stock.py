"""The files that a ledger tells of: whether they are still what they were, and copies for people."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath, PureWindowsPath

from tasks_lib.outputs.names import safe_names
from tasks_lib.outputs.store import FilesError, write_whole

_AT_A_TIME = 1 << 20  # bytes


class State(Enum):
    """What became of a file."""

    WHOLE = "whole"
    MISSING = "missing"
    ALTERED = "altered"  # its size or its hash is another one


@dataclass(frozen=True, slots=True, kw_only=True)
class Stocked:
    """A file that is an answer, as the ledger tells of it."""

    stem: str  # what its copy is to be called, without the suffix
    name: str
    size: int
    sha256: str
    uri: str  # relative to the ledger's folder


def path_of(uri: str, *, ledger: Path) -> Path | None:
    """Where a file is; None if the URI leads out of the ledger's folder, which none of ours does."""
    parts = PurePosixPath(uri).parts
    if not parts or PurePosixPath(uri).is_absolute() or ".." in parts or PureWindowsPath(uri).drive:
        return None
    return ledger.resolve().parent.joinpath(*parts)


def state_of(file: Stocked, *, ledger: Path) -> State:
    """Read a file and compare it with what the ledger tells of it.

    Raises:
        FilesError: it is there and cannot be read.
    """
    path = path_of(file.uri, ledger=ledger)
    if path is None or not path.is_file():
        return State.MISSING
    try:
        if path.stat().st_size != file.size or _hash_of(path) != file.sha256:
            return State.ALTERED
    except OSError as error:
        raise FilesError(f"{path} cannot be read: {error.strerror or error}") from error
    return State.WHOLE


def copied(files: Sequence[Stocked], *, ledger: Path, folder: Path) -> list[tuple[Stocked, State, str]]:
    """Copy files to a folder under names for people; what is missing or altered is told and not copied.

    A file that is there under such a name is replaced by its whole successor at once.

    Raises:
        FilesError: the folder cannot be written, or a file not be read.
    """
    names = safe_names((file.stem, PurePosixPath(file.name).suffix[1:] or "bin") for file in files)
    told = []
    for file, name in zip(files, names, strict=True):
        state, content = _read(file, ledger=ledger)
        if content is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_whole(folder / name, content)
            except OSError as error:
                raise FilesError(f"{folder / name} cannot be written: {error.strerror or error}") from error
        told.append((file, state, name))
    return told


def _read(file: Stocked, *, ledger: Path) -> tuple[State, bytes | None]:
    """A file's bytes, if they are what they were: those that are compared are those that are copied."""
    path = path_of(file.uri, ledger=ledger)
    if path is None or not path.is_file():
        return State.MISSING, None
    try:
        content = path.read_bytes() if path.stat().st_size == file.size else None
    except OSError as error:
        raise FilesError(f"{path} cannot be read: {error.strerror or error}") from error
    if content is None or hashlib.sha256(content).hexdigest() != file.sha256:
        return State.ALTERED, None
    return State.WHOLE, content


def _hash_of(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_AT_A_TIME):
            hashed.update(piece)
    return hashed.hexdigest()
