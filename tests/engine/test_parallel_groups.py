"""Rows' runs through task groups: few requests, none begun twice, in virtual time."""

import anyio
import orjson
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.engine.event_stream import Events
from tasks_lib.engine.parallel_groups import ParallelGroups
from tasks_lib.providers.parallel import LOST
from tasks_lib.providers.parallel_errors import NOT_BEGUN
from tests.engine.parallel_api import Api, asks, looks

pytestmark = pytest.mark.anyio


class Book:
    """Remembers groups."""

    def __init__(self, *known):
        self.known = list(known)
        self.added = []

    async def add_group(self, provider, group_id):
        await anyio.sleep(0.01)
        self.added.append((provider, group_id))

    async def groups(self, provider):
        return self.known


def groups_of(api, *, book=None):
    """The transport under test."""
    return ParallelGroups(api, provider="parallel", book=book or Book())


async def begun(groups, rows, **asked):
    """What is answered to these rows, all sent at once."""
    answers = {}

    async def one(row):
        answers[row] = await groups.send(asks(row, **asked))

    async with anyio.create_task_group() as rowers:
        for row in rows:
            rowers.start_soon(one, row)
    return answers


def ids(answers):
    """The run's id of each row."""
    return {row: orjson.loads(answer.body)["run_id"] for row, answer in answers.items()}


def belongs(api, answers):
    """Whether each row has its own run."""
    return all(api.runs[run_id]["metadata"]["row_key"] == str(row) for row, run_id in ids(answers).items())


async def test_rows_that_come_together_go_together() -> None:
    """P19: at most 1,000 runs in a POST, each row with its own id, in a group that is in the book before."""
    api, book = Api(), Book()
    async with groups_of(api, book=book) as groups:
        answers = await begun(groups, range(2_300))
    assert [len(post) for post in api.posts] == [1_000, 1_000, 300]
    assert belongs(api, answers)
    assert api.asked_for("POST /v1/tasks/groups") == 1
    assert book.added == [("parallel", "tgrp_0")]


async def test_rows_of_different_specifications_go_apart() -> None:
    """P04, P06: a POST has one specification for all, and one processor, which a key may be forbidden."""
    api = Api()
    async with groups_of(api) as groups, anyio.create_task_group() as rowers:
        rowers.start_soon(begun, groups, range(3))
        rowers.start_soon(lambda: begun(groups, range(3, 6), processor="pro"))
        rowers.start_soon(lambda: begun(groups, range(6, 9), spec={"output_schema": {"type": "auto"}}))
    assert sorted(map(len, api.posts)) == [3, 3, 3]


async def test_the_status_is_told_when_the_run_has_ended() -> None:
    """P11, P19: one stream tells of all runs; nobody asks for each."""
    api = Api(takes=60.0)
    async with groups_of(api) as groups:
        answers = await begun(groups, range(500))
        at = anyio.current_time()
        async with anyio.create_task_group() as rowers:
            for run_id in ids(answers).values():
                rowers.start_soon(groups.send, looks(run_id))
        assert anyio.current_time() - at == pytest.approx(60.0, abs=0.5)
    assert api.asked_for("GET .*/events") == 1
    assert api.asked_for("GET /v1/tasks/runs/.*") == 0


@pytest.mark.parametrize("fate", ["lost", "cut"])
async def test_an_answer_that_was_lost_is_looked_up(fate) -> None:
    """P10, P16: the group's list has the runs; nothing is begun twice."""
    api = Api()
    api.adds.append(fate)
    async with groups_of(api) as groups:
        answers = await begun(groups, range(40))
    assert belongs(api, answers)
    assert set(api.begun.values()) == {1}


@pytest.mark.parametrize("fate", ["early", "unreached", 503])
async def test_what_began_nothing_is_sent_again(fate) -> None:
    """P19: once the list shows that there are no runs."""
    api = Api()
    api.adds.extend([fate, fate])
    async with groups_of(api) as groups:
        answers = await begun(groups, range(40))
    assert belongs(api, answers)
    assert set(api.begun.values()) == {1}


async def test_runs_that_are_not_listed_yet_are_waited_for() -> None:
    """P10, P19: a group that has more runs than it lists is looked at again before anything is sent."""
    api = Api(takes=30.0)
    api.adds.append("lost")
    api.unlisted = 3
    async with groups_of(api) as groups:
        answers = await begun(groups, range(5))
    assert belongs(api, answers)
    assert set(api.begun.values()) == {1}


async def test_an_error_of_the_whole_post_is_every_rows() -> None:
    """P19: with the word that nothing was begun."""
    api = Api()
    api.adds.append(429)
    async with groups_of(api) as groups:
        answers = await begun(groups, range(5))
    assert {answer.status for answer in answers.values()} == {429}
    assert all(NOT_BEGUN in answer.headers for answer in answers.values())
    assert not api.runs


async def test_an_error_that_does_not_pass_is_told_in_the_end() -> None:
    """P19: after half a minute, and not before the list was seen."""
    api = Api()
    api.adds.extend([503] * 6)
    async with groups_of(api) as groups:
        answers = await begun(groups, range(5))
    assert {answer.status for answer in answers.values()} == {503}
    assert all(NOT_BEGUN in answer.headers for answer in answers.values())


async def test_one_rows_fault_is_not_all_rows() -> None:
    """P19: a 422 is narrowed down to the rows that earn it."""
    api = Api()
    api.bad = {"17", "133"}
    async with groups_of(api) as groups:
        answers = await begun(groups, range(200))
    assert {row for row, answer in answers.items() if answer.status == 422} == {17, 133}
    assert sum(api.begun.values()) == 198


async def test_402_waits_for_the_end_of_others() -> None:
    """P19: credit is reserved while runs are under way, so fewer go at once, and all of them go."""
    api = Api(credit=7, takes=20.0)
    async with groups_of(api) as groups:
        answers = await begun(groups, range(40))
    assert belongs(api, answers)
    assert set(api.begun.values()) == {1}


async def test_402_with_nothing_under_way_is_told() -> None:
    """P19: then there is no credit."""
    api = Api(credit=0)
    async with groups_of(api) as groups:
        answers = await begun(groups, range(10))
    assert {answer.status for answer in answers.values()} == {402}


async def test_a_stream_that_is_cut_is_taken_up_where_it_was() -> None:
    """P19: by the last event's id; what came before the cut is not lost."""
    api = Api(takes=5.0)
    api.cuts.extend([30, 0, 20, 0, 0, 40])
    async with groups_of(api) as groups:
        answers = await begun(groups, range(100))
        async with anyio.create_task_group() as rowers:
            for run_id in ids(answers).values():
                rowers.start_soon(groups.send, looks(run_id))
    assert api.asked_for("GET /v1/tasks/runs/.*") == 0
    assert api.asked_for("GET .*/events") <= 8


async def test_where_no_stream_comes_through_runs_are_asked_for_one_by_one() -> None:
    """P11, P19: a few at a time, ever more rarely."""
    api = Api(takes=5.0)
    api.cuts.extend([0] * 1_000)
    async with groups_of(api) as groups:
        answers = await begun(groups, range(150))
        with anyio.fail_after(600):
            async with anyio.create_task_group() as rowers:
                for run_id in ids(answers).values():
                    rowers.start_soon(groups.send, looks(run_id))
    assert 0 < api.asked_for("GET /v1/tasks/runs/.*") <= 600


async def test_a_run_that_failed_tells_why() -> None:
    """P11: its own record is read for it, and only then."""
    api = Api(fails={"3"})
    async with groups_of(api) as groups:
        answers = await begun(groups, range(5))
        told = {}
        for row, run_id in ids(answers).items():
            told[row] = orjson.loads((await groups.send(looks(run_id))).body)["status"]
    assert told == {0: "completed", 1: "completed", 2: "completed", 3: "failed", 4: "completed"}
    assert api.asked_for("GET /v1/tasks/runs/.*") == 1


async def test_a_result_that_cannot_be_had_at_once_is_asked_for_again() -> None:
    """P19: reading costs nothing."""
    api = Api(takes=0.0)
    async with groups_of(api) as groups:
        (run_id,) = ids(await begun(groups, [1])).values()
        api.gets.extend([503, 500, 429])
        answer = await groups.send(looks(run_id, "/result?timeout=5"))
    assert answer.status == 200


async def test_a_lost_run_is_found_in_the_groups_of_earlier_processes() -> None:
    """P10, P16: by the row's identity and the processor; each group is listed once, whoever asks."""
    api = Api(takes=100.0)
    async with groups_of(api) as groups:
        before = ids(await begun(groups, range(200)))
        pro = ids(await begun(groups, [900], processor="pro"))
    assert pro
    async with groups_of(api, book=Book("tgrp_0", "tgrp_gone")) as groups:
        answers = await begun(groups, [*range(200), 900, 901], headers={LOST: "1"})
        assert api.asked_for("GET /v1/tasks/groups/tgrp_0/runs") == 1
    found = ids(answers)
    assert {row: found[row] for row in range(200)} == before
    assert api.begun["900"] == 2  # the other one was of another processor
    assert api.begun["901"] == 1
    assert sum(api.begun.values()) == 203


async def test_a_run_that_failed_is_not_found() -> None:
    """P10: it answers nobody, and was free."""
    api = Api(takes=1.0, fails={"1"})
    async with groups_of(api) as groups:
        await begun(groups, [1])
        await anyio.sleep(2)
    async with groups_of(api, book=Book("tgrp_0")) as groups:
        await begun(groups, [1], headers={LOST: "1"})
    assert api.begun["1"] == 2


async def test_nothing_is_begun_where_the_lost_cannot_be_looked_for() -> None:
    """P10: no answer is better than a second bill."""
    api = Api()
    async with groups_of(api) as groups:
        await begun(groups, [1])
    api.cuts.extend([0] * 100)
    async with groups_of(api, book=Book("tgrp_0")) as groups:
        answers = await begun(groups, [1], headers={LOST: "1"})
    assert isinstance(answers[1], Failure)
    assert answers[1].kind is FailureKind.CONNECTION
    assert api.begun["1"] == 1


async def test_what_could_not_be_looked_up_is_found_when_it_is_asked_for_again() -> None:
    """P10: the row has a failure that says so, and comes again; its run is in the list now."""
    api = Api(takes=1_000.0)
    api.adds.append("lost")
    api.cuts.extend([0] * 6)
    async with groups_of(api) as groups:
        first = await begun(groups, [1])
        assert isinstance(first[1], Failure)
        assert first[1].maybe_billed
        again = await begun(groups, [1], headers={LOST: "1"})
    assert belongs(api, again)
    assert api.begun == {"1": 1}


@pytest.mark.parametrize("later", [0.0, 200.0])
async def test_runs_of_an_earlier_process_are_taken_up_together(later) -> None:
    """P10, P19: the first is asked for, its group is listed once, and one stream tells of them all."""
    api = Api(takes=100.0)
    async with groups_of(api) as groups:
        before = ids(await begun(groups, range(300)))
    await anyio.sleep(later)
    async with groups_of(api) as groups, anyio.create_task_group() as rowers:
        for run_id in before.values():
            rowers.start_soon(groups.send, looks(run_id))
    assert api.asked_for("GET /v1/tasks/runs/.*") == 1
    assert api.asked_for("GET .*/events") <= 2


async def test_a_group_holds_ten_thousand_runs_and_is_forgotten_when_they_are_over() -> None:
    """P19: a million rows are not held; what is asked late is asked of the API."""
    api = Api(takes=1.0)
    async with groups_of(api) as groups:
        first = ids(await begun(groups, range(10_000)))
        assert groups.runs_known == 10_000
        await anyio.sleep(2)
        second = ids(await begun(groups, range(10_000, 10_003)))
        await anyio.sleep(2)
        assert groups.runs_known == 3
        for run_id in (first[7], second[10_001]):
            assert orjson.loads((await groups.send(looks(run_id))).body)["status"] == "completed"
    assert len(api.groups) == 2


async def test_a_row_that_nobody_waits_for_is_not_begun() -> None:
    """P10: one that is dropped before its POST."""
    api = Api()
    async with groups_of(api) as groups:
        with anyio.move_on_after(0.01):
            await begun(groups, [1])
        await begun(groups, [2])
    assert api.begun == {"2": 1}


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
async def test_events_come_in_any_pieces(size) -> None:
    """P19: comments, line ends of both sorts, and half an event at the end."""
    told = (
        b': ping\r\n\r\nevent: a\r\ndata: {"n": 1}\r\n\r\ndata: {"n":\ndata: 2}\n\ndata: [1]\n\ndata: {"n": 3'
    )
    events = Events()
    found = [one for at in range(0, len(told), size) for one in events.of(told[at : at + size])]
    assert found == [{"n": 1}, {"n": 2}]
