"""The files that a row names: by a path, a URL, a data: URI, an object with content, or a column of bytes."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePath
from typing import Final
from urllib.parse import unquote_to_bytes

import orjson

from tasks_lib.domain.files import FileRef
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.inputs import FileInput, FileMode, FileSources, Found
from tasks_lib.domain.row import Row
from tasks_lib.inputs.folders import Folders, digest_of, size_of
from tasks_lib.inputs.hosts import Hosts
from tasks_lib.inputs.unusable import Unusable

_URL: Final = ("https://", "http://")
_MISSING: Final = "missing"
_CONTENT_KEYS: Final = ("content", "bytes", "data")
_NAME_KEYS: Final = ("filename", "name", "path")


class FilesOfRows:
    """Finds the files of a job's rows; reads those on the disk to name their content."""

    def __init__(self, sources: FileSources, wanted: FileInput, *, documents: Sequence[str] = ()) -> None:
        """Find the files of `sources.columns`; `documents` are columns whose files processors read.

        Raises:
            ValueError: a host of the sources is none.
        """
        self._sources = sources
        self._wanted = wanted
        self._documents = tuple(column for column in documents if column not in sources.columns)
        self._folders = Folders(sources.folders)
        self._hosts = Hosts(sources.hosts)

    def of(self, row: Row) -> Found:
        """The row's files; one that is missing is a problem, and no error."""
        refs: list[FileRef] = []
        digests: list[JsonValue] = []
        problem: str | None = None
        for column in (*self._sources.columns, *self._documents):
            try:
                for ref in named_files(row, column):
                    known = self._known(ref)
                    refs.append(known)
                    digests.append(_digest_of(known))
            except Unusable as error:
                digests.append(_MISSING)
                if column in self._sources.columns:  # what a processor finds missing, it has a word for
                    problem = problem or f"{column}: {error}"
        lacks = not any(ref.column in self._sources.columns for ref in refs)
        if problem is None and lacks and self._wanted.mode is not FileMode.NONE and self._wanted.required:
            named = ", ".join(self._sources.columns)
            problem = f"the row has no file in {named}, and the task needs {self._wanted.mode.wanted}"
        return Found(refs=tuple(refs), digest=digests, problem=problem)

    def _known(self, ref: FileRef) -> FileRef:
        """The file with the digest of its content, where that is at hand.

        Raises:
            Unusable: it is not there, or may not be had.
        """
        if ref.url is not None:
            self._hosts.checked(ref.url)
            return ref
        if ref.content is not None:
            if len(ref.content) > self._wanted.max_bytes:
                raise Unusable(f"it has more than {self._wanted.max_bytes:,} bytes (max_file_bytes)")
            return _with_digest(ref, sha256(ref.content).hexdigest())
        assert ref.path is not None  # noqa: S101 - one of the three is there
        found = self._folders.find(ref.path)
        size = size_of(found)
        if size > self._wanted.max_bytes:
            raise Unusable(
                f"the file {found.name!r} has {size:,} bytes, {self._wanted.max_bytes:,} are allowed "
                "(max_file_bytes)"
            )
        return _with_digest(ref, digest_of(found))


def named_files(row: Row, column: str) -> Iterator[FileRef]:
    """The files that a column of a row names; none where it is empty.

    Raises:
        Unusable: it holds what names no file.
    """
    value = row.values.get(column)
    blob = row.blobs.get(column)
    if blob is not None:
        name = value.get("filename") if isinstance(value, Mapping) else None
        yield FileRef(name=plain_name(name) or column, column=column, content=blob)
        return
    yield from files_in(value, column=column)


def files_in(value: JsonValue, *, column: str) -> Iterator[FileRef]:
    """The files that a value names.

    Raises:
        Unusable: it names none.
    """
    if value is None or value == "":
        return
    if isinstance(value, list):
        for one in value:
            yield from files_in(one, column=column)
    elif isinstance(value, Mapping):
        yield _of_object(value, column=column)
    elif isinstance(value, str):
        yield from _of_text(value.strip(), column=column)
    else:
        raise Unusable(f"{orjson.dumps(value).decode()[:40]} names no file")


def _of_text(text: str, *, column: str) -> Iterator[FileRef]:
    lowered = text[:8].lower()
    if not text:
        return
    if lowered.startswith(_URL):
        name = plain_name(text.partition("?")[0].partition("#")[0].rstrip("/"))
        yield FileRef(name=name or column, column=column, url=text)
    elif lowered.startswith("data:"):
        yield FileRef(name=column, column=column, content=_of_data_uri(text))
    elif text[0] in "{[":  # a CSV can hold objects in no other way
        try:
            spelled = orjson.loads(text)
        except orjson.JSONDecodeError:
            spelled = None
        if isinstance(spelled, (dict, list)):
            yield from files_in(spelled, column=column)
        else:
            yield FileRef(name=plain_name(text) or column, column=column, path=text)
    else:
        yield FileRef(name=plain_name(text) or column, column=column, path=text)


def _of_object(value: Mapping[str, JsonValue], *, column: str) -> FileRef:
    """The file of `{filename, content}`, whose content is base64."""
    content = next((value[key] for key in _CONTENT_KEYS if isinstance(value.get(key), str)), None)
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if not isinstance(content, str):
        raise Unusable("an object that is a file has the keys filename and content (base64)")
    if content[:5].lower() == "data:":
        return FileRef(name=plain_name(name) or column, column=column, content=_of_data_uri(content))
    return FileRef(name=plain_name(name) or column, column=column, content=_decoded(content))


def _of_data_uri(text: str) -> bytes:
    head, comma, data = text.partition(",")
    if not comma:
        raise Unusable("a data: URI without a comma")
    return _decoded(data) if head.lower().endswith(";base64") else unquote_to_bytes(data)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unusable("its content is not base64") from error


def plain_name(text: JsonValue) -> str:
    """The last part of a path of any system: a name for the reader, and never a path."""
    if not isinstance(text, str):
        return ""
    name = PurePath(text.replace("\\", "/")).name
    return "".join(letter for letter in name if letter.isprintable())[:200]


def _with_digest(ref: FileRef, digest: str) -> FileRef:
    return FileRef(name=ref.name, column=ref.column, path=ref.path, content=ref.content, sha256=digest)


def _digest_of(ref: FileRef) -> JsonValue:
    return ref.sha256 if ref.sha256 is not None else f"url:{ref.url}"
