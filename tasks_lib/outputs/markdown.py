"""Markdown as blocks of plain values: what a page is set from, with no word of it left to be interpreted."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

Block: TypeAlias = dict[str, object]  # what `page.typ` says of each kind

_DEEPEST: Final = 100  # blocks in blocks; markdown-it drops what is deeper
_SET_WITHIN: Final = 8  # blocks in blocks that are set as such; the page has no room for more
_LONGEST_LINK: Final = 2_000  # characters
_LINKS: Final = re.compile(r"(https?://|mailto:)[^\x00-\x20]+", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # NEL and lone surrogates with it
_BREAKS: Final = re.compile(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]")

_parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable(["table", "strikethrough"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """How a stretch of text is set."""

    bold: bool = False
    italic: bool = False
    struck: bool = False
    code: bool = False
    link: str | None = None

    def of(self, text: str) -> Block:
        return {
            "text": text,
            "bold": self.bold,
            "italic": self.italic,
            "struck": self.struck,
            "code": self.code,
            "link": self.link,
        }


_PLAIN: Final = _Run()
_BREAK: Final[Block] = {"text": None}


def clean(text: str) -> str:
    """The text with line feeds for all its line ends, and without what no page can show."""
    return _CONTROL.sub("\ufffd", _BREAKS.sub("\n", text))


def blocks_of(text: str) -> list[Block] | None:
    """The blocks of a clean Markdown text in their order; None of one that nests deeper than is read."""
    tokens = _parser.parse(text)
    if any(token.level >= _DEEPEST - 1 for token in tokens):
        return None
    return _blocks(SyntaxTreeNode(tokens).children, within=0)


def lines_of(text: str) -> list[Block]:
    """A clean text as it stands: a paragraph for each that a blank line ends, its lines kept."""
    return [
        {"kind": "paragraph", "runs": _lines(paragraph)}
        for paragraph in re.split(r"\n\s*\n", text)
        if paragraph.strip()
    ]


def _lines(text: str) -> list[Block]:
    runs: list[Block] = []
    for line in text.split("\n"):
        if runs:
            runs.append(_BREAK)
        if line:
            runs.append(_PLAIN.of(line))
    return runs


def _blocks(nodes: Sequence[SyntaxTreeNode], *, within: int) -> list[Block]:
    return [block for node in nodes for block in _block(node, within=within)]


def _block(node: SyntaxTreeNode, *, within: int) -> Iterator[Block]:
    match node.type:
        case "heading":
            yield {"kind": "heading", "level": int(node.tag[1:]), "runs": _runs(node)}
        case "paragraph":
            yield {"kind": "paragraph", "runs": _runs(node)}
        case "fence" | "code_block":
            yield {"kind": "code", "text": node.content.removesuffix("\n")}
        case "hr":
            yield {"kind": "rule"}
        case "table":
            yield _table(node)
        case "blockquote" | "bullet_list" | "ordered_list" if within >= _SET_WITHIN:
            for child in node.walk(include_self=False):
                if child.type in {"heading", "paragraph"}:
                    yield {"kind": "paragraph", "runs": _runs(child)}
                elif child.type in {"fence", "code_block"}:
                    yield {"kind": "code", "text": child.content.removesuffix("\n")}
        case "blockquote":
            yield {"kind": "quote", "blocks": _blocks(node.children, within=within + 1)}
        case "bullet_list" | "ordered_list":
            yield {
                "kind": "list",
                "start": int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None,
                "items": [_blocks(item.children, within=within + 1) for item in node.children],
            }
        case _:  # whatever markdown-it may have one day
            yield from lines_of(node.content)


def _table(node: SyntaxTreeNode) -> Block:
    rows = [row for part in node.children for row in part.children]
    return {
        "kind": "table",
        "align": [_align(cell) for cell in rows[0].children],
        "rows": [[_runs(cell) for cell in row.children] for row in rows],
    }


def _align(cell: SyntaxTreeNode) -> str:
    style = str(cell.attrs.get("style", ""))
    return next((side for side in ("center", "right") if side in style), "left")


def _runs(node: SyntaxTreeNode) -> list[Block]:
    """The stretches of text in a block that holds nothing else."""
    return [run for inline in node.children for child in inline.children for run in _inline(child, _PLAIN)]


def _inline(node: SyntaxTreeNode, how: _Run) -> Iterator[Block]:
    match node.type:
        case "softbreak":
            yield how.of(" ")
        case "hardbreak":
            yield _BREAK
        case "image":
            yield replace(how, italic=True).of(node.content or "image")
        case _ if node.children:
            within = _within(node, how)
            for child in node.children:
                yield from _inline(child, within)
        case kind if node.content:
            yield replace(how, code=kind == "code_inline").of(node.content)


def _within(node: SyntaxTreeNode, how: _Run) -> _Run:
    """How text is set that stands in a node."""
    match node.type:
        case "strong":
            return replace(how, bold=True)
        case "em":
            return replace(how, italic=True)
        case "s":
            return replace(how, struck=True)
        case "link":
            return replace(how, link=_link(str(node.attrs.get("href", ""))))
    return how


def _link(href: str) -> str | None:
    """Where a link leads; None of one that leads nowhere a reader should go from a page."""
    return href if len(href) <= _LONGEST_LINK and _LINKS.fullmatch(href) else None
