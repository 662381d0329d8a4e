r"""Text with `{{placeholders}}`, rendered in one pass.

A value is put in as it is and never looked at again, so a `{{name}}` inside a row's text stays what it is.
Braces that hold no plain name are literal (`{"a": {"b": 1}}`, `{{ "x" }}`); `\{{name}}` writes a literal
`{{name}}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

_PLACEHOLDER = re.compile(r"(\\?)\{\{[ \t]*([^\W\d][\w.\- ]*?)[ \t]*\}\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A text, cut once at its placeholders."""

    source: str
    literals: tuple[str, ...]  # always one more than names
    names: tuple[str, ...]

    @classmethod
    def parse(cls, source: str) -> "Template":
        """The template that a text spells."""
        literals: list[str] = []
        names: list[str] = []
        literal = ""
        at = 0
        for match in _PLACEHOLDER.finditer(source):
            literal += source[at : match.start()]
            at = match.end()
            if match[1]:
                literal += match[0][1:]
                continue
            literals.append(literal)
            names.append(match[2])
            literal = ""
        literals.append(literal + source[at:])
        return cls(source, tuple(literals), tuple(names))

    @classmethod
    def constant(cls, text: str) -> "Template":
        """The template of a text that is taken as it is, whatever braces it has."""
        return cls(text, (text,), ())

    @property
    def is_constant(self) -> bool:
        """Whether the text is the same for every row."""
        return not self.names

    def render(self, values: Mapping[str, object]) -> str:
        """The text with each placeholder replaced by its value; NULL gives nothing.

        Raises:
            KeyError: a placeholder has no value.
        """
        if not self.names:
            return self.literals[0]
        parts = [""] * (2 * len(self.names) + 1)
        parts[::2] = self.literals
        at = 1
        for name in self.names:
            value = values[name]
            parts[at] = value if isinstance(value, str) else _as_text(value)
            at += 2
        return "".join(parts)


def _as_text(value: object) -> str:
    """A value that is no string, as JSON writes it (true, 1.5, [1,2]); nothing for NULL."""
    return "" if value is None else orjson.dumps(value).decode()
