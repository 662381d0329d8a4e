"""The files that an address means, copied to this machine once for a run.

A source is read several times (what it is, the check, labels, the run, the output), its readers want to go
back in a file, and a row that is asked must be the row that was checked. A copy gives all of that, and each
byte is fetched and paid for once. It takes the room of the files on the disk for as long as the run.
"""

import shutil
from contextlib import ExitStack
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath
from typing import Final

from tasks_lib.domain.globs import ANY_DEPTH, fixed_part, is_meant
from tasks_lib.domain.job import Source
from tasks_lib.domain.place import Address
from tasks_lib.rows.copies import folder_of_copies
from tasks_lib.rows.errors import SourceError, listed
from tasks_lib.rows.found_files import FoundFiles, format_of_names, one_format
from tasks_lib.rows.names import format_of
from tasks_lib.rows.store import Store, StoredObject
from tasks_lib.rows.web_file import fetch_web_file

_ROUNDS: Final = 3  # in which files that change while they are copied are copied again
_SPARE: Final = 64 << 20  # bytes that a disk must have beyond the copies


def distant_files(source: Source, address: Address, resources: ExitStack) -> tuple[FoundFiles, str | None]:
    """The files of an address, copied, and their format; the copies go with the resources.

    Raises:
        SourceError: they cannot be had, there is no room for them, or they changed again and again.
    """
    try:
        folder = resources.enter_context(folder_of_copies())
    except OSError as error:
        raise SourceError(f"{address}: no folder can be made for a copy of it: {error.strerror}") from error
    if address.is_web:
        return _from_the_web(source, address, folder)
    return _from_a_store(source, address, folder)


def _from_the_web(source: Source, address: Address, folder: Path) -> tuple[FoundFiles, str | None]:
    if not address.name:
        raise SourceError(f"{address}: names no file; a web server has no folders that could be read")
    format = source.format or format_of_names(address, [address.name])  # noqa: A001  the user's word
    above, _, after = str(address).rpartition(address.name)
    files = FoundFiles(root=folder, names=[address.name], above=above, after=after, copies=True)
    version = fetch_web_file(address, files.path(0))
    if not version:
        with files.path(0).open("rb") as file:
            version = file_digest(file, "sha256").hexdigest()
    _note(files, (str(address), version))
    return files, format


def _from_a_store(source: Source, address: Address, folder: Path) -> tuple[FoundFiles, str | None]:
    store = Store(address, source.storage, wrong=SourceError)
    root, found = _meant(store, address)
    names = {one.key: one.key.removeprefix(root) for one in found}
    format = source.format  # noqa: A001  the user's word
    if address.is_glob or names.keys() == {address.key}:
        format = format or format_of_names(address, list(names.values()))  # noqa: A001  as above
    else:
        known = [name for name in names.values() if format_of(name) is not None]
        format = format or one_format(address, known)  # noqa: A001  as above
        found = [one for one in found if format_of(names[one.key]) == format]
    found.sort(key=lambda one: one.key.split("/"))
    files = FoundFiles(
        root=folder, names=[names[one.key] for one in found], above=f"{address.scheme}://{root}", copies=True
    )
    found = _copied(store, address, found, files)
    _note(files, [str(address), *((one.key, one.size, one.version) for one in found)])
    return files, format


def _meant(store: Store, address: Address) -> tuple[str, list[StoredObject]]:
    """What all keys begin with, and the objects: one, those of a glob, or all below a prefix."""
    if not address.is_glob and not address.key.endswith("/") and "/" in address.key:
        one = store.object()
        if one is not None:
            return address.key.removesuffix(address.name), [one]
    within = str(fixed_part(PurePosixPath(address.key))) if address.is_glob else address.key.rstrip("/")
    root = f"{within}/"
    pattern = address.key.removeprefix(root).split("/") if address.is_glob else [ANY_DEPTH]
    return root, [
        one for one in store.below(within) if is_meant(one.key.removeprefix(root).split("/"), pattern)
    ]


def _copied(
    store: Store, address: Address, found: list[StoredObject], files: FoundFiles
) -> list[StoredObject]:
    """The objects as they were copied: each whole, and of one version.

    A store gives an object piece by piece, and somebody may write it anew between two of them. So what was
    listed is listed again, and what has changed copied again.
    """
    to_copy = list(range(len(found)))
    for _ in range(_ROUNDS):
        _find_room(address, sum(found[at].size for at in to_copy), files.root)
        store.fetch([found[at].key for at in to_copy], [files.path(at) for at in to_copy])
        now = {one.key: one for one in _meant(store, address)[1]}
        gone = [one.key for one in found if one.key not in now]
        if gone:
            raise SourceError(
                f"{address}: {listed(gone, total=len(gone))} went while it was copied; run again"
            )
        to_copy = [
            at
            for at, one in enumerate(found)
            if now[one.key] != one or files.path(at).stat().st_size != one.size
        ]
        if not to_copy:
            return found
        found = [now[one.key] for one in found]
    changing = [found[at].key for at in to_copy]
    raise SourceError(
        f"{address}: {listed(changing, total=len(changing))} changed each time it was copied; "
        "run again when it is complete"
    )


def _find_room(address: Address, size: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size + _SPARE > free:
        raise SourceError(
            f"{address}: its copy takes {size:,} bytes, and {folder.parent} has {free:,} left; "
            "set TMPDIR to a folder with more room, or narrow the glob"
        )


def _note(files: FoundFiles, version: object) -> None:
    for at in range(len(files.names)):
        state = files.path(at).stat()
        files.sizes.append(state.st_size)
        files.changed.append(state.st_mtime_ns)
    files.version = sha256(repr(version).encode()).hexdigest()
