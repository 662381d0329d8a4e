"""Files that come in with a run and files that a run produces: small, and true to their type."""

import base64
import binascii
import uuid
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from tests.llmserver import media
from tests.rightbrainserver.refusals import NotValid, Refused
from tests.rightbrainserver.tasks import Revision

_MARKS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_ENDS: Final = {
    "image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp",
    "application/pdf": ".pdf", "audio/wav": ".wav", "text/csv": ".csv",
}  # fmt: skip  # a table


class File(NamedTuple):
    """A file of a run under the name it is stored by."""

    original: str
    stored: str
    kind: str
    content: bytes

    def told(self, base: str) -> dict[str, Any]:
        """Its metadata; the URL is relative to the API's base."""
        return {
            "original_filename": self.original,
            "stored_filename": self.stored,
            "content_type": self.kind,
            "download_url": f"{base}/file/{self.stored}",
            "size_bytes": len(self.content),
        }


def received(told: object, revision: Revision) -> tuple[File, ...]:
    """The files sent along.

    Raises:
        NotValid: Not a list of `{filename, content}` in Base64.
        Refused: Not what the revision wants.
    """
    if told is not None and not isinstance(told, list):
        raise NotValid(("body", "task_files"), "Input should be a valid list", "list_type")
    files = tuple(_received(n, one) for n, one in enumerate(told or ()))
    mode = revision.file_input_mode
    reads_files = any(
        one["input_processor"] == "document_content_extractor" for one in revision.input_processors
    )
    if mode == "none" and files and not reads_files:
        raise Refused(422, "FILE_INPUT_NOT_ACCEPTED", "This task takes no files")
    if mode != "none" and not any(_fits(file.kind, mode) for file in files):
        raise Refused(422, "FILE_REQUIRED", f"This task requires a file: {mode}")
    return files


def _received(n: int, told: object) -> File:
    where = ("body", "task_files", n)
    if not isinstance(told, dict):
        raise NotValid(where, "Input should be a valid dictionary", "dict_type")
    for name in ("filename", "content"):
        if not isinstance(told.get(name), str):
            raise NotValid((*where, name), "Field required", "missing")
    try:
        content = base64.b64decode(told["content"], validate=True)
    except binascii.Error:
        raise NotValid((*where, "content"), "Invalid base64-encoded string", "value_error") from None
    name = told["filename"]
    return File(name, f"{uuid.uuid4()}{PurePosixPath(name).suffix}", kind_of(content), content)


def kind_of(content: bytes) -> str:
    """The type that the content shows itself to be of."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for mark, kind in _MARKS if content.startswith(mark)), "application/octet-stream")


def _fits(kind: str, mode: str) -> bool:
    is_image, is_pdf = kind.startswith("image/"), kind == "application/pdf"
    return {"image": is_image, "pdf": is_pdf, "image_or_pdf": is_image or is_pdf, "any": True}[mode]


def produced(modality: str, marker: str, *, spoiled: bool) -> File:
    """The file that a run of an image, audio, pdf or csv task makes; spoiled, it is a page of HTML."""
    match modality:
        case "image":
            kind, content = "image/png", media.png(marker)
        case "audio":
            kind, content = "audio/wav", media.wav(marker)
        case "pdf":
            kind, content = "application/pdf", pdf((f"row {marker}",))
        case _:
            kind, content = "text/csv", csv(marker).encode()
    name = f"{uuid.uuid4()}{_ENDS[kind]}"
    return File(name, name, kind, b"<html><body>Not here</body></html>" if spoiled else content)


def csv(marker: str) -> str:
    """A table of two rows, one of which needs its quotes."""
    return f'row_id,text\r\n{marker},plain\r\n{marker},"with, ""quotes"""\r\n'


def pdf(lines: Sequence[str]) -> bytes:
    """A page of Helvetica, by hand; lines are Latin text."""
    words = "".join(
        f"1 0 0 1 72 {720 - 16 * n} Tm ({line.translate({40: None, 41: None, 92: None})}) Tj "
        for n, line in enumerate(lines)
    )
    stream = f"BT /F1 12 Tf {words}ET".encode("latin-1", "replace")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    )
    made, places = bytearray(b"%PDF-1.4\n"), []
    for n, content in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (n, content)
    begin = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    made += b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, begin)
    return bytes(made)
