"""What comes to a model beside the prompts: files that rows name, and what processors make of values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from tasks_lib.domain.files import FileRef
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.row import Row

MOST_FILE_BYTES = 20_000_000  # of one file, unless the task says otherwise
SHOWN_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})  # that every provider takes
PDF = "application/pdf"

BUILT_IN_PROCESSORS: Mapping[str, frozenset[str]] = {
    "url_fetcher": frozenset({"fallback_text", "max_characters"}),
    "document_content_extractor": frozenset({"fallback_text", "max_characters"}),
}
"""The processors that come with the program, and the keys of their config."""

READS_FILES = "document_content_extractor"  # whose value may be a path or a column of bytes
FETCHES_URLS = "url_fetcher"


class FileMode(Enum):
    """Which files a task takes."""

    NONE = "none"
    IMAGE = "image"
    PDF = "pdf"
    IMAGE_OR_PDF = "image_or_pdf"
    ANY = "any"

    @property
    def wanted(self) -> str:
        """What it takes, in words."""
        return _WANTED[self]

    def takes(self, mime_type: str) -> bool:
        """Whether a file of this type may be sent."""
        if self is FileMode.ANY:
            return True
        is_image, is_pdf = mime_type in SHOWN_IMAGES, mime_type == PDF
        return (is_image and self in _IMAGES) or (is_pdf and self in _PDFS)


_IMAGES = (FileMode.IMAGE, FileMode.IMAGE_OR_PDF)
_PDFS = (FileMode.PDF, FileMode.IMAGE_OR_PDF)
_WANTED = {
    FileMode.NONE: "no file",
    FileMode.IMAGE: "an image (PNG, JPEG, GIF or WebP)",
    FileMode.PDF: "a PDF",
    FileMode.IMAGE_OR_PDF: "an image (PNG, JPEG, GIF or WebP) or a PDF",
    FileMode.ANY: "a file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInput:
    """What a task says of the files that its rows bring."""

    mode: FileMode = FileMode.NONE
    required: bool = True  # a row without its file fails, and no call is made
    max_bytes: int = MOST_FILE_BYTES  # of each file


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorStep:
    """What happens to one placeholder's value before the prompts are rendered."""

    param_name: str  # the placeholder: its value goes in, and what comes out stands in its place
    input_processor: str
    config: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSources:
    """Where the files of a job's rows may come from, and which columns name them."""

    columns: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()  # a relative path is looked for in each in turn; none is left
    hosts: tuple[str, ...] = ()  # host, *.host or *, with a scheme (https without one) and a port perhaps
    allow_private_addresses: bool = False  # of this machine and its networks


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files of one row, as far as can be told without fetching any."""

    refs: tuple[FileRef, ...] = ()
    digest: JsonValue = None  # changes when a file's content does
    problem: str | None = None  # why the row cannot be asked


class RowFiles(Protocol):
    """Finds the files that a row names; reads those on the disk to name their content."""

    def of(self, row: Row) -> Found:
        """The row's files; one that is missing is a problem, and no error."""


def processor_names(*more: str) -> tuple[str, ...]:
    """The built-in processors and further ones."""
    return tuple(dict.fromkeys((*BUILT_IN_PROCESSORS, *more)))
