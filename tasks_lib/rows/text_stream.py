"""The bytes of a text file as UTF-8, block by block, whatever encoding and compression it is in."""

import codecs
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tasks_lib.rows.errors import SourceError

BLOCK = 1 << 20  # bytes; what fits the cache is scanned fastest
_READ_AS_IT_IS = {"utf-8", "utf-8-sig", "ascii"}  # every text in these is UTF-8 already
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def checked_encoding(encoding: str) -> str:
    """The codec's proper name.

    Raises:
        SourceError: no text encoding has this name.
    """
    try:
        "".encode(encoding)  # refuses codecs that are no text encodings, such as hex
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise SourceError(
            f"source.encoding: {encoding!r} is no encoding that Python knows; "
            "common ones are utf-8, latin-1, windows-1252 and utf-16"
        ) from error


def open_utf8(path: Path, *, encoding: str) -> pa.NativeFile:
    """The file as a stream of UTF-8, for a reader in C++; its text has been validated by `utf8_blocks`.

    Raises:
        OSError: it cannot be opened.
    """
    stream = _open_bytes(path)
    if checked_encoding(encoding) in _READ_AS_IT_IS:
        return stream
    return pa.transcoding_input_stream(stream, encoding, "utf-8")


def utf8_blocks(path: Path, *, encoding: str, block: int = BLOCK) -> Iterator[bytes]:
    """The file's text as UTF-8, in blocks of about `block` bytes; a block may end inside a character.

    Raises:
        SourceError: the file cannot be read, or its bytes are not text in this encoding.
    """
    as_it_is = checked_encoding(encoding) in _READ_AS_IT_IS
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with _open_bytes(path) as stream:
            while data := stream.read(block):
                text = decoder.decode(data)
                yield data if as_it_is else text.encode()
            decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise SourceError(_not_this_encoding(path, encoding)) from error
    except (OSError, pa.ArrowException, zlib.error) as error:
        raise SourceError(cannot_read(path, error)) from error


def cannot_read(path: Path, error: Exception) -> str:
    """Why a file cannot be read, in words."""
    if isinstance(error, FileNotFoundError):
        return f"{path}: there is no such file; source.path is relative to the job file that names it"
    if isinstance(error, PermissionError):
        return f"{path}: may not be read by this user; change its permissions"
    if path.is_dir():
        return f"{path}: is a folder; name one file, or read all of them with source.query"
    return f"{path}: cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def _open_bytes(path: Path) -> pa.NativeFile:
    return pa.input_stream(str(path), compression="detect")  # .gz, .bz2, .zst, .lz4 by suffix


def _not_this_encoding(path: Path, encoding: str) -> str:
    """The first line that is not text in this encoding, and encodings to try.

    The file is read again because a decoder says only where in its last block it failed.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    start = b""
    with _open_bytes(path) as stream:
        while data := stream.read(1 << 12):
            start = start or data
            before = decoder.getstate()
            try:
                line += decoder.decode(data).count("\n")
            except UnicodeError:
                decoder.setstate(before)
                line += _lines_until_the_fault(decoder, data)
                break
    if start.startswith(_UTF16_MARKS) or start.count(0) > len(start) // 4:
        remedy = "it looks like UTF-16: set source.encoding: utf-16"
    else:
        remedy = "set source.encoding to what it is, for example latin-1, windows-1252 or utf-16"
    return f"{path}: line {line}: not {encoding} text; {remedy}"


def _lines_until_the_fault(decoder: codecs.IncrementalDecoder, data: bytes) -> int:
    lines = 0
    for at in range(len(data)):
        try:
            lines += decoder.decode(data[at : at + 1]).count("\n")
        except UnicodeError:
            break
    return lines
