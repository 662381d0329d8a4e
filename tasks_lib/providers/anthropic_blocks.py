"""Files as the content blocks of Anthropic's Messages API, and which of them it takes."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from tasks_lib.domain.files import Attachment
from tasks_lib.domain.plan import Message

_IMAGES = frozenset(["image/png", "image/jpeg", "image/gif", "image/webp"])
_AS_TEXT = frozenset(["application/json", "application/xml", "application/x-ndjson", "application/yaml"])


def why_not_sent(messages: Sequence[Message]) -> str | None:
    """Why these messages' files cannot be sent, in words; None if they can."""
    for message in messages:
        for file in message.files:
            if message.role == "system":
                return f"{file.name}: files go with the user's message, and not with the system prompt"
            if _is_text(file.mime_type):
                try:
                    file.content.decode()
                except UnicodeDecodeError:
                    return f"{file.name}: a {file.mime_type} file must be UTF-8 for Anthropic to read it"
            elif file.mime_type not in _IMAGES and file.mime_type != "application/pdf":
                return (
                    f"{file.name} is {file.mime_type}, and Anthropic takes PNG, JPEG, GIF and WebP images, "
                    "PDFs and text"
                )
    return None


def content_of(message: Message) -> str | list[dict[str, Any]]:
    """A message's content: its text, or blocks with the files first, which is how models read them best."""
    if not message.files:
        return message.text
    blocks = [_block(file) for file in message.files]
    if message.text.strip():  # an empty text block is refused
        blocks.append({"type": "text", "text": message.text})
    return blocks


def _block(file: Attachment) -> dict[str, Any]:
    if _is_text(file.mime_type):
        text = file.content.decode("utf-8-sig")
        source = {"type": "text", "media_type": "text/plain", "data": text}
        return {"type": "document", "source": source, "title": file.name}
    source = {"type": "base64", "media_type": file.mime_type, "data": b64encode(file.content).decode()}
    if file.mime_type in _IMAGES:
        return {"type": "image", "source": source}
    return {"type": "document", "source": source, "title": file.name}


def _is_text(mime_type: str) -> bool:
    return mime_type.startswith("text/") or mime_type in _AS_TEXT
