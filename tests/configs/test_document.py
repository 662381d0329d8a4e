# ruff: noqa: E501, ISC004  a message is asserted as it is printed, in one line
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.configs.document import Document, parse_document, read_document
from tasks_lib.configs.problems import ConfigError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=9), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def read(text: str | bytes) -> Document:
    content = text if isinstance(text, bytes) else text.encode()
    return parse_document(content, file="x.yaml", folder=Path())


def told(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1:2:3", "1:2:3"),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("=", "="),
        ("nUlL", "nUlL"),
        ("1.2.3", "1.2.3"),
        ("0x", "0x"),
        ("+", "+"),
        (".", "."),
        ("'true'", "true"),
        ('"12"', "12"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("18446744073709551615", 2**64 - 1),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5e-3", -0.0015),
        ("1e3", 1000.0),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("!!float '1'", 1.0),
        ("!!null ''", None),
        ('"\\ud83d\\ude00"', "😀"),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(written: str, meant: object) -> None:
    """Only true, false, null and plain numbers are more than text, as in YAML 1.2's core schema."""
    value = read(f"a: {written}").value["a"]
    assert (value, type(value)) == (meant, type(meant))


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_json_is_yaml(value: object) -> None:
    """Whatever JSON says is read as JSON would read it."""
    assert read(json.dumps({"a": value})).value == {"a": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml:1:1: the file is empty"),
        ("# nothing\n", "x.yaml:1:1: the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: the key 'a' stands here again. It is in line 1."),
        ("a: {b: 1, b: 2}", "x.yaml:1:11: the key 'b' stands here again. It is in line 1."),
        ("a: *b", "x.yaml:1:4: no anchor &b stands before this alias"),
        ("a: &x [*x]", "x.yaml:1:4: an alias within what it stands for"),
        ("<<: {a: 1}", "x.yaml:1:1: YAML 1.2 has no merge key. Write the keys out."),
        (
            "a: !!python/name:os.system x",
            "x.yaml:1:4: the tag 'tag:yaml.org,2002:python/name:os.system' is unknown. "
            "Only YAML's own scalars are read.",
        ),
        ("a: !mine {b: 1}", "x.yaml:1:4: the tag '!mine' is unknown. Only YAML's own kinds are read."),
        ("a: !!int x", "x.yaml:1:4: 'x' is tagged as int and is none"),
        ("a: .inf", "x.yaml:1:4: this is no finite number"),
        ("a: -.INF", "x.yaml:1:4: this is no finite number"),
        ("a: .nan", "x.yaml:1:4: this is no finite number"),
        ("a: 1e999", "x.yaml:1:4: this is no finite number"),
        ("a: 18446744073709551616", "x.yaml:1:4: this whole number is too large. Put quotes around it if it is text."),
        ("a: " + "9" * 5000, "x.yaml:1:4: this whole number is too large. Put quotes around it if it is text."),
        ('a: "\\ud83d"', "x.yaml:1:4: half a surrogate pair is no character"),
        ("a: \tb", "x.yaml:1:4: a tab cannot stand here. Indent with spaces."),
        (
            "a: b: c",
            "x.yaml:1:5: a second ': ' in one line, or lines that are not indented alike. "
            "Put quotes around a text that holds ': '.",
        ),
        ("a:\n  b: 1\n c: 2", "x.yaml:3:2: this does not belong here. Indent keys of the same level alike."),
        ("a: @x", "x.yaml:1:4: a text cannot begin with this character. Put quotes around the text."),
        ('a: "x\nb: 1', "x.yaml:1:4: the text ends before its closing quote"),
        ("a: 1\n---\nb: 2", "x.yaml:2:1: a second document begins here. One file holds one document."),
        ("a: {{text}}", 'x.yaml:1:5: a mapping or list cannot be a key. If it is text, put quotes around it: "{{text}}".'),
        ("a: {{text}} is it", 'x.yaml:1:13: a text that begins with {{ must stand in quotes. Write "{{name}} …".'),
        ("? [a]\n: 1", "x.yaml:1:3: a mapping or list cannot be a key"),
        (b"a: 1\nb: caf\xe9", "x.yaml:2:7: the byte 0xe9 is not UTF-8. Save the file as UTF-8."),
        ("a: 1\nb: x\x01y", "x.yaml:2:5: the character U+0001 may not stand in YAML"),
        ("a: " + "[" * 100, "x.yaml:1:63: more than 60 levels"),
        ("a: [" * 5000, "x.yaml:1:121: more than 60 levels"),
    ],
)  # fmt: skip
def test_what_could_be_misread_is_refused(text: str | bytes, message: str) -> None:
    """What is not YAML, or could mean two things, is refused with its place."""
    assert told(text) == message


def test_a_bomb_of_aliases_does_not_go_off() -> None:
    """Aliases count as what they stand for, and there is a bound to that."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "more than 100,000 values, each alias counted as what it stands for" in told("\n".join(lines))


def test_aliases_go_no_deeper_than_brackets() -> None:
    """Levels count wherever they are written."""
    lines = [
        f"a0: &a0 {'[' * 30}1{']' * 30}",
        f"a1: &a1 {'[' * 30}*a0{']' * 30}",
        f"a2: {'[' * 30}*a1{']' * 30}",
    ]
    assert told("\n".join(lines)) == "x.yaml:1:39: more than 60 levels"
    assert read(lines[0]).value["a0"]


def test_an_alias_stands_for_its_anchor() -> None:
    """A part may be written once and used twice."""
    assert read("a: &x {b: 1}\nc: *x").value == {"a": {"b": 1}, "c": {"b": 1}}


def test_all_problems_are_told_together() -> None:
    """One look at a file finds all that is wrong with its values."""
    assert told("a: .nan\nb: 1\nb: 2\nc: !x y\n").splitlines() == [
        "x.yaml:1:4: this is no finite number",
        "x.yaml:3:1: the key 'b' stands here again. It is in line 2.",
        "x.yaml:4:4: the tag '!x' is unknown. Only YAML's own scalars are read.",
    ]


def test_values_and_keys_know_where_they_stand() -> None:
    """Lines and columns count from 1, and a value that is not there stands where what should hold it does."""
    document = read("# first\na:\n  - b: 1\n    c: x\n")
    assert str(document.problem(("a", 0, "c"), "m")) == "x.yaml:4:8: m"
    assert str(document.key_problem(("a", 0, "c"), "m")) == "x.yaml:4:5: m"
    assert str(document.problem(("a", 0, "d", 3), "m", "Do it.")) == "x.yaml:3:5: m. Do it."


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    """Editors that begin a file with U+FEFF do no harm."""
    assert read(b"\xef\xbb\xbfa: 1").value == {"a": 1}


def test_a_file_too_large_is_not_read_as_yaml() -> None:
    """A data file in place of a configuration is refused at once."""
    assert told(b"a" * 4_000_001) == "x.yaml: the file has more than 4 MB"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and a folder are told for what they are."""
    for path, message in (
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "the file cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            read_document(path)
        assert caught.value.file == str(path)
        assert (caught.value.line, caught.value.column, caught.value.remedy) == (None, None, None)
        assert caught.value.message.startswith(message)
