"""Tasks, revisions and models."""

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.csv_columns import ColumnType, CsvColumn
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.overrides import Change, with_change
from tasks_lib.domain.task import Model, ModelChoice, choose_revision, fingerprint_of
from tests.domain.pieces import BIG, OTHER, SMALL, TEXT, choices, revision, task

SCHEMA = {"type": "object", "properties": {"a": {}, "b": {}}}
SAME = {"system_prompt": None, "user_prompt": "{{x}}", "models": choices(BIG, t=1), "output": TEXT}


def test_a_model_is_written_provider_and_name():
    """The name may hold further colons, and the text can be read back."""
    model = Model.parse("ollama:qwen3:0.6b")
    assert (model.provider, model.name) == ("ollama", "qwen3:0.6b")
    assert Model.parse(str(model)) == model


@pytest.mark.parametrize("text", ["", "gpt-5", ":gpt-5", "openai:", ":"])
def test_a_model_needs_both_parts(text):
    """Without provider or name it is refused, with the form that is right."""
    with pytest.raises(ValueError, match="provider:name"):
        Model.parse(text)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, None),
        ({"max_tokens": 64}, 64),
        ({"max_completion_tokens": 64}, 64),
        ({"max_tokens": 64, "max_completion_tokens": 128}, 128),
        ({"max_tokens": True}, None),
        ({"max_tokens": "64"}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 0, "max_completion_tokens": 5}, 5),
    ],
)
def test_the_longest_answer_is_known_only_from_a_true_bound(parameters, expected):
    """The larger of the two bounds counts, and what is no positive number bounds nothing."""
    assert ModelChoice(model=BIG, parameters=parameters).most_output_tokens == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"system_prompt": ""},
        {"user_prompt": "{{y}}"},
        {"models": choices(BIG, t=2)},
        {"models": choices(SMALL, t=1)},
        {"models": choices(BIG, SMALL, t=1)},
        {"output": Output.of(Modality.JSON)},
        {"output": Output.of(Modality.JSON, SCHEMA)},
    ],
)
def test_a_fingerprint_names_all_that_can_change_an_answer(changed):
    """Prompts, models, their parameters and the output's form each make another fingerprint."""
    assert fingerprint_of(**{**SAME, **changed}) != fingerprint_of(**SAME)


@pytest.mark.parametrize(
    ("output", "fingerprint"),
    [
        (Output.of(Modality.TEXT), "cd9455745d1aac500ca74b480afc0a38"),
        (Output.of(Modality.JSON, SCHEMA), "6e92070c11fe0b5bc6155abd1a469ab2"),
    ],
)
def test_a_fingerprint_stays_what_it_was(output, fingerprint):
    """What a ledger has paid for under an earlier version is not paid for again."""
    models = [ModelChoice(model=Model("a", "b"), parameters={"max_tokens": 9})]
    assert (
        fingerprint_of(system_prompt="S", user_prompt="Hi {{x}}", models=models, output=output) == fingerprint
    )


@pytest.mark.parametrize(
    "output",
    [
        Output.of(Modality.CSV, columns=[CsvColumn(name="a")]),
        Output.of(Modality.CSV, columns=[CsvColumn(name="a", type=ColumnType.INTEGER)]),
        Output.of(Modality.CSV, columns=[CsvColumn(name="a", nullable=True)]),
        Output.of(Modality.CSV, columns=[CsvColumn(name="a", description="d")]),
        Output.of(Modality.CSV, min_rows=1),
        Output.of(Modality.CSV, max_rows=1),
        Output.of(Modality.IMAGE, file_type="png"),
        Output.of(Modality.JSON, coerce=False),
    ],
)
def test_each_word_about_the_output_makes_another_fingerprint(output):
    """Columns, bounds, file type and coercion can change an answer."""
    plain = Output.of(output.modality)
    assert fingerprint_of(**{**SAME, "output": output}) != fingerprint_of(**{**SAME, "output": plain})


def test_the_order_of_properties_can_change_an_answer():
    """Models fill in properties in the schema's order, so another order is another revision."""
    turned = {"type": "object", "properties": {"b": {}, "a": {}}}
    one, other = (Output.of(Modality.JSON, schema) for schema in (SCHEMA, turned))
    assert fingerprint_of(**{**SAME, "output": one}) != fingerprint_of(**{**SAME, "output": other})


def test_the_order_of_parameters_and_the_tag_change_nothing():
    """Parameters in another order, another tag or weight pay for no row again."""
    one = revision(BIG, tag="v1", temperature=0, top_p=1)
    other = revision(BIG, tag="v2", weight=9, top_p=1, temperature=0)
    assert one.fingerprint == other.fingerprint
    assert task(one).revision_id(one) == task(one, other).revision_id(other)


def test_names_are_collected_once_in_order():
    """A revision names its placeholders system prompt first, a task those of all its revisions."""
    first = revision(system="{{a}} {{b}}", prompt="{{b}} {{c}}")
    second = revision(prompt="{{d}} {{a}}")
    assert first.names == ("a", "b", "c")
    assert second.names == ("d", "a")
    assert task(first, second).names == ("a", "b", "c", "d")


def test_a_tasks_id_follows_from_its_name():
    """R04: two tasks of one name are one task, whatever their revisions."""
    assert task().id == task(revision(prompt="other")).id
    assert UUID(task().id).hex == task().id.replace("-", "")


def test_shares_come_out_as_weighted():
    """Of 20,000 rows each revision gets its share, within five deviations, and weight 0 gets none."""
    revisions = [revision(tag=str(weight), weight=weight) for weight in (0, 1, 3, 0, 6)]
    counts = Counter(choose_revision(revisions, seed="s", row_key=str(n)).tag for n in range(20_000))
    assert set(counts) == {"1", "3", "6"}
    for weight in (1, 3, 6):
        share = weight / 10
        assert abs(counts[str(weight)] - 20_000 * share) < 5 * (20_000 * share * (1 - share)) ** 0.5


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=6).filter(any), st.text(max_size=9), st.text(max_size=9)
)
def test_the_choice_is_sticky_and_never_falls_on_weight_0(weights, seed, key):
    """The same seed and key always give the same revision, and one that has a weight."""
    revisions = [revision(tag=str(n), weight=weight) for n, weight in enumerate(weights)]
    chosen = choose_revision(revisions, seed=seed, row_key=key)
    assert chosen.weight > 0
    assert choose_revision(revisions, seed=seed, row_key=key) is chosen


def test_a_larger_share_takes_from_its_neighbour_alone():
    """When traffic shifts from one revision to the next, no row moves that need not."""
    before = [revision(tag="a", weight=2), revision(tag="b", weight=8)]
    after = [revision(tag="a", weight=5), revision(tag="b", weight=5)]
    moves = Counter(
        (
            choose_revision(before, seed="s", row_key=key).tag,
            choose_revision(after, seed="s", row_key=key).tag,
        )
        for key in map(str, range(2_000))
    )
    assert moves["a", "b"] == 0
    assert moves["b", "a"] > 0


def test_the_smallest_weights_that_floats_have_still_choose():
    """Where the sum rounds up, the last revision with a weight is chosen, and not none."""
    revisions = [
        revision(tag=tag, weight=weight) for tag, weight in (("a", 5e-324), ("b", 5e-324), ("c", 0.0))
    ]
    chosen = {choose_revision(revisions, seed="s", row_key=str(n)).tag for n in range(100)}
    assert chosen == {"a", "b"}
    off_and_on = [revision(tag="off", weight=0.0), revision(tag="on", weight=5e-324)]
    assert {choose_revision(off_and_on, seed="s", row_key=str(n)).tag for n in range(100)} == {"on"}


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_a_task_on_another_model_is_the_task_that_was_written_so(system):
    """Only the primary changes, with its parameters kept, and the fingerprint is that of such a revision."""
    here = task(revision(BIG, OTHER, system=system, tag="a", weight=2, temperature=0))
    there = task(revision(SMALL, OTHER, system=system, tag="a", weight=2, temperature=0))
    assert with_change(here, Change(model=SMALL)) == there
    assert with_change(here, Change(model=BIG)) == here
