"""Which rows are suspected of killing, and which are set aside."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.domain.deaths import is_poisoned, most_at_once, most_deaths, told

SLOWEST = 200_000  # steps of a world that would never end


def chance(seed):
    """What is up to chance in a world."""
    return random.Random(seed)  # noqa: S311  # rows, not secrets


class World:
    """Rows, some of which kill, under a machine that runs `at_once` of them and is killed from outside.

    One step ends one row that is under way, or the process. What a dead process had under way is all that the
    next one knows of its end.
    """

    def __init__(self, *, rows, poisoned, at_once, chance, kills=()):
        self.poisoned = poisoned
        self.at_once = at_once
        self.chance = chance
        self.kills = set(kills)  # steps at which the process is killed
        self.companies = {row: [] for row in range(rows)}
        self.answered, self.aside = set(), set()
        self.deaths_by_rows = self.step = 0

    def run(self):
        """Start the process until it has come to the end of its rows."""
        while not self._process():
            pass
        return self

    def _process(self):
        """Whether a process came to its end alive."""
        left = [row for row in self.companies if row not in self.answered | self.aside]
        self.aside |= {row for row in left if is_poisoned(self.companies[row])}
        left = [row for row in left if row not in self.aside]
        free = [row for row in left if most_at_once(self.companies[row]) is None]
        held_back = [row for row in left if row not in set(free)]
        held_back.sort(key=lambda row: (-most_at_once(self.companies[row]), len(self.companies[row])))
        waiting, under_way = [*free, *held_back], []
        while waiting or under_way:
            while waiting and len(under_way) < self._bears(waiting[0]):  # those before it bear no less
                under_way.append(waiting.pop(0))
            self.step += 1
            assert self.step < SLOWEST
            ended = self.chance.choice(under_way)
            if self.step in self.kills or ended in self.poisoned:
                self.deaths_by_rows += self.step not in self.kills
                for row in under_way:
                    self.companies[row].append(len(under_way))
                return False
            under_way.remove(ended)
            self.answered.add(ended)
        return True

    def _bears(self, row):
        return min(most_at_once(self.companies[row]) or self.at_once, self.at_once)


worlds = {
    "rows": st.integers(1, 60),
    "at_once": st.integers(1, 40),
    "seed": st.integers(0, 10_000),
}


@settings(deadline=None)
@given(**worlds, kills=st.lists(st.integers(1, 200), max_size=3, unique=True))
def test_three_kills_from_outside_lose_no_row(rows, at_once, seed, kills):
    """A process that is killed three times, whenever and whatever was under way, answers every row."""
    world = World(rows=rows, poisoned=(), at_once=at_once, chance=chance(seed), kills=kills).run()
    assert world.answered == set(range(rows))
    assert not world.aside


@settings(deadline=None)
@given(**worlds, poisoned=st.sets(st.integers(0, 59), max_size=5))
def test_poisoned_rows_are_found_within_the_bound(rows, at_once, seed, poisoned):
    """All rows that kill are set aside, nobody else is, and each has killed at most four times."""
    poisoned = {row for row in poisoned if row < rows}
    world = World(rows=rows, poisoned=poisoned, at_once=at_once, chance=chance(seed)).run()
    assert world.aside == poisoned
    assert world.answered == set(range(rows)) - poisoned
    assert world.deaths_by_rows <= 4 * len(poisoned)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), at_once=st.sampled_from([128, 300, 1_000]))
def test_a_large_crowd_takes_one_death_more(seed, at_once):
    """Among 128 rows or more a poisoned one takes five deaths, and no crowd is run one by one."""
    world = World(rows=1_200, poisoned={17}, at_once=at_once, chance=chance(seed)).run()
    assert world.aside == {17}
    assert world.deaths_by_rows <= most_deaths(at_once) == 5


@settings(deadline=None)
@given(
    **worlds,
    poisoned=st.sets(st.integers(0, 59), max_size=3),
    kills=st.sets(st.integers(1, 300), max_size=1),
)
def test_an_innocent_row_is_not_set_aside_for_a_kill_from_outside(rows, at_once, seed, poisoned, kills):
    """Whatever poisoned rows do, a single kill from outside sets nobody aside who is not poisoned."""
    world = World(rows=rows, poisoned=poisoned, at_once=at_once, chance=chance(seed), kills=kills).run()
    assert world.aside <= poisoned


def test_poisoned_rows_that_are_met_together_take_two_deaths_more_each():
    """Three poisoned rows that always run together cost two deaths together and two alone each."""
    world = World(rows=8, poisoned={1, 2, 3}, at_once=8, chance=chance(1)).run()
    assert world.deaths_by_rows == 2 + 3 * 2


def test_the_bound_by_rows_at_once():
    """Four deaths up to 127 rows at once, five up to 8,191."""
    assert [most_deaths(n) for n in (1, 2, 64, 127, 128, 1_000, 8_191, 8_192)] == [4, 4, 4, 4, 5, 5, 5, 6]


def test_a_row_that_died_is_run_as_ever_once():
    """One death says nothing; from the second on a row is run in little company."""
    assert most_at_once(()) is None
    assert most_at_once((64,)) is None
    assert most_at_once((64, 1_000)) == 1
    assert most_at_once((1_000, 1_000)) == 15


def test_the_reason_tells_the_remedy():
    """Whoever reads of a row that was set aside learns why, and what to do."""
    assert told((64, 64, 1, 1)).startswith(
        "the process died 4 times while this row was under way, 2 times of"
    )
    assert "--retry-poisoned" in told((64, 64, 1, 1))
