"""Which flow runs of a ledger are dead."""

import os
import signal
import subprocess
import sys
from uuid import UUID, uuid4

import pytest

from flows.seats import KEPT, SeatTaken, empty_seats, forget, leave, take_seat
from tests.flows.processes import ROOT

_SIT = """
import sys
from pathlib import Path
from uuid import UUID
from flows.seats import take_seat
seat = take_seat(Path(sys.argv[1]), UUID(sys.argv[2]), state=UUID(sys.argv[3]))
seat.note("batch-1")
print("sits", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "a [strange] name.duckdb"


def sitting(ledger, flow_run_id: UUID, *, state: UUID) -> "subprocess.Popen[bytes]":
    """A process that has taken a seat, and sits until its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", _SIT, str(ledger), str(flow_run_id), str(state)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"sits\n"
    return child


def killed(child: "subprocess.Popen[bytes]") -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


def test_a_seat_is_empty_once_its_process_is_killed(ledger):
    """Nobody else can take the seat of a living process; a killed one's is empty, and tells what it was."""
    one, other, state = uuid4(), uuid4(), uuid4()
    child, gone = sitting(ledger, one, state=state), sitting(ledger, other, state=state)
    killed(gone)
    try:
        with pytest.raises(SeatTaken):
            take_seat(ledger, one, state=uuid4())
        assert list(empty_seats(ledger)) == [(other, {state})]
    finally:
        killed(child)
    assert dict(empty_seats(ledger)) == {one: {state}, other: {state}}
    later, latest = uuid4(), uuid4()
    seat = take_seat(ledger, other, state=later)
    try:
        assert (seat.earlier, seat.died) == (("batch-1",), 1)
        assert dict(empty_seats(ledger)) == {one: {state}}  # what this process holds is not empty
        seat.note("batch-2")
        seat.note_state(latest)
        assert take_seat(ledger, other, state=latest).earlier == ("batch-1", "batch-2")
    finally:
        leave(seat)
    assert dict(empty_seats(ledger)) == {one: {state}, other: {state, later, latest}}


def test_a_flow_run_that_ended_begins_with_fresh_money(ledger):
    """Who runs a flow run again that had come to its end is not charged for what it spent before."""
    flow_run = uuid4()
    seat = take_seat(ledger, flow_run, state=uuid4())
    seat.note("batch-1")
    seat.over()
    assert list(ledger.parent.iterdir()) == []
    seat = take_seat(ledger, flow_run, state=uuid4())
    assert seat.earlier == ()
    leave(seat)


def test_processes_that_died_are_counted(ledger):
    """Each process that ended without a word counts, until one of them ends in order."""
    flow_run = uuid4()
    for times in range(3):
        seat = take_seat(ledger, flow_run, state=uuid4())
        assert seat.died == times
        assert take_seat(ledger, flow_run, state=uuid4()).died == times  # the same process, once more
        leave(seat)
    seat = take_seat(ledger, flow_run, state=uuid4())
    seat.rest()
    leave(seat)
    seat = take_seat(ledger, flow_run, state=uuid4())
    assert seat.died == 0
    leave(seat)


def test_files_do_not_pile_up(ledger):
    """The file of what cannot be run again goes at once, and any other when it is old."""
    final, young, old = uuid4(), uuid4(), uuid4()
    for one in (final, young, old):
        leave(take_seat(ledger, one, state=uuid4()))
    forget(ledger, final, at_once=True)
    forget(ledger, young, at_once=False)
    (path,) = ledger.parent.glob(f"*{old}")
    os.utime(path, (0, path.stat().st_mtime - KEPT - 60))
    forget(ledger, old, at_once=False)
    assert [one for one, _ in empty_seats(ledger)] == [young]
    assert len(list(ledger.parent.iterdir())) == 1  # and nothing lies beside it


def test_a_strange_file_beside_the_ledger_is_left_alone(ledger):
    """What only looks like a seat is none."""
    stranger = ledger.with_name(f"{ledger.name}.flow-notes")
    stranger.write_text("mine")
    assert list(empty_seats(ledger)) == []
    assert stranger.read_text() == "mine"
