"""A standard stream whose reader may leave."""

import os
from errno import EIO, EPIPE
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LEFT = {EPIPE, EIO}  # a pipe that nobody reads any more (`| head`), a terminal that was closed


class _Patient(FileIO):
    """Writes to nowhere once its reader has left; a disk that is full is an error like any other."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in LEFT:
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return super().write(data)


def patient(stream: TextIOWrapper) -> TextIOWrapper:
    """The stream, whoever writes to it and however little of it is read.

    What the encoding cannot say is written as an escape, which is no reason to fail either.
    """
    stream.flush()
    return TextIOWrapper(
        BufferedWriter(_Patient(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
    )
