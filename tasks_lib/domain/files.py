"""Files that go to a model and come from one."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """A file that a row names and that is not yet read: one of path, URL or bytes."""

    name: str  # the file's own name, for the model and the reader; never a path
    column: str  # that named it
    path: str | None = None  # as the row has it
    url: str | None = None
    content: bytes | None = None
    sha256: str | None = None  # 64 hexadecimal digits, where the content was looked at already


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class Attachment:
    """A file as it is sent with a message."""

    name: str
    mime_type: str  # told from its bytes
    content: bytes
    pages: int | None = None  # of a PDF; None: nobody counted

    @property
    def is_image(self) -> bool:
        """Whether it is shown to the model rather than read."""
        return self.mime_type.startswith("image/")


class Direction(Enum):
    """Which way a file went."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFact:
    """What the ledger keeps of a file."""

    direction: Direction
    name: str  # of one that was made: <task run id>.<suffix>; of one that was sent: the row's own
    mime_type: str  # told from its bytes
    size: int  # bytes
    sha256: str  # 64 hexadecimal digits
    uri: str  # of one that was made: relative to the ledger's folder; of one that was sent: where it was read
