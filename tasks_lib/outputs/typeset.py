"""A text as a PDF, set by Typst: the same bytes for the same text, wherever and whenever it is set.

The text comes in as data and never as markup, so that nothing in it can run, read a file or load a package.
Pages are PDF/A-2b, which says of each character whether a font has it. Typst brings fonts for Latin, Greek
and Cyrillic, and the machine's own are tried for what those lack. What none of them has is told, and then the
text itself goes with the pages as an attachment.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import orjson

from tasks_lib.outputs.markdown import Block, blocks_of, clean, lines_of

if TYPE_CHECKING:
    import typst

_MISSING: Final = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_SHOWN: Final = 20  # characters that no font has


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """A text as a PDF."""

    content: bytes
    warnings: tuple[str, ...] = ()


class CannotBeSet(Exception):
    """Typst refuses a text; why is in its words."""


def typeset(text: str, *, title: str) -> Pages:
    """The pages of a Markdown text; `title` is the document's.

    Raises:
        CannotBeSet: Typst refuses it.
    """
    cleaned = clean(text)
    blocks = blocks_of(cleaned)
    if blocks is None:
        return _set(
            lines_of(cleaned), text=cleaned, title=title, warnings=("nested too deep: set as it stands",)
        )
    return _set(blocks, text=cleaned, title=title, warnings=())


def _set(blocks: Sequence[Block], *, text: str, title: str, warnings: tuple[str, ...]) -> Pages:
    import typst  # noqa: PLC0415 - optional, and 80 MB

    told = {"answer": orjson.dumps(blocks).decode(), "title": clean(title)}
    missing: list[str] = []
    for system in (False, True):
        try:
            content = typst.compile(_page(), sys_inputs=told, font_paths=_fonts(system), pdf_standards="a-2b")
        except typst.TypstError as error:
            missing = list(dict.fromkeys(_MISSING.findall(error.diagnostic)))
            if not missing:  # something else that PDF/A does not allow
                warnings = (*warnings, f"the PDF is no PDF/A: {error.message}")
                break
        else:
            return Pages(content=content, warnings=warnings)
    try:
        content = typst.compile(_page(), sys_inputs=told | {"source": text}, font_paths=_fonts(True))
    except typst.TypstError as error:
        raise CannotBeSet(error.message) from error
    return Pages(content=content, warnings=(*warnings, *_lacking(missing)))


def _lacking(missing: Sequence[str]) -> tuple[str, ...]:
    if not missing:
        return ()
    more = " and more" if len(missing) > _SHOWN else ""
    told = (
        f"no font here has {' '.join(missing[:_SHOWN])}{more}: the text is attached to the PDF as answer.md"
    )
    return (f"{told}. Install fonts that have them, such as Noto.",)


@lru_cache(maxsize=1)
def _page() -> bytes:
    return files("tasks_lib.outputs").joinpath("page.typ").read_bytes()


@lru_cache(maxsize=2)
def _fonts(system: bool) -> "typst.Fonts":
    import typst  # noqa: PLC0415 - as above

    return typst.Fonts(include_system_fonts=system)
