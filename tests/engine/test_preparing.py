"""What comes before a row's first call: files and processors."""

from dataclasses import replace

import anyio
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.files import Attachment, FileRef
from tasks_lib.domain.job import Limits
from tests.engine.world import World, after, hangs, says

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]  # a story that stands still is a bug
FILE = Attachment(name="f", mime_type="text/plain", content=b"x")


def prepared(plan, **changes):
    """The plan with a file on its message."""
    *before, last = plan.messages
    return replace(plan, is_prepared=True, messages=(*before, replace(last, files=(FILE,))), **changes)


async def test_rows_are_prepared_while_others_are_asked():
    """100 rows, a second to prepare and one to ask, ten calls at a time: fifteen seconds, not twenty."""

    async def prepare(plan):
        await anyio.sleep(1)
        return prepared(plan)

    world = World(limits=Limits(in_flight=10), preparing=prepare, step=after(1, says()))
    await world.run(rows=100, at_once=10)
    assert world.statuses == {"completed": 100}
    assert world.ended_at <= 15.0
    assert world.most_in_flight == 10


async def test_files_are_let_go_of():
    """A run that is recorded holds no file: neither what was read nor where it was."""

    async def prepare(plan):
        return prepared(plan, file_refs=(FileRef(name="f", column="c", content=b"x"),))

    world = await World(preparing=prepare).run(rows=1)
    plan = world.run_of(1).plan
    assert plan.file_refs == ()
    assert [message.files for message in plan.messages] == [()]


async def test_a_row_that_cannot_be_prepared_asks_nobody():
    """R16: a problem that is found in preparing fails the row before any call."""

    async def prepare(plan):
        return replace(plan, is_prepared=True, problem=Failure(kind=FailureKind.BAD_ROW, message="no file"))

    world = await World(preparing=prepare).run(rows=3)
    assert (world.statuses, world.arrivals) == ({"failed": 3}, [])
    assert {run.failure.message for run in world.runs} == {"no file"}


async def test_the_stop_comes_while_a_row_is_prepared():
    """A stop waits for no page that somebody else is slow to give: the row is left for the next run."""

    async def prepare(plan):
        await anyio.sleep(1_000)
        return prepared(plan)

    world = await World(preparing=prepare, step=hangs(1)).run(rows=2, stop_at=5)
    assert (world.ended_at, world.runs, world.arrivals) == (5.0, [], [])
