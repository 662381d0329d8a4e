"""Values as columns, on their way to another process."""

import pickle
from dataclasses import replace

from tasks_lib.domain.packed import packed
from tasks_lib.domain.plan import Plan
from tests.domain.pieces import planner, revision, row, task
from tests.ledger.builders import plan


def test_values_come_out_as_they_went_in():
    """Whatever they share and in whatever they differ, values are the same after a pickle of columns."""
    plans = [replace(plan(key=str(number), number=number), is_prepared=number != 2) for number in range(5)]
    sent = pickle.loads(pickle.dumps(packed(Plan, plans)))  # noqa: S301 - our own, of this line
    assert sent.unpacked() == tuple(plans)


def test_nothing_can_be_packed():
    """No values at all come out as no values."""
    assert packed(Plan, []).unpacked() == ()


def test_what_all_share_is_sent_once():
    """A field whose value is one object of all stands once, however many values there are."""
    one = plan(key="a", number=1)
    together = packed(Plan, [one, replace(one, row_key="b", row_number=2)])
    assert sorted(name for name, _ in together.columns) == ["row_key", "row_number"]
    assert dict(together.shared)["revision"] is one.revision


def test_rows_of_one_revision_share_all_but_their_own() -> None:
    """Of plans as they are made, only what is a row's own is sent for each row."""
    maker = planner(task(revision(system="Be brief.")))
    made = [
        maker.plan(one, task_run_id=str(number)) for number in range(3) for one in maker.charts(row(number))
    ]
    sent = packed(Plan, made)
    assert {name for name, _ in sent.columns} == {
        "task_run_id",
        "row_key",
        "row_number",
        "submitted",
        "input_hash",
        "identity",
        "messages",
        "reference",
    }
    assert pickle.loads(pickle.dumps(sent)).unpacked() == tuple(made)  # noqa: S301 - as above


def test_unpacked_values_have_no_place_in_common():
    """Values that are made of columns are values of their own."""
    first, second = packed(Plan, [plan(key="a", number=1), plan(key="b", number=2)]).unpacked()
    assert (first.row_key, second.row_key) == ("a", "b")
    assert replace(first, row_key="b") != second
