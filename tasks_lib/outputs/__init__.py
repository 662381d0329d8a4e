"""Answers that are files: what their bytes are, pages set from text, and where all of them are kept."""

from tasks_lib.outputs.keep import Keeper, Shelf
from tasks_lib.outputs.leavings import sweep, writing
from tasks_lib.outputs.needs import check_needs
from tasks_lib.outputs.stock import State, Stocked, copied, path_of, state_of
from tasks_lib.outputs.store import FilesError, FileStore

__all__ = [
    "FileStore",
    "FilesError",
    "Keeper",
    "Shelf",
    "State",
    "Stocked",
    "check_needs",
    "copied",
    "path_of",
    "state_of",
    "sweep",
    "writing",
]
