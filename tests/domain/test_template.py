"""Text with placeholders, rendered in one pass."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.template import Template

NAMES = st.sampled_from(["x", "y", "first name", "größe", "a.b", "snake_case", "kebab-case", "_1"])
PIECES = st.one_of(
    st.text(alphabet='{}\\ "xy\n', max_size=8),
    NAMES.map("{{{{{}}}}}".format),
    NAMES.map("{{{{ {}\t}}}}".format),
)
SOURCES = st.lists(PIECES, max_size=6).map("".join)


def rendered(source, **values):
    return Template.parse(source).render(values)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{x}}", "1"),
        ("a {{ x }} b {{x}}", "a 1 b 1"),
        ('{"a": {"b": {{x}}}}', '{"a": {"b": 1}}'),
        ("{{{x}}}", "{1}"),
        (r"\{{x}} is {{x}}", "{{x}} is 1"),
        ('{{ "x" }}', '{{ "x" }}'),
        ("{{}} {{ }} {x} {{1}} {{x", "{{}} {{ }} {x} {{1}} {{x"),
        ("{{\nx}}", "{{\nx}}"),
        ("", ""),
    ],
)
def test_only_plain_names_in_double_braces_are_placeholders(source, expected):
    """Braces around anything but a plain name stay, and a backslash writes the braces themselves."""
    assert rendered(source, x="1") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), (True, "true"), (3, "3"), (1.5, "1.5"), ([1, None], "[1,null]"), ({"a": "é"}, '{"a":"é"}')],
)
def test_values_that_are_no_strings_are_written_as_json(value, expected):
    """NULL gives nothing, all else its JSON text."""
    assert rendered("<{{x}}>", x=value) == f"<{expected}>"


def test_a_missing_value_is_an_error():
    """A placeholder without a value is never rendered as something else."""
    with pytest.raises(KeyError, match="y"):
        rendered("{{x}} {{y}}", x="1")


@given(SOURCES, SOURCES)
def test_a_value_is_never_evaluated(source, value):
    """R14: whatever a value says, with placeholders and backslashes in it, it stands in the text as it is."""
    template = Template.parse(source)
    mark = "\x00"
    pattern = template.render(dict.fromkeys(template.names, mark))
    assert template.render(dict.fromkeys(template.names, value)) == pattern.replace(mark, value)


@given(st.text())
def test_a_text_without_placeholders_renders_to_itself(source):
    """Without names, and without the escape, rendering is the identity."""
    template = Template.parse(source)
    if template.is_constant and not re.search(r"\\\{\{.*\}\}", source):
        assert template.render({}) == source


@given(SOURCES)
def test_a_template_is_cut_into_literals_around_its_names(source):
    """There is one literal more than names, the source is kept, and nothing but the escapes is lost."""
    template = Template.parse(source)
    assert len(template.literals) == len(template.names) + 1
    assert template.source == source
    assert template.is_constant is (template.names == ())
    kept = template.render({name: f"{{{{{name}}}}}" for name in template.names})
    bare = re.compile(r"\\|[ \t]")
    assert bare.sub("", kept) == bare.sub("", source)
