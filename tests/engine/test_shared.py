"""Limits that several processes keep together."""

import fcntl
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Reply
from tasks_lib.domain.usage import Usage
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.layout import BOOT_LOW, CLOSED_UNTIL, DAY, IN_FLIGHT, SEATED, SEATS
from tasks_lib.engine.shared import NotShared, join_account
from tasks_lib.providers.rates import Rate, Rates
from tests.engine.world import most_in_a_minute

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

URL = "https://api.test/v1"
KEY = "sk-secret"


@pytest.fixture
def join(tmp_path):
    """Takes seats at one account, and leaves them all in the end."""
    seats = []

    def another(*, base_url=URL, key=KEY):
        seats.append(join_account(tmp_path, base_url=base_url, key=key))
        return seats[-1]

    yield another
    for seat in seats:
        seat.close()


def gate(seat, **limits):
    """A gate at the shared account, in virtual time."""
    return Gate(Limits(**limits), now=anyio.current_time(), shared=seat, clock=anyio.current_time)


def answer(tokens=0):
    return Reply(text="yes", usage=Usage(input_tokens=0, output_tokens=tokens))


async def calls(door, times, *, rows, tokens=0, takes=0.0):
    """One after another, as fast as the gate allows."""
    for _ in range(rows):
        passed = await door.enter(output_tokens=tokens)
        times.append(anyio.current_time())
        await anyio.sleep(takes)
        door.leave(passed, answer(tokens), worked=takes)


@pytest.mark.parametrize("per_minute", [60, 600])
async def test_a_rate_holds_for_all_together(join, per_minute):
    """Of three that call at once none gets more than its share, all together the limit, and 98 % of it."""
    begun, times = anyio.current_time(), [[], [], []]
    async with anyio.create_task_group() as jobs:
        for mine in times:
            door = gate(join(), requests_per_minute=per_minute, in_flight=50)
            jobs.start_soon(lambda door=door, mine=mine: calls(door, mine, rows=per_minute))
    together = sorted(at - begun for mine in times for at in mine)
    assert most_in_a_minute(together) <= per_minute
    assert together[-1] <= 180 / 0.98
    first_minute = [sum(at - begun < 60 for at in mine) for mine in times]
    assert min(first_minute) >= 0.9 * per_minute / 3


async def test_tokens_hold_for_all_together(join):
    """No minute has more tokens of both than the limit, and 96 % are used, though they come in lumps."""
    await anyio.sleep(1)  # nobody waits since the very beginning of a clock
    begun, small, large = anyio.current_time(), [], []
    async with anyio.create_task_group() as jobs:
        for times, tokens in ((small, 50), (large, 3_000)):
            door = gate(join(), tokens_per_minute=60_000)
            jobs.start_soon(
                lambda door=door, times=times, tokens=tokens: in_time(door, times, tokens, begun + 300)
            )
    taken = [(at, 50) for at in small] + [(at, 3_000) for at in large]
    for start, _ in taken:
        assert sum(tokens for at, tokens in taken if start <= at <= start + 60) <= 60_000
    assert sum(tokens for _, tokens in taken) >= 0.96 * 5 * 60_000
    assert len(large) >= 20  # the small ones of the other process do not starve them


async def in_time(door, times, tokens, until):
    """One after another until then."""
    with anyio.move_on_after(until - anyio.current_time()):
        await calls(door, times, rows=100_000, tokens=tokens)


async def test_a_large_request_is_not_starved_by_small_ones_elsewhere(join):
    """It waits for a full bucket, and while it waits nobody who came later takes from it."""
    small, large = gate(join(), tokens_per_minute=6_000), gate(join(), tokens_per_minute=6_000)
    times, at = [], []
    begun = anyio.current_time()
    async with anyio.create_task_group() as jobs:
        jobs.start_soon(lambda: in_time(small, times, 10, begun + 200))
        await anyio.sleep(10)
        jobs.start_soon(lambda: calls(large, at, rows=1, tokens=5_000))
    assert at[0] - begun <= 10 + 61


async def test_places_hold_for_all_together(join):
    """Five calls in flight are five of all, each process gets some, and none stays empty while one waits."""
    doors = [gate(join(), in_flight=5) for _ in range(2)]
    times = [[], []]
    most = 0

    async def five(door, mine):
        nonlocal most
        for _ in range(5):
            passed = await door.enter()
            mine.append(anyio.current_time())
            most = max(most, sum(door.in_flight for door in doors))
            await anyio.sleep(1)
            door.leave(passed, answer(), worked=1.0)

    await anyio.sleep(1)
    begun = anyio.current_time()
    async with anyio.create_task_group() as jobs:
        for door, mine in zip(doors, times, strict=True):
            for _ in range(10):
                jobs.start_soon(five, door, mine)
    assert most == 5
    assert anyio.current_time() - begun <= 20 * 1.05
    assert all(sum(at - begun < 10 for at in mine) >= 15 for mine in times)


async def test_who_was_given_no_number_is_free_of_the_others(join):
    """A job of two calls in flight neither bounds one that was given no number nor is kept out by it."""
    gentle, free = gate(join(), in_flight=2), gate(join())
    calls_of_free = [await free.enter() for _ in range(20)]
    two = [await gentle.enter() for _ in range(2)]
    assert gentle.state().in_flight_of_all == 22
    free.change(Limits(in_flight=20))  # the widest is 20 now, and 22 are in flight
    gentle.leave(two[0], answer(), worked=0.0)
    with anyio.move_on_after(3) as scope:
        await gentle.enter()
    assert scope.cancelled_caught
    for passed in calls_of_free[:2]:
        free.leave(passed, answer(), worked=0.0)
    await gentle.enter()


async def test_a_pause_holds_for_all(join):
    """What one was asked for keeps the other waiting too."""
    one, other = gate(join(), in_flight=5), gate(join(), in_flight=5)
    asked = Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=30)
    one.leave(await one.enter(), asked, worked=0.0)
    begun, times = anyio.current_time(), []
    await calls(other, times, rows=1)
    assert times[0] - begun >= 30


async def test_each_keeps_its_own_limit_besides(join):
    """A job of ten a minute keeps them, and takes nothing from one of 100 but what it uses."""
    narrow, wide = gate(join(), requests_per_minute=10), gate(join(), requests_per_minute=100)
    few, many = [], []
    begun = anyio.current_time()
    async with anyio.create_task_group() as jobs:
        jobs.start_soon(lambda: in_time(narrow, few, 0, begun + 300))
        jobs.start_soon(lambda: in_time(wide, many, 0, begun + 300))
    assert most_in_a_minute(few) <= 10
    assert most_in_a_minute(few + many) <= 100
    assert len(few) >= 45
    assert len(few + many) >= 0.97 * 500


async def test_a_limit_told_while_others_run_is_kept_by_them(join):
    """Who was told no limit keeps that of who was, and is free again when that one has gone."""
    free = gate(join(), in_flight=5)
    told_seat = join()
    told = gate(told_seat, requests_per_minute=60)
    times = []
    await calls(free, times, rows=60)
    assert most_in_a_minute(times) == 60
    assert times[-1] - times[0] >= 50
    assert free.state().processes == told.state().processes == 2
    told_seat.close()
    begun = anyio.current_time()
    await calls(free, times, rows=1_000)
    assert anyio.current_time() - begun <= 1
    assert free.state().limits == {"in_flight": 5}


async def test_a_day_is_counted_over_runs(join):
    """What one run used up the next one does not have."""

    def at_noon():
        return 20_000.5 * 86_400

    for left in (2, 1):
        seat = join()
        door = Gate(Limits(requests_per_day=2), now=0.0, shared=seat, clock=anyio.current_time, wall=at_noon)
        assert door.state().left == {"requests_per_day": left}
        await calls(door, [], rows=1)
        seat.close()


async def test_after_a_boot_only_the_day_is_known(join):
    """Clocks begin anew with the machine, so moments of before say nothing."""
    seat = join()
    seat.cells[BOOT_LOW] += 1
    seat.cells[CLOSED_UNTIL] = 1e9
    seat.cells[DAY] = 20_000
    seat.cells[DAY + 1] = 7
    seat.close()
    seat = join()
    assert (seat.cells[CLOSED_UNTIL], seat.cells[DAY], seat.cells[DAY + 1]) == (0, 20_000, 7)


async def test_the_next_run_knows_pauses_and_learns_limits_anew(join):
    """A pause goes on after the run that was asked for it; what headers said may have changed since."""
    seat = join()
    door = gate(seat, in_flight=5)
    asked = Failure(kind=FailureKind.RATE_LIMITED, message="", retry_after=30)
    door.leave(await door.enter(), asked, worked=0.0)
    door.hear(Rates(requests=Rate(limit=60, remaining=0, reset=60)))
    other = join()
    assert gate(other, in_flight=5).state().learned == {"requests_per_minute": 60}
    seat.close()
    other.close()
    door = gate(join(), in_flight=5)
    assert door.state().learned == {}
    begun, times = anyio.current_time(), []
    await calls(door, times, rows=1)
    assert times[0] - begun == pytest.approx(30)


@pytest.mark.parametrize("harm", ["cut short", "no numbers"])
async def test_a_damaged_file_is_begun_anew(join, tmp_path, harm):
    """Whatever is found, the gate opens."""
    join().close()
    (file,) = tmp_path.glob("accounts/*/cells-*")
    file.write_bytes(b"\xff" * (100 if harm == "cut short" else file.stat().st_size))
    seat = join()
    assert seat.cells[SEATED] == 1
    assert all(map(math.isfinite, seat.cells))
    await calls(gate(seat, requests_per_minute=60), [], rows=2)


async def test_another_account_is_another_table(join):
    """Another key or another address shares nothing."""
    door = gate(join(), in_flight=1)
    await door.enter()
    for seat in (join(key="sk-other"), join(key=None), join(base_url="https://elsewhere.test/v1")):
        assert not seat.others
        await gate(seat, in_flight=1).enter()


async def test_a_lock_that_is_never_let_go_stops_nobody(join, tmp_path):
    """A process that was stopped at the worst moment does not stop the others."""
    door = gate(join(), requests_per_minute=6_000)
    (file,) = tmp_path.glob("accounts/*/cells-*")
    with file.open("rb+") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        times = []
        await calls(door, times, rows=20)
    assert len(times) == 20
    assert door.in_flight == 0


def test_nothing_of_the_key_is_written(join, tmp_path):
    """Not in names, not in contents; and the names differ from one user to the next."""
    join(key=KEY)
    for path in tmp_path.rglob("*"):
        assert KEY not in path.name
        assert path.is_dir() or KEY.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    elsewhere = tmp_path / "elsewhere"
    join_account(elsewhere, base_url=URL, key=KEY).close()
    names = [{path.name for path in folder.glob("accounts/*/")} for folder in (tmp_path, elsewhere)]
    assert not names[0] & names[1] - {"salt"}


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    """The text says what holds and what does not."""
    (tmp_path / "file").write_text("")
    with pytest.raises(NotShared, match=r"limits hold for this process alone: .* cannot be written"):
        join_account(tmp_path / "file", base_url=URL, key=KEY)


def test_a_full_table_is_told(join):
    """Whoever finds no seat goes on by itself."""
    for _ in range(SEATS):
        join()
    with pytest.raises(NotShared, match="64 others"):
        join()


def child(folder, *, calls, per_minute=0, in_flight=0, takes=0.0):
    """A process of its own, seated and not begun."""
    words = [str(word) for word in (folder, calls, per_minute, in_flight, takes)]
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("seat_child.py")), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def test_two_processes_keep_a_limit_together(tmp_path):
    """However the system runs them: a second has no more calls of both than its quota and a burst."""
    processes = [child(tmp_path, calls=60, per_minute=2_400, in_flight=20) for _ in range(2)]
    times = []
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=50)
        times += [float(line) for line in out.splitlines()]
    assert len(times) == 120
    assert all(process.returncode == 0 for process in processes)
    # Each prints after it was let in, perhaps late; a second of 40 and a burst of 5 leave room for that.
    assert most_in_a_minute([at * 60 for at in sorted(times)]) <= 40 + 5 + 5


async def test_the_places_of_a_process_that_died_are_free(join, tmp_path):
    """After a kill -9 its calls are over, and who waits for their places has them."""
    process = child(tmp_path, calls=2, in_flight=2, takes=1_000)
    process.stdin.write("go\n")
    process.stdin.flush()
    for _ in range(2):
        process.stdout.readline()
    seat = join()
    door = gate(seat, in_flight=2)
    with anyio.move_on_after(5) as scope:
        await door.enter()
    assert scope.cancelled_caught
    assert door.state().in_flight_of_all == 2
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    times = []
    await calls(door, times, rows=3)
    assert seat.cells[IN_FLIGHT] == 0
    assert seat.cells[SEATED] == 1
