"""Labels that would be too long are found before the first call."""

import pyarrow as pa
import pytest

from tasks_lib.domain.job import Source
from tasks_lib.domain.template import Template
from tasks_lib.rows import SourceError, open_source, open_table


def refusal(opened, templates, longest, **asked):
    with pytest.raises(SourceError) as caught:
        opened.check_lengths(
            {name: Template.parse(text) for name, text in templates.items()}, longest, **asked
        )
    return str(caught.value)


def test_a_group_of_65_characters(tmp_path):
    """A reporting group of 65 characters is told with its line; one of 64 passes, whatever its bytes."""
    path = tmp_path / "rows.csv"
    path.write_text(f"id,customer\n1,{'é' * 64}\n2,{'x' * 65}\n3,\n4,{'y' * 70}\n")
    with open_source(Source(path=path)) as opened:
        assert refusal(opened, {"reporting_group": "{{customer}}"}, {"reporting_group": 64}) == (
            f"{path}: reporting_group is longer than 64 characters on line 3 (65), line 5 (70); "
            "shorten the values or the template"
        )
        lengths = {"reporting_group": Template.parse("{{customer}}")}
        opened.check_lengths(lengths, {"reporting_group": 70})
        opened.check_lengths(lengths, {"reporting_group": 64}, limit=1)


def test_all_labels_are_told():
    """Several labels at fault are told together, each with its first rows; templates without a limit pass."""
    with open_table(
        pa.table({"a": ["x" * at for at in range(10)], "n": [10**at for at in range(10)]}), key=None
    ) as opened:
        told = refusal(
            opened,
            {"reference": "{{a}}-{{n}}-{{a}}", "metadata.size": "{{n}}", "context_id": "{{a}}"},
            {"reference": 5, "metadata.size": 9},
        )
    assert told.startswith(
        "the table: reference is longer than 5 characters on "
        "row 2 (6), row 3 (9), row 4 (12), row 5 (15), row 6 (18) and 4 more; "
        "metadata.size is longer than 9 characters on row 10 (10); "
    )


def test_a_constant_that_is_too_long():
    """A constant is measured without a look at the rows."""
    with open_table(pa.table({"a": ["x"]}), key=None) as opened:
        assert refusal(opened, {"reference": "x" * 65}, {"reference": 64}) == (
            "reference is 65 characters long, and at most 64 are allowed"
        )
        opened.check_lengths({"reference": Template.parse("x" * 64)}, {"reference": 64})


def test_a_column_that_is_not_there():
    """A label's column that is not there is told."""
    with open_table(pa.table({"customer": ["x"]}), key=None) as opened:
        assert "no column 'custmer'; did you mean 'customer'?" in refusal(
            opened, {"reference": "{{custmer}}"}, {"reference": 64}
        )


@pytest.mark.parametrize(
    "values",
    [
        [1, -20, None],
        [0.1, 1e300, float("nan"), 2.0],
        [True, False],
        [["a", 'q"'], [], None],
        [{"é": 1}, None],
        [pa.scalar(0, pa.timestamp("us", "UTC")).as_py()],
        ["🦉é", "", None],
    ],
)
def test_lengths_are_those_of_what_is_sent(values):
    """The length found is the length of the text that the template makes, for values of every type."""
    template = Template.parse("<{{x}}>")
    with open_table(pa.table({"x": pa.array(values)}), key=None) as opened:
        lengths = [len(template.render(row.values)) for rows in opened.rows() for row in rows]
        opened.check_lengths({"label": template}, {"label": max(lengths)})
        told = refusal(opened, {"label": "<{{x}}>"}, {"label": max(lengths) - 1})
    assert f"({max(lengths)})" in told
