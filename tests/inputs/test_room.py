"""The bytes of files that are in memory at once."""

import gc

import anyio
import pytest

from tasks_lib.domain.files import Attachment
from tasks_lib.inputs.room import Room

pytestmark = pytest.mark.anyio


async def test_room_is_given_back_when_nobody_holds_a_file() -> None:
    """Whoever comes next waits until a file is let go of, and no longer."""
    room = Room(100)
    await room.take(80)
    file = Attachment(name="a", mime_type="image/png", content=bytes(80))
    room.until_gone(file)
    order = []

    async def take(size: int) -> None:
        await room.take(size)
        order.append(size)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, 50)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(take, 10)  # has room, and does not pass the one before
        await anyio.wait_all_tasks_blocked()
        assert (order, room.taken) == ([], 80)
        del file
        gc.collect()
    assert (order, room.taken) == ([50, 10], 60)


async def test_what_is_larger_than_the_room_goes_alone() -> None:
    """No row waits for ever."""
    room = Room(100)
    with anyio.fail_after(1):
        await room.take(1000)
        room.give_back(1000)
        await room.take(1000)
    assert room.taken == 1000
