"""Reads documents in a process of its own: `python -m tasks_lib.inputs.reader MEGABYTES SECONDS`.

A document is hostile until it was read: it may be made to fill the memory, to nest without end, or to keep
its reader busy for ever, and no thread can be ended from outside. So whoever gives the documents ends this
process when one takes too long; it ends itself should nobody be left to do so, and has only so much memory.

On standard input, for each document, come a line of JSON (`do`: text or pages, `kind`: its MIME type, `size`:
bytes, `most`: characters, `encoding`) and its bytes; on standard output goes a line of JSON (`size`: bytes of
UTF-8, or `pages`, or `error`, and `is_full` when the memory is) and the text. It ends when its input does.
"""

import io
import json
import os
import re
import signal
import sys
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

MOST_PAGES: Final = 2_000  # of a PDF
_MOST_UNPACKED: Final = 200_000_000  # bytes of a .docx
_UNSEEN: Final = ("script", "style", "noscript", "template", "svg", "iframe", "object", "title")
_BLANK_LINES: Final = re.compile(r"\n{3,}")


class NotRead(Exception):
    """A document that cannot be read; its text is for the reader."""


def main() -> None:
    """Read documents until standard input ends."""
    _limit_memory(int(sys.argv[1]) << 20)
    most_seconds = int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; our parent ends us
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        content = _exactly(sys.stdin.buffer, asked["size"])
        _end_in(most_seconds)
        _answer(answers, asked, content)
        _end_in(0)


def _answer(answers: BinaryIO, asked: dict[str, Any], content: bytes) -> None:
    text = b""
    told: dict[str, Any]
    try:
        if asked["do"] == "pages":
            told = {"pages": _pages_of(content)}
        else:
            read = _text_of(content, asked["kind"], most=asked["most"], encoding=asked.get("encoding"))
            text = read.encode("utf-8", "replace")  # a PDF may hold half of a surrogate pair
            told = {"size": len(text)}
    except NotRead as error:
        told = {"error": str(error)}
    except MemoryError:
        text, told = b"", {"error": "it needs too much memory", "is_full": True}
    except RecursionError:
        told = {"error": "it is nested too deep"}
    except Exception as error:  # noqa: BLE001 - the libraries raise whatever a broken document leads them to
        told = {"error": f"it is broken ({type(error).__name__}: {str(error)[:200]})"}
    answers.write(json.dumps(told).encode() + b"\n" + text)
    answers.flush()


def _text_of(content: bytes, kind: str, *, most: int, encoding: str | None) -> str:
    if kind == "application/pdf":
        return _within(_pdf_pages(content), most)
    if kind.endswith(".wordprocessingml.document"):
        return _within(_paragraphs(content), most)
    if kind in ("text/html", "application/xhtml+xml"):
        return _markdown(content, encoding)[:most]
    raise NotRead(f"it is {kind}, of which no text is read")


def _within(parts: Iterator[str], most: int) -> str:
    """The parts, until there is enough."""
    taken: list[str] = []
    size = 0
    for part in parts:
        taken.append(part)
        size += len(part) + 2
        if size > most:
            break
    return "\n\n".join(taken)[:most]


def _pdf_pages(content: bytes) -> Iterator[str]:
    reader = _pdf(content)
    for number, page in enumerate(reader.pages):
        if number == MOST_PAGES:
            return
        yield page.extract_text().strip()


def _pages_of(content: bytes) -> int:
    return len(_pdf(content).pages)


def _pdf(content: bytes) -> Any:  # noqa: ANN401 - the package is optional, and so is its type
    import pypdf  # noqa: PLC0415 - an optional package, and slow

    reader = pypdf.PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise NotRead("it is encrypted")
    return reader


def _paragraphs(content: bytes) -> Iterator[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        if sum(part.file_size for part in packed.infolist()) > _MOST_UNPACKED:
            raise NotRead("it unpacks to too much")
    import docx  # noqa: PLC0415 - an optional package, and slow
    from docx.table import Table  # noqa: PLC0415 - as above

    for part in docx.Document(io.BytesIO(content)).iter_inner_content():
        if isinstance(part, Table):
            rows = (" | ".join(cell.text.strip() for cell in row.cells) for row in part.rows)
            yield "\n".join(rows)
        elif part.text.strip():
            yield part.text


def _markdown(content: bytes, encoding: str | None) -> str:
    import markdownify  # noqa: PLC0415 - an optional package, and slow
    from bs4 import BeautifulSoup  # noqa: PLC0415 - as above

    soup = BeautifulSoup(content, "html.parser", from_encoding=encoding)
    title = soup.title.get_text(" ", strip=True) if soup.title is not None else ""
    for unseen in soup(_UNSEEN):
        unseen.decompose()
    text = markdownify.MarkdownConverter(heading_style="ATX").convert_soup(soup).strip()
    whole = f"{title}\n\n{text}" if title and not text.startswith(f"# {title}") else text
    return _BLANK_LINES.sub("\n\n", whole)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        sys.exit(0)  # whoever gave it is gone
    return content


def _limit_memory(most: int) -> None:
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _end_in(seconds: int) -> None:
    """Have the system end this process after so many seconds; 0: never mind."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


if __name__ == "__main__":
    main()
