"""The public names of each room are there, and are all that is told."""

import importlib

import pytest

ROOMS = [f"tasks_lib.{room}" for room in ("job", "configs", "ledger", "live", "local", "rows")]


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_names_is_there(room: str) -> None:
    """Each name in `__all__` can be had, and none stands there twice."""
    module = importlib.import_module(room)
    assert [name for name in module.__all__ if getattr(module, name, None) is None] == []
    assert len(set(module.__all__)) == len(module.__all__)


def test_an_unknown_name_of_the_python_face_is_an_attribute_error() -> None:
    """The face is imported when asked for, and what it has not is told as Python tells it."""
    module = importlib.import_module("tasks_lib.job")
    with pytest.raises(AttributeError, match="nothing_such"):
        module.nothing_such  # noqa: B018  # asking is the test
