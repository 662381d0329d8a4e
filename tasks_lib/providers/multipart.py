"""Forms with files in them, as multipart/form-data."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple


class FilePart(NamedTuple):
    """A file of a form; field and name are ours, and need no escaping."""

    field: str
    name: str
    mime_type: str
    content: bytes


class Form(NamedTuple):
    """A form as it is sent."""

    content_type: str
    body: bytes


def form_of(fields: Mapping[str, str], files: Sequence[FilePart]) -> Form:
    """The form of these fields and files; the same ones always make the same bytes."""
    parts = [
        *((f'name="{name}"'.encode(), value.encode()) for name, value in fields.items()),
        *((_head(file), file.content) for file in files),
    ]
    boundary = _boundary([content for _, content in parts])
    pieces: list[bytes] = []
    for head, content in parts:
        pieces += (
            b"--",
            boundary,
            b"\r\nContent-Disposition: form-data; ",
            head,
            b"\r\n\r\n",
            content,
            b"\r\n",
        )
    pieces += (b"--", boundary, b"--\r\n")
    return Form(f"multipart/form-data; boundary={boundary.decode()}", b"".join(pieces))


def _head(file: FilePart) -> bytes:
    return f'name="{file.field}"; filename="{file.name}"\r\nContent-Type: {file.mime_type}'.encode()


def _boundary(contents: Sequence[bytes]) -> bytes:
    """What occurs in no content: a hash of them all, which they could not hold but by knowing themselves."""
    digest = sha256()
    for content in contents:
        digest.update(b"%d:" % len(content))
        digest.update(content)
    return b"rowmill-" + digest.hexdigest().encode()
