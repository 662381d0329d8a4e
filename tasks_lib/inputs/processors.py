"""What is made of a row's values before the prompts are rendered, step by step."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final, Protocol

from tasks_lib.domain.files import FileRef
from tasks_lib.domain.fingerprint import JsonValue
from tasks_lib.domain.inputs import FETCHES_URLS, READS_FILES, ProcessorStep
from tasks_lib.inputs.fetch import Fetched
from tasks_lib.inputs.kinds import HTML, mime_of, text_in
from tasks_lib.inputs.reading import READ_BY, Readers
from tasks_lib.inputs.row_files import files_in
from tasks_lib.inputs.unusable import Refused, Unusable

GROUP: Final = "rowmill.input_processors"  # of entry points
MOST_CHARACTERS: Final = 100_000  # of a text that a processor makes, unless its config says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file's content, and what is said of it."""

    name: str
    content: bytes
    content_type: str | None = None  # as a server has it
    encoding: str | None = None  # the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The row that a processor works for, and what it may use."""

    row_key: str
    param_name: str
    values: Mapping[str, JsonValue]  # of all placeholders, as the steps before have left them
    max_bytes: int  # of a file
    fetch: Callable[[str], Awaitable[Fetched]]  # a URL, from the hosts that the job allows
    document: Callable[[JsonValue], Awaitable[Document]]  # the file that the value names
    text_of: Callable[[Document, int], Awaitable[str]]  # the document's first characters, as Markdown or text


class InputProcessor(Protocol):
    """Makes a placeholder's new value of its old one; it is called from an event loop, often at once.

    It raises `Unusable` (or `Refused`) with words for the user; any other error fails the row just as well.
    """

    async def __call__(
        self, value: JsonValue, *, config: Mapping[str, JsonValue], context: Context
    ) -> JsonValue:
        """The new value."""


def processors_for(
    steps: tuple[ProcessorStep, ...], given: Mapping[str, InputProcessor]
) -> Mapping[str, InputProcessor]:
    """The processors of some steps by name: those given, the built-in ones, those that packages bring.

    Raises:
        Refused: one is nowhere to be found, or cannot be loaded.
    """
    return {step.input_processor: _processor(step.input_processor, given) for step in steps}


def _processor(name: str, given: Mapping[str, InputProcessor]) -> InputProcessor:
    if name in given:
        return given[name]
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    for point in entry_points(group=GROUP, name=name):
        try:
            loaded: InputProcessor = point.load()
        except (ImportError, AttributeError) as error:
            raise Refused(f"the input processor {name!r} cannot be loaded: {error}") from error
        return loaded
    raise Refused(f"there is no input processor {name!r}")


async def url_fetcher(value: JsonValue, *, config: Mapping[str, JsonValue], context: Context) -> JsonValue:
    """The text of the page that a URL names, as Markdown.

    Raises:
        Refused: the job does not allow the host.
        Unusable: the value is no URL, or there is no text.
    """
    if not isinstance(value, str) or not value.strip():
        raise Unusable("there is no URL")
    page = await context.fetch(value.strip())
    document = Document(
        name=page.name, content=page.content, content_type=page.content_type, encoding=page.encoding
    )
    return await context.text_of(document, _most(config))


async def document_content_extractor(
    value: JsonValue, *, config: Mapping[str, JsonValue], context: Context
) -> JsonValue:
    """The text of the document that a path, a URL, an object or a column of bytes holds.

    Raises:
        Refused: the job does not allow the place.
        Unusable: there is no document, or no text in it.
    """
    return await context.text_of(await context.document(value), _most(config))


def _most(config: Mapping[str, JsonValue]) -> int:
    most = config.get("max_characters")
    return most if isinstance(most, int) else MOST_CHARACTERS


_BUILT_IN: Final[Mapping[str, InputProcessor]] = {
    FETCHES_URLS: url_fetcher,
    READS_FILES: document_content_extractor,
}


async def text_of(document: Document, readers: Readers, *, most: int) -> str:
    """The first characters of a document's text.

    Raises:
        Refused: the package that reads it is not installed.
        Unusable: it holds no text, or cannot be read.
    """
    kind = mime_of(document.content, name=document.name)
    if document.content_type in (HTML, "application/xhtml+xml") and kind not in READ_BY:
        kind = HTML
    if kind in READ_BY:
        text = await readers.text_of(document.content, kind=kind, most=most, encoding=document.encoding)
    else:
        plain = text_in(document.content, encoding=document.encoding)
        if plain is None:
            raise Unusable(f"it is {kind}, of which no text is read")
        text = plain[:most]
    if not text.strip():
        raise Unusable("there is no text in it")
    return text


def file_named(value: JsonValue, refs: tuple[FileRef, ...], *, column: str | None) -> FileRef:
    """The one file that a value names; that of its column where it was found before.

    Raises:
        Unusable: there is none, or more than one.
    """
    known = [ref for ref in refs if ref.column == column]
    found = known or list(files_in(value, column=column or "document"))
    if len(found) != 1:
        raise Unusable("there is no document" if not found else f"there are {len(found)} documents, not one")
    return found[0]
