"""Who gets which plans, when workers die."""

from collections.abc import Sequence
from dataclasses import replace

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.plan import Plan
from tasks_lib.engine.stop import Stop
from tasks_lib.job.suspects import Suspects
from tasks_lib.job.workers.own_share import OWN
from tasks_lib.job.workers.rota import Rota
from tests.domain.pieces import plan


def plans(*numbers: int) -> list[Plan]:
    return [plan(number=number) for number in numbers]


def numbers(some: Sequence[Plan]) -> list[int]:
    return [one.row_number for one in some]


def given(some: Sequence[Plan]) -> dict[str, Plan]:
    return {one.task_run_id: one for one in some}


def test_what_a_dead_worker_had_comes_before_all_else() -> None:
    """In the order of the rows; what it had begun is a run of its own from now on."""
    rota = Rota(Suspects(Stop()))
    rota.bring(plans(1, 2, 3, 4, 5, 6))
    lost = rota.next_for(0, {}, most=3, among=1, is_all=False)
    rota.bring_back(lost[::-1], begun={"run-2"})
    again = rota.next_for(0, {}, most=9, among=1, is_all=True)
    assert numbers(again) == [1, 2, 3, 4, 5, 6]
    assert [one.task_run_id == f"run-{one.row_number}" for one in again] == [
        True,
        False,
        True,
        True,
        True,
        True,
    ]


def test_the_last_plans_are_shared_out() -> None:
    """Nobody takes all that is left while others have nothing."""
    rota = Rota(Suspects(Stop()))
    rota.bring(plans(*range(12)))
    assert numbers(rota.next_for(0, {}, most=256, among=3, is_all=True)) == [0, 1, 2, 3]


def test_a_suspect_is_alone_on_a_worker_and_comes_last() -> None:
    """It waits until nothing else does, goes to one that has nothing, and nothing is given beside it."""
    suspects = Suspects(Stop())
    rota = Rota(suspects)
    first, second, third = plans(1, 2, 3)
    suspects.learn({first.identity: (8, 8)})
    rota.bring([first, second])
    assert numbers(rota.next_for(0, {}, most=9, among=1, is_all=False)) == [2]
    assert rota.next_for(0, {}, most=9, among=1, is_all=False) == []
    assert rota.next_for(0, given([second]), most=9, among=1, is_all=True) == []
    alone = rota.next_for(0, {}, most=9, among=1, is_all=True)
    assert numbers(alone) == [1]
    rota.bring([third])
    assert rota.next_for(0, given(alone), most=9, among=1, is_all=True) == []
    assert numbers(rota.next_for(0, {}, most=9, among=1, is_all=True)) == [3]


def test_a_row_that_has_killed_often_enough_is_set_aside() -> None:
    """It is given as one that nobody asks any more, in any company."""
    suspects = Suspects(Stop())
    rota = Rota(suspects)
    (deadly,) = plans(1)
    suspects.learn({deadly.identity: (8, 8, 1, 1)})
    rota.bring_back([deadly], begun={deadly.task_run_id})
    (last,) = rota.next_for(0, given(plans(2, 3)), most=9, among=1, is_all=True)
    assert last.problem is not None
    assert last.problem.kind is FailureKind.POISONED


def test_what_this_process_runs_itself_is_nothing_that_processes_died_of() -> None:
    """Even if that was learned only when the row waited already; it is left to workers."""
    suspects = Suspects(Stop())
    rota = Rota(suspects)
    first, second, third = plans(1, 2, 3)
    suspects.learn({first.identity: (8, 8)})
    rota.bring([first, second, third])
    suspects.learn({first.identity: (8, 8), second.identity: (8, 8, 1)})
    assert rota.next_harmless(OWN) is third
    assert rota.next_harmless(OWN) is None
    assert numbers(rota.next_for(0, {}, most=9, among=1, is_all=True)) == [1]
    assert numbers(rota.next_for(0, {}, most=9, among=1, is_all=True)) == [2]


def alike(*numbers: int) -> list[Plan]:
    """Plans that ask the same."""
    first, *_ = plans(1)
    return [replace(one, input_hash=first.input_hash) for one in plans(*numbers)]


def test_rows_that_ask_the_same_go_to_whoever_has_one_of_them() -> None:
    """They wait for that process while others are given what comes after; once it is over, for nobody."""
    rota = Rota(Suspects(Stop()))
    same, others = alike(1, 2, 3), plans(4, 5)
    rota.bring([same[0]])
    assert numbers(rota.next_for(0, {}, most=1, among=2, is_all=False)) == [1]
    rota.bring([same[1], *others, same[2]])
    assert numbers(rota.next_for(1, {}, most=9, among=1, is_all=False)) == [4, 5]
    assert (rota.owes, rota.has_for(0), rota.has_for(1), rota.is_empty) == (True, True, False, False)
    assert rota.next_harmless(OWN) is None
    assert numbers(rota.next_for(0, {}, most=1, among=1, is_all=False)) == [2]
    rota.over(same[0], 0)
    rota.over(same[1], 0)
    assert numbers(rota.next_for(0, {}, most=9, among=1, is_all=True)) == [3]
    rota.over(same[2], 0)
    assert rota.is_empty
    rota.bring(alike(6))
    assert rota.next_harmless(OWN) is not None


def test_what_waited_for_a_dead_worker_comes_after_what_it_had() -> None:
    """Others get the first of them, and then its twins."""
    rota = Rota(Suspects(Stop()))
    same = alike(1, 2, 3)
    rota.bring(same)
    had = rota.next_for(0, {}, most=1, among=3, is_all=True)
    assert rota.next_for(1, {}, most=9, among=1, is_all=True) == []
    rota.gone(0)
    rota.bring_back(had, begun=())
    assert numbers(rota.next_for(1, {}, most=9, among=1, is_all=True)) == [1, 2, 3]


def test_each_row_is_asked_for_itself_if_that_is_wanted() -> None:
    """With `identical_rows: each` nothing waits for anybody."""
    rota = Rota(Suspects(Stop()), joins=False)
    rota.bring(alike(1, 2))
    assert numbers(rota.next_for(0, {}, most=1, among=1, is_all=True)) == [1]
    assert numbers(rota.next_for(1, {}, most=1, among=1, is_all=True)) == [2]
