"""Runs whose answers never arrived: looked for, and found by their references."""

from typing import Any

import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Reply
from tasks_lib.domain.remote import Remote
from tasks_lib.providers.rightbrain_asking import reference_of
from tests.providers.rightbrain_rig import (
    OTHER_RUN,
    REVISION,
    RUN,
    TEXT,
    a_plan,
    driven,
    had,
    ids,
    listed,
    protocol,
    record,
    requests,
    said,
    waits,
)

FIRST_PAGE = "GET ?page_limit=100&start_date=2+days+ago"
BEFORE = Remote(position=0, remote_id=None, age=3600.0)


def named(**plan: Any) -> str:
    made = a_plan(**plan)
    return reference_of(made, made.models[0])


def test_r17_the_reference_is_the_rows_own() -> None:
    """R17, R49: where it holds the row's key, it goes as it is, so that results can be joined by it."""
    assert named() == "r1"
    assert named(reference="acme/r1") == "acme/r1"
    assert named(row_key="order-17", reference="order-17") == "order-17"


@pytest.mark.parametrize(
    "plan",
    [
        {"reference": "acme"},
        {"times_ended": 1},
        {"chosen_by": "compare"},
        {"revision_tag": "v2"},
        {"revision_id": REVISION},
        {"use_fallback_model": True},
    ],
)
def test_r17_a_reference_of_several_runs_gets_a_mark(plan: dict[str, Any]) -> None:
    """R17: a label, a row that is asked again, and revisions side by side; the label stays its beginning."""
    label, sign, mark = named(**plan).partition("#")
    assert (label, sign, len(mark)) == (plan.get("reference", "r1"), "#", 16)


def test_r17_no_reference_is_longer_than_64() -> None:
    """R17: a key beyond that gives way to the mark, and a row without a reference goes by its key."""
    assert len(named(row_key="k" * 200, reference=None)) == 64
    assert len(named(row_key="k" * 64, reference="k" * 64)) == 64
    assert "#" not in named(row_key="k" * 64, reference="k" * 64)
    assert len(named(reference="g" * 64)) == 64
    assert named(reference=None).startswith("r1#")
    assert named(times_ended=1) != named(times_ended=2)


def test_a_lost_run_is_the_answer() -> None:
    """R17, R49: it is found by its reference, its id is durable, and none is begun."""
    others = [record(id=OTHER_RUN, reference="r2"), record(id=OTHER_RUN, reference=None)]
    steps, reply = had(
        a_plan(), listed(*others, record()), said(record(response={"label": "found"})), lost=True
    )
    assert isinstance(reply, Reply)
    assert reply.text == '{"label":"found"}'
    assert requests(steps) == [FIRST_PAGE, f"GET /{RUN}"]
    assert ids(steps) == [RUN]


def test_a_lost_run_that_failed_is_the_failure() -> None:
    """R42: it was charged as it is."""
    told = record(is_error=True, response="No.")
    _, failure = had(a_plan(), listed(told), said(told), lost=True)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.maybe_billed) == (FailureKind.RUN_FAILED, False)


def test_all_pages_are_looked_through() -> None:
    """R05: newest first, by the cursor that each page tells."""
    steps, reply = had(
        a_plan(),
        listed(record(id=OTHER_RUN, reference="r2"), cursor=OTHER_RUN),
        listed(record()),
        said(record()),
        lost=True,
    )
    assert isinstance(reply, Reply)
    assert requests(steps) == [FIRST_PAGE, f"{FIRST_PAGE}&cursor={OTHER_RUN}", f"GET /{RUN}"]


def test_a_run_that_is_not_there_is_begun_after_three_looks() -> None:
    """R57: it may be under way still, and is listed when it has ended."""
    steps, reply = had(a_plan(), listed(), listed(), listed(), said(record()), lost=True)
    assert isinstance(reply, Reply)
    assert requests(steps) == [FIRST_PAGE] * 3 + ["POST "]
    assert waits(steps) == [2.0, 5.0]


def test_a_run_of_an_earlier_batch_is_looked_for_once() -> None:
    """R57: whatever was under way has ended since."""
    steps, _ = had(a_plan(remote=BEFORE), listed(), said(record()), lost=True)
    assert (requests(steps), waits(steps)) == ([FIRST_PAGE, "POST "], [])


def test_a_run_of_a_batch_that_died_just_now_may_be_under_way() -> None:
    """R57: a process was killed and started again at once; its runs go on there until they end."""
    plan = a_plan(remote=Remote(position=0, remote_id=None, age=3.0))
    steps, reply = had(plan, listed(), listed(record()), said(record()), lost=True)
    assert isinstance(reply, Reply)
    assert (requests(steps)[-1], waits(steps)) == (f"GET /{RUN}", [2.0])


def test_the_list_goes_back_as_far_as_the_run_may_be_old() -> None:
    """R05: the API's own default is a week."""
    plan = a_plan(remote=Remote(position=0, remote_id=None, age=86_400.0 * 20.5))
    steps, _ = had(plan, listed(), said(record()), lost=True)
    assert requests(steps) == ["GET ?page_limit=100&start_date=22+days+ago", "POST "]


def test_what_was_submitted_must_agree() -> None:
    """R26, R34: another row of another job may have the same key."""
    other = record(run_data={"submitted": {"text": "Another"}})
    steps, _ = had(a_plan(remote=BEFORE), listed(other), said(record()), lost=True)
    assert requests(steps)[-1] == "POST "


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"submitted": {"text": "Hello", "more": 1}},
        {"submitted": {"text": "url_fetcher of Hello"}, "text_preprocessed": "Hello"},
    ],
)
def test_6_9_what_processors_made_of_it_does_not_matter(data: Any) -> None:
    """6.9, R34: the value before a processor stands beside; what is not told cannot disagree."""
    told = record(run_data=data)
    steps, _ = had(a_plan(remote=BEFORE), listed(told), said(told), lost=True)
    assert requests(steps)[-1] == f"GET /{RUN}"


def test_a_marked_run_is_found_by_its_mark() -> None:
    """R17: whatever is said of what was submitted."""
    plan = a_plan(reference="acme")
    told = record(reference=reference_of(plan, plan.models[0]), run_data={"submitted": {"text": "changed"}})
    steps, _ = had(plan, listed(record(reference="acme"), told), said(told), lost=True)
    assert requests(steps)[-1] == f"GET /{RUN}"


def test_a_row_that_ended_since_is_looked_for_by_both_its_names() -> None:
    """R17: its run was begun before the row came to an end without it."""
    plan = a_plan(remote=BEFORE, times_ended=1)
    steps, _ = had(plan, listed(record(reference="r1")), said(record()), lost=True)
    assert requests(steps)[-1] == f"GET /{RUN}"
    steps, _ = had(
        a_plan(times_ended=1), listed(record(reference="r1")), *[listed()] * 2, said(record()), lost=True
    )
    assert requests(steps)[-1] == "POST "


def test_an_answer_that_was_not_accepted_is_not_found_again() -> None:
    """R20: the row asks anew, loses the answer, and does not get the one that it had before."""
    asking, plan = protocol(), a_plan(output=TEXT)
    driven(asking.run(plan, plan.models[0]), said(record()))
    newer = record(id=OTHER_RUN, response="better")
    steps, reply = driven(asking.run(plan, plan.models[0], lost=True), listed(newer, record()), said(newer))
    assert isinstance(reply, Reply)
    assert reply.text == "better"
    steps, _ = driven(
        asking.run(plan, plan.models[0], lost=True), *[listed(newer, record())] * 3, said(record())
    )
    assert requests(steps)[-1] == "POST "


def test_a_list_that_cannot_be_had_begins_nothing() -> None:
    """R57: it is asked for again, by the policy's waits."""
    steps, failure = had(a_plan(), said({}, 503), lost=True)
    assert isinstance(failure, Failure)
    assert (failure.kind, requests(steps)) == (FailureKind.SERVER_ERROR, [FIRST_PAGE])
    assert failure.message.startswith("503 for the list of runs: ")


@pytest.mark.parametrize("page", [b"?", b"[]", b"{}", b'{"results": {}}'])
def test_a_page_that_is_none_begins_nothing(page: bytes) -> None:
    """R57: nobody knows what stands on it."""
    steps, failure = had(a_plan(remote=BEFORE), said(page), lost=True)
    assert isinstance(failure, Failure)
    assert (failure.kind, requests(steps)) == (FailureKind.BROKEN_REPLY, [FIRST_PAGE])


def test_a_row_is_given_up_where_nobody_can_tell_and_the_job_wants_that() -> None:
    """R57: on_ambiguous: fail; one of just now may be under way, one of long ago stand further back."""
    just_now = a_plan(on_ambiguous="fail", remote=Remote(position=0, remote_id=None, age=3.0))
    steps, failure = had(just_now, listed(), listed(), listed(), lost=True)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.maybe_billed) == (FailureKind.GIVEN_UP, True)
    assert "by the reference r1 (retries.on_ambiguous: fail)" in failure.message
    long_ago = a_plan(on_ambiguous="fail", remote=BEFORE)
    steps, failure = had(long_ago, *[listed(cursor=OTHER_RUN)] * 100, lost=True)
    assert isinstance(failure, Failure)
    assert (failure.kind, len(requests(steps))) == (FailureKind.GIVEN_UP, 100)
    steps, reply = had(long_ago, listed(), said(record()), lost=True)
    assert isinstance(reply, Reply)
    assert requests(steps) == [FIRST_PAGE, "POST "], "it is surely not there"


def test_what_is_listed_alone_is_the_answer_too() -> None:
    """R52: should the run itself not be had, another is begun for nothing."""
    gone = said({"detail": {"reason": "TASK_RUN_NOT_FOUND", "message": "Gone"}}, 404)
    _, reply = had(a_plan(), listed(record(response={"label": "listed"})), gone, lost=True)
    assert isinstance(reply, Reply)
    assert reply.text == '{"label":"listed"}'


def test_an_id_that_nobody_knows_any_more_is_looked_for() -> None:
    """R55: and then a run is begun."""
    gone = said({"detail": {"reason": "TASK_RUN_NOT_FOUND", "message": "Gone"}}, 404)
    steps, reply = had(a_plan(remote=BEFORE), gone, listed(), said(record(id=OTHER_RUN)), remote_id=RUN)
    assert isinstance(reply, Reply)
    assert requests(steps) == [f"GET /{RUN}", FIRST_PAGE, "POST "]
