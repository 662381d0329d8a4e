"""From a row to its plan."""

import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.assignment import Assignment
from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.files import Attachment
from tasks_lib.domain.job import Source
from tasks_lib.domain.labels import LONGEST_LABEL, LONGEST_METADATA, Labels
from tasks_lib.domain.overrides import RowOverrides
from tasks_lib.domain.plan import Message
from tasks_lib.domain.planner import rendered
from tasks_lib.domain.row import Row, RowsByColumn
from tasks_lib.domain.template import Template
from tests.domain.pieces import planner, revision, row, task

COLUMN = Template.parse("{{label}}")
TWO = task(revision(tag="a"), revision(tag="b", prompt="other {{text}}"))


def planned(maker, of, run_id="run"):
    (charted,) = maker.charts(of)
    return maker.plan(charted, task_run_id=run_id)


def labelled(**labels):
    return planner(labels=Labels(**labels))


def test_a_plan_holds_the_prompts_with_the_rows_values():
    """System prompt first, the user's last, each rendered from the mapped columns."""
    maker = planner(
        task(revision(system="In {{language}}.", prompt="Say {{text}}")),
        inputs={"text": "review", "language": "lang"},
    )
    made = planned(maker, row(7, review="{{language}}", lang="French", other="unused"))
    assert [(m.role, m.text) for m in made.messages] == [
        ("system", "In French."),
        ("user", "Say {{language}}"),
    ]
    assert made.submitted == {"text": "{{language}}", "language": "French"}
    assert (made.row_number, made.row_key, made.task_run_id) == (7, "k7", "run")


def test_a_system_message_that_is_the_same_for_all_rows_is_one_object():
    """It is what is rendered for a row, and each revision has its own."""
    first, second = (revision(tag=tag, system=rf"Be {tag}, not \{{{{text}}}}.") for tag in ("a", "b"))
    maker = planner(task(first, second), assignment=Assignment(compare=("a", "b")))
    charted = [one for number in (1, 2) for one in maker.charts(row(number))]
    made = [maker.plan(one, task_run_id="x") for one in charted]
    assert [plan.messages for plan in made] == [rendered(plan.revision, plan.submitted) for plan in made]
    assert [plan.messages[0].text for plan in made] == ["Be a, not {{text}}.", "Be b, not {{text}}."] * 2
    assert made[0].messages[0] is made[2].messages[0]


def test_a_message_is_sent_whole():
    """A message with its files is the same in another process."""
    message = Message("user", "text", (Attachment(name="a.png", mime_type="image/png", content=b"x"),))
    assert pickle.loads(pickle.dumps(message)) == message  # noqa: S301 - our own, of this line


def test_a_plan_without_a_system_prompt_has_one_message():
    """Only the user speaks."""
    assert [m.role for m in planned(planner(), row()).messages] == ["user"]


def test_an_unused_column_makes_no_other_row():
    """The input hash is of what is submitted, and of nothing else."""
    maker = planner()
    one, other = (maker.charts(row(1, text="a", note=note))[0] for note in ("x", "y"))
    assert (one.input_hash, one.identity) == (other.input_hash, other.identity)


@given(st.data())
def test_an_identity_differs_with_key_input_and_revision(data):
    """Each of the three makes another identity, and the run id makes none."""
    texts = data.draw(st.lists(st.text(), min_size=2, max_size=2, unique=True))
    revisions = [revision(prompt=f"{number} {{{{text}}}}") for number in (1, 2)]
    seen = set()
    for version in revisions:
        maker = planner(task(version))
        for key in texts:
            for text in texts:
                of = replace(row(1, text=text), key=key)
                seen.update(charted.identity for charted in maker.charts(of))
                assert planned(maker, of, "a").identity == planned(maker, of, "b").identity
    assert len(seen) == 8


@pytest.mark.parametrize(
    "maker",
    [
        planner(),
        planner(inputs={}),
        planner(inputs={"text": "text", "a": "arm"}),
        planner(TWO),
        planner(TWO, assignment=Assignment(compare=("b", "a"))),
        planner(TWO, assignment=Assignment(revision_tag=Template.parse("b"))),
        planner(TWO, assignment=Assignment(revision_tag=Template.parse("{{arm}}"))),
        replace(planner(), overrides=RowOverrides(model=Template.parse("{{model}}"))),
    ],
)
def test_identities_by_column_are_those_of_the_rows(maker):
    """However rows get their revisions, a column's identities are those under which the rows were run."""
    values = {
        "text": ["a", "", None, {"z": 1, "a": [1.5]}],
        "arm": ["a", "b", " ", "none such"],
        "model": ["acme:small", "", "no model", None],
    }
    rows = RowsByColumn(first=1, keys=["k1", "k2", "k3", "k4"], columns=values)
    charted = [one for each in rows.rows() for one in maker.charts(each)]
    identities, revisions = maker.identities(rows)
    assert list(identities) == [one.identity for one in charted]
    assert list(revisions) == [one.revision for one in charted]


def test_rows_by_column_one_by_one():
    """Numbers follow the first, and bytes stand beside the row that has them."""
    rows = RowsByColumn(first=7, keys=["x", "y"], columns={"a": [1, 2]}, blobs={"f": [None, b"content"]})
    assert rows.rows() == [
        Row(number=7, key="x", values={"a": 1}),
        Row(number=8, key="y", values={"a": 2}, blobs={"f": b"content"}),
    ]
    bare = RowsByColumn(first=1, keys=["x"], columns={})
    assert bare.rows() == [Row(number=1, key="x", values={})]


def test_null_is_no_empty_text():
    """A row with NULL is another input than one with an empty string, though it renders alike."""
    maker = planner()
    one, other = (maker.charts(row(1, text=value))[0] for value in (None, ""))
    assert one.input_hash != other.input_hash


def test_the_revision_is_told_with_how_it_was_chosen():
    """The only one, by weight, or by tag, which overrules the weights."""
    first, second = revision(tag="a", weight=1), revision(tag="b", prompt="other {{text}}", weight=0)
    assert planned(planner(task(first)), row()).chosen_by == "only"
    by_weight = planned(planner(task(first, second)), row())
    assert (by_weight.chosen_by, by_weight.revision) == ("weight", first)
    named = Assignment(revision_tag=Template.parse("b"))
    by_tag = planned(planner(task(first, second), assignment=named), row())
    assert (by_tag.chosen_by, by_tag.revision) == ("tag", second)


@pytest.mark.parametrize("name", ["reporting_group", "reference", "context_id"])
def test_a_label_of_64_characters_is_the_longest(name):
    """One more, and the row has a problem that says which and how long; no call will be made."""
    maker = labelled(**{name: COLUMN})
    fits = planned(maker, row(1, text="t", label="é" * LONGEST_LABEL))
    assert (getattr(fits, name), fits.problem) == ("é" * LONGEST_LABEL, None)
    too_long = planned(maker, row(1, text="t", label="é" * (LONGEST_LABEL + 1))).problem
    assert too_long is not None
    assert too_long.kind is FailureKind.BAD_ROW
    assert too_long.message.startswith(f"{name} has 65 characters, 64 are allowed")


@pytest.mark.parametrize("name", ["reporting_group", "reference", "context_id"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_label_is_none(name, value):
    """NULL or an empty text charges the run to nobody."""
    assert getattr(planned(labelled(**{name: COLUMN}), row(1, text="t", label=value)), name) is None


def test_metadata_is_rendered_and_bounded():
    """512 characters a value; the 513th is the row's problem."""
    maker = labelled(metadata={"source": Template.parse("file"), "note": COLUMN})
    fits = planned(maker, row(1, text="t", label="x" * LONGEST_METADATA))
    assert (fits.metadata, fits.problem) == ({"source": "file", "note": "x" * LONGEST_METADATA}, None)
    too_long = planned(maker, row(1, text="t", label="x" * (LONGEST_METADATA + 1))).problem
    assert too_long is not None
    assert too_long.message == "metadata note has 513 characters, 512 are allowed"


def test_labels_know_their_columns():
    """Every column that a label reads, once, in order."""
    labels = Labels(
        reporting_group=Template.parse("{{b}}-{{a}}"),
        context_id=Template.parse("constant"),
        metadata={"x": Template.parse("{{a}}{{c}}")},
    )
    assert labels.columns == ("b", "a", "c")


def test_a_source_is_named_in_messages(tmp_path):
    """By its path, or as the query that it is."""
    assert str(Source(path=tmp_path / "rows.csv")) == str(tmp_path / "rows.csv")
    assert str(Source(query="select 1")) == "the query"
