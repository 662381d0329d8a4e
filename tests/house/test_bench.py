"""The benchmarks run, at a size that says nothing about speed and everything about counts."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from bench.breaker import breaker
from bench.crash import crash
from bench.faults import faults
from bench.ledger import ledger
from bench.limits import latency, rate
from bench.memory import memory
from bench.merge import merge
from bench.money import money
from bench.overhead import overhead
from bench.scale import scale
from bench.workers import workers
from tests.llmserver import Server, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


def test_every_count_is_the_same_on_both_sides_of_a_server_that_fails(server: Server) -> None:
    """429s, 500s and malformed answers: all rows answered, no early retry, attempts and tokens as counted."""
    told = list(faults(server, rows=300, in_flight=128))
    assert len(told) == 10


def test_a_primary_that_is_down_is_left_alone(server: Server) -> None:
    """All rows answered once each, and hardly one asks the primary while it is known to be down."""
    told = list(breaker(server, rows=400, in_flight=20, seconds=2.0, latency_ms=150))
    assert "400 answered" in told[0]
    assert "before it was left alone" in told[1]


@pytest.mark.crash
def test_kills_lose_nothing_and_double_nothing(server: Server) -> None:
    """Three times kill -9, each followed by a run: no row missing, none twice, little paid again."""
    (told,) = crash(server, kills=3, rows=1_500, in_flight=32)
    assert told.startswith("3 kills over 1,500 rows")


@pytest.mark.crash
@pytest.mark.slow
def test_kills_of_several_processes_do_not_either(server: Server) -> None:
    """The batch's own process each time, and at times all: what others had written is known."""
    (told,) = crash(server, kills=3, rows=1_500, in_flight=32, workers=3)
    assert told.startswith("3 kills over 1,500 rows, 3 processes")


def test_a_rate_is_kept(server: Server) -> None:
    """No 60 seconds see more than the limit; a short run, so that its share of the limit says nothing."""
    (told,) = rate(server, per_minute=1200, minutes=0.1)
    assert "429s 0; rows answered 120" in told


def test_overhead_and_latency_give_their_tables(server: Server) -> None:
    """A line for the bare transport and one for us; and the wall time of many calls at once."""
    lines = list(overhead(server.base_url(), sizes=(200,), at_once=16, repeats=1))
    assert len(lines) == 5
    (told,) = latency(server, rows=100, in_flight=100)
    assert "100 rows, 100 in flight" in told


def test_the_ledger_alone_gives_its_tables() -> None:
    """A line for each size of a commit, and one for each number of rows."""
    lines = list(ledger(rows=50, sizes=(200,), groups=(25,)))
    assert lines[3].startswith("| 25 | ")
    assert lines[-1].startswith("| 200 | ")


def test_a_finished_job_makes_no_call(server: Server) -> None:
    """Run from Parquet, and run again: the second time every row was answered."""
    *_, told = memory(server, sizes=(100,), at_once=16)
    assert told.startswith("| 100 | ")
    assert told.endswith("| 0 |")


def test_a_sum_of_money_is_kept(server: Server) -> None:
    """What is sure and what may have been billed never pass the limit; the section would say so."""
    (told,) = money(server, most=Decimal("0.05"), in_flight=50)
    assert "$0.05 at 50 in flight" in told


@pytest.mark.slow
def test_two_processes_stand_beside_one(server: Server) -> None:
    """A line for one process on a core, for one, for two, and for two batches; each answered every row."""
    lines = list(workers(server, rows=200, at_once=16, repeats=1))
    assert [line.split(" | ")[0] for line in lines[3:]] == [
        "| one, on one core",
        "| one",
        "| --workers 2",
        "| two batches side by side",
    ]


@pytest.mark.slow
def test_each_way_into_the_ledger_brings_every_row_there_once() -> None:
    """Frames, journals, inserts over Quack and merged parts: the measured case itself counts the rows."""
    lines = list(merge(rows=100, groups=(50,)))
    assert [line.split(" | ")[0] for line in lines[3:]] == ["| frames", "| journal", "| quack", "| parts"]


@pytest.mark.slow
def test_what_grows_is_told_of_each_size() -> None:
    """A row's way, a ledger and keys, the last two at each size and by the slope of these."""
    lines = list(scale(rows=100, sizes=(500, 1_000)))
    assert sum("together" in line for line in lines) == 1
    assert sum("500 | 1,000 | at 100,000,000" in line for line in lines) == 2
