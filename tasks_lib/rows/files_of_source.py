"""Which files a source means, where it is not just one file of this machine."""

from contextlib import ExitStack
from pathlib import Path

from tasks_lib.domain.globs import is_glob
from tasks_lib.domain.job import Source
from tasks_lib.domain.place import Address
from tasks_lib.rows.distant_files import distant_files
from tasks_lib.rows.errors import SourceError
from tasks_lib.rows.found_files import file_alone, files_of_folder, files_of_glob
from tasks_lib.rows.many_records import ManyRecords, NoRecords


def means_one_file(source: Source) -> bool:
    """Whether the source is a file of this machine, or would be one if it were there."""
    path = source.path
    if not isinstance(path, Path) or source.file_column is not None:
        return False
    return not path.is_dir() and (path.exists() or not is_glob(str(path)))


def files_of_source(source: Source, resources: ExitStack) -> ManyRecords | NoRecords:
    """The files that a folder, a glob or an address means.

    Raises:
        SourceError: there are none where there must be some, or they do not go together.
    """
    path = source.path
    assert path is not None  # noqa: S101  or it is a query
    if isinstance(path, Address):
        files, format = distant_files(source, path, resources)  # noqa: A001  the user's word
    elif path.is_dir():
        files, format = files_of_folder(path, format=source.format)  # noqa: A001  the user's word
    elif path.exists() or not is_glob(str(path)):
        files, format = file_alone(path, format=source.format)  # noqa: A001  as above
    else:
        files, format = files_of_glob(path, format=source.format)  # noqa: A001  as above
    if not files.names or format is None:
        if source.empty == "refused":
            raise SourceError(f"{path}: means no file; set source.empty: allowed if there may be none")
        return NoRecords(str(path))
    return ManyRecords(files, source, format=format, description=str(path))
