"""Which revisions a row is run with."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.assignment import (
    NO_REVISION,
    Assigner,
    Assignment,
    compared,
    resolved,
    shares_of,
    unknown_revision,
)
from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.overrides import Change, with_change
from tasks_lib.domain.task import Model, choose_revision
from tasks_lib.domain.template import Template
from tasks_lib.domain.uuids import grouped, id_of, parsed_id
from tests.domain.pieces import planner, revision, row, task

A, B, C = (
    revision(tag=tag, prompt=f"{tag} {{{{text}}}}", weight=weight)
    for tag, weight in (("a", 0.7), ("b", 0.2), ("c", 0.1))
)
THREE = task(A, B, C)
KEYS = [f"row-{number}" for number in range(10_000)]
ARM = Template.parse("{{arm}}")


def arms(revisions, keys, seed="s"):
    return {key: choose_revision(revisions, seed=seed, row_key=key).tag for key in keys}


def charted(assignment, **values):
    return planner(THREE, assignment=assignment).charts(row(1, **{"text": "t", **values}))


def test_weights_are_kept_over_ten_thousand_rows():
    """R08: without id or tag the revision follows from the weights: 0.7/0.2/0.1 within 1.5 points."""
    counts = Counter(arms(THREE.revisions, KEYS).values())
    for one in THREE.revisions:
        assert abs(counts[one.tag] / len(KEYS) - one.weight) < 0.015


def test_a_key_keeps_its_arm_whatever_else_is_run():
    """R18: the automatic choice is sticky: shuffled, in part, or with more rows, all keys keep their arms."""
    before = arms(THREE.revisions, KEYS)
    shuffled = [*KEYS]
    Random(1).shuffle(shuffled)  # noqa: S311  nothing is kept secret here
    assert arms(THREE.revisions, shuffled) == before
    assert arms(THREE.revisions, KEYS[5_000:]) == {key: before[key] for key in KEYS[5_000:]}
    grown = arms(THREE.revisions, [*KEYS, *(f"new-{number}" for number in range(2_000))])
    assert {key: grown[key] for key in KEYS} == before
    assert arms(THREE.revisions[::-1], KEYS) == before  # the order in the file means nothing


def test_another_seed_is_another_draw():
    """The same keys fall elsewhere under another seed, independently of the first one."""
    one, other = arms(THREE.revisions, KEYS, "s"), arms(THREE.revisions, KEYS, "t")
    same = sum(one[key] == other[key] for key in KEYS) / len(KEYS)
    assert abs(same - (0.7**2 + 0.2**2 + 0.1**2)) < 0.025


def test_a_rollout_moves_no_more_rows_than_it_must():
    """R29: from 0.9/0.1 to 0.5/0.5 four rows of ten go over to the new revision, and none comes back."""
    old, new = replace(A, weight=0.9), replace(B, weight=0.1)
    before = arms((old, new), KEYS)
    after = arms((replace(old, weight=0.5), replace(new, weight=0.5)), KEYS)
    moved = Counter((before[key], after[key]) for key in KEYS if before[key] != after[key])
    assert set(moved) == {("a", "b")}
    assert abs(moved["a", "b"] / len(KEYS) - 0.4) < 0.02


def test_a_third_revision_takes_rows_from_both_and_shuffles_none():
    """R29: rows go to the added revision alone; no row goes from one of the others to the other."""
    before, after = arms((A, B), KEYS), arms((A, B, C), KEYS)
    assert {after[key] for key in KEYS if before[key] != after[key]} == {"c"}


@given(st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=5), st.floats(1e-3, 1e3), st.text(max_size=9))
def test_weights_count_as_shares_of_their_sum(weights, factor, key):
    """All weights doubled or put in per cent are the same weights, but for a draw that is all but even."""
    one = [revision(tag=str(number), weight=weight) for number, weight in enumerate(weights)]
    other = [replace(version, weight=version.weight * factor) for version in one]
    # rounding may turn a draw that is equal to fifteen digits; none of these keys comes so close
    assert (
        choose_revision(one, seed="s", row_key=key).tag == choose_revision(other, seed="s", row_key=key).tag
    )


def test_a_tag_in_a_column_pins_the_row():
    """R07: revision_tag picks the revision by tag, row by row; an empty value leaves it to the weights."""
    assignment = Assignment(revision_tag=ARM)
    (pinned,) = charted(assignment, arm=" c ")
    assert (pinned.revision, pinned.assigned.by) == (C, "tag")
    for empty in ("", None, "  "):
        (drawn,) = charted(assignment, arm=empty)
        assert (drawn.revision, drawn.assigned.by) == (
            choose_revision(THREE.revisions, seed="seed", row_key="k1"),
            "weight",
        )


@pytest.mark.parametrize("spelled", [str, str.upper, lambda text: text.replace("-", "")])
def test_an_id_in_a_column_pins_the_row(spelled):
    """R06: revision_id picks the revision by its UUID, with or without dashes, in either case."""
    named = spelled(THREE.revision_id(B))
    (pinned,) = charted(Assignment(revision_id=ARM), arm=named)
    assert (pinned.revision, pinned.assigned.by, pinned.assigned.problem) == (B, "id", None)


def test_a_constant_pins_all_rows_even_to_a_revision_without_weight():
    """A revision with weight 0 is not drawn, and can be named."""
    asleep = task(A, replace(B, weight=0))
    made = planner(asleep, assignment=Assignment(revision_tag=Template.parse("b")))
    assert {made.charts(row(number))[0].revision.tag for number in range(1, 50)} == {"b"}


@pytest.mark.parametrize(
    ("assignment", "named", "message"),
    [
        (Assignment(revision_tag=ARM), "d", "the task has no revision tagged 'd'; it has a, b, c"),
        (Assignment(revision_id=ARM), "a", "revision_id 'a' is not a UUID; a tag is named by revision_tag"),
        (
            Assignment(revision_id=ARM),
            grouped("0" * 31 + "1"),
            "the task has no revision with the id 00000000-0000-0000-0000-000000000001; it has ",
        ),
    ],
)
def test_a_row_that_names_no_revision_fails_without_a_call(assignment, named, message):
    """An unknown tag, an unknown id and what is no id are a bad row each, and say which of them it is."""
    (one,) = charted(assignment, arm=named)
    made = planner(THREE, assignment=assignment).plan(one, task_run_id="run")
    assert made.problem is not None
    assert made.problem.kind is FailureKind.BAD_ROW
    assert made.problem.message.startswith(message)
    assert (made.revision.tag, made.revision.fingerprint) == (named, NO_REVISION)
    assert one.identity not in {other.identity for other in charted(Assignment(compare=("a", "b", "c")))}


def test_what_only_the_ledger_knows_is_told_apart():
    """A revision that was edited away has words of its own: bring its text back."""
    gone = id_of("a revision of last week")
    assert unknown_revision(THREE, gone).endswith(
        "A revision that only the ledger still knows cannot be run: bring its text back into the task file"
    )
    assert f"a {THREE.revision_id(A)}" in unknown_revision(THREE, gone)


def test_an_id_from_before_another_model_still_names_its_revision():
    """A job that asks another model gives its revisions other ids; those of the file still count."""
    other = with_change(THREE, Change(model=Model.parse("acme:other")))
    former = {THREE.revision_id(one): one.tag for one in THREE.revisions}
    assignment = Assignment(revision_id=ARM, former_ids=former)
    for name in (THREE.revision_id(B), other.revision_id(other.revisions[1])):
        (pinned,) = planner(other, assignment=assignment).charts(row(1, text="t", arm=name))
        assert pinned.revision == other.revisions[1]


def test_compared_revisions_get_every_row():
    """R28: a row is charted once for each revision that is compared, with an identity of its own in each."""
    charts = charted(Assignment(compare=("a", "c")))
    assert [(one.revision, one.assigned.by) for one in charts] == [(A, "compare"), (C, "compare")]
    assert len({one.identity for one in charts}) == 2
    alone = [charted(Assignment(revision_tag=Template.parse(tag)))[0].identity for tag in ("a", "c")]
    assert [one.identity for one in charts] == alone  # what was paid under a pin is not paid again


def test_what_is_compared_is_named_by_tag_or_id_or_as_all():
    """Tags, ids and `all` come down to tags, in the order in which they were named."""
    assert compared(THREE, ["c", THREE.revision_id(A)]) == ("c", "a")
    assert compared(THREE, ["all"]) == ("a", "b", "c")
    assert compared(THREE, []) == ()
    assert compared(task(replace(A, tag="all"), B), ["all", "b"]) == ("all", "b")


@pytest.mark.parametrize(
    ("of", "names", "message"),
    [
        (THREE, ["a"], "a alone cannot be compared; name two revisions at least"),
        (task(A), ["all"], "a alone cannot be compared; name two revisions at least"),
        (THREE, ["a", "b", "a"], "a revision is named twice"),
        (THREE, ["a", "x"], "the task has no revision tagged 'x'; it has a, b, c"),
        (task(A, replace(A, tag="z")), ["all"], "a and z differ in name and weight alone"),
    ],
)
def test_what_cannot_be_compared_says_why(of, names, message):
    """One alone, one twice, an unknown one, and two that are the same."""
    with pytest.raises(ValueError, match=message):
        compared(of, names)


def test_shares_are_told_as_configured():
    """By weight as parts of the sum, pinned all of it, compared in equal parts, unknown where rows say."""
    by_weight = shares_of(
        task(replace(A, weight=3), replace(B, weight=1), replace(C, weight=0)), Assignment()
    )
    assert by_weight == {"a": 0.75, "b": 0.25, "c": 0}
    assert shares_of(THREE, Assignment(revision_tag=Template.parse("b"))) == {"a": 0, "b": 1, "c": 0}
    assert shares_of(THREE, Assignment(compare=("a", "b"))) == {"a": 0.5, "b": 0.5, "c": 0}
    assert shares_of(THREE, Assignment(revision_tag=ARM)) == {"a": None, "b": None, "c": None}
    assert shares_of(task(A), Assignment()) == {"a": 1}


def test_a_job_that_names_no_revision_there_is_cannot_be_planned():
    """A constant is checked when the planner is made, before any row."""
    for assignment in (Assignment(revision_tag=Template.parse("x")), Assignment(compare=("a", "x"))):
        with pytest.raises(ValueError, match="the task has no revision tagged 'x'"):
            Assigner(THREE, assignment, seed="s")


@given(st.text(max_size=40))
def test_only_uuids_are_ids(text):
    """Whatever is read as an id has 32 digits in five groups; all else is none."""
    found = parsed_id(text)
    assert found is None or found.replace("-", "") == text.strip().lower().replace("-", "")


def test_ids_are_uuids():
    """A task's and a revision's ids are written as everybody writes UUIDs, and are read back."""
    for one in (THREE.id, THREE.revision_id(A)):
        assert [len(part) for part in one.split("-")] == [8, 4, 4, 4, 12]
        assert parsed_id(one) == one
    assert resolved(THREE, THREE.revision_id(C)) == C
    assert resolved(THREE, "c") == C
    assert resolved(THREE, "x") is None
    assert parsed_id("0" * 31) is None
    assert parsed_id("12345678-1234-1234-12341234-12345678") is None
