from decimal import Decimal
from functools import partial

import anyio
import pytest
import trio.testing

from tasks_lib.cli.progress import Look, Speed, drawn, keep_showing, look_at
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.tally import Tally


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


def running() -> Tally:
    return Tally(
        rows=20_000,
        completed=1_100,
        failed=34,
        skipped=100,
        calls=1_200,
        input_tokens=40_000,
        output_tokens=5_100,
        cost=Decimal("0.0123"),
    )


def line(tally: Tally, stop: Stop | None = None, *, per_second: float | None = None) -> str:
    return look_at("reviews", tally, stop or Stop(), per_second=per_second, elapsed=3.0).as_line


def test_a_line_says_it_all() -> None:
    """A line of a log has rows, speed, failures, time left, cost and tokens."""
    assert line(running(), per_second=10.0) == (
        "reviews: 1,234 of 20,000 rows (6 %), 10.0/s, 34 failed, 31 min 17 s left, $0.0123, 45.1k tokens, "
        "100 answered before"
    )


def test_an_unknown_cost_is_told_at_once() -> None:
    """Somebody who watches the cost sees that it is not all."""
    tally = running()
    tally.calls_of_unknown_cost = 3
    assert "$0.0123 + unknown" in line(tally)


def test_before_the_rows_are_known() -> None:
    """While the file is checked nothing is made up."""
    assert line(Tally()) == "reviews: preparing, 3.0 s"


def test_before_the_first_answer() -> None:
    """A model that takes its time, or is started first, is not mistaken for a standstill."""
    assert line(Tally(rows=7)) == "reviews: 0 of 7 rows (0 %), waiting for the first answer, 3.0 s"


def test_after_the_last_row() -> None:
    """The output is written when all rows are through."""
    assert line(Tally(rows=7, skipped=7)).endswith("writing")


def test_a_stopped_batch_has_no_time_left() -> None:
    """Once stopped, a batch will not come to its end."""
    stop = Stop()
    stop.call(Why.INTERRUPTED, "Ctrl-C was received")
    text = line(running(), stop, per_second=10.0)
    assert text.endswith("finishing the calls under way")
    assert "left" not in text


def test_speed_follows_what_happens() -> None:
    """Speed is that of the last seconds, so that a pause shows and the first rows do not count for ever."""
    speed = Speed(over=10)
    assert speed.at(0, 0) is None
    assert speed.at(5, 500) == 100
    assert speed.at(10, 1_000) == 100
    assert speed.at(15, 1_000) == 50
    assert speed.at(20, 1_000) is None
    assert speed.at(25, 1_010) == 1


def test_a_line_fits_the_terminal() -> None:
    """Whatever the width, the line does not wrap, and the rows are always in it."""
    look = look_at("reviews", running(), Stop(), per_second=10.0, elapsed=3.0)
    texts = {room: "".join(text for text, _ in drawn(look, room=room)) for room in range(30, 200)}
    assert [room for room, text in texts.items() if len(text) > room] == []
    assert [room for room, text in texts.items() if "1,234/20,000" not in text] == []
    assert "━" not in texts[30]
    assert "answered before" in texts[199]


def test_the_bar_grows_with_the_rows() -> None:
    """The bar is empty at the beginning and full at the end."""

    def full(done: int) -> int:
        look = Look(name="x", done=done, rows=10, phase=None, figures=())
        return next(len(text) for text, style in drawn(look, room=120) if style == "green")

    assert (full(0), full(5), full(10)) == (0, 16, 32)


@pytest.mark.anyio
async def test_looks_are_taken_at_intervals() -> None:
    """A batch is looked at every so many seconds, until nobody wants to see more."""
    seen: list[Look] = []
    tally = Tally(rows=100, calls=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(keep_showing, seen.append, "x", tally, Stop(), every=10.0))
        await anyio.sleep(5.0)
        for _ in range(3):
            tally.completed += 20
            await anyio.sleep(10.0)
        tasks.cancel_scope.cancel()
    assert [look.done for look in seen] == [20, 40, 60]
    assert "2.0/s" in seen[-1].figures
    assert "20 s left" in seen[-1].figures


def test_a_comparison_is_counted_in_runs() -> None:
    """R28: where every row is run with several revisions, progress says runs, in a log and on a terminal."""
    tally = Tally(rows=40, completed=10, runs_a_row=2)
    look = look_at("reviews", tally, Stop(), per_second=None, elapsed=1.0)
    assert look.as_line.startswith("reviews: 10 of 40 runs (25 %)")
    assert "10/40 runs" in "".join(text for text, _ in drawn(look, room=100))
