"""Texts as pages: readable, the same every time, and never run."""

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from tasks_lib.outputs.typeset import Pages, typeset

MARKDOWN = """\
# A letter to *Ada*

Dear **Ada**, see [the engine](https://example.com/engine?a=1&b=2), `code` and ~~this~~.
The second line\\
after a break.

1. first
2. second
   - within

7) seventh

> What is quoted

```python
print("hello")
```

---

| Name | Born |
|:-----|-----:|
| Grace **Hopper** | 1906 |
"""


def text_of(pages: Pages) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pages.content)).pages)


def words_of(pages: Pages) -> str:
    return " ".join(text_of(pages).split())


def test_a_page_says_what_its_markdown_says() -> None:
    """Headings, lists, tables, code, links and quotes are set, and all their text can be taken out again."""
    pages = typeset(MARKDOWN, title="letters")
    said = words_of(pages)
    for part in (
        "A letter to Ada",
        "Dear Ada, see the engine, code and this. The second line after a break.",
        "1. first 2. second • within",
        "7. seventh",
        "What is quoted",
        'print("hello")',
        "Name Born Grace Hopper 1906",
    ):
        assert part in said
    assert "**" not in said
    reader = PdfReader(io.BytesIO(pages.content))
    assert reader.metadata is not None
    assert reader.metadata.title == "letters"
    assert [entry["/Title"] for entry in reader.outline] == ["A letter to Ada"]  # type: ignore[index, call-overload]  # a flat outline has no lists in it
    links = [one.get_object()["/A"]["/URI"] for one in reader.pages[0]["/Annots"]]
    assert links == ["https://example.com/engine?a=1&b=2"]
    assert pages.warnings == ()


def test_the_same_text_gives_the_same_bytes() -> None:
    """Whatever else was set before, in whichever thread or process, so that a hash means something."""
    found: list[bytes] = []

    def set_it(number: int) -> None:
        typeset(f"number {number}", title="others")
        found.append(typeset(MARKDOWN, title="letters").content)

    threads = [threading.Thread(target=set_it, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    script = (
        "import sys; from tasks_lib.outputs.typeset import typeset;"
        "sys.stdout.buffer.write(typeset(sys.stdin.read(), title='letters').content)"
    )
    found.append(
        subprocess.run(
            [sys.executable, "-c", script],
            input=MARKDOWN.encode(),
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout
    )
    assert len(found) == 5
    assert len(set(found)) == 1


HOSTILE = [
    '#read("/etc/passwd")',
    '#import "@preview/cetz:0.3.0"',
    "#panic()",
    '#image("/etc/passwd")',
    '#eval("panic()")',
    "#sys.inputs",
    "$ sum_(k=0)^n k $ and $x",
    "@label <label> ~ -- ---",
    '"; panic(); "',
    "] #panic() [",
    "} #panic() {",
    "/* not a comment",
    "*/ // nor this",
    "\\u{41} \\#",
    "= not a heading",
    "+ not an enum",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "frame", ["{}", "# {}", "`{}`", "```\n{}\n```", "- {}", "> {}", "|a|\n|-|\n|{}|", "**{}**"]
)
def test_nothing_that_is_written_is_run(frame: str, text: str) -> None:
    """Typst's own words come out as they went in, wherever they stand, and a title is no markup either."""
    as_markdown = {"\\u{41} \\#": "\\u{41} #", "+ not an enum": "• not an enum"}
    said = words_of(typeset(frame.replace("{}", text), title=text))
    expected = text if "`" in frame else as_markdown.get(text, text)
    letters = "".join(expected.replace("*/", "/").replace("/*", "/").replace("•", "").split())
    assert letters.strip("+") in "".join(said.replace("*/", "/").replace("/*", "/").split())


def test_a_link_leads_to_the_web_or_nowhere() -> None:
    """No link of a page runs something or opens a file of its reader's."""
    links = "[a](javascript:alert) [b](file:///etc/passwd) [c](data:text/html,x) [d](</etc/passwd>) [e]() "
    pages = typeset(links + f"[f](https://e.com/{'x' * 9_000})", title="t")
    assert "/Annots" not in PdfReader(io.BytesIO(pages.content)).pages[0]


@pytest.mark.parametrize(
    "text", ["> " * 90 + "deep", "> " * 300 + "deep", "- " * 60 + "deep", "[" * 2_000 + "deep"]
)
def test_what_nests_too_deep_is_set_all_the_same(text: str) -> None:
    """A model that ran away costs a row its looks and not its words."""
    assert "deep" in text_of(typeset(text, title="t"))


def test_what_no_font_has_is_told_and_attached() -> None:
    """A character without a glyph is a warning, and the text itself goes with the pages."""
    lacking = "\U0001c900 and \U0001c901"  # nobody has been given them
    pages = typeset(f"Here is {lacking}.", title="t")
    (warning,) = pages.warnings
    assert "no font here has" in warning
    assert "answer.md" in warning
    reader = PdfReader(io.BytesIO(pages.content))
    assert reader.attachments["answer.md"] == [f"Here is {lacking}.".encode()]
    assert "Here is" in text_of(pages)


def test_other_alphabets_need_no_font_of_the_machines() -> None:
    """Latin with its accents, Greek, Cyrillic and the signs of mathematics are set without a word."""
    pages = typeset("Žluťoučký kůň, ελληνικά, русский язык, ∑ ≠ → € „“", title="t")
    assert pages.warnings == ()
    assert "русский" in text_of(pages)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab #*_`[]()<>|-\n\\>1.!&\0\r\x85\ud800é"), max_size=120))
def test_any_text_is_set(text: str) -> None:
    """Whatever comes, there is a page, and nothing breaks."""
    assert typeset(text, title=text).content.startswith(b"%PDF-")


def test_a_picture_is_named_and_not_fetched() -> None:
    """What a Markdown picture shows is said in words, and its address is asked for by nobody."""
    pages = typeset(
        "See ![a red kite](https://example.com/kite.png) and ![](https://e.com/x.png).", title="t"
    )
    assert "See a red kite and image." in words_of(pages)


def test_what_stands_deep_in_lists_keeps_its_words() -> None:
    """Paragraphs, headings and code in the ninth list are set without its indent."""
    lists = "".join(f"{'  ' * level}- level {level}\n" for level in range(12))
    within = "  " * 12
    text = f"{lists}\n{within}## a heading\n\n{within}```\n{within}some code\n{within}```\n"
    said = words_of(typeset(text, title="t"))
    assert all(f"level {level}" in said for level in range(12))
    assert "a heading some code" in said
