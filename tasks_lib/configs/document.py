"""A YAML file as JSON values that know where they stand.

Scalars are read by the core schema of YAML 1.2, so that `no`, `on`, `12:30` and `2024-01-31` stay the text
they are; a number where text is expected is taken as it was written. Keys are text. No tag makes an object of
anything, no key may stand twice, and aliases may not grow beyond a bound.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from yaml.composer import Composer
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from tasks_lib.configs.paths import shown
from tasks_lib.configs.problems import ConfigError, Problem, quoted

Trail = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""

Json = Any
"""A JSON value whose form is somebody else's question."""

_LARGEST: Final = 4_000_000  # bytes of a file
_MOST_VALUES: Final = 100_000  # of a file, each alias counted as what it stands for
DEEPEST: Final = 60
"""Levels that a value may have; beyond it something is wrong, and JSON cannot always be written."""

_CORE: Final = "tag:yaml.org,2002:"
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value was written: line and column of a file, or a flag that has neither."""

    file: str
    line: int | None = None
    column: int | None = None
    folder: Path  # what a relative path that stands here is relative to


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The value of a file, with the places of its keys and values."""

    file: str
    folder: Path
    value: Json
    values: Mapping[Trail, Place]
    keys: Mapping[Trail, Place]
    written: Mapping[Trail, str]  # how numbers and truth values were written

    def place(self, trail: Trail) -> Place:
        """Where a value stands; for one that is not there, where what should hold it does."""
        for length in range(len(trail), 0, -1):
            if trail[:length] in self.values:
                return self.values[trail[:length]]
        return self.values.get((), Place(file=self.file, line=1, column=1, folder=self.folder))

    def key_place(self, trail: Trail) -> Place:
        """Where a value's key stands, or the value if it has none."""
        return self.keys.get(trail) or self.place(trail)

    def problem(self, trail: Trail, message: str, remedy: str | None = None) -> Problem:
        """A problem with a value."""
        return _problem_at(self.place(trail), message, remedy)

    def key_problem(self, trail: Trail, message: str, remedy: str | None = None) -> Problem:
        """A problem with a key."""
        return _problem_at(self.key_place(trail), message, remedy)

    def as_written(self, trails: set[Trail]) -> "Document":
        """The document with those numbers and truth values as the text they were written as."""
        return replace(self, value=_as_written(self.value, (), self.written, trails))


def read_document(path: Path, *, empty: Literal["refused", "allowed"] = "refused") -> Document:
    """The document in a YAML file; one that is empty, or all comment, may count as an empty mapping.

    Raises:
        ConfigError: it cannot be read, is not YAML, or is YAML that could mean two things.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError([Problem(file=shown(path), message="there is no such file")]) from None
    except OSError as error:
        message = f"the file cannot be read ({error.strerror})"
        raise ConfigError([Problem(file=shown(path), message=message)]) from None
    return parse_document(content, file=shown(path), folder=path.parent, empty=empty)


def parse_document(
    content: bytes, *, file: str, folder: Path, empty: Literal["refused", "allowed"] = "refused"
) -> Document:
    """The document that YAML text spells; `file` names it in messages.

    Raises:
        ConfigError: as read_document.
    """
    if len(content) > _LARGEST:
        raise ConfigError([Problem(file=file, message=f"the file has more than {_LARGEST // 1_000_000} MB")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([_not_utf8(content, error, file)]) from None
    root = _root(text, file)
    if root is not None:
        return _Reading(file=file, folder=folder).document(root)
    if empty == "refused":
        raise ConfigError([Problem(file=file, line=1, column=1, message="the file is empty")])
    return Document(file=file, folder=folder, value={}, values={}, keys={}, written={})


class _Refused(yaml.MarkedYAMLError):
    """What YAML allows and we do not, in our words."""


class _Yaml(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML down to its nodes, with the scalars of YAML 1.2's core schema."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: Json) -> Node | None:
        """A node and all below it, as deep as is reasonable."""
        self._depth += 1
        if self._depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # of the stubs
            raise _Refused(problem=f"more than {DEEPEST} levels", problem_mark=mark)
        if self.check_event(AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # as above
            if event.anchor not in self.anchors:
                problem = f"no anchor &{event.anchor} stands before this alias"
                raise _Refused(problem=problem, problem_mark=event.start_mark)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _name, _pattern, _first in (
    ("null", _NULL, ["~", "n", "N", ""]),
    ("bool", _BOOL, list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
):
    _Yaml.add_implicit_resolver(_CORE + _name, re.compile(rf"(?:{_pattern.pattern})\Z"), _first)


def _root(text: str, file: str) -> Node | None:
    """The one node at the top of a text; None if there is nothing."""
    try:
        return _Yaml(text).get_single_node()
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
        message = f"the character U+{ord(text[error.position]):04X} may not stand in YAML"
        raise ConfigError([Problem(file=file, line=line, column=column, message=message)]) from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, text, file)]) from None


_REMEDIES: Final = (
    ("found character '\\t'", "a tab cannot stand here", "Indent with spaces."),
    (
        "mapping values are not allowed here",
        "a second ': ' in one line, or lines that are not indented alike",
        "Put quotes around a text that holds ': '.",
    ),
    (
        "found character",
        "a text cannot begin with this character",
        "Put quotes around the text.",
    ),
    ("expected <block end>", "this does not belong here", "Indent keys of the same level alike."),
    ("found unexpected end of stream", "the text ends before its closing quote", None),
    ("but found another document", "a second document begins here", "One file holds one document."),
)


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """PyYAML's complaint in words for people who do not know its insides."""
    told = error.problem or error.context or "this is not YAML"
    mark = error.problem_mark or error.context_mark
    if "end of stream" in told and error.context_mark is not None:
        mark = error.context_mark  # where the quote opens says more than where the file ends
    line = mark.line if mark is not None else 0
    column = mark.column if mark is not None else 0
    message, remedy = next(
        ((said, cure) for sign, said, cure in _REMEDIES if sign in told), (f"this is not YAML: {told}", None)
    )
    lines = text.splitlines()
    if isinstance(error, _Refused):
        message = told
    elif line < len(lines) and re.search(r":\s+\{\{", lines[line]):
        message, remedy = "a text that begins with {{ must stand in quotes", 'Write "{{name}} …".'
    return Problem(file=file, line=line + 1, column=column + 1, message=message, remedy=remedy)


class _Reading:
    """The way from nodes to values, which notes places and problems as it goes."""

    def __init__(self, *, file: str, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._values: dict[Trail, Place] = {}
        self._keys: dict[Trail, Place] = {}
        self._written: dict[Trail, str] = {}
        self._problems: list[Problem] = []
        self._open: set[int] = set()  # the collections that are being read, to notice one within itself
        self._count = 0

    def document(self, root: Node) -> Document:
        """The document of a root node, or all that is wrong with it."""
        value = self._value(root, ())
        if self._problems:
            raise ConfigError(self._problems)
        return Document(
            file=self._file,
            folder=self._folder,
            value=value,
            values=self._values,
            keys=self._keys,
            written=self._written,
        )

    def _value(self, node: Node, trail: Trail) -> object:
        self._count += 1
        if self._count > _MOST_VALUES:
            message = f"more than {_MOST_VALUES:,} values, each alias counted as what it stands for"
            raise ConfigError([_problem_at(self._place(node), message, None)])
        if len(trail) > DEEPEST:  # by way of aliases, since the nodes themselves are not
            raise ConfigError([_problem_at(self._place(node), f"more than {DEEPEST} levels", None)])
        self._values[trail] = self._place(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node, trail)
        if id(node) in self._open:
            self._wrong(node, "an alias within what it stands for")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                self._untagged(node, "seq")
                return [self._value(item, (*trail, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, trail)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Node, trail: Trail) -> dict[str, object]:
        self._untagged(node, "map")
        found: dict[str, object] = {}
        for key, value in self._pairs(node):
            name = self._text(key)
            below = (*trail, name)
            if name in found:
                first = self._keys[below]
                self._wrong(key, f"the key {quoted(name)} stands here again", f"It is in line {first.line}.")
                continue
            self._keys[below] = self._place(key)
            found[name] = self._value(value, below)
        return found

    def _pairs(self, node: Node) -> Iterator[tuple[ScalarNode, Node]]:
        assert isinstance(node, MappingNode)  # noqa: S101  # PyYAML has no fourth kind of node
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                name = _braced(node)
                remedy = f'If it is text, put quotes around it: "{{{{{name}}}}}".' if name else None
                self._wrong(key, "a mapping or list cannot be a key", remedy)
            elif key.value == "<<" and key.style is None:
                self._wrong(key, "YAML 1.2 has no merge key", "Write the keys out.")
            else:
                yield key, value

    def _scalar(self, node: ScalarNode, trail: Trail) -> object:
        text: str = node.value
        name = node.tag.removeprefix(_CORE)
        pattern = {"null": _NULL, "bool": _BOOL, "int": _INT, "float": _FLOAT}.get(name)
        if name == "str":
            return self._text(node)
        if pattern is None:
            self._wrong(node, f"the tag {quoted(node.tag)} is unknown", "Only YAML's own scalars are read.")
            return None
        if not pattern.fullmatch(text):
            self._wrong(node, f"{quoted(text)} is tagged as {name} and is none")
            return None
        if name == "null":
            return None
        self._written[trail] = text
        if name == "bool":
            return text.lower() == "true"
        return self._whole(node) if name == "int" else self._float(node)

    def _text(self, node: ScalarNode) -> str:
        text: str = node.value
        try:
            # JSON's way to write characters beyond U+FFFF, as two escapes, comes in two halves.
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._wrong(node, "half a surrogate pair is no character")
            return ""

    def _whole(self, node: ScalarNode) -> int:
        text: str = node.value
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        value = int(text, base) if len(text) <= 24 else 2**64
        if not -(2**63) <= value < 2**64:
            self._wrong(node, "this whole number is too large", "Put quotes around it if it is text.")
            return 0
        return value

    def _float(self, node: ScalarNode) -> float:
        text: str = node.value
        value = math.inf if text.lower().endswith(("inf", "nan")) else float(text)
        if not math.isfinite(value):
            self._wrong(node, "this is no finite number")
            return 0.0
        return value

    def _untagged(self, node: Node, name: str) -> None:
        if node.tag != _CORE + name:
            self._wrong(node, f"the tag {quoted(node.tag)} is unknown", "Only YAML's own kinds are read.")

    def _wrong(self, node: Node, message: str, remedy: str | None = None) -> None:
        self._problems.append(_problem_at(self._place(node), message, remedy))

    def _place(self, node: Node) -> Place:
        mark = node.start_mark
        return Place(file=self._file, line=mark.line + 1, column=mark.column + 1, folder=self._folder)


def _problem_at(place: Place, message: str, remedy: str | None) -> Problem:
    return Problem(file=place.file, line=place.line, column=place.column, message=message, remedy=remedy)


def _braced(node: MappingNode) -> str | None:
    """The word of an unquoted {{word}}, which YAML takes for a mapping within a mapping."""
    key = node.value[0][0] if node.value else None
    if not isinstance(key, MappingNode) or not key.flow_style or not key.value:
        return None
    inner = key.value[0][0]
    return inner.value if isinstance(inner, ScalarNode) else None


def _not_utf8(content: bytes, error: UnicodeDecodeError, file: str) -> Problem:
    before = content[: error.start]
    return Problem(
        file=file,
        line=before.count(b"\n") + 1,
        column=len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1,
        message=f"the byte 0x{content[error.start]:02x} is not UTF-8",
        remedy="Save the file as UTF-8.",
    )


def _as_written(value: object, trail: Trail, written: Mapping[Trail, str], trails: set[Trail]) -> object:
    if trail in trails:
        return written[trail]
    if isinstance(value, dict):
        return {key: _as_written(item, (*trail, key), written, trails) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_written(item, (*trail, index), written, trails) for index, item in enumerate(value)]
    return value
