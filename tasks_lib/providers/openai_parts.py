"""A message as chat completions have it where files come with it: in parts."""

from base64 import b64encode
from typing import Final

from tasks_lib.domain.files import Attachment
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.plan import Message

_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_RECORDINGS: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
_AS_TEXT: Final = frozenset(
    ["application/json", "application/xml", "application/yaml", "application/x-yaml", "application/csv"]
)


class CannotBeSent(ValueError):
    """A file of a sort that the API has no part for; the text says which."""


def parts_of(message: Message, *, detail: JsonValue = None) -> list[JsonValue]:
    """A message's text and files; pictures are looked at with the detail, where one is told.

    Raises:
        CannotBeSent: a file is neither picture, PDF, recording nor text.
    """
    text: list[JsonValue] = [{"type": "text", "text": message.text}] if message.text else []
    return [*text, *(_part(file, detail=detail) for file in message.files)]


def data_uri(file: Attachment) -> str:
    """A file as an address that holds all of it."""
    return f"data:{file.mime_type};base64,{b64encode(file.content).decode()}"


def _part(file: Attachment, *, detail: JsonValue) -> dict[str, JsonValue]:
    sort = file.mime_type
    if sort in _PICTURES:
        told: dict[str, JsonValue] = {"url": data_uri(file)}
        if detail is not None:
            told["detail"] = detail
        return {"type": "image_url", "image_url": told}
    if sort == "application/pdf":
        return {"type": "file", "file": {"filename": file.name, "file_data": data_uri(file)}}
    if sort in _RECORDINGS:
        recording: JsonValue = {"data": b64encode(file.content).decode(), "format": _RECORDINGS[sort]}
        return {"type": "input_audio", "input_audio": recording}
    if sort.startswith("text/") or sort in _AS_TEXT:
        return {"type": "text", "text": f"{file.name}:\n\n{_text(file)}"}
    raise CannotBeSent(
        f"the file {file.name} is {sort}, which chat completions do not take: they take pictures (PNG, JPEG, "
        "WebP, GIF), PDFs, recordings (WAV, MP3) and text"
    )


def _text(file: Attachment) -> str:
    try:
        return file.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CannotBeSent(f"the file {file.name} is text, but not in UTF-8") from None
